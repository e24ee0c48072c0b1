package fault

import (
	"context"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rules are rules of kube-proxy that a fault removes: a whole table of nftables, or the content of a chain of iptables.
type Rules struct {
	In Namespace `json:"in"`
	// Family is ip or ip6.
	Family string `json:"family"`
	Table  string `json:"table"`
	// Chain is a chain of iptables; empty is the whole table.
	Chain string `json:"chain,omitempty"`
	// Saved is the table before, as text for the program that reads it.
	Saved string `json:"saved"`
}

func (r *Rules) where() Namespace { return r.In }

// iptables is the program of iptables for the family, with an ending such as -save.
func (r *Rules) iptables(ending string) string {
	if r.Family == "ip6" {
		return "ip6tables" + ending
	}
	return "iptables" + ending
}

func (r *Rules) id() string { return r.Family + " " + r.Table }

func (r *Rules) list(ctx context.Context) (string, error) {
	if r.Chain == "" {
		return r.In.run(ctx, "nft", "list", "table", r.Family, r.Table)
	}
	return r.In.run(ctx, r.iptables("-save"), "-t", r.Table)
}

func (r *Rules) prepare(ctx context.Context, _ tools) error {
	saved, err := r.list(ctx)
	if err != nil {
		return fmt.Errorf("save the rules of kube-proxy: %w", err)
	}
	r.Saved = saved
	return nil
}

func (r *Rules) do(ctx context.Context, _ tools) error {
	if r.Chain == "" {
		_, err := r.In.run(ctx, "nft", "delete", "table", r.Family, r.Table)
		return err
	}
	_, err := r.In.run(ctx, r.iptables(""), "-w", "-t", r.Table, "-F", r.Chain)
	return err
}

// undo replaces the table in one transaction.
func (r *Rules) undo(ctx context.Context, _ tools) error {
	if r.Chain == "" {
		return r.In.feed(ctx, fmt.Sprintf("table %s\ndelete table %s\n%s", r.id(), r.id(), r.Saved), "nft", "-f", "-")
	}
	return r.In.feed(ctx, r.Saved, r.iptables("-restore"), "-w", "-T", r.Table)
}

func (r *Rules) left(ctx context.Context, _ tools) ([]string, error) {
	now, err := r.list(ctx)
	if err != nil || len(ruleLines(now)) < len(ruleLines(r.Saved)) {
		return []string{fmt.Sprintf("%s: the rules of the table %s are not all back", r.In, r.id())}, nil
	}
	return nil, nil
}

// ruleLines returns the lines of a table without comments.
func ruleLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

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

func (t *Tracked) do(ctx context.Context, _ tools) error {
	file, err := os.CreateTemp("", "lab-tracked-*")
	if err != nil {
		return fmt.Errorf("write the entries: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer file.Close()
	var b strings.Builder
	for i := range t.Count {
		b.WriteString(t.entry(i))
		b.WriteByte('\n')
	}
	if _, err := file.WriteString(b.String()); err != nil {
		return fmt.Errorf("write the entries: %w", err)
	}
	_, runErr := t.In.run(ctx, "conntrack", "-R", file.Name())
	made, err := t.count(ctx)
	if err != nil {
		return err
	}
	// The table has other entries too, so that the last ones of a full table are refused.
	const most = 0.98
	if float64(made) < most*float64(t.Count) {
		return fmt.Errorf("%d of %d entries were made: %w", made, t.Count, runErr)
	}
	return nil
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

// Offloads switches off that an interface leaves checksums to its peer.
type Offloads struct {
	In   Namespace `json:"in"`
	Link string    `json:"link"`
	// Was is 1 if checksums were left to the peer, else 0.
	Was uint32 `json:"was"`
}

func (o *Offloads) where() Namespace { return o.In }

func (o *Offloads) prepare(context.Context, tools) error {
	was, err := o.ask(unix.ETHTOOL_GTXCSUM, 0)
	o.Was = was
	return err
}

func (o *Offloads) do(context.Context, tools) error {
	_, err := o.ask(unix.ETHTOOL_STXCSUM, 0)
	return err
}

func (o *Offloads) undo(context.Context, tools) error {
	_, err := o.ask(unix.ETHTOOL_STXCSUM, o.Was)
	return err
}

func (o *Offloads) left(context.Context, tools) ([]string, error) {
	now, err := o.ask(unix.ETHTOOL_GTXCSUM, 0)
	if err != nil || now == o.Was {
		return nil, err
	}
	return []string{fmt.Sprintf("%s: %s has checksum offload %d, was %d", o.In, o.Link, now, o.Was)}, nil
}

// ask makes a request about the interface to the kernel's ethtool interface and returns the value that comes back.
func (o *Offloads) ask(command, value uint32) (uint32, error) {
	question := struct{ Command, Value uint32 }{command, value}
	request := struct {
		Name [unix.IFNAMSIZ]byte
		Data unsafe.Pointer
		_    [16]byte
	}{Data: unsafe.Pointer(&question)}
	copy(request.Name[:unix.IFNAMSIZ-1], o.Link)
	err := o.In.inside(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("ask for the offloads of %s: %w", o.Link, err)
		}
		defer func() { _ = unix.Close(fd) }()
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL,
			uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("change the offloads of %s: %w", o.Link, errno)
		}
		return nil
	})
	return question.Value, err
}
