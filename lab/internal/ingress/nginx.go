package ingress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"kdoctor.io/kdoctor/lab/internal/child"
)

// nginx owns nginx' process and its files. Its methods prepare and apply are for one caller at a time.
type nginx struct {
	binary, stateDir string

	child   child.Child
	current string
}

func newNginx(binary, stateDir string) *nginx {
	n := &nginx{binary: binary, stateDir: stateDir}
	n.child.Program, n.child.Args = binary, []string{"-p", stateDir, "-c", n.configPath()}
	n.child.Before = n.removeSocket
	return n
}

// prepare makes the folders and installs a configuration before the first start.
func (n *nginx) prepare(ctx context.Context, config string, files map[string][]byte) error {
	for _, dir := range []string{"", "tmp", "tls"} {
		if err := os.MkdirAll(filepath.Join(n.stateDir, dir), 0o700); err != nil {
			return fmt.Errorf("make nginx' folder: %w", err)
		}
	}
	return n.install(ctx, config, files)
}

// apply lets nginx take over a configuration and returns when it serves it. A configuration that nginx refuses changes
// nothing.
func (n *nginx) apply(ctx context.Context, config string, files map[string][]byte) error {
	if config != n.current {
		if err := n.install(ctx, config, files); err != nil {
			return err
		}
	}
	return n.takeOver(ctx, fingerprintOf(config))
}

// install checks a configuration and puts it in place.
func (n *nginx) install(ctx context.Context, config string, files map[string][]byte) error {
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return fmt.Errorf("write a key pair: %w", err)
		}
	}
	next := n.configPath() + ".next"
	if err := os.WriteFile(next, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write nginx' configuration: %w", err)
	}
	if out, err := exec.CommandContext(ctx, n.binary, "-t", "-q", "-p", n.stateDir, "-c",
		next).CombinedOutput(); err != nil {
		return fmt.Errorf("check nginx' configuration: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(next, n.configPath()); err != nil {
		return fmt.Errorf("install nginx' configuration: %w", err)
	}
	n.current = config
	return nil
}

// overlap is how long old workers may still accept connections after new ones do: nginx lets 100 ms pass before it
// tells them to end.
const overlap = 200 * time.Millisecond

// takeOver waits until the workers have the installed configuration. A master that runs with an older one is asked once
// to reload, and only when a worker answers: before that it reads the new file anyway. After a reload, old and new
// workers share the listeners for a moment, so only an unbroken row of new answers tells that the old ones have left.
func (n *nginx) takeOver(ctx context.Context, want string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	asked, since := false, time.Time{}
	for {
		has, err := n.fingerprint(ctx)
		switch {
		case err == nil && has == want:
			if since.IsZero() {
				since = time.Now()
			}
			if !asked || time.Since(since) > overlap {
				return nil
			}
		case err == nil && !asked && n.child.Running():
			if err := n.child.Signal(syscall.SIGHUP); err != nil {
				return fmt.Errorf("reload nginx: %w", err)
			}
			asked = true
		default:
			since = time.Time{}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for nginx to take over its configuration: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// fingerprint asks a worker over the control socket which configuration it has.
func (n *nginx) fingerprint(ctx context.Context) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", controlSocket(n.stateDir))
		}}
	client := http.Client{Transport: transport, Timeout: time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://control/", nil)
	if err != nil {
		return "", fmt.Errorf("ask nginx: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask nginx: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil {
		return "", fmt.Errorf("ask nginx: %w", err)
	}
	return string(body), nil
}

// run keeps nginx running until ctx ends, and waits for its end.
func (n *nginx) run(ctx context.Context) error { return n.child.Run(ctx) }

// removeSocket removes a socket file left by an nginx that was killed: it would keep the next one from starting.
func (n *nginx) removeSocket() error {
	if err := os.Remove(controlSocket(n.stateDir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old control socket: %w", err)
	}
	return nil
}

func (n *nginx) configPath() string { return filepath.Join(n.stateDir, "nginx.conf") }
