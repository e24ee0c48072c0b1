package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// facts is a round's report, with what rules look up in it.
type facts struct {
	round report.Round
	// nodes are the nodes of all pods that were expected to report, by pod.
	nodes map[string]string
	// sets are the backend sets.
	sets sets
	// direct are the paths to pods' own addresses, by the pod that asked and the one that ought to answer.
	direct map[pair][]*report.Path
	// changed are the pods that were deleted or restarted meanwhile. That one of them is silent, or sees another
	// silent, means nothing.
	changed map[string]bool
	// views are those of agents that were not changed on targets with several backends, sorted by agent, then target.
	views []look
	// cells are the same views, added up; led is where whole Services lead, and silent are pods that never answer
	// others.
	cells  []*cell
	led    []course
	silent []silentPod
}

// pair is who asked and who ought to answer, both pods.
type pair struct{ from, to string }

func gather(round report.Round) facts {
	f := facts{round: round, nodes: map[string]string{}, direct: map[pair][]*report.Path{}, changed: map[string]bool{}}
	for _, c := range round.Churn {
		f.changed[c.Pod] = true
	}
	for _, e := range round.Expected {
		f.nodes[e.Pod] = e.Node
	}
	for _, a := range round.Agents {
		f.nodes[a.Pod] = a.Node
	}
	f.sets = setsOf(round.Backends, f.changed, f.nodes)
	for _, a := range round.Agents {
		for i := range a.Paths {
			p := &a.Paths[i]
			if p.Target.Kind == target.Endpoint {
				ends := pair{a.Pod, p.Target.Pod}
				f.direct[ends] = append(f.direct[ends], p)
			}
			if l, ok := f.view(a.Pod, p); ok && !f.changed[a.Pod] {
				f.views = append(f.views, l)
			}
		}
	}
	slices.SortFunc(f.views, func(a, b look) int {
		return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.target.ID, b.target.ID))
	})
	f.cells = cellsOf(f.views)
	f.led = f.courses()
	f.silent = f.silentPods()
	return f
}

// view is what the agent's path says of the backends, if anything. Answers without a name would make a pod look silent
// that is not; attempts over connections that others had opened select no backend. A path with either says nothing.
func (f facts) view(agent string, p *report.Path) (look, bool) {
	set := f.sets.of(agent, &p.Target)
	if set == nil || len(set.pods) < 2 || p.Reused > 0 || named(p) < p.OK {
		return look{}, false
	}
	l := look{agent: agent, target: &p.Target, set: set, peers: p.Peers, lost: lost(p),
		clean: p.Failed() == p.Excused()}
	for pod, n := range p.Peers {
		if _, ok := set.index[pod]; ok {
			l.answered += n
		}
	}
	return l, true
}

// named is how many answers were counted by the name of the pod.
func named(p *report.Path) uint64 {
	var n uint64
	for _, count := range p.Peers {
		n += count
	}
	return n
}

// place names the pod, and its node where that is known.
func (f facts) place(pod string) string {
	if node := f.nodes[pod]; node != "" {
		return "pod " + pod + " on node " + node
	}
	return "pod " + pod
}

// nodesOf are the nodes of the pods, sorted, without repetition; a pod without a known node stands for its node.
func (f facts) nodesOf(pods []string) []string {
	var nodes []string
	for _, pod := range pods {
		nodes = append(nodes, cmp.Or(f.nodes[pod], pod))
	}
	return sorted(nodes)
}

// sorted are the names, each once.
func sorted(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// sets finds the backend set of a target.
type sets struct {
	// byTarget has those that hold for all agents under the agent without a name.
	byTarget map[asked]*backendSet
	// onNode has what of a set is on the one node that a target leads to.
	onNode map[onNode]*backendSet
	nodes  map[string]string
}

// asked is a target, and an agent that asks there.
type asked struct{ agent, target string }

type onNode struct {
	set  *backendSet
	node string
}

// backendSet is who ought to answer on some targets.
type backendSet struct {
	// pods are those that were not changed meanwhile, sorted; index says where in them a pod is.
	pods  []string
	index map[string]int
	// may are all that may answer, with those that were changed.
	may map[string]bool
	// uneven is why not all clients are led to all pods alike; empty where nothing says so.
	uneven string
	// key is the same for all sets of the same pods.
	key string
}

func newSet(pods []string, may map[string]bool, uneven string) *backendSet {
	set := &backendSet{pods: pods, index: map[string]int{}, may: may, uneven: uneven, key: strings.Join(pods, "/")}
	for i, pod := range pods {
		set.index[pod] = i
	}
	return set
}

func setsOf(groups []report.BackendSet, changed map[string]bool, nodes map[string]string) sets {
	s := sets{byTarget: map[asked]*backendSet{}, onNode: map[onNode]*backendSet{}, nodes: nodes}
	for _, group := range groups {
		may := map[string]bool{}
		var pods []string
		for _, pod := range group.Pods {
			may[pod] = true
			if !changed[pod] {
				pods = append(pods, pod)
			}
		}
		for _, pod := range group.MayAlsoAnswer {
			may[pod] = true
		}
		slices.Sort(pods)
		set := newSet(slices.Compact(pods), may, group.UnevenWhy)
		sources := group.Askers
		if len(sources) == 0 {
			sources = []string{""}
		}
		for _, agent := range sources {
			for _, id := range group.Targets {
				s.byTarget[asked{agent, id}] = set
			}
		}
	}
	return s
}

// of is who ought to answer the agent on the target, nil where that is not known.
func (s sets) of(agent string, t *target.Target) *backendSet {
	if t.MayAnswer() != target.Backends {
		return nil
	}
	set := s.byTarget[asked{agent, t.ID}]
	if set == nil {
		set = s.byTarget[asked{"", t.ID}]
	}
	if set == nil || t.OnlyNode == "" {
		return set
	}
	key := onNode{set, t.OnlyNode}
	if s.onNode[key] == nil {
		elsewhere := func(pod string) bool { return s.nodes[pod] != "" && s.nodes[pod] != t.OnlyNode }
		s.onNode[key] = newSet(slices.DeleteFunc(slices.Clone(set.pods), elsewhere), set.may, set.uneven)
	}
	return s.onNode[key]
}

// mostNamed is how many things one sentence names.
const mostNamed = 3

// several names the first few.
func several(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}
