package fault

import (
	"context"
	"errors"
	"fmt"

	"kdoctor.io/kdoctor/lab/internal/process"
)

// Namespace is a network namespace in which a step is done: a host's by its name, or that of a process.
type Namespace struct {
	// Host is the name of a namespace below /run/netns.
	Host string `json:"host,omitempty"`
	// Pod names a pod as namespace/name; Holder is the process that keeps the pod's network namespace.
	Pod    string           `json:"pod,omitempty"`
	Holder process.Identity `json:"holder,omitzero"`
}

// String names the namespace for people.
func (n Namespace) String() string {
	if n.Pod != "" {
		return "pod " + n.Pod
	}
	return n.Host
}

// Step is one change to a lab, with what undoes it. Exactly one field is set.
type Step struct {
	Table    *Table    `json:"table,omitempty"`
	Command  *Command  `json:"command,omitempty"`
	Setting  *Setting  `json:"setting,omitempty"`
	Freeze   *Freeze   `json:"freeze,omitempty"`
	Rules    *Rules    `json:"rules,omitempty"`
	Slice    *Slice    `json:"slice,omitempty"`
	Tracked  *Tracked  `json:"tracked,omitempty"`
	Daemon   *Daemon   `json:"daemon,omitempty"`
	Offloads *Offloads `json:"offloads,omitempty"`
	Queue    *Queue    `json:"queue,omitempty"`
}

// action is what a step can do.
type action interface {
	// prepare reads what undo will need. It changes nothing.
	prepare(ctx context.Context, t tools) error
	do(ctx context.Context, t tools) error
	// undo takes the change back, however far do came. What is gone, such as a pod that was deleted, is no failure.
	undo(ctx context.Context, t tools) error
	// left says what of the change is still there after undo, as far as no snapshot shows it.
	left(ctx context.Context, t tools) ([]string, error)
	// where is the network namespace that the step changes; zero if it changes none.
	where() Namespace
}

// errEmptyStep is returned for a step without content.
var errEmptyStep = errors.New("a step of the plan has no content")

func (s Step) action() (action, error) {
	switch {
	case s.Table != nil:
		return s.Table, nil
	case s.Command != nil:
		return s.Command, nil
	case s.Setting != nil:
		return s.Setting, nil
	case s.Freeze != nil:
		return s.Freeze, nil
	case s.Rules != nil:
		return s.Rules, nil
	case s.Slice != nil:
		return s.Slice, nil
	case s.Tracked != nil:
		return s.Tracked, nil
	case s.Daemon != nil:
		return s.Daemon, nil
	case s.Offloads != nil:
		return s.Offloads, nil
	case s.Queue != nil:
		return s.Queue, nil
	default:
		return nil, errEmptyStep
	}
}

// forward prepares and does steps in order. commit is called between the two, when all that undoing needs is known.
func forward(ctx context.Context, t tools, steps []Step, commit func() error) error {
	for i, s := range steps {
		a, err := s.action()
		if err == nil {
			err = a.prepare(ctx, t)
		}
		if err != nil {
			return fmt.Errorf("step %d of %d: %w", i+1, len(steps), err)
		}
	}
	if err := commit(); err != nil {
		return err
	}
	for i, s := range steps {
		a, err := s.action()
		if err == nil {
			err = a.do(ctx, t)
		}
		if err != nil {
			return fmt.Errorf("step %d of %d: %w", i+1, len(steps), err)
		}
	}
	return nil
}

// backward undoes steps, the last one first, and goes on after a failure.
func backward(ctx context.Context, t tools, steps []Step) error {
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		a, err := steps[i].action()
		if err == nil {
			err = a.undo(ctx, t)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("undo step %d of %d: %w", i+1, len(steps), err))
		}
	}
	return errors.Join(errs...)
}
