package fleet

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// shape is what the attempts of a stream have in common with those of others.
type shape struct {
	// fate is what becomes of the attempts that are lost; the others are answered.
	fate       fate
	far        distance
	requests   uint64
	lost       uint64
	persistent bool
	lossy      bool
}

// variants is how many streams of a shape are computed, one attempt after the other. Every further one repeats one of
// them, since a round has millions.
const variants = 64

// pool has streams by their shape. What it returns shares memory and must not be changed.
type pool struct {
	names []string
	pods  map[string]int

	mu    sync.Mutex
	load  mesh.Load
	known map[shape][]report.Path
	// alone has, by the number of answers, what it looks like when all are of the same pod, by its index.
	alone map[uint64][]map[string]uint64
}

func newPool(nodes int) *pool {
	p := &pool{names: make([]string, nodes), pods: make(map[string]int, nodes),
		alone: map[uint64][]map[string]uint64{}}
	for i := range nodes {
		p.names[i] = Pod(i)
		p.pods[p.names[i]] = i
	}
	return p
}

// only returns n answers of one pod.
func (p *pool) only(pod int, n uint64) map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.alone[n]
	if known == nil {
		known = make([]map[string]uint64, len(p.names))
		p.alone[n] = known
	}
	if known[pod] == nil {
		known[pod] = map[string]uint64{p.names[pod]: n}
	}
	return known[pod]
}

// draw returns a stream of the shape. It has neither a target, nor peers, nor times.
func (p *pool) draw(s shape, of mesh.Load, random *rand.Rand) *report.Path {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.load != of || p.known == nil {
		p.load, p.known = of, map[shape][]report.Path{}
	}
	known := p.known[s]
	if at := random.IntN(variants); at < len(known) {
		return &known[at]
	}
	made := stream(s, of, random)
	p.known[s] = append(known, made)
	return &made
}

// stream makes the attempts one after the other and counts them as a load does.
func stream(s shape, of mesh.Load, random *rand.Rand) report.Path {
	account := load.NewAccount(target.Target{})
	began := time.Unix(0, 0)
	account.Begin(began)
	lost := map[int]bool{}
	for _, i := range random.Perm(int(s.requests))[:s.lost] { // #nosec G115 -- a count of requests
		lost[i] = true
	}
	opens := true
	for i := range int(s.requests) { // #nosec G115 -- a count of requests
		due := began.Add(of.Duration * time.Duration(i) / time.Duration(s.requests)) // #nosec G115 -- as above
		a := sample(random, s, due, opens || !s.persistent, of.Timeout)
		if lost[i] {
			a = failed(s.fate, a, of.Timeout)
		}
		account.Record(&a)
		opens = a.Outcome != probe.OK
	}
	account.End(began, began.Add(of.Duration))
	return account.Report()
}

// failed is the attempt as it ends when no connection can be opened.
func failed(f fate, a probe.Sample, timeout time.Duration) probe.Sample {
	a = probe.Sample{Due: a.Due, Start: a.Start, Phase: probe.Connect}
	if f == refused {
		a.Outcome, a.Latency = probe.Refused, trip(sameZone)
		a.Message = "connection refused"
		return a
	}
	a.Outcome, a.Latency, a.Message = probe.Timeout, timeout, noAnswer(timeout)
	return a
}

func noAnswer(within time.Duration) string { return fmt.Sprintf("no answer within %v", within) }
