package churn_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// seeds is how many rounds each property is tried on.
const seeds = 200

// anyRound returns a random round in which some agents changed and some requests failed, most of them while a pod was
// away.
func anyRound(random *rand.Rand) (report.Round, map[string]time.Time) {
	round := report.Round{}
	var pods []string
	for i := range 2 + random.IntN(6) {
		pods = append(pods, fmt.Sprintf("p%d", i))
	}
	for range 1 + random.IntN(5) {
		pod, from := pods[random.IntN(len(pods))], 10+80*random.Float64()
		c := deletedAt(pod, from)
		switch random.IntN(4) {
		case 0:
			c = restartedAt(pod, from, from+5*random.Float64())
		case 1:
			c.WindowEnd = time.Time{}
			c.Kind = report.Restarted
		case 2:
			c.Kind, c.WindowEnd = report.Drained, at(from+10)
		}
		round.Churn = append(round.Churn, c)
	}
	kinds := []target.Kind{target.ClusterIP, target.NodePort, target.LoadBalancer, target.Ingress}
	for i, kind := range kinds {
		set := report.BackendSet{Targets: []string{string(kind)}, Pods: slices.Clone(pods[:1+random.IntN(len(pods))])}
		if i == 0 && random.IntN(2) == 0 {
			set.UnevenWhy = "sessionAffinity is ClientIP"
		}
		if i == 1 && random.IntN(2) == 0 {
			set.MayAlsoAnswer = slices.Clone(pods[len(set.Pods):])
		}
		round.Backends = append(round.Backends, set)
	}
	silent := map[string]time.Time{}
	for i, pod := range pods {
		if i > 0 && random.IntN(4) == 0 {
			round.Missing = append(round.Missing, report.Missing{Pod: pod})
			silent[pod] = at(100 * random.Float64())
			continue
		}
		a := report.AgentReport{Pod: pod, Finished: true, Started: at(0), Ended: at(100), Earliest: at(0),
			Latest: at(2 * random.Float64())}
		for _, kind := range kinds {
			a.Paths = append(a.Paths,
				anyPath(random, round, pods,
					target.Target{ID: string(kind), Kind: kind, Answer: target.Backends, AtNode: "n" +
						pods[len(pods)-1]}))
		}
		for _, peer := range pods {
			a.Paths = append(a.Paths,
				anyPath(random, round, pods,
					target.Target{ID: peer, Kind: target.Endpoint, Answer: target.OnePod, Pod: peer}))
		}
		round.Agents = append(round.Agents, a)
	}
	return round, silent
}

func anyPath(random *rand.Rand, round report.Round, pods []string, t target.Target) report.Path {
	p := measured(t)
	for _, outcome := range []probe.Outcome{probe.Timeout, probe.Refused, probe.TLSFailed}[:random.IntN(4)] {
		f := report.Failure{Outcome: outcome, Phase: probe.Connect}
		from := round.Churn[random.IntN(len(round.Churn))].WindowStart.Sub(at(0)).Seconds() + 6*(random.Float64()-0.3)
		took := 12 * random.Float64()
		for range random.IntN(40) {
			moment := from + took*random.Float64()
			if random.IntN(40) == 0 {
				moment = 100 * random.Float64()
			}
			f.Spans = report.AddFailure(f.Spans, time.Duration(moment*1e9))
			f.Count++
		}
		if f.Count > 0 {
			p.Failures, p.OK = append(p.Failures, f), p.OK-f.Count
		}
	}
	if random.IntN(2) == 0 {
		p.Peers = map[string]uint64{}
		for left := p.OK; left > 0; {
			n := 1 + random.Uint64N(left)
			p.Peers[pods[random.IntN(len(pods))]] += n
			left -= n
		}
	}
	if random.IntN(3) == 0 {
		kept := p
		kept.Failures = slices.Clone(p.Failures[:len(p.Failures)/2])
		p.Persistent = &kept
	}
	return p
}

// judged returns the round as churn excuses it, with its contents in a random order.
func judged(round report.Round, silent map[string]time.Time) report.Round {
	got := churn.Excuse(round, silent)
	got.Agents, got.Missing = slices.Clone(got.Agents), slices.Clone(got.Missing)
	slices.SortFunc(got.Agents, func(a, b report.AgentReport) int { return cmp.Compare(a.Pod, b.Pod) })
	slices.SortFunc(got.Missing, func(a, b report.Missing) int { return cmp.Compare(a.Pod, b.Pod) })
	for i := range got.Agents {
		slices.SortFunc(got.Agents[i].Paths,
			func(a, b report.Path) int { return cmp.Compare(a.Target.ID, b.Target.ID) })
	}
	got.Churn, got.Backends = nil, nil
	return got
}

func shuffle[T any](random *rand.Rand, all []T) {
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
}

func each(t *testing.T, try func(t *testing.T, seed uint64, random *rand.Rand)) {
	t.Helper()
	for seed := range uint64(seeds) {
		try(t, seed, rand.New(rand.NewPCG(seed, 0)))
		if t.Failed() {
			return
		}
	}
}

func TestOrderNeverMatters(t *testing.T) {
	excused := 0
	each(t, func(t *testing.T, seed uint64, random *rand.Rand) {
		round, silent := anyRound(random)
		want := judged(round, silent)
		for _, a := range want.Agents {
			for _, p := range a.Paths {
				excused += len(p.Excuses)
			}
		}
		shuffle(random, round.Churn)
		shuffle(random, round.Agents)
		shuffle(random, round.Missing)
		shuffle(random, round.Backends)
		for _, set := range round.Backends {
			shuffle(random, set.Pods)
		}
		for _, a := range round.Agents {
			shuffle(random, a.Paths)
		}
		if got := judged(round, silent); !reflect.DeepEqual(want, got) {
			t.Errorf("seed %d: another order gives another result (-one +other):\n%s", seed, gocmp.Diff(want, got))
		}
	})
	if excused < seeds {
		t.Errorf("only %d excuses in %d rounds: the rounds try too little", excused, seeds)
	}
}

func TestChangesThatCannotTouchAPathNeverChangeIt(t *testing.T) {
	each(t, func(t *testing.T, seed uint64, random *rand.Rand) {
		round, silent := anyRound(random)
		want := judged(round, silent)
		round.Churn = append(slices.Clone(round.Churn), deletedAt("stranger", 10+80*random.Float64()),
			restartedAt("stranger", 1, 99))
		shuffle(random, round.Churn)
		if got := judged(round, silent); !reflect.DeepEqual(want, got) {
			t.Errorf("seed %d: the change of a pod that answers nobody changes the result (-without +with):\n%s", seed,
				gocmp.Diff(want, got))
		}
	})
}

// One more failure is excused itself, at most.
func TestAnotherFailureNeverExcusesOthers(t *testing.T) {
	each(t, func(t *testing.T, seed uint64, random *rand.Rand) {
		round, silent := anyRound(random)
		before := churn.Excuse(round, silent)
		for i, a := range round.Agents {
			for j, p := range a.Paths {
				round.Agents[i].Paths[j] = withAnother(random, p)
			}
		}
		after := churn.Excuse(round, silent)
		for i, a := range after.Agents {
			for j, p := range a.Paths {
				if old := before.Agents[i].Paths[j]; p.Excused() > old.Excused()+1 ||
					(p.Persistent != nil && p.Persistent.Excused() > old.Persistent.Excused()) {
					t.Errorf("seed %d: agent %s, target %s: with one failure more, %d instead of %d requests are "+
						"void\nbefore: %+v\nafter: %+v",
						seed, a.Pod, p.Target.ID, p.Excused(), old.Excused(), old.Failures, p.Failures)
				}
			}
		}
	})
}

// withAnother returns the path with one more failure, within a span or as a span of its own.
func withAnother(random *rand.Rand, p report.Path) report.Path {
	p.Failures, p.OK = slices.Clone(p.Failures), p.OK-1
	if len(p.Failures) == 0 || random.IntN(3) == 0 {
		moment := 100 * random.Float64()
		p.Failures = append(p.Failures, failure(probe.Reset, [3]float64{moment, moment, 1}))
		return p
	}
	f := &p.Failures[random.IntN(len(p.Failures))]
	f.Spans, f.Count = slices.Clone(f.Spans), f.Count+1
	f.Spans[random.IntN(len(f.Spans))].Count++
	return p
}
