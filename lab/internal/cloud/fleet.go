package cloud

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// fleet runs one haproxy for each Service. A haproxy that is told of another Service goes on in a new process: at times
// that resets a connection which is being opened, and it closes those that stay open after a while. Load balancers
// elsewhere do neither to a Service because of another one. Its method apply is for one caller at a time, and works as
// long as run does.
type fleet struct {
	binary, stateDir string

	starting chan *member
	members  map[string]*member
}

// member is the haproxy of one Service.
type member struct {
	proxy *haproxy
	dir   string
	// stop is closed to end it, ended when it has ended.
	stop, ended chan struct{}
	// served are the addresses on which it listens.
	served []netip.AddrPort
}

func newFleet(binary, stateDir string) *fleet {
	return &fleet{binary: binary, stateDir: stateDir, starting: make(chan *member), members: map[string]*member{}}
}

// apply forwards what is wanted of each Service and nothing else, and returns when that is so.
func (f *fleet) apply(ctx context.Context, want map[string][]frontend) error {
	var failed []error
	for service, m := range f.members {
		if len(want[service]) == 0 {
			failed = append(failed, f.drop(ctx, service, m))
		}
	}
	for service, frontends := range want {
		if len(frontends) > 0 {
			failed = append(failed, f.serve(ctx, service, frontends))
		}
	}
	return errors.Join(failed...)
}

func (f *fleet) serve(ctx context.Context, service string, frontends []frontend) error {
	m, known := f.members[service]
	if !known {
		dir := f.dirOf(service)
		m = &member{proxy: newHAProxy(f.binary, dir), dir: dir, stop: make(chan struct{}), ended: make(chan struct{})}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the folder of %s: %w", service, err)
		}
		if err := m.proxy.prepare(ctx, render(dir, frontends)); err != nil {
			return err
		}
		select {
		case f.starting <- m:
		case <-ctx.Done():
			return fmt.Errorf("start haproxy for %s: %w", service, ctx.Err())
		}
		f.members[service] = m
	}
	m.served = m.served[:0]
	for _, at := range frontends {
		for _, port := range at.Ports {
			m.served = append(m.served, netip.AddrPortFrom(at.Address, port.Listen))
		}
	}
	return m.proxy.apply(ctx, render(m.dir, frontends))
}

func (f *fleet) drop(ctx context.Context, service string, m *member) error {
	delete(f.members, service)
	close(m.stop)
	select {
	case <-m.ended:
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of the haproxy of %s: %w", service, ctx.Err())
	}
	// The listeners of a process that was ended may outlive it by a moment.
	lingering, cancel := context.WithTimeout(ctx, lingerAtMost)
	defer cancel()
	for _, address := range m.served {
		if err := untilRefused(lingering, address); err != nil {
			return fmt.Errorf("wait until nobody listens for %s: %w", service, err)
		}
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("remove the folder of %s: %w", service, err)
	}
	return nil
}

// lingerAtMost bounds the wait for the listeners of a process that was ended.
const lingerAtMost = 3 * time.Second

// untilRefused waits until connections to the address fail.
func untilRefused(ctx context.Context, address netip.AddrPort) error {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address.String())
		if err != nil {
			return ctx.Err()
		}
		_ = conn.Close()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// dirOf is short whatever the Service is called, because the path of a socket has to be.
func (f *fleet) dirOf(service string) string {
	return filepath.Join(f.stateDir, fmt.Sprintf("%x", sha256.Sum256([]byte(service)))[:12])
}

// run keeps all haproxies running until ctx ends, and waits for their end.
func (f *fleet) run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-f.starting:
			group.Go(func() { m.run(ctx) })
		}
	}
}

func (m *member) run(ctx context.Context) {
	defer close(m.ended)
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		select {
		case <-m.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	// It ends with ctx alone, and then there is nobody to tell why.
	_ = m.proxy.run(ctx)
}
