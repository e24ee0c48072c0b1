package ingress

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// layout is where nginx listens and keeps its files.
type layout struct {
	Addresses []netip.Addr
	StateDir  string
}

// globals is nginx' configuration around its servers; its arguments are the state folder, the control socket and the
// configuration's fingerprint, by which a reload is recognised. Nothing is buffered on disk, and the temporary folders
// are there because nginx makes them at start even when it does not use them. There is one worker, so that requests go
// round the endpoints one by one. A request is sent to one endpoint once: a second try would hide a broken endpoint and
// make the counts of client and server differ.
const globals = `worker_processes 1;
daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log warn;
worker_rlimit_nofile 16384;

events {
    worker_connections 8192;
}

http {
    access_log off;
    server_tokens off;
    default_type text/plain;
    client_max_body_size 0;
    server_names_hash_bucket_size 128;
    client_body_temp_path %[1]s/tmp/body;
    proxy_temp_path %[1]s/tmp/proxy;
    fastcgi_temp_path %[1]s/tmp/fastcgi;
    scgi_temp_path %[1]s/tmp/scgi;
    uwsgi_temp_path %[1]s/tmp/uwsgi;

    proxy_http_version 1.1;
    proxy_connect_timeout 1s;
    proxy_next_upstream off;
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;

    server {
        listen unix:%[2]s;
        return 200 "%[3]s";
    }
`

// render returns nginx' configuration for a site, and the key pairs it refers to by their path.
func render(l layout, s site) (string, map[string][]byte) {
	var b strings.Builder
	files := map[string][]byte{}
	for _, u := range s.Upstreams {
		fmt.Fprintf(&b, "\n    upstream %s {\n", u.Name)
		for _, e := range u.Endpoints {
			// With max_fails nginx would leave a failing endpoint out for a while, and its failures would not be seen.
			fmt.Fprintf(&b, "        server %s max_fails=0;\n", e)
		}
		fmt.Fprint(&b, "    }\n")
	}
	secure, hasDefault := false, false
	for _, h := range s.Hosts {
		secure = secure || h.Certificate != nil
		hasDefault = hasDefault || h.Name == ""
	}
	hosts := s.Hosts
	if !hasDefault {
		hosts = append([]host{{}}, hosts...)
	}
	for _, h := range hosts {
		renderHost(&b, l, h, secure, files)
	}
	fmt.Fprint(&b, "}\n")
	body := b.String()
	fingerprint := fmt.Sprintf("%x", sha256.Sum256([]byte(body)))[:16]
	return fmt.Sprintf(globals, l.StateDir, controlSocket(l.StateDir), fingerprint) + body, files
}

func renderHost(b *strings.Builder, l layout, h host, secure bool, files map[string][]byte) {
	fmt.Fprint(b, "\n    server {\n")
	option, name := "", serverName(h.Name)
	if h.Name == "" {
		option = " default_server"
	}
	for _, a := range l.Addresses {
		fmt.Fprintf(b, "        listen %s%s;\n", netip.AddrPortFrom(a, 80), option)
	}
	if h.Certificate != nil || secure && h.Name == "" {
		for _, a := range l.Addresses {
			fmt.Fprintf(b, "        listen %s ssl%s;\n", netip.AddrPortFrom(a, 443), option)
		}
	}
	fmt.Fprintf(b, "        server_name %s;\n", name)
	switch {
	case h.Certificate != nil:
		file := filepath.Join(l.StateDir, "tls", fmt.Sprintf("%x.pem", sha256.Sum256(h.Certificate)))
		files[file] = h.Certificate
		fmt.Fprintf(b, "        ssl_certificate %s;\n        ssl_certificate_key %s;\n        ssl_protocols TLSv1.2 "+
			"TLSv1.3;\n", file, file)
	case secure && h.Name == "":
		fmt.Fprint(b, "        ssl_reject_handshake on;\n")
	}
	renderPaths(b, h.Paths)
	fmt.Fprint(b, "    }\n")
}

func renderPaths(b *strings.Builder, paths []path) {
	exact := map[string]bool{}
	rooted := false
	for _, p := range paths {
		if p.Exact {
			exact[p.Value] = true
		}
		rooted = rooted || !p.Exact && p.Value == "/"
	}
	for _, p := range paths {
		switch {
		case p.Exact:
			renderLocation(b, "= "+quote(p.Value), p.Upstream)
		case p.Value == "/":
			renderLocation(b, "/", p.Upstream)
		default:
			// A prefix ends at a slash: /a takes /a and /a/b, but not /ab.
			if !exact[p.Value] {
				renderLocation(b, "= "+quote(p.Value), p.Upstream)
			}
			renderLocation(b, "^~ "+quote(p.Value+"/"), p.Upstream)
		}
	}
	if !rooted {
		renderAnswer(b, "/", 404, "no Ingress has a rule for this host and path")
	}
}

func renderLocation(b *strings.Builder, match, upstream string) {
	if upstream == "" {
		renderAnswer(b, match, 503, "the Service of this path does not exist or has no ready endpoint")
		return
	}
	fmt.Fprintf(b, "        location %s {\n            proxy_pass http://%s;\n        }\n", match, upstream)
}

func renderAnswer(b *strings.Builder, match string, status int, message string) {
	fmt.Fprintf(b, "        location %s {\n            default_type application/json;\n            return %d "+
		"'{\"error\":\"%s\"}\\n';\n        }\n", match, status, message)
}

// quote makes a path safe in nginx' configuration, whatever a user has written into an Ingress.
func quote(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// serverName writes a wildcard as a pattern: in an Ingress it stands for exactly one label, in nginx for any number.
func serverName(name string) string {
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		return fmt.Sprintf(`"~^[^.]+\.%s$"`, strings.ReplaceAll(rest, ".", `\.`))
	}
	if name == "" {
		return "_"
	}
	return name
}

func controlSocket(stateDir string) string { return filepath.Join(stateDir, "nginx.sock") }

// fingerprintOf returns the fingerprint that a rendered configuration carries.
func fingerprintOf(config string) string {
	_, rest, _ := strings.Cut(config, "return 200 \"")
	fingerprint, _, _ := strings.Cut(rest, "\"")
	return fingerprint
}
