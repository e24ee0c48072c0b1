package ingress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/lab/internal/packages"
)

// TestNginxTakesOver runs the real nginx over its control socket alone: the ports of a site need the lab's namespace.
func TestNginxTakesOver(t *testing.T) {
	binary, err := packages.Program("nginx")
	if err != nil {
		t.Fatalf("this test runs the real nginx; install it with test/prepare (Debian package nginx-light): %v", err)
	}
	backend := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_,
				_ = io.WriteString(w, r.URL.Path+" "+r.Host)
		}))
	defer backend.Close()
	at := netip.MustParseAddrPort(strings.TrimPrefix(backend.URL, "http://"))
	cert, key := keyPair(t)
	s := site{
		Upstreams: []upstream{{Name: "shop.web.http", Endpoints: []netip.AddrPort{at}}},
		Hosts: []host{{Name: "a.example",
			Paths: []path{{Value: "/x", Exact: true, Upstream: "shop.web.http"},
				{Value: `/odd";$ {}`, Upstream: "shop.web.http"}, {Value: "/gone"}}}, {Name: "*.b.example"},
			{Name: "good.example", Certificate: slices.Concat(key, cert)}},
	}
	dir := t.TempDir()
	server := newNginx(binary, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l := layout{StateDir: dir}
	config, files := render(l, site{})
	if err := server.prepare(ctx, unixOnly(config, dir), files); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.run(ctx) }()
	for _, next := range []site{s, {}, s, s} {
		config, files := render(l, next)
		if err := server.apply(ctx, unixOnly(config, dir), files); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.apply(ctx, "nonsense", nil); err == nil {
		t.Error("a broken configuration is accepted")
	}
	for _, ask := range []struct {
		name, host, path, body string
		status                 int
	}{
		{"an exact path reaches its backend with the client's host", "a.example", "/x", "/x a.example", http.StatusOK},
		{"a path below an exact one is nobody's", "a.example", "/x/y", "", http.StatusNotFound},
		{"a path without endpoints says so", "a.example", "/gone/y", "", http.StatusServiceUnavailable},
		{"an unknown host is nobody's", "c.example", "/x", "", http.StatusNotFound},
		{"a wildcard takes one label", "one.b.example", "/x", "", http.StatusNotFound},
	} {
		status, body := get(ctx, t, filepath.Join(dir, "site.sock"), ask.host, ask.path)
		if status != ask.status || ask.body != "" && body != ask.body {
			t.Errorf("%s: got %d %q", ask.name, status, body)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func get(ctx context.Context, t *testing.T, socket, hostName, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+hostName+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// unixOnly gives the servers of a site, which has no addresses here, a socket of their own: without a listener nginx
// would take port 80.
func unixOnly(config, dir string) string {
	return strings.ReplaceAll(config, "        server_name ", "        listen unix:"+filepath.Join(dir, "site.sock")+
		";\n        server_name ")
}
