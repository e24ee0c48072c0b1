package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
)

// kubeAPI is the part of an API server that delegation needs: one token is known, its owner may do everything.
type kubeAPI struct {
	mu    sync.Mutex
	asked map[string]bool
}

func (k *kubeAPI) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	k.mu.Lock()
	k.asked[req.Method+" "+req.URL.Path] = true
	k.mu.Unlock()
	var review struct {
		Spec struct {
			Token string `json:"token"`
			User  string `json:"user"`
		} `json:"spec"`
	}
	answer := map[string]any{}
	switch {
	case strings.HasSuffix(req.URL.Path, "/tokenreviews") && json.NewDecoder(req.Body).Decode(&review) == nil:
		answer = map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
			"status": map[string]any{"authenticated": review.Spec.Token == "good",
				"user": map[string]any{"username": "reader"}},
		}
	case strings.HasSuffix(req.URL.Path, "/subjectaccessreviews") && json.NewDecoder(req.Body).Decode(&review) == nil:
		answer = map[string]any{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
			"status": map[string]any{"allowed": review.Spec.User == "reader"},
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// paths are what was asked for.
func (k *kubeAPI) paths() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var paths []string
	for p := range k.asked {
		paths = append(paths, p)
	}
	return paths
}

func TestCallersAreKnownAndAllowedByTheAPIServerAlone(t *testing.T) {
	kube := &kubeAPI{asked: map[string]bool{}}
	upstream := httptest.NewServer(kube)
	defer upstream.Close()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := selfSigned(t)
	serving := &KeyPair{}
	serving.Set(cert, key)
	m := three()
	ctx, cancel := context.WithCancel(t.Context())
	var owner sync.WaitGroup
	owner.Go(func() {
		err := Run(ctx, Config{
			Listener: listener, Certificate: serving, Reports: memoryReports{m}, Tasks: memoryTasks{m},
			ClientConfig: &rest.Config{Host: upstream.URL,
				ContentConfig: rest.ContentConfig{ContentType: "application/json"}},
		})
		if err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	defer owner.Wait()
	defer cancel()
	config := &rest.Config{Host: "https://" + listener.Addr().String(),
		TLSClientConfig: rest.TLSClientConfig{CAData: cert}, QPS: -1}
	if _, err := get(client(t, config), "netreach-a"); !apierrors.IsForbidden(err) {
		t.Errorf("nobody in particular: got %v, want Forbidden", err)
	}
	config.BearerToken = "bad"
	if _, err := get(client(t, config), "netreach-a"); !apierrors.IsUnauthorized(err) {
		t.Errorf("an unknown token: got %v, want Unauthorized", err)
	}
	config.BearerToken = "good"
	if _, err := get(client(t, config), "netreach-a"); err != nil {
		t.Errorf("a known reader: %v", err)
	}
	for _, asked := range kube.paths() {
		switch asked {
		case "POST /apis/authentication.k8s.io/v1/tokenreviews",
			"POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
			"GET /api/v1/namespaces/kube-system/configmaps":
		default:
			t.Errorf("the server asked for %s, for which it is given no right", asked)
		}
	}

	t.Run("a certificate that is set anew is served at once", func(t *testing.T) {
		next, nextKey := selfSigned(t)
		serving.Set(next, nextKey)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(next)
		for deadline := time.Now().Add(patience); ; {
			conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}).DialContext(
				t.Context(), "tcp", listener.Addr().String())
			if err == nil {
				_ = conn.Close()
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	})
}

func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKeyWithOptions(
		certutil.SelfSignedCertKeyOptions{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestRunRefusesHalfAConfiguration(t *testing.T) {
	m := &memory{}
	full := Config{Port: 8443, Certificate: &KeyPair{}, ClientConfig: &rest.Config{}, Reports: memoryReports{m},
		Tasks: memoryTasks{m}}
	for name, spoil := range map[string]func(*Config){
		"no port":            func(c *Config) { c.Port = 0 },
		"a port too large":   func(c *Config) { c.Port = 65536 },
		"no certificate":     func(c *Config) { c.Certificate = nil },
		"no client":          func(c *Config) { c.ClientConfig = nil },
		"no reports":         func(c *Config) { c.Reports = nil },
		"no tasks":           func(c *Config) { c.Tasks = nil },
		"an unusable client": func(c *Config) { c.ClientConfig = &rest.Config{Host: "http://%zz"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := full
			spoil(&c)
			if err := Run(t.Context(), c); err == nil {
				t.Error("Run accepted it")
			}
		})
	}
}
