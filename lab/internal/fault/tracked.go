package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Tracked are entries in a node's table of tracked connections.
type Tracked struct {
	In   Namespace   `json:"in"`
	Kind TrackedKind `json:"kind"`
	// Source is the address of the pod whose flows are tracked wrongly, Target that of the Service, Dead that of the
	// endpoint that has gone.
	Source string `json:"source,omitempty"`
	Target string `json:"target,omitempty"`
	Dead   string `json:"dead,omitempty"`
	// Count is how many entries are made.
	Count int `json:"count"`
}

// TrackedKind says what the entries are for.
type TrackedKind string

// The kinds.
const (
	TrackedFull  TrackedKind = "full"
	TrackedStale TrackedKind = "stale"
)

// trackedMark is on each entry that a fault makes, so that no other entry is deleted.
const trackedMark = "4017"

// The local ports that Linux gives out to clients.
const firstLocalPort, lastLocalPort = 32768, 60999

func (t *Tracked) where() Namespace { return t.In }

func (t *Tracked) prepare(context.Context, tools) error {
	if t.Kind == TrackedStale {
		t.Count = lastLocalPort - firstLocalPort + 1
		return nil
	}
	limit := Setting{In: t.In, Path: sysctl("netfilter/nf_conntrack_max")}
	value, err := limit.read()
	if err != nil {
		return fmt.Errorf("read the limit of tracked connections: %w", err)
	}
	if _, err := fmt.Sscan(value, &t.Count); err != nil {
		return fmt.Errorf("read the limit of tracked connections: %w", err)
	}
	return nil
}

// entry is the i-th entry in the words of conntrack.
func (t *Tracked) entry(i int) string {
	const perSource = 60000
	if t.Kind == TrackedStale {
		return fmt.Sprintf("-I -p udp -s %s -d %s --sport %d --dport 53 --dst-nat %s:%d -t 900 -m %s",
			t.Source, t.Target, firstLocalPort+i, t.Dead, dnsPort, trackedMark)
	}
	return fmt.Sprintf("-I -p tcp -s 203.0.113.%d -d 203.0.113.250 --sport %d --dport 9 --state ESTABLISHED -u ASSURED "+
		"-t 3600 -m %s", 1+i/perSource, 1+i%perSource, trackedMark)
}

// Full tables have other entries too; more than this share of the limit is full.
const full = 0.98

func (t *Tracked) do(ctx context.Context, _ tools) error {
	if t.Kind == TrackedStale {
		return t.stale(ctx)
	}
	// Entries of connections that have ended leave room when they go, so they go first.
	for _, state := range []string{"TIME_WAIT", "CLOSE", "LAST_ACK", "FIN_WAIT"} {
		_, _ = t.In.run(ctx, "conntrack", "-D", "-p", "tcp", "--state", state)
	}
	// The last ones are refused, as there is no room for them.
	loadErr := t.load(ctx, 0)
	now := Setting{In: t.In, Path: sysctl("netfilter/nf_conntrack_count")}
	value, err := now.read()
	if err != nil {
		return fmt.Errorf("count tracked connections: %w", err)
	}
	var count int
	if _, err := fmt.Sscan(value, &count); err != nil {
		return fmt.Errorf("count tracked connections: %w", err)
	}
	if float64(count) < full*float64(t.Count) {
		return fmt.Errorf("the table has %d of %d entries: %w", count, t.Count, loadErr)
	}
	return nil
}

// stale makes an entry for each port. The program stops at a flow that is tracked already: then that entry is deleted,
// and the rest follows.
func (t *Tracked) stale(ctx context.Context) error {
	const tries = 50
	var err error
	made := 0
	for range tries {
		_, _ = t.In.run(ctx, "conntrack", "-D", "-p", "udp", "-s", t.Source, "-d", t.Target, "--sport",
			strconv.Itoa(firstLocalPort+made))
		err = t.load(ctx, made)
		var countErr error
		if made, countErr = t.count(ctx); countErr != nil {
			return countErr
		}
		if made >= t.Count {
			return nil
		}
	}
	return fmt.Errorf("%d of %d entries were made: %w", made, t.Count, err)
}

// load makes the entries from the first one on.
func (t *Tracked) load(ctx context.Context, first int) error {
	file, err := os.CreateTemp("", "lab-tracked-*")
	if err != nil {
		return fmt.Errorf("write the entries: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	var b strings.Builder
	for i := first; i < t.Count; i++ {
		b.WriteString(t.entry(i))
		b.WriteByte('\n')
	}
	_, err = file.WriteString(b.String())
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the entries: %w", err)
	}
	_, err = t.In.run(ctx, "conntrack", "-R", file.Name())
	return err
}

// count returns how many entries of a fault there are.
func (t *Tracked) count(ctx context.Context) (int, error) {
	out, err := t.In.run(ctx, "conntrack", "-L", "-m", trackedMark)
	if err != nil {
		return 0, err
	}
	return strings.Count(out, "\n"), nil
}

// undo ignores the status of conntrack, which says whether there was any entry.
func (t *Tracked) undo(ctx context.Context, _ tools) error {
	_, _ = t.In.run(ctx, "conntrack", "-D", "-m", trackedMark)
	return nil
}

func (t *Tracked) left(ctx context.Context, _ tools) ([]string, error) {
	left, err := t.count(ctx)
	if err != nil {
		return nil, err
	}
	if left > 0 {
		return []string{fmt.Sprintf("%s: %d tracked connections of the fault", t.In, left)}, nil
	}
	return nil, nil
}
