package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Head is a stored round without its agents. It is small, whatever the agents measured, and stands first in the blob.
type Head struct {
	// Round has no Agents and no Backends, and its Expected have no Targets: Summary counts these.
	Round report.Round
	// Verdict has no Agents.
	Verdict verdict.Verdict
	// Spec is the task's spec as it was for this round, in JSON; empty if there is none.
	Spec    json.RawMessage
	Summary Summary
}

// Summary counts what a stored round holds.
type Summary struct {
	// Reports is how many agents reported. Agents counts judged agents by their result, Paths judged paths by theirs.
	Reports int                    `json:"reports"`
	Agents  map[verdict.Result]int `json:"agents,omitempty"`
	Paths   map[verdict.Result]int `json:"paths,omitempty"`
	// Planned is how many paths the agents were to probe. Listed is how many paths they report one by one.
	Planned uint64 `json:"planned"`
	Listed  uint64 `json:"listed"`
	// Summed is how many paths are reported in sums alone. SummedNotPassed is how many of them did not pass.
	Summed          uint64 `json:"summed,omitempty"`
	SummedNotPassed uint64 `json:"summedNotPassed,omitempty"`
}

// Agent is one agent's part in a stored round.
type Agent struct {
	// Report is what the agent measured; nil if only its judgement is stored.
	Report *report.AgentReport
	// Verdict is the judgement on the agent; nil if the agent was not judged.
	Verdict *verdict.JudgedAgent
}

// LatestKey returns the key of the round that Latest returns, or ErrNotFound. It reads names only.
func (s *Store) LatestKey(ctx context.Context, uid string) (schedule.Key, error) {
	names, err := s.names(ctx, uid)
	rounds := slices.DeleteFunc(names, func(n name) bool { return n.suffix != roundSuffix })
	sortByAge(rounds)
	var newest schedule.Key
	if len(rounds) > 0 {
		newest = rounds[len(rounds)-1].key
	}
	// A round that waits to be written is newer than those that are, and the newest there is while the store cannot be
	// reached.
	if held := s.holding.rounds(uid); len(held) > 0 {
		if last := held[len(held)-1]; newest == (schedule.Key{}) || compare(newest, last) < 0 {
			newest = last
		}
	}
	switch {
	case newest != schedule.Key{}:
		return newest, nil
	case err != nil:
		return schedule.Key{}, err
	}
	return schedule.Key{}, fmt.Errorf("latest round of %s: %w", uid, ErrNotFound)
}

// Head returns the head of the round of the key, or ErrNotFound, or ErrCorrupt. It reads no further than the head, so
// it does not notice damage behind the head.
func (s *Store) Head(ctx context.Context, key schedule.Key) (Head, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return Head{}, fmt.Errorf("read the head of round %s: %w", key, err)
	}
	return head, nil
}

// Again returns the pairs of nodes that the stored round wants probed again, or ErrNotFound, or ErrCorrupt.
func (s *Store) Again(ctx context.Context, key schedule.Key) ([]report.Again, error) {
	head, err := s.Head(ctx, key)
	return head.Round.Again, err
}

func (s *Store) head(ctx context.Context, key schedule.Key) (Head, error) {
	if stored, ok := s.holding.round(key); ok {
		return headOf(stored), nil
	}
	var head Head
	err := s.readStart(ctx, key, func(from io.Reader) (err error) {
		head, err = readHead(key, from)
		return err
	})
	return head, err
}

// readStart has read take what it wants from the start of a stored round.
func (s *Store) readStart(ctx context.Context, key schedule.Key, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	blob, err := s.open(ctx, key, roundSuffix)
	if err != nil {
		return err
	}
	from := &source{r: blob}
	err = read(from)
	// The rest of the blob is not wanted, so how it is closed does not matter.
	_ = blob.Close()
	switch {
	case from.err != nil:
		return from.err
	case err != nil:
		return corrupt(err)
	}
	return nil
}

// source keeps the error by which a blob could not be read: for such an error the blob's content is not to blame.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// readHead reads the head of a round of any format.
func readHead(key schedule.Key, from io.Reader) (Head, error) {
	content, err := unpack(from, maxUnpacked)
	if err != nil {
		return Head{}, err
	}
	r, whole, err := openRound(key, content)
	if err != nil {
		return Head{}, err
	}
	if r == nil {
		return headOf(whole), nil
	}
	head, err := r.head(key)
	head.Round.Agents, head.Verdict.Agents = nil, nil
	return head, err
}

// Agents returns the agents of the round of the key, one at a time in their order, each decoded when it is asked for.
// Agents that want refuses by pod and node are not decoded; nil wants all. An error comes last: ErrNotFound,
// ErrCorrupt, or that the round cannot be read. The context is for the reading of the blob, which is over when the
// first agent comes.
func (s *Store) Agents(ctx context.Context, key schedule.Key,
	want func(pod, node string) bool) iter.Seq2[Agent, error] {
	return func(yield func(Agent, error) bool) {
		if stored, ok := s.holding.round(key); ok {
			eachAgentOf(stored, want, yield)
			return
		}
		body, err := s.get(ctx, key, roundSuffix)
		if err == nil {
			err = eachAgent(key, body, want, yield)
		}
		if err != nil {
			yield(Agent{}, fmt.Errorf("read the agents of round %s: %w", key, err))
		}
	}
}

// eachAgentOf yields the wanted agents of a round that is in memory already.
func eachAgentOf(whole verdict.StoredRound, want func(pod, node string) bool, yield func(Agent, error) bool) {
	for agent := range agentsOf(whole) {
		if (want == nil || want(agent.name())) && !yield(agent, nil) {
			return
		}
	}
}

// eachAgent yields the wanted agents of a round. It returns nil when yield wants no more.
func eachAgent(key schedule.Key, body []byte, want func(pod, node string) bool, yield func(Agent, error) bool) error {
	content, err := unpack(bytes.NewReader(body), maxUnpacked)
	if err != nil {
		return corrupt(err)
	}
	r, whole, err := openRound(key, content)
	if err != nil {
		return corrupt(err)
	}
	if r == nil {
		eachAgentOf(whole, want, yield)
		return nil
	}
	if _, err := r.head(key); err != nil {
		return corrupt(err)
	}
	for {
		kind, body, err := r.next()
		if err != nil {
			return corrupt(err)
		}
		if kind == endFrame {
			return nil
		}
		if kind != agentFrame {
			continue
		}
		agent, wanted, err := r.agent(body, want)
		if err != nil {
			return corrupt(err)
		}
		if wanted && !yield(agent, nil) {
			return nil
		}
	}
}

// Agent returns the agent in the pod, of the round of the key. It returns ErrNotFound if there is no such round, or if
// the round has neither a report nor a judgement of the agent, and ErrCorrupt.
func (s *Store) Agent(ctx context.Context, key schedule.Key, pod string) (Agent, error) {
	var found Agent
	for agent, err := range s.Agents(ctx, key, func(p, _ string) bool { return p == pod }) {
		if err != nil {
			return Agent{}, err
		}
		if found.Report == nil {
			found.Report = agent.Report
		}
		if found.Verdict == nil {
			found.Verdict = agent.Verdict
		}
		if found.Report != nil && found.Verdict != nil {
			break
		}
	}
	if found == (Agent{}) {
		return Agent{}, fmt.Errorf("agent %s of round %s: %w", pod, key, ErrNotFound)
	}
	return found, nil
}

// name returns the agent's pod and node.
func (a Agent) name() (pod, node string) {
	if a.Report != nil {
		return a.Report.Pod, a.Report.Node
	}
	return a.Verdict.Pod, a.Verdict.Node
}

// headOf returns the head of the round, which shares what it can with the round.
func headOf(stored verdict.StoredRound) Head {
	h := Head{Round: stored.Round, Verdict: stored.Verdict, Spec: stored.Spec, Summary: summaryOf(stored)}
	h.Round.Agents, h.Round.Backends, h.Verdict.Agents = nil, nil, nil
	h.Round.Expected = slices.Clone(stored.Round.Expected)
	for i := range h.Round.Expected {
		h.Round.Expected[i].Targets = nil
	}
	return h
}

func summaryOf(stored verdict.StoredRound) Summary {
	s := Summary{Reports: len(stored.Round.Agents), Agents: map[verdict.Result]int{},
		Paths: verdict.Counts(stored.Verdict)}
	for _, e := range stored.Round.Expected {
		s.Planned += max(uint64(len(e.Targets)), e.Paths)
	}
	for i := range stored.Round.Agents {
		a := &stored.Round.Agents[i]
		s.Listed += uint64(len(a.Paths))
		for j := range a.Sums {
			s.Summed += a.Sums[j].Paths
			s.SummedNotPassed += a.Sums[j].NotPassed
		}
	}
	for i := range stored.Verdict.Agents {
		s.Agents[stored.Verdict.Agents[i].Result]++
	}
	return s
}

// agentsOf returns the agents of the round in their order. The report and the judgement of one pod come together, as
// far as their orders allow.
func agentsOf(stored verdict.StoredRound) iter.Seq[Agent] {
	reports, judged := stored.Round.Agents, stored.Verdict.Agents
	return func(yield func(Agent) bool) {
		last := make(map[string]int, len(reports))
		for i := range reports {
			last[reports[i].Pod] = i
		}
		for i, j := 0, 0; i < len(reports) || j < len(judged); {
			var a Agent
			switch {
			case j == len(judged):
				a.Report = &reports[i]
			case i == len(reports):
				a.Verdict = &judged[j]
			case reports[i].Pod == judged[j].Pod:
				a.Report, a.Verdict = &reports[i], &judged[j]
			default:
				if at, known := last[judged[j].Pod]; known && at > i {
					a.Report = &reports[i]
				} else {
					a.Verdict = &judged[j]
				}
			}
			if a.Report != nil {
				i++
			}
			if a.Verdict != nil {
				j++
			}
			if !yield(a) {
				return
			}
		}
	}
}
