package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"kdoctor.io/kdoctor/lab/internal/process"
)

// tools are what steps act with.
type tools struct {
	client kubernetes.Interface
	// daemons is the lab's table of daemons; self is the path of the lab's program.
	daemons *process.Table
	self    string
	lab     string
}

// none is an action's part that has nothing to do.
type none struct{}

func (none) prepare(context.Context, tools) error          { return nil }
func (none) left(context.Context, tools) ([]string, error) { return nil, nil }
func (none) where() Namespace                              { return Namespace{} }

// Table is an nftables table of the fault's own.
type Table struct {
	none
	In     Namespace `json:"in"`
	Family string    `json:"family"`
	Name   string    `json:"name"`
	Text   string    `json:"text"`
}

func (t *Table) where() Namespace { return t.In }

func (t *Table) do(ctx context.Context, _ tools) error {
	return t.In.feed(ctx, t.Text, "nft", "-f", "-")
}

// undo names the table before it deletes it, so that a table that was never made is no failure.
func (t *Table) undo(ctx context.Context, _ tools) error {
	if t.In.gone() {
		return nil
	}
	id := t.Family + " " + t.Name
	return t.In.feed(ctx, fmt.Sprintf("table %s\ndelete table %s\n", id, id), "nft", "-f", "-")
}

// Command is a program that changes something, and one that changes it back. Either may be empty.
type Command struct {
	none
	In   Namespace `json:"in"`
	Do   []string  `json:"do,omitempty"`
	Undo []string  `json:"undo,omitempty"`
}

func (c *Command) where() Namespace { return c.In }

func (c *Command) do(ctx context.Context, _ tools) error {
	if len(c.Do) == 0 {
		return nil
	}
	_, err := c.In.run(ctx, c.Do...)
	return err
}

// undo does not fail if the change was never made; the comparison with the snapshot finds what is really left.
func (c *Command) undo(ctx context.Context, _ tools) error {
	if len(c.Undo) == 0 || c.In.gone() {
		return nil
	}
	_, _ = c.In.run(ctx, c.Undo...)
	return nil
}

// Setting is the content of a file, such as a sysctl or a limit of a cgroup.
type Setting struct {
	// In is the network namespace in which a sysctl is written; zero for other files.
	In    Namespace `json:"in,omitzero"`
	Path  string    `json:"path"`
	Value string    `json:"value"`
	// Was is the content before.
	Was string `json:"was"`
}

func (s *Setting) where() Namespace { return s.In }

func (s *Setting) read() (value string, err error) {
	err = s.In.inside(func() error {
		content, err := os.ReadFile(s.Path)
		value = strings.TrimSpace(string(content))
		return err
	})
	return value, err
}

func (s *Setting) write(value string) error {
	return s.In.inside(func() error {
		file, err := os.OpenFile(s.Path, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("set %s: %w", s.Path, err)
		}
		_, err = file.WriteString(value)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("set %s to %q: %w", s.Path, value, err)
		}
		return nil
	})
}

func (s *Setting) prepare(context.Context, tools) error {
	was, err := s.read()
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Path, err)
	}
	s.Was = was
	return nil
}

func (s *Setting) do(context.Context, tools) error { return s.write(s.Value) }

func (s *Setting) undo(context.Context, tools) error {
	if s.In.gone() {
		return nil
	}
	if err := s.write(s.Was); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
		return err
	}
	return nil
}

func (s *Setting) left(context.Context, tools) ([]string, error) {
	if s.In.gone() {
		return nil, nil
	}
	now, err := s.read()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.Path, err)
	}
	if now != s.Was {
		return []string{fmt.Sprintf("%s: was %q, is %q", s.Path, s.Was, now)}, nil
	}
	return nil, nil
}

// Freeze stops processes without ending them.
type Freeze struct {
	none
	Processes []process.Identity `json:"processes"`
}

func (f *Freeze) do(context.Context, tools) error { return f.signal(syscall.SIGSTOP) }

func (f *Freeze) undo(context.Context, tools) error { return f.signal(syscall.SIGCONT) }

func (f *Freeze) signal(s syscall.Signal) error {
	var errs []error
	for _, p := range f.Processes {
		errs = append(errs, p.Signal(s))
	}
	return errors.Join(errs...)
}

func (f *Freeze) left(context.Context, tools) ([]string, error) {
	var found []string
	for _, p := range f.Processes {
		if p.Stopped() {
			found = append(found, fmt.Sprintf("process %d is stopped", p.PID))
		}
	}
	return found, nil
}

// Daemon is a process of the lab that runs while the fault lasts, in the namespace of a host.
type Daemon struct {
	none
	Name string   `json:"name"`
	Host string   `json:"host"`
	Args []string `json:"args"`
}

// startLimit is how long a daemon may take until it is ready.
const startLimit = 10 * time.Second

// do returns when the daemon has said that it is ready, so that no packet meets a queue that nobody reads.
func (d *Daemon) do(ctx context.Context, t tools) error {
	ready := filepath.Join(t.daemons.Records, d.Name+".ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("start %s: %w", d.Name, err)
	}
	args := append([]string{t.self}, d.Args...)
	if err := t.daemons.Start(process.Spec{Name: d.Name, Namespace: d.Host,
		Command: append(args, "--name="+t.lab, "--ready="+ready)}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if _, err := os.Stat(ready); err == nil {
			return nil
		}
		if err := t.daemons.Failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", d.Name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *Daemon) undo(_ context.Context, t tools) error {
	ready := filepath.Join(t.daemons.Records, d.Name+".ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end %s: %w", d.Name, err)
	}
	return t.daemons.End(d.Name, 2*time.Second)
}
