package certificates_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/kube/certificates"
	"kdoctor.io/kdoctor/internal/kube/pki"
)

const (
	namespace    = "kdoctor"
	registration = "v1beta1.system.kdoctor.io"
)

func names() []string {
	return []string{"kdoctor-ca", "kdoctor-agent-tls", "kdoctor-controller-tls", "kdoctor-api-tls"}
}

func cluster(t *testing.T, functions interceptor.Funcs, objects ...client.Object) client.Client {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(functions).Build()
}

func apiService() *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: registration},
		Spec: apiregistrationv1.APIServiceSpec{Group: "system.kdoctor.io", Version: "v1beta1"}}
}

func config(c client.Client) certificates.Config {
	return certificates.Config{Client: c, Namespace: namespace, Service: "kdoctor-controller", APIService: registration,
		Owner: &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "kdoctor-controller",
			UID: "one"}}
}

func ensure(t *testing.T, a *certificates.Authority) {
	t.Helper()
	if err := a.Ensure(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func secrets(t *testing.T, c client.Client) map[string]corev1.Secret {
	t.Helper()
	found := map[string]corev1.Secret{}
	for _, name := range names() {
		var s corev1.Secret
		if err := c.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, &s); err != nil {
			t.Fatal(err)
		}
		found[name] = s
	}
	return found
}

func TestEnsureMakesWhatAnInstallationNeeds(t *testing.T) {
	c := cluster(t, interceptor.Funcs{}, apiService())
	a := certificates.New(config(c))
	if _, err := a.ClientTLS(); !errors.Is(err, certificates.ErrNotReady) {
		t.Errorf("before Ensure ClientTLS gave %v, not ErrNotReady", err)
	}
	ensure(t, a)
	made := secrets(t, c)
	bundle := made["kdoctor-ca"].Data["ca.crt"]
	trusted, err := pki.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, secret, dns string
		usage             x509.ExtKeyUsage
	}{
		{"the agents serve by their own name", "kdoctor-agent-tls", pki.AgentName, x509.ExtKeyUsageServerAuth},
		{"the controller dials by its own name", "kdoctor-controller-tls", pki.ControllerName,
			x509.ExtKeyUsageClientAuth},
		{"the API serves by its Service's name", "kdoctor-api-tls", "kdoctor-controller.kdoctor.svc",
			x509.ExtKeyUsageServerAuth},
	}
	for _, want := range cases {
		t.Run(want.name, func(t *testing.T) {
			secret := made[want.secret]
			if secret.Type != corev1.SecretTypeTLS || len(secret.OwnerReferences) != 1 ||
				!bytes.Equal(secret.Data["ca.crt"], bundle) {
				t.Errorf("secret of type %q with %d owners, bundle equal: %v", secret.Type, len(secret.OwnerReferences),
					bytes.Equal(secret.Data["ca.crt"], bundle))
			}
			leaf, _, err := pki.Pair{Cert: secret.Data["tls.crt"], Key: secret.Data["tls.key"]}.Parse()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: pki.Pool(trusted), DNSName: want.dns,
				KeyUsages: []x509.ExtKeyUsage{want.usage}}); err != nil {
				t.Error(err)
			}
		})
	}
	var registered apiregistrationv1.APIService
	if err := c.Get(context.Background(), client.ObjectKey{Name: registration}, &registered); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(registered.Spec.CABundle, bundle) || registered.Spec.Group == "" {
		t.Error("the API service did not get the bundle, or lost something else")
	}
	if cert, _ := a.Serving().CurrentCertKeyContent(); !bytes.Equal(cert, made["kdoctor-api-tls"].Data["tls.crt"]) {
		t.Error("the serving certificate is not that of the secret")
	}
}

func TestEnsureTwiceWritesNothing(t *testing.T) {
	c := cluster(t, interceptor.Funcs{}, apiService())
	ensure(t, certificates.New(config(c)))
	before := secrets(t, c)
	ensure(t, certificates.New(config(c)))
	for name, after := range secrets(t, c) {
		if after.ResourceVersion != before[name].ResourceVersion {
			t.Errorf("secret %s was written again", name)
		}
	}
}

func TestEnsureRepairs(t *testing.T) {
	garble := func(key string) func(*corev1.Secret) {
		return func(s *corev1.Secret) { s.Data[key] = []byte("garbage") }
	}
	cases := []struct {
		name, secret string
		spoil        func(*corev1.Secret)
		// renewed are the secrets whose certificate must be another afterwards.
		renewed []string
	}{
		{"a garbled leaf is issued anew", "kdoctor-agent-tls", garble("tls.crt"), []string{"kdoctor-agent-tls"}},
		{"a garbled key is issued anew", "kdoctor-api-tls", garble("tls.key"), []string{"kdoctor-api-tls"}},
		{"a garbled bundle of a leaf is put right", "kdoctor-controller-tls", garble("ca.crt"), nil},
		{"a garbled authority replaces everything", "kdoctor-ca", garble("tls.key"), names()},
		{"a secret without data is filled", "kdoctor-agent-tls", func(s *corev1.Secret) { s.Data = nil },
			[]string{"kdoctor-agent-tls"}},
		{"an owner of an earlier installation is replaced", "kdoctor-ca",
			func(s *corev1.Secret) { s.OwnerReferences[0].UID = "gone" }, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := cluster(t, interceptor.Funcs{}, apiService())
			ensure(t, certificates.New(config(c)))
			before := secrets(t, c)
			spoilt := before[tc.secret]
			spoilt = *spoilt.DeepCopy()
			tc.spoil(&spoilt)
			if err := c.Update(context.Background(), &spoilt); err != nil {
				t.Fatal(err)
			}
			ensure(t, certificates.New(config(c)))
			after := secrets(t, c)
			for _, name := range names() {
				renewed := !bytes.Equal(before[name].Data["tls.crt"], after[name].Data["tls.crt"])
				wanted := bytes.Contains([]byte(join(tc.renewed)), []byte(name+"\n"))
				if renewed != wanted {
					t.Errorf("%s renewed: %v, want %v", name, renewed, wanted)
				}
				if !bytes.Equal(after[name].Data["ca.crt"], after["kdoctor-ca"].Data["ca.crt"]) {
					t.Errorf("%s has another bundle than the authority", name)
				}
				if after[name].OwnerReferences[0].UID != "one" {
					t.Errorf("%s belongs to %v", name, after[name].OwnerReferences[0].UID)
				}
			}
		})
	}
}

func join(names []string) string {
	var text string
	for _, n := range names {
		text += n + "\n"
	}
	return text
}

func TestReplicasThatRaceAgree(t *testing.T) {
	// The first reads of the authority wait for each other, so that both replicas find nothing and both create.
	var arrived, once sync.WaitGroup
	arrived.Add(2)
	var mu sync.Mutex
	reads := 0
	c := cluster(t, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey,
		object client.Object, options ...client.GetOption) error {
		err := c.Get(ctx, key, object, options...)
		mu.Lock()
		first := key.Name == "kdoctor-ca" && reads < 2
		if first {
			reads++
		}
		mu.Unlock()
		if first {
			arrived.Done()
			arrived.Wait()
		}
		return err
	}}, apiService())
	replicas := []*certificates.Authority{certificates.New(config(c)), certificates.New(config(c))}
	failures := make([]error, len(replicas))
	for n, replica := range replicas {
		once.Go(func() { failures[n] = replica.Ensure(context.Background()) })
	}
	once.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	one, _ := replicas[0].Serving().CurrentCertKeyContent()
	two, _ := replicas[1].Serving().CurrentCertKeyContent()
	if !bytes.Equal(one, two) {
		t.Error("two replicas serve different certificates")
	}
	ensure(t, certificates.New(config(c)))
	if now := secrets(t, c)["kdoctor-api-tls"].Data["tls.crt"]; !bytes.Equal(one, now) {
		t.Error("what the replicas agreed on is not what the secret holds")
	}
}

// counter is a listener of the aggregated API's server.
type counter struct{ changes int }

func (c *counter) Enqueue() { c.changes++ }

func TestRunRenewsBeforeCertificatesExpireAndOldPeersStillTrustUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster(t, interceptor.Funcs{}, apiService())
		cfg := config(c)
		cfg.Interval = 12 * time.Hour
		a := certificates.New(cfg)
		ensure(t, a)
		var listener counter
		a.Serving().AddListener(&listener)
		old := secrets(t, c)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() {
			if err := a.Run(ctx); err != nil {
				t.Errorf("Run ended with %v", err)
			}
		})
		time.Sleep(pki.LeafLife)
		synctest.Wait()
		now := secrets(t, c)
		if listener.changes != 1 {
			t.Errorf("the API's server was told of %d changes, want 1", listener.changes)
		}
		if bytes.Equal(old["kdoctor-agent-tls"].Data["tls.crt"], now["kdoctor-agent-tls"].Data["tls.crt"]) {
			t.Error("the agents' certificate was not renewed")
		}
		trusted, err := pki.ParseBundle(old["kdoctor-agent-tls"].Data["ca.crt"])
		if err != nil {
			t.Fatal(err)
		}
		settings, err := a.ClientTLS()
		if err != nil {
			t.Fatal(err)
		}
		identity, err := settings.GetClientCertificate(&tls.CertificateRequestInfo{})
		if err != nil {
			t.Fatal(err)
		}
		options := x509.VerifyOptions{Roots: pki.Pool(trusted), DNSName: pki.ControllerName,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if _, err := identity.Leaf.Verify(options); err != nil {
			t.Errorf("an agent with the old bundle refuses the renewed controller: %v", err)
		}
		cancel()
		running.Wait()
	})
}

func TestRunFindsAnAPIServiceThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster(t, interceptor.Funcs{})
		a := certificates.New(config(c))
		ensure(t, a)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = a.Run(ctx) })
		if err := c.Create(ctx, apiService()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		var registered apiregistrationv1.APIService
		if err := c.Get(ctx, client.ObjectKey{Name: registration}, &registered); err != nil {
			t.Fatal(err)
		}
		if len(registered.Spec.CABundle) == 0 {
			t.Error("the API service did not get the bundle")
		}
		cancel()
		running.Wait()
	})
}

func TestWithdrawRemovesTheInstallationsOwnRegistrationAlone(t *testing.T) {
	leadingTo := func(namespace string) []client.Object {
		registered := apiService()
		registered.UID = "the one"
		registered.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: namespace, Name: "kdoctor-controller"}
		return []client.Object{registered}
	}
	local := apiService()
	for _, test := range []struct {
		name    string
		objects []client.Object
		// fails is how many tries the API server refuses.
		fails int
		stays bool
	}{
		{name: "a registration of this namespace goes", objects: leadingTo(namespace)},
		{name: "a refused try is repeated", objects: leadingTo(namespace), fails: 3},
		{name: "a registration of another installation stays", objects: leadingTo("another"), stays: true},
		{name: "a registration without a Service stays", objects: []client.Object{local}, stays: true},
		{name: "no registration is no error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fails := test.fails
			c := cluster(t, interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object,
				options ...client.DeleteOption) error {
				if fails > 0 {
					fails--
					return errors.New("the API server is away")
				}
				return c.Delete(ctx, o, options...)
			}}, test.objects...)
			if err := certificates.New(config(c)).Withdraw(t.Context()); err != nil {
				t.Fatal(err)
			}
			var left apiregistrationv1.APIService
			err := c.Get(t.Context(), client.ObjectKey{Name: registration}, &left)
			if stays := err == nil; stays != test.stays || fails != 0 {
				t.Errorf("the registration stays: %t (%v), want %t; %d failures are left", stays, err, test.stays, fails)
			}
		})
	}
}

func TestWithdrawEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster(t, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object,
			...client.GetOption) error {
			return errors.New("the API server is away")
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := certificates.New(config(c)).Withdraw(ctx); err != nil || ctx.Err() == nil {
			t.Errorf("Withdraw ended with %v, its context with %v", err, ctx.Err())
		}
	})
}
