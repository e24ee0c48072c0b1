package scale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"kdoctor.io/kdoctor/bench/internal/rig"
)

// endPatience is how long a process that was told to end may take before it is killed.
const endPatience = 25 * time.Second

// process is a program that runs beside the measurement.
type process struct {
	name string
	cmd  *exec.Cmd
	over chan struct{}
	err  error
}

// start starts a program, in a cgroup unless the cgroup is empty. What it prints goes to the writer.
func start(group *cgroup, out io.Writer, env []string, program string, args ...string) (*process, error) {
	// The shell puts itself into the cgroup before it becomes the program.
	command := append([]string{"/bin/sh", "-c", `test -z "$0" || echo $$ > "$0"; exec "$@"`, group.procs(), program},
		args...)
	p := &process{name: filepath.Base(program), over: make(chan struct{}),
		cmd: exec.Command(command[0], command[1:]...)} //nolint:noctx // #nosec G204 -- stop ends it
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.over)
	}()
	return p, nil
}

// died says how the process ended; empty while it runs.
func (p *process) died() string {
	select {
	case <-p.over:
		if p.err == nil {
			return p.name + " ended"
		}
		return p.name + ": " + p.err.Error()
	default:
		return ""
	}
}

// stop ends the process.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.over:
	case <-time.After(endPatience):
		_ = p.cmd.Process.Kill()
		<-p.over
	}
}

func (p *process) read(file string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		return "", fmt.Errorf("read about %s: %w", p.name, err)
	}
	return string(text), nil
}

// cpu is how many seconds of CPU time the process has used.
func (p *process) cpu() (float64, error) {
	text, err := p.read("stat")
	if err != nil {
		return 0, err
	}
	return rig.Used(text)
}

// memory returns a figure of /proc/PID/status in bytes: VmHWM is the peak of the resident memory, VmRSS is that of now.
func (p *process) memory(field string) (uint64, error) {
	text, err := p.read("status")
	if err != nil {
		return 0, err
	}
	return memoryOf(text, field)
}

var errNoField = errors.New("there is no such field")

func memoryOf(status, field string) (uint64, error) {
	for line := range strings.Lines(status) {
		rest, ok := strings.CutPrefix(line, field+":")
		if !ok {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", field, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("%s: %w", field, errNoField)
}

// resetPeak makes the peak of the resident memory what it is now.
func (p *process) resetPeak() error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0o200); err != nil {
		return fmt.Errorf("reset the peak of %s: %w", p.name, err)
	}
	return nil
}

// Measured is the first argument with which this program runs another one and says what it took. The other program has
// a small parent then: the kernel counts a parent's memory as that of its child until the child has become a program.
const Measured = "measured"

// Ran is what another program took.
type Ran struct {
	Seconds float64 `json:"Seconds"`
	Peak    uint64  `json:"Peak"`
	Bytes   int     `json:"Bytes"`
	Lines   int     `json:"Lines"`
	// Failed is what the program said when it failed; empty otherwise. A program that ends with another status than 0
	// and complains of nothing has not failed: the plugin says in this way that a round has.
	Failed string `json:"Failed,omitempty"`
}

// RunMeasured runs the program to its end.
func RunMeasured(ctx context.Context, command []string) Ran {
	var out counter
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) // #nosec G204 -- it is what this is for
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	err := cmd.Run()
	r := Ran{Seconds: time.Since(began).Seconds(), Bytes: out.bytes, Lines: out.lines}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.Peak = uint64(usage.Maxrss) << 10 // #nosec G115 -- it is positive
	}
	if text := errs.String(); err != nil && (text != "" || out.bytes == 0) {
		r.Failed = fmt.Sprintf("%v: %s", err, strings.TrimSpace(text[max(0, len(text)-200):]))
	}
	return r
}

// counter counts what is printed.
type counter struct{ bytes, lines int }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += len(b)
	c.lines += bytes.Count(b, []byte("\n"))
	return len(b), nil
}

// tail keeps the last of what is printed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 64 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(b), nil
}

// last returns the end of what was printed.
func (t *tail) last() string {
	const most = 600
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text[max(0, len(t.text)-most):]))
}
