package process

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"kdoctor.io/kdoctor/lab/internal/fabric"
)

// Spec says what to start.
type Spec struct {
	Name string
	// Namespace is the name of the network namespace to run in; empty is the machine's own.
	Namespace string
	Command   []string
	Env       []string
	// Files are handed down as descriptors 3 and on.
	Files []*os.File
	// Again, if set, reports by the end of the log whether the daemon is started again after it has failed.
	Again func(log string) bool
}

// mostStarts is how often a daemon is started at most.
const mostStarts = 8

// Daemon is a started process as it was written down.
type Daemon struct {
	Identity
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Log       string `json:"log"`
}

// Table starts daemons and keeps their records and logs in folders of its own.
type Table struct {
	Records string
	Logs    string

	mu      sync.Mutex
	started map[string]*child
}

// errExited is why a daemon that has met no error is not running any more.
var errExited = errors.New("exit status 0")

type child struct {
	daemon Daemon
	done   chan struct{}
	err    error
}

// Start starts a process that outlives this one, and writes it down at once.
func (t *Table) Start(spec Spec) error {
	cmd, daemon, err := t.begin(spec)
	if err != nil {
		return err
	}
	c := &child{daemon: daemon, done: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started == nil {
		t.started = map[string]*child{}
	}
	t.started[spec.Name] = c
	// The goroutine ends with the daemon, or with this process: daemons are made to outlive it.
	go func() {
		defer close(c.done)
		for starts := 1; ; starts++ {
			if c.err = cmd.Wait(); c.err == nil || spec.Again == nil || starts == mostStarts ||
				!spec.Again(tail(daemon.Log)) {
				return
			}
			// Who reads the daemon waits for done.
			if cmd, c.daemon, c.err = t.begin(spec); c.err != nil {
				return
			}
		}
	}()
	return nil
}

// begin starts the process, and writes it down.
func (t *Table) begin(spec Spec) (*exec.Cmd, Daemon, error) {
	path := filepath.Join(t.Logs, spec.Name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, Daemon{}, fmt.Errorf("open the log of %s: %w", spec.Name, err)
	}
	defer log.Close()
	//nolint:noctx // Daemons outlive the command that starts them.
	cmd := exec.Command(spec.Command[0], spec.Command[1:]...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, spec.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// A child begins in the namespace of the thread that makes it.
	if spec.Namespace == "" {
		err = cmd.Start()
	} else {
		err = fabric.Inside(spec.Namespace, cmd.Start)
	}
	if err != nil {
		return nil, Daemon{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		return nil, Daemon{}, errors.Join(fmt.Errorf("start %s: %w", spec.Name, err), cmd.Process.Kill())
	}
	daemon := Daemon{Identity: id, Name: spec.Name, Namespace: spec.Namespace, Log: path}
	if err := t.write(daemon); err != nil {
		return nil, Daemon{}, errors.Join(err, cmd.Process.Kill())
	}
	return cmd, daemon, nil
}

// Failed returns why a daemon that this table has started is not running any more, with the end of its log; nil when
// all run.
func (t *Table) Failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.started {
		select {
		case <-c.done:
			return fmt.Errorf("%s has ended (%w); the end of its log %s:\n%s",
				c.daemon.Name, cmp.Or(c.err, errExited), c.daemon.Log, tail(c.daemon.Log))
		default:
		}
	}
	return nil
}

func (t *Table) write(d Daemon) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write down %s: %w", d.Name, err)
	}
	path := filepath.Join(t.Records, d.Name+".json")
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("write down %s: %w", d.Name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write down %s: %w", d.Name, err)
	}
	return nil
}

// Daemons returns what is written down, sorted by name. No folder is no daemons.
func (t *Table) Daemons() ([]Daemon, error) {
	entries, err := os.ReadDir(t.Records)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the daemons' records: %w", err)
	}
	var daemons []Daemon
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(t.Records, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the daemons' records: %w", err)
		}
		var d Daemon
		if err := json.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("read the record %s: %w", e.Name(), err)
		}
		daemons = append(daemons, d)
	}
	slices.SortFunc(daemons, func(a, b Daemon) int { return strings.Compare(a.Name, b.Name) })
	return daemons, nil
}

// End ends the daemon of that name and forgets it; one that is not written down is fine.
func (t *Table) End(name string, grace time.Duration) error {
	daemons, err := t.Daemons()
	if err != nil {
		return err
	}
	for _, d := range daemons {
		if d.Name != name {
			continue
		}
		if err := Stop([]Identity{d.Identity}, grace); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(t.Records, name+".json")); err != nil {
			return fmt.Errorf("forget %s: %w", name, err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.started, name)
	return nil
}

// Stop ends processes: politely, and after the grace by force. It returns when none of them is left.
func Stop(ids []Identity, grace time.Duration) error {
	if err := signalAll(ids, syscall.SIGTERM); err != nil {
		return err
	}
	if waitGone(ids, grace) {
		return nil
	}
	if err := signalAll(ids, syscall.SIGKILL); err != nil {
		return err
	}
	const uninterruptible = 10 * time.Second
	if !waitGone(ids, uninterruptible) {
		return fmt.Errorf("processes do not end: %v", ids)
	}
	return nil
}

func signalAll(ids []Identity, s syscall.Signal) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, id.Signal(s))
	}
	return errors.Join(errs...)
}

func waitGone(ids []Identity, limit time.Duration) bool {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if !slices.ContainsFunc(ids, Identity.Alive) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-12):], "\n  ")
}
