package diagnose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// whole is a round as the product makes it of a snapshot: the mesh and the ladder are planned, what is sent is answered
// or fails, and the round is excused, judged and localised.
type whole struct {
	snapshot  topology.Snapshot
	kinds     []target.Kind
	addresses target.Addresses
	// leads returns the nodes of the pods to which connections are led in turns; nil is all that may answer.
	leads func(asked) []string
	// fails is how an attempt fails; empty if it is answered.
	fails func(asked) ladder.Failure
	// mute are the nodes whose agents ask nothing and report nothing.
	mute []string
	// changes happen after a quarter of the round. observers say how well agents of nodes could observe.
	changes   []report.Change
	observers map[string]report.Observer
	// endpoints is what the EndpointSlices had wrong, or no longer.
	endpoints []report.EndpointFault
}

// asked is one attempt.
type asked struct {
	ladder.Observation
	// backend is the node of the pod to which it is led; empty where no Service is.
	backend string
	// further and external say it of the address of a node port.
	further, external bool
	// gone says that the changes have happened, long that they happened more than three seconds ago.
	gone, long bool
}

const (
	wholeSeconds = 60
	wholePasses  = 3
	// changeSecond is when changes happen.
	changeSecond = wholeSeconds / 4
)

func (w whole) want() mesh.Want {
	kinds := w.kinds
	if kinds == nil {
		kinds = []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort}
	}
	return mesh.Want{Kinds: kinds, Families: []topology.Family{topology.IPv4}, NodeAddresses: w.addresses,
		Load: mesh.Load{PerSecond: 1, Duration: wholeSeconds * time.Second, Timeout: time.Second}, SuccessRate: 1}
}

// round plays the round.
func (w whole) round() (report.Round, verdict.Verdict) {
	started := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	m := mesh.New(schedule.Key{Round: 1}, report.TaskRef{}, w.snapshot, w.want())
	m.Load = report.RequestBudget{Asked: 1, Granted: 1}
	var reports []report.AgentReport
	silent := map[string]time.Time{}
	for _, plan := range m.Plans {
		if slices.Contains(w.mute, plan.Agent.Node) {
			silent[plan.Agent.Pod] = started.Add(changeSecond * time.Second)
			continue
		}
		a := report.AgentReport{Pod: plan.Agent.Pod, Node: plan.Agent.Node, Via: report.Direct, Finished: true,
			Started: started, Ended: started.Add(wholeSeconds * time.Second), Earliest: started, Latest: started,
			Observer: w.observers[plan.Agent.Node]}
		for i := range plan.Len() {
			a.Paths = append(a.Paths, w.path(plan.Agent, plan.At(i), m, started))
		}
		reports = append(reports, a)
	}
	agents, missing := report.Merge(m.Expected, reports, nil)
	r := report.Round{Started: started, Deadline: started.Add(2 * wholeSeconds * time.Second),
		Ended: started.Add(wholeSeconds * time.Second), Budget: m.Load, Expected: m.Expected, Backends: m.Backends,
		Agents: agents, Missing: missing, Gaps: m.Gaps, Outside: m.Outside,
		Endpoints: w.endpoints}
	for _, c := range w.changes {
		c.WindowStart = started.Add(changeSecond * time.Second)
		c.WindowEnd = c.WindowStart.Add(time.Second)
		r.Churn = append(r.Churn, c)
	}
	r = churn.Excuse(r, silent)
	judged := verdict.Judge(r, verdict.Expect{SuccessRate: 1})
	r.Ladder, r.Located = diagnose.Locate(r, judged, w.climb(), diagnose.ClusterOf(w.snapshot))
	return r, judged
}

// path asks the target once a second.
func (w whole) path(from topology.Agent, t *target.Target, m mesh.Mesh, started time.Time) report.Path {
	p := report.Path{Target: *t, Scheduled: wholeSeconds, Sent: wholeSeconds, Peers: map[string]uint64{},
		Started: started, Ended: started.Add(wholeSeconds * time.Second)}
	a := asked{Observation: ladder.Observation{From: from.Node, To: t.Node, At: t.AtNode, Method: ladder.HTTP,
		Family: t.Family, Address: t.Address, Counted: true, Rung: rungs()[t.Kind]},
		further: t.Further, external: t.External}
	if t.Kind == target.Endpoint && t.Node == from.Node {
		a.Rung = ladder.Self
	}
	if t.Answer == target.Backends {
		a.Backends = w.backends(from.Pod, t.ID, m)
	}
	for second := range uint64(wholeSeconds) {
		// Each asker has turns of its own.
		failure, peer := w.attempt(a, int(second)+len(p.Peers), int(second)-changeSecond)
		if failure == "" {
			p.OK++
			p.Peers[w.pod(peer)]++
			p.Latency.Record(time.Millisecond)
			continue
		}
		p.Failures = fail(p.Failures, failure, time.Duration(second)*time.Second)
	}
	return p
}

func rungs() map[target.Kind]ladder.Rung {
	return map[target.Kind]ladder.Rung{target.Endpoint: ladder.PodToPod, target.ClusterIP: ladder.ClusterIP,
		target.NodePort: ladder.NodePort, target.LoadBalancer: ladder.LoadBalancer, target.Ingress: ladder.Ingress}
}

// backends are the nodes of the pods that may answer.
func (w whole) backends(asker, id string, m mesh.Mesh) []string {
	pods, _ := report.Round{Backends: m.Backends}.BackendSets().Pods(asker, id)
	var nodes []string
	for _, a := range w.snapshot.Agents {
		if slices.Contains(pods, a.Pod) {
			nodes = append(nodes, a.Node)
		}
	}
	return nodes
}

func (w whole) pod(node string) string {
	for _, a := range w.snapshot.Agents {
		if a.Node == node {
			return a.Pod
		}
	}
	return ""
}

// attempt is how the nth attempt fails, and the node of the pod that answers it. since is the time in seconds since the
// changes; negative before them.
func (w whole) attempt(a asked, n, since int) (failure ladder.Failure, peer string) {
	a.gone, a.long = since >= 0, since > 3
	if a.Rung != ladder.DNSService && (len(a.Backends) > 0 || a.Rung == ladder.ClusterIP) {
		to := a.Backends
		if w.leads != nil {
			to = w.leads(a)
		}
		if len(to) == 0 {
			return ladder.NoAnswer, ""
		}
		a.backend = to[n%len(to)]
	}
	if w.fails != nil {
		failure = w.fails(a)
	}
	return failure, a.backend + a.To
}

// fail adds a failure of an attempt.
func fail(all []report.Failure, how ladder.Failure, at time.Duration) []report.Failure {
	f := report.Failure{Outcome: probe.Timeout, Phase: probe.Connect}
	switch how {
	case ladder.NoReply:
		f.Phase = probe.FirstByte
	case ladder.Refused:
		f.Outcome = probe.Refused
	}
	i := slices.IndexFunc(all, func(is report.Failure) bool { return is.Outcome == f.Outcome && is.Phase == f.Phase })
	if i < 0 {
		all, i = append(all, f), len(all)
	}
	all[i].Count++
	all[i].Spans = report.AddFailure(all[i].Spans, at)
	return all
}

// climb is what the ladder's probes see in three passes, of which changes precede the last two.
func (w whole) climb() []ladder.Observation {
	counted := map[ladder.Rung]bool{}
	for _, kind := range w.want().Kinds {
		counted[rungs()[kind]] = true
	}
	var seen []ladder.Observation
	for _, sender := range ladder.Plan(w.snapshot, ladder.Options{Families: []topology.Family{topology.IPv4},
		Counted: counted}) {
		for _, p := range sender.Probes {
			if p.Of.Rung != ladder.HostClusterIP && slices.Contains(w.mute, p.Of.From) && !hostAsks(p.Of.Rung) {
				continue
			}
			seen = append(seen, w.climbed(p))
		}
	}
	return seen
}

func hostAsks(r ladder.Rung) bool {
	return r == ladder.HostToHost || r == ladder.HostToPod || r == ladder.HostToOwnPod
}

func (w whole) climbed(p ladder.Probe) ladder.Observation {
	o := p.Of
	o.Passes = wholePasses
	for pass := range wholePasses {
		failed := false
		for n := range p.Spec.Count {
			o.Sent++
			failure, peer := w.attempt(asked{Observation: p.Of}, pass*p.Spec.Count+n,
				pass*wholeSeconds/wholePasses-changeSecond)
			if failure == "" {
				o.Answered++
				if len(o.Backends) > 0 {
					if o.Peers == nil {
						o.Peers = map[string]uint64{}
					}
					o.Peers[w.pod(peer)]++
				}
				continue
			}
			failed = true
			if o.Failures == nil {
				o.Failures = map[ladder.Failure]uint64{}
			}
			o.Failures[failure]++
		}
		if failed {
			o.FailedPasses++
		}
	}
	return o
}

// found are the findings in short.
func (w whole) found(t *testing.T) []string {
	t.Helper()
	round, judged := w.round()
	var short []string
	for _, f := range diagnose.Findings(round, judged) {
		short = append(short, strings.TrimSpace(fmt.Sprintf("%s: %s at %s: %s", f.Reason, f.Component, f.Where, f.Cause)))
		t.Logf("%s %q", f.Message, f.Evidence)
	}
	return short
}

// cluster4 is fourNodes with agents in host networks, in two zones, with a load balancer in front.
func cluster4(proxy bool) topology.Snapshot {
	s := fourNodes(true)
	s.Services[0].Namespace, s.Services[0].LoadBalancer = "kdoctor", true
	s.Services[0].Ingress = []topology.Entry{{Address: netip.MustParseAddr("192.0.2.1"), Proxy: proxy}}
	for i := range s.Nodes {
		s.Nodes[i].Zone = string(rune('a' + i/2))
	}
	for i := range s.Agents {
		s.Agents[i].ControlPort = 5711
	}
	return s
}
