package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"kdoctor.io/kdoctor/lab/internal/child"
)

// askAgain is how long a reload may take before haproxy is asked for it once more.
const askAgain = 500 * time.Millisecond

// haproxy owns haproxy's process and its configuration file.
type haproxy struct {
	binary, stateDir string

	child child.Child

	mu      sync.Mutex
	current string
}

func newHAProxy(binary, stateDir string) *haproxy {
	h := &haproxy{binary: binary, stateDir: stateDir}
	h.child.Program, h.child.Args = binary, []string{"-W", "-db", "-f", h.configPath()}
	return h
}

// prepare installs a configuration before the first start.
func (h *haproxy) prepare(ctx context.Context, config string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.install(ctx, config)
}

// apply lets haproxy take over a configuration and returns when it serves it. A configuration that haproxy refuses
// changes nothing.
func (h *haproxy) apply(ctx context.Context, config string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if config != h.current {
		if err := h.install(ctx, config); err != nil {
			return err
		}
	}
	return h.takeOver(ctx, descriptionOf(config))
}

// install checks a configuration and puts it in place; the caller holds mu.
func (h *haproxy) install(ctx context.Context, config string) error {
	next := h.configPath() + ".next"
	if err := os.WriteFile(next, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write haproxy's configuration: %w", err)
	}
	if out, err := exec.CommandContext(ctx, h.binary, "-c", "-q", "-f", next).CombinedOutput(); err != nil {
		return fmt.Errorf("check haproxy's configuration: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(next, h.configPath()); err != nil {
		return fmt.Errorf("install haproxy's configuration: %w", err)
	}
	h.current = config
	return nil
}

// takeOver waits until the running worker has the installed configuration. A master that runs with an older one is
// asked to reload, and only when its worker answers: before that it reads the new file anyway. It is asked again after
// a while, because a master that has only just started its worker does not hear the signal yet. The master hands its
// listeners to a new worker; the old worker finishes its connections.
func (h *haproxy) takeOver(ctx context.Context, want string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var asked time.Time
	for {
		has, err := h.description(ctx)
		if err == nil && has == want {
			return nil
		}
		if err == nil && h.child.Running() && time.Since(asked) > askAgain {
			if err := h.child.Signal(syscall.SIGUSR2); err != nil {
				return fmt.Errorf("reload haproxy: %w", err)
			}
			asked = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for haproxy to take over its configuration: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// description asks the worker behind the control socket for the fingerprint of its configuration.
func (h *haproxy) description(ctx context.Context) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socketPath(h.stateDir))
	if err != nil {
		return "", fmt.Errorf("reach haproxy's control socket: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", fmt.Errorf("ask haproxy: %w", err)
	}
	if _, err := io.WriteString(conn, "show info\n"); err != nil {
		return "", fmt.Errorf("ask haproxy: %w", err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("ask haproxy: %w", err)
	}
	_, rest, _ := strings.Cut(string(answer), "\ndescription: ")
	description, _, _ := strings.Cut(rest, "\n")
	return description, nil
}

// run keeps haproxy running until ctx ends, and waits for its end.
func (h *haproxy) run(ctx context.Context) error { return h.child.Run(ctx) }

func (h *haproxy) configPath() string { return filepath.Join(h.stateDir, "haproxy.cfg") }
