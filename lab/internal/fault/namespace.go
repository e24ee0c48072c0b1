package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"kdoctor.io/kdoctor/lab/internal/fabric"
	"kdoctor.io/kdoctor/lab/internal/packages"
)

// path is where the kernel shows the namespace.
func (n Namespace) path() string {
	if n.Pod != "" {
		return fmt.Sprintf("/proc/%d/ns/net", n.Holder.PID)
	}
	return fabric.Path(n.Host)
}

// gone reports whether the namespace is that of a pod that has ended.
func (n Namespace) gone() bool { return n.Pod != "" && !n.Holder.Alive() }

// inside runs f within the namespace; the zero value is the machine's own.
func (n Namespace) inside(f func() error) error {
	if n == (Namespace{}) {
		return f()
	}
	return fabric.InsidePath(n.path(), f)
}

// run runs a program within the namespace and returns what it printed.
func (n Namespace) run(ctx context.Context, command ...string) (string, error) {
	return n.exec(ctx, "", command...)
}

// feed runs a program that reads a text.
func (n Namespace) feed(ctx context.Context, text string, command ...string) error {
	_, err := n.exec(ctx, text, command...)
	return err
}

func (n Namespace) exec(ctx context.Context, text string, command ...string) (string, error) {
	program, err := packages.Program(command[0])
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, command[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, &errs
	// A child begins in the namespace of the thread that makes it.
	err = n.inside(cmd.Run)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out.String(), fmt.Errorf("%s in %s: %w: %s", strings.Join(command, " "), n, err,
			strings.TrimSpace(errs.String()))
	}
	if err != nil {
		return "", fmt.Errorf("run %s in %s: %w", command[0], n, err)
	}
	return out.String(), nil
}
