package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Answer is what the servers of the bench answer: the body of one of our agents, since the engine counts nothing else
// as a success. All contestants get the same one.
const Answer = `{"kdoctor":{"installation":"` + Installation +
	`","pod":"bench","podUID":"bench","node":"bench"},"clientAddress":"127.0.0.1:40000","method":"GET","path":"/","host":"127.0.0.1"}`

// Installation is whose agents the answer claims to come from.
const Installation = "bench/agent"

// NginxConfig is the configuration of an nginx of one process without logs that answers on count ports of loopback,
// beginning with first.
func NginxConfig(dir string, first, count int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off;\nmaster_process off;\nworker_processes 1;\nworker_rlimit_nofile 65536;\npid "+
		"%s/nginx.pid;\nerror_log %s/nginx.error;\n", dir, dir)
	b.WriteString("events { worker_connections 32768; multi_accept on; }\nhttp {\n  access_log off;\n  " +
		"keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n")
	for _, folder := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "  %s_temp_path %s/%s;\n", folder, dir, folder)
	}
	b.WriteString("  server {\n")
	for port := first; port < first+count; port++ {
		fmt.Fprintf(&b, "    listen 127.0.0.1:%d", port)
		if port == first {
			b.WriteString(" backlog=8192")
		}
		b.WriteString(";\n")
	}
	fmt.Fprintf(&b, "    location / { default_type application/json; return 200 '%s'; }\n  }\n}\n", Answer)
	return b.String()
}

// Nginx starts nginx with its files in dir and waits until it serves.
func Nginx(ctx context.Context, path, dir string, first, count int) (*Server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for nginx: %w", err)
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(NginxConfig(dir, first, count)), 0o644); err != nil {
		return nil, fmt.Errorf("write the configuration of nginx: %w", err)
	}
	s, err := Serve(ctx, Command{Path: path, Args: []string{"-c", config, "-p", dir}, CPU: ServerCPU})
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(first+count-1))); err != nil {
		_, _, _ = s.Stop(false)
		return nil, err
	}
	return s, nil
}
