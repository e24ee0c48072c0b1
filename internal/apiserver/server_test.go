package apiserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/version"
)

// patience bounds how long a test waits for what ought to happen at once.
const patience = 20 * time.Second

func netReach(name, uid string) render.ReportedTask {
	return render.ReportedTask{Kind: "NetReach", Name: name, UID: uid,
		Created:    time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		Generation: 1, ExpectedRounds: 3, DoneRounds: 1}
}

// open starts a server that lets everybody in, and returns a configuration for its clients.
func open(t *testing.T, m *memory) *rest.Config {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := certutil.GenerateSelfSignedCertKeyWithOptions(
		certutil.SelfSignedCertKeyOptions{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	serving, err := dynamiccertificates.NewStaticCertKeyContent("test", cert, key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	everybody := access{authenticator: anonymous.NewAuthenticator(nil),
		authorizer: authorizerfactory.NewAlwaysAllowAuthorizer()}
	var owner sync.WaitGroup
	owner.Go(func() {
		if err := serve(ctx, Config{Listener: listener, Certificate: serving, Reports: memoryReports{m},
			Tasks: memoryTasks{m}}, everybody); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(func() { cancel(); owner.Wait() })
	return &rest.Config{Host: "https://" + listener.Addr().String(),
		TLSClientConfig: rest.TLSClientConfig{CAData: cert}, QPS: -1}
}

// client speaks system.kdoctor.io/v1beta1.
func client(t *testing.T, config *rest.Config) *rest.RESTClient {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := systemv1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := rest.CopyConfig(config)
	version := systemv1beta1.GroupVersion()
	c.GroupVersion, c.APIPath = &version, "/apis"
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	made, err := rest.RESTClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func get(c *rest.RESTClient, name string) (*systemv1beta1.KdoctorReport, error) {
	var r systemv1beta1.KdoctorReport
	err := c.Get().Resource("kdoctorreports").Name(name).Do(context.Background()).Into(&r)
	return &r, err
}

func list(t *testing.T, c *rest.RESTClient, parameters map[string]string) *systemv1beta1.KdoctorReportList {
	t.Helper()
	var l systemv1beta1.KdoctorReportList
	request := c.Get().Resource("kdoctorreports")
	for name, value := range parameters {
		request = request.Param(name, value)
	}
	if err := request.Do(t.Context()).Into(&l); err != nil {
		t.Fatal(err)
	}
	return &l
}

func names(l *systemv1beta1.KdoctorReportList) []string {
	var names []string
	for _, item := range l.Items {
		names = append(names, item.Name)
	}
	return names
}

func three() *memory {
	m := &memory{}
	m.set(netReach("b", "u-b"), netReach("a", "u-a"), netReach("new", "u-new"))
	m.keep("u-a", 1)
	m.keep("u-b", 2)
	return m
}

func TestDiscovery(t *testing.T) {
	config := open(t, three())
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.ServerResourcesForGroupVersion("system.kdoctor.io/v1beta1")
	if err != nil {
		t.Fatal(err)
	}
	want := []metav1.APIResource{{
		Name: "kdoctorpaths", SingularName: "kdoctorpath", Kind: "KdoctorPath", Namespaced: false,
		Verbs: metav1.Verbs{"list"},
	}, {
		Name: "kdoctorreports", SingularName: "kdoctorreport", Kind: "KdoctorReport", Namespaced: false,
		Verbs: metav1.Verbs{"get", "list", "watch"}, Categories: []string{"kdoctor"},
	}}
	if diff := cmp.Diff(want, got.APIResources); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	v2, err := d.OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(v2.String(), "io.kdoctor.system.v1beta1.KdoctorReport") {
		t.Error("the OpenAPI v2 document lacks KdoctorReport")
	}
	v3, err := d.RESTClient().Get().AbsPath("/openapi/v3/apis/system.kdoctor.io/v1beta1").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"io.kdoctor.system.v1beta1.KdoctorReportList",
		`"group":"system.kdoctor.io","kind":"KdoctorReport","version":"v1beta1"`, "MaxMemory is in 10^6 bytes",
		`"version":"` + version.Release() + `"`} {
		if !strings.Contains(string(v3), part) {
			t.Errorf("the OpenAPI v3 document lacks %s", part)
		}
	}
}

func TestEachRequestComesOverAConnectionOfItsOwn(t *testing.T) {
	config := open(t, three())
	var dialed atomic.Int64
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	c := client(t, config)
	const requests = 4
	for range requests {
		if _, err := get(c, "netreach-b"); err != nil {
			t.Fatal(err)
		}
	}
	if n := dialed.Load(); n != requests {
		t.Errorf("%d requests came over %d connections; want as many", requests, n)
	}
}

func TestGet(t *testing.T) {
	m := three()
	c := client(t, open(t, m))
	got, err := get(c, "netreach-b")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "netreach-b" || got.UID != "u-b" || got.Namespace != "" || got.ResourceVersion == "" ||
		!got.CreationTimestamp.Equal(new(metav1.NewTime(netReach("", "").Created))) {
		t.Errorf("got metadata %+v", got.ObjectMeta)
	}
	if got.Spec.ReportRoundNumber != 2 || len(got.Spec.Report) != 1 || len(got.Spec.NotReported) != 1 {
		t.Errorf("got spec %+v", got.Spec)
	}
	for _, name := range []string{"netreach-nobody", "netdns-b", "b", "netreach-b-b"} {
		if _, err := get(c, name); !apierrors.IsNotFound(err) || strings.Contains(err.Error(), "no round") {
			t.Errorf("%s: got %v, want NotFound", name, err)
		}
	}
	if _, err := get(c, "netreach-new"); !apierrors.IsNotFound(err) ||
		!strings.Contains(err.Error(), "no round of NetReach new is finished") {
		t.Errorf("a task without a round: got %v, want NotFound that says so", err)
	}
	m.keep("u-new", 1)
	if _, err := get(c, "netreach-new"); err != nil {
		t.Errorf("after its first round: %v", err)
	}
}

func TestList(t *testing.T) {
	c := client(t, open(t, three()))
	cases := map[string]struct {
		parameters map[string]string
		want       []string
	}{
		"all that have a round, by name": {nil, []string{"netreach-a", "netreach-b"}},
		"one by its name": {map[string]string{"fieldSelector": "metadata.name=netreach-b"},
			[]string{"netreach-b"}},
		"all but one": {map[string]string{"fieldSelector": "metadata.name!=netreach-b"},
			[]string{"netreach-a"}},
		"none carries a label": {map[string]string{"labelSelector": "app=x"}, nil},
		"all lack a label":     {map[string]string{"labelSelector": "!app"}, []string{"netreach-a", "netreach-b"}},
		"the first page":       {map[string]string{"limit": "1"}, []string{"netreach-a"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, names(list(t, c, test.parameters))); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("the pages after the first", func(t *testing.T) {
		first := list(t, c, map[string]string{"limit": "1"})
		second := list(t, c, map[string]string{"limit": "1", "continue": first.Continue})
		if diff := cmp.Diff([]string{"netreach-b"}, names(second)); diff != "" || second.Continue != "" {
			t.Errorf("continue %q, names (-want +got):\n%s", second.Continue, diff)
		}
	})
}

func TestAnUnreadableRoundCostsItsOwnReportAlone(t *testing.T) {
	m := three()
	m.breakRound("u-a", errors.New("corrupt"))
	c := client(t, open(t, m))
	if diff := cmp.Diff([]string{"netreach-b"}, names(list(t, c, nil))); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if _, err := get(c, "netreach-a"); !apierrors.IsInternalError(err) {
		t.Errorf("got %v, want an internal error", err)
	}
	m.breakRound("u-a", nil)
	if diff := cmp.Diff([]string{"netreach-a", "netreach-b"}, names(list(t, c, nil))); diff != "" {
		t.Errorf("names after the repair (-want +got):\n%s", diff)
	}
}

func table(t *testing.T, c *rest.RESTClient, parameters map[string]string) *metav1.Table {
	t.Helper()
	return tableOf(t, c, "kdoctorreports", parameters)
}

func tableOf(t *testing.T, c *rest.RESTClient, resource string, parameters map[string]string) *metav1.Table {
	t.Helper()
	var table metav1.Table
	request := c.Get().Resource(resource)
	for name, value := range parameters {
		request = request.Param(name, value)
	}
	err := request.
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").Do(t.Context()).Into(
		&table)
	if err != nil {
		t.Fatal(err)
	}
	return &table
}

// tableClient reads tables.
func tableClient(t *testing.T, config *rest.Config) *rest.RESTClient {
	t.Helper()
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := rest.CopyConfig(config)
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	version := systemv1beta1.GroupVersion()
	c.GroupVersion, c.APIPath = &version, "/apis"
	made, err := rest.RESTClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestTable(t *testing.T) {
	m := three()
	c := tableClient(t, open(t, m))
	whole := table(t, c, map[string]string{"includeObject": "Object"})
	before := m.read()
	slim := table(t, c, map[string]string{"includeObject": "Metadata"})
	if after := m.read(); after != before {
		t.Errorf("a table without objects read %d rounds", after-before)
	}
	for name, got := range map[string]*metav1.Table{"of objects": whole, "of metadata": slim} {
		t.Run(name, func(t *testing.T) {
			want := [][]any{
				{"netreach-a", "1/3", "fail", "1/2", "0/0", "<none>", "",
					"agent b on node m did not report: no answer on either way"},
				{"netreach-b", "2/3", "fail", "1/2", "0/0", "<none>", "",
					"agent b on node m did not report: no answer on either way"},
			}
			var rows [][]any
			for _, row := range got.Rows {
				rows = append(rows, row.Cells)
			}
			if diff := cmp.Diff(want, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if len(got.ColumnDefinitions) != 8 || got.ResourceVersion == "" {
				t.Errorf("got %d columns at version %q", len(got.ColumnDefinitions), got.ResourceVersion)
			}
		})
	}
}

func TestNothingCanBeWritten(t *testing.T) {
	c := client(t, open(t, three()))
	for name, request := range map[string]*rest.Request{
		"delete":           c.Delete().Resource("kdoctorreports").Name("netreach-a"),
		"deletecollection": c.Delete().Resource("kdoctorreports"),
		"create":           c.Post().Resource("kdoctorreports").Body([]byte("{}")),
		"update":           c.Put().Resource("kdoctorreports").Name("netreach-a").Body([]byte("{}")),
	} {
		var code int
		request.Do(t.Context()).StatusCode(&code)
		if code != http.StatusMethodNotAllowed {
			t.Errorf("%s: got status %d, want 405", name, code)
		}
	}
	var code int
	c.Get().AbsPath("/apis/system.kdoctor.io/v1beta1/namespaces/default/kdoctorreports").Do(t.Context()).StatusCode(
		&code)
	if code != http.StatusNotFound {
		t.Errorf("reports in a namespace: got status %d, want 404", code)
	}
}
