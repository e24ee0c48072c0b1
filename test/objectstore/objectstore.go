// Package objectstore runs a real S3 server for tests.
package objectstore

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The server's bucket, and the credentials that it wants.
const (
	Bucket = "kdoctor-reports"
	Key    = "key-of-the-test"
	Secret = "secret-of-the-test"
)

// Server is a server that runs.
type Server struct {
	// Folder has the bucket's objects as files.
	Folder string
	// Process is the server's own; it may be stopped for a while.
	Process *os.Process
}

// Start starts a server at the address, a host and a port, which ends with the test. root is this repository, from
// which the server's program is built by a module file of its own. in is a command that runs another one somewhere
// else, as in a network namespace, and becomes it; without it the server runs here.
func Start(t *testing.T, root, address string, in ...string) Server {
	t.Helper()
	program := build(t, root)
	data := t.TempDir()
	s := Server{Folder: filepath.Join(data, Bucket)}
	if err := os.Mkdir(s.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	command := append(slices.Clone(in), program, "--access", Key, "--secret", Secret, "--port", address, "posix",
		"--sidecar", t.TempDir(), data)
	server := exec.CommandContext(ctx, command[0], command[1:]...)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	s.Process = server.Process
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines, told := bufio.NewScanner(out), false; lines.Scan(); {
			if !told && strings.Contains(lines.Text(), address) {
				told = true
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.Process.Signal(syscall.SIGCONT) // it may be stopped
		cancel()
		<-ended
		_ = server.Wait() // it was killed
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("the object store ended before it was ready")
	case <-time.After(time.Minute):
		t.Fatal("the object store is not ready after a minute")
	}
	return s
}

// build returns the path of the server's program.
func build(t *testing.T, root string) string {
	t.Helper()
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, ".build", "bin", "versitygw")
	// The race detector needs cgo for the tests alone. Without tables for a debugger, linking takes half the time.
	compile := exec.CommandContext(t.Context(), "go", "build", "-modfile=.ci/s3.mod", "-ldflags=-s -w", "-o", program,
		"github.com/versity/versitygw/cmd/versitygw")
	compile.Dir, compile.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("build the object store: %v\n%s", err, out)
	}
	return program
}
