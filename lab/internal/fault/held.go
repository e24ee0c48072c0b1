package fault

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Queue hands packets to a netfilter queue. The lab's kernels know the queue in iptables and not in nftables.
type Queue struct {
	In Namespace `json:"in"`
	// Number is the queue's, 0 to 65535. Without a process that reads the queue, packets pass.
	Number int `json:"number"`
	// Fault names the fault in the rule's comment.
	Fault string `json:"fault"`
	// Families are ip and ip6. Chain is one of the table mangle, Match selects packets in the words of iptables.
	Families []string `json:"families"`
	Chain    string   `json:"chain"`
	Match    string   `json:"match"`
	// Made are the families whose table mangle exists because of the rule.
	Made []string `json:"made,omitempty"`
}

func (q *Queue) where() Namespace { return q.In }

func (q *Queue) program(family, ending string) string {
	return (&Rules{Family: family}).iptables(ending)
}

func (q *Queue) prepare(ctx context.Context, _ tools) error {
	out, err := q.In.run(ctx, "nft", "list", "tables")
	if err != nil {
		return err
	}
	q.Made = nil
	for _, family := range q.Families {
		if !strings.Contains(out, "table "+family+" mangle\n") {
			q.Made = append(q.Made, family)
		}
	}
	return nil
}

func (q *Queue) change(ctx context.Context, family, flag string) error {
	_, err := q.In.run(ctx, words("%s -w -t mangle %s %s %s -m comment --comment %s -j NFQUEUE --queue-num %d "+
		"--queue-bypass", q.program(family, ""), flag, q.Chain, q.Match, tableName(q.Fault), q.Number)...)
	return err
}

func (q *Queue) do(ctx context.Context, _ tools) error {
	for _, family := range q.Families {
		if err := q.change(ctx, family, "-I"); err != nil {
			return err
		}
	}
	return nil
}

// undo ignores that a rule or table is not there; left says what is.
func (q *Queue) undo(ctx context.Context, _ tools) error {
	for _, family := range q.Families {
		_ = q.change(ctx, family, "-D")
	}
	for _, family := range q.Made {
		_, _ = q.In.run(ctx, "nft", "delete", "table", family, "mangle")
	}
	return nil
}

func (q *Queue) left(ctx context.Context, _ tools) ([]string, error) {
	var found []string
	for _, family := range q.Families {
		// The table is made by the first look of iptables, so nftables is asked.
		out, err := q.In.run(ctx, "nft", "list", "tables")
		if err != nil {
			return nil, err
		}
		if !strings.Contains(out, "table "+family+" mangle\n") {
			continue
		}
		rules, err := q.In.run(ctx, q.program(family, "-save"), "-t", "mangle")
		if err != nil {
			return nil, err
		}
		if strings.Contains(rules, tableName(q.Fault)+" ") {
			found = append(found, fmt.Sprintf("%s: a rule of %s in the table mangle", q.In, q.Fault))
		}
	}
	return found, nil
}

// Numbers of the queues; each fault has its own, so that several can be in a lab.
const (
	queueDelay = 4011 + iota
	queueJitter
	queueReorder
	queueDNS
)

// holding is how a fault holds packets.
type holding struct {
	queue         int
	delay, jitter time.Duration
	share         float64
}

// held are the steps that hold packets in a namespace: the daemon first, so that the queue is read when packets come.
func held(in Namespace, families []string, name, chain, match string, h holding) []Step {
	return []Step{
		{Daemon: &Daemon{Name: "fault-" + name + "-" + in.Host, Host: in.Host, Args: []string{"run-hold",
			fmt.Sprintf("--queue=%d", h.queue), "--delay=" + h.delay.String(), "--jitter=" + h.jitter.String(),
			fmt.Sprintf("--share=%v", h.share)}}},
		{Queue: &Queue{In: in, Number: h.queue, Fault: name, Families: families, Chain: chain, Match: match}},
	}
}

// heldFaults are faults by which packets come late, in another order, or twice.
func heldFaults() []Fault {
	const delay, reordering, duplication = "Delay", "Reordering", "Duplication"
	return []Fault{
		late("node-delay", 11, delay, "Each packet that the node sends waits for 50 ms.",
			holding{queue: queueDelay, delay: 50 * time.Millisecond, share: 1}),
		late("node-jitter", 11, delay, "Each packet that the node sends waits for 5 to 105 ms; the order stays.",
			holding{queue: queueJitter, delay: 5 * time.Millisecond, jitter: 100 * time.Millisecond, share: 1}),
		late("node-reorder", 0, reordering, "A quarter of the packets that the node sends come 20 ms late, after others.",
			holding{queue: queueReorder, delay: 20 * time.Millisecond, share: 0.25}),
		{
			Name: "node-duplicate", Row: 0, Place: OnNode, Components: []string{nodeNetwork}, Cause: duplication,
			Description: "A third of the packets to the node arrive twice.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.host("fabric"), netdev, "node-duplicate", chain{hook: "egress", device: s.On.Name,
					rules: []string{fmt.Sprintf("%s counter dup to %q", share(250), s.On.Name)}})}
			}),
		},
		{
			Name: "dns-slow", Row: 54, Place: OnLab, Components: []string{"DNS server"}, Cause: "DNSSlow",
			Description: "Each answer of the DNS pod waits for 400 ms.",
			Plan: func(ctx context.Context, s *Scene) ([]Step, error) {
				pods, err := s.dns(ctx)
				if err != nil {
					return nil, err
				}
				var steps []Step
				for _, p := range pods {
					steps = append(steps, held(Namespace{Host: s.Settings.Namespace(p.Node)}, ipFamilies(s), "dns-slow",
						"PREROUTING", fmt.Sprintf("-i %s -p udp --sport %d", p.Link, dnsPort),
						holding{queue: queueDNS, delay: 400 * time.Millisecond, share: 1})...)
				}
				return steps, nil
			},
		},
	}
}

// late is a fault by which what a node sends comes late.
func late(name string, row int, cause, description string, h holding) Fault {
	return Fault{
		Name: name, Row: row, Place: OnNode, Components: []string{nodeNetwork}, Cause: cause, Description: description,
		Plan: only(func(s *Scene) []Step {
			return held(s.on(), ipFamilies(s), name, "POSTROUTING", "-o "+uplink, h)
		}),
	}
}
