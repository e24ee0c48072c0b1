package store

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// maxItemsOfRound bounds the items of all frames of a round: 5,000 agents may each name the pods that answered 3,000
// requests.
const maxItemsOfRound = 1 << 24

// roundReader reads one round of format 2, frame by frame.
type roundReader struct {
	frames                frames
	dictionary            *dictionary
	agents, rest, targets *rows
	items                 int
}

// newRoundReader returns a reader of the frames behind the preamble.
func newRoundReader(from *bufio.Reader) (*roundReader, error) {
	r := &roundReader{frames: frames{from: from}, dictionary: newDictionary()}
	var err error
	if r.agents, r.rest, r.targets, err = allRows(r.dictionary); err != nil {
		return nil, err
	}
	return r, nil
}

// head reads the head, which is the first frame.
func (r *roundReader) head(key schedule.Key) (Head, error) {
	kind, body, err := r.frames.next()
	if err != nil {
		return Head{}, err
	}
	if kind != headFrame {
		return Head{}, errors.New("the head is missing")
	}
	var head headBlob
	if err := json.Unmarshal(body, &head); err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	if head.Round.Key != key {
		return Head{}, fmt.Errorf("it holds round %s", head.Round.Key)
	}
	return Head(head), nil
}

// next reads up to the next frame of the rest, of an agent or of the end, and returns it. What is on the way goes to
// the dictionary.
func (r *roundReader) next() (kind byte, body []byte, err error) {
	for {
		if kind, body, err = r.frames.next(); err != nil {
			return 0, nil, err
		}
		switch kind {
		case stringsFrame:
			err = r.dictionary.addStrings(body)
		case targetsFrame:
			err = r.addTargets(body)
		case restFrame, agentFrame:
			return kind, body, nil
		case endFrame:
			return kind, nil, r.frames.end()
		}
		if err != nil {
			return 0, nil, fmt.Errorf("dictionary: %w", err)
		}
	}
}

func (r *roundReader) addTargets(body []byte) error {
	var added targetBlob
	if err := r.read(r.targets, body, reflect.ValueOf(&added).Elem(), time.Time{}); err != nil {
		return err
	}
	for _, t := range added {
		r.dictionary.targets = append(r.dictionary.targets, target.Target(t))
	}
	return nil
}

// read reads a frame of rows, within what one round may take.
func (r *roundReader) read(of *rows, body []byte, v reflect.Value, base time.Time) error {
	if err := of.read(body, v, base); err != nil {
		return err
	}
	if r.items += of.items; r.items > maxItemsOfRound {
		return fmt.Errorf("more than %d items", maxItemsOfRound)
	}
	return nil
}

// agent reads one agent, if it is wanted; nil wants all.
func (r *roundReader) agent(body []byte, want func(pod, node string) bool) (agent Agent, wanted bool, err error) {
	pod, node, base, columns, err := cutAgentHead(body)
	if err != nil || want != nil && !want(pod, node) {
		return Agent{}, false, err
	}
	var blob agentBlob
	if err := r.read(r.agents, columns, reflect.ValueOf(&blob).Elem(), base); err != nil {
		return Agent{}, false, fmt.Errorf("agent %q: %w", pod, err)
	}
	agent = Agent(blob)
	if agent == (Agent{}) {
		return Agent{}, false, fmt.Errorf("agent %q: there is nothing", pod)
	}
	if p, n := agent.name(); p != pod || n != node {
		return Agent{}, false, fmt.Errorf("agent %q on node %q has %q on %q", pod, node, p, n)
	}
	return agent, true, nil
}

// agentHead returns what a reader must know of an agent before the columns.
func agentHead(pod, node string, base time.Time) []byte {
	var b []byte
	for _, s := range [...]string{pod, node} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b = binary.AppendVarint(b, base.Unix())
	return binary.AppendUvarint(b, uint64(base.Nanosecond())) // #nosec G115 -- it is below a second
}

// cutAgentHead reads what agentHead wrote.
func cutAgentHead(b []byte) (pod, node string, base time.Time, columns []byte, err error) {
	if pod, b, err = cutString(b); err == nil {
		node, b, err = cutString(b)
	}
	if err != nil {
		return "", "", time.Time{}, nil, fmt.Errorf("agent: %w", err)
	}
	seconds, size := binary.Varint(b)
	if size <= 0 {
		return "", "", time.Time{}, nil, fmt.Errorf("agent %q: its start is cut short", pod)
	}
	nanoseconds, more := binary.Uvarint(b[size:])
	if more <= 0 || nanoseconds >= uint64(time.Second) {
		return "", "", time.Time{}, nil, fmt.Errorf("agent %q: its start is cut short", pod)
	}
	return pod, node, time.Unix(seconds, int64(nanoseconds)), b[size+more:], nil // #nosec G115 -- it is below a second
}

// round reads the whole round.
func (r *roundReader) round(key schedule.Key) (verdict.StoredRound, error) {
	head, err := r.head(key)
	if err != nil {
		return verdict.StoredRound{}, err
	}
	stored := verdict.StoredRound{Round: head.Round, Verdict: head.Verdict, Spec: head.Spec}
	for {
		kind, body, err := r.next()
		switch {
		case err != nil:
			return verdict.StoredRound{}, err
		case kind == endFrame:
			return stored, nil
		case kind == restFrame:
			err = r.addRest(body, &stored)
		default:
			err = r.addAgent(body, &stored)
		}
		if err != nil {
			return verdict.StoredRound{}, err
		}
	}
}

func (r *roundReader) addRest(body []byte, to *verdict.StoredRound) error {
	var rest restBlob
	if err := r.read(r.rest, body, reflect.ValueOf(&rest).Elem(), time.Time{}); err != nil {
		return fmt.Errorf("targets and backends: %w", err)
	}
	if len(rest.Targets) != len(to.Round.Expected) {
		return fmt.Errorf("targets of %d agents, and %d are expected", len(rest.Targets), len(to.Round.Expected))
	}
	for i, targets := range rest.Targets {
		to.Round.Expected[i].Targets = targets
	}
	to.Round.Backends = rest.Backends
	return nil
}

func (r *roundReader) addAgent(body []byte, to *verdict.StoredRound) error {
	agent, _, err := r.agent(body, nil)
	if err != nil {
		return err
	}
	if agent.Report != nil {
		to.Round.Agents = append(to.Round.Agents, *agent.Report)
	}
	if agent.Verdict != nil {
		to.Verdict.Agents = append(to.Verdict.Agents, *agent.Verdict)
	}
	return nil
}
