// Package cluster brings a whole lab up and down and tells how it is: it puts the other packages' parts in order.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"kdoctor.io/kdoctor/lab/internal/build"
	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/process"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// Lab is one lab, whether it is up or not.
type Lab struct {
	Settings plan.Settings
	State    state.Folder
	Cache    build.Cache
	// Self is the path of the lab's own program, which runs some of the daemons.
	Self     string
	Progress io.Writer

	table *process.Table
}

// New returns the lab with these settings.
func New(s plan.Settings, cache build.Cache, self string, progress io.Writer) *Lab {
	folder := state.Of(s.Name)
	return &Lab{
		Settings: s, State: folder, Cache: cache, Self: self, Progress: progress,
		table: &process.Table{Records: folder.Records(), Logs: folder.Logs()},
	}
}

// ErrNotUp is returned for what needs a lab that is up.
var ErrNotUp = errors.New("the lab is not up")

// Find returns the lab of that name as it is written down.
func Find(name string, cache build.Cache, self string, progress io.Writer) (*Lab, state.Record, error) {
	if err := plan.ValidName(name); err != nil {
		return nil, state.Record{}, err
	}
	record, err := state.Of(name).Read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, state.Record{},
			fmt.Errorf("%w: there is no lab %q; start it with: lab up --name %s", ErrNotUp, name, name)
	}
	if err != nil {
		return nil, state.Record{}, err
	}
	return New(record.Settings, cache, self, progress), record, nil
}

// Up brings the lab up. One that is up already with the same settings is left as it is; what a crash has left is taken
// away first.
func (l *Lab) Up(ctx context.Context, prepare func(context.Context) error) error {
	if os.Geteuid() != 0 {
		return errors.New("a lab is made of network namespaces, mounts and cgroups: run as root")
	}
	release, err := state.Lock(ctx, l.Settings.Name)
	if err != nil {
		return err
	}
	done, err := l.adopt(ctx)
	if err == nil && !done {
		if err = prepare(ctx); err == nil {
			err = l.start(ctx)
		}
	}
	return errors.Join(err, release())
}

// adopt looks at what is there. It says whether that is the lab that is asked for, and takes away what is none.
func (l *Lab) adopt(ctx context.Context) (bool, error) {
	record, err := l.State.Read()
	if errors.Is(err, fs.ErrNotExist) && !l.State.Exists() {
		return false, nil
	}
	if err == nil && record.Complete {
		unwell := l.unwell(ctx, record)
		differences := l.Settings.Differences(record.Settings)
		if unwell == nil && len(differences) > 0 {
			return false, fmt.Errorf("the lab %q is up with other settings (asked for: %s); take it down first: lab "+
				"down --name %s",
				l.Settings.Name, strings.Join(differences, ", "), l.Settings.Name)
		}
		if unwell == nil {
			fmt.Fprintf(l.Progress, "the lab %q is up already\n", l.Settings.Name)
			return true, nil
		}
		fmt.Fprintf(l.Progress, "the lab %q is broken (%v); starting it anew\n", l.Settings.Name, unwell)
	} else {
		fmt.Fprintf(l.Progress, "the lab %q was left half made; starting it anew\n", l.Settings.Name)
	}
	return false, l.clean(ctx)
}

// unwell returns why a lab that was complete is not what it was; nil when nothing is wrong.
func (l *Lab) unwell(ctx context.Context, record state.Record) error {
	daemons, err := l.table.Daemons()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, d := range daemons {
		known[d.Name] = true
		if !d.Alive() {
			return fmt.Errorf("%s does not run", d.Name)
		}
	}
	was := New(record.Settings, l.Cache, l.Self, l.Progress)
	for _, name := range was.daemonNames() {
		if !known[name] {
			return fmt.Errorf("%s was never started", name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := l.Client()
	if err != nil {
		return err
	}
	if err := ready(ctx, client); err != nil {
		return fmt.Errorf("the API server is not ready: %w", err)
	}
	return nil
}

// Client returns a client of the lab's API server.
func (l *Lab) Client() (kubernetes.Interface, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", l.State.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the lab's kubeconfig: %w", err)
	}
	cfg.QPS, cfg.Burst = 100, 200
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client of the lab's API server: %w", err)
	}
	return client, nil
}

func ready(ctx context.Context, client kubernetes.Interface) error {
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}
