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
	sets setIndex
	// podPaths are the paths to pods' own addresses, by the asking pod and the pod that ought to answer.
	podPaths map[pair][]*report.Path
	// changed are the pods that were deleted or restarted during the round. Their silence, and what they report of
	// others' silence, proves nothing.
	changed map[string]bool
	// views are the views of unchanged agents on targets with several backends, sorted by agent, then target.
	views []view
	// cells are the views, added up. routings are where whole Services lead. silent are pods that never answer others.
	cells    []*cell
	routings []routing
	silent   []silentPod
}

// pair is the asking pod and the pod that ought to answer.
type pair struct{ from, to string }

func gather(round report.Round) facts {
	f := facts{round: round, nodes: map[string]string{}, podPaths: map[pair][]*report.Path{},
		changed: map[string]bool{}}
	for _, c := range round.Churn {
		f.changed[c.Pod] = true
	}
	for _, e := range round.Expected {
		f.nodes[e.Pod] = e.Node
	}
	for _, a := range round.Agents {
		f.nodes[a.Pod] = a.Node
	}
	f.sets = newSetIndex(round.Backends, f.changed, f.nodes)
	for _, a := range round.Agents {
		for i := range a.Paths {
			p := &a.Paths[i]
			if p.Target.Kind == target.Endpoint {
				ends := pair{a.Pod, p.Target.Pod}
				f.podPaths[ends] = append(f.podPaths[ends], p)
			}
			if v, ok := f.viewOf(a.Pod, p); ok && !f.changed[a.Pod] {
				f.views = append(f.views, v)
			}
		}
	}
	slices.SortFunc(f.views, func(a, b view) int {
		return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.target.ID, b.target.ID))
	})
	f.addUp()
	return f
}

// addUp recomputes what depends on the views.
func (f *facts) addUp() {
	f.cells = cellsOf(f.views)
	f.routings = f.findRoutings()
	f.silent = f.silentPods()
}

// unexplained returns the facts without the views that a located fault explains.
func (f facts) unexplained() facts {
	f.views = slices.DeleteFunc(slices.Clone(f.views), f.explainedAtItsEnd)
	f.addUp()
	return f
}

// viewOf returns what the agent's path shows of the backends. ok is false if the path shows nothing. Answers without a
// name would make a pod look silent that is not; attempts over existing connections select no backend. A path with
// either shows nothing.
func (f facts) viewOf(agent string, p *report.Path) (view, bool) {
	set := f.sets.find(agent, &p.Target)
	if set == nil || len(set.pods) < 2 || p.Reused > 0 || namedAnswers(p) < p.OK {
		return view{}, false
	}
	v := view{agent: agent, target: &p.Target, set: set, peers: p.Peers, lost: lost(p),
		clean: p.Failed() == p.Excused()}
	for pod, n := range p.Peers {
		if _, ok := set.index[pod]; ok {
			v.answered += n
		}
	}
	return v, true
}

// namedAnswers returns how many answers were counted by the name of the pod.
func namedAnswers(p *report.Path) uint64 {
	var n uint64
	for _, count := range p.Peers {
		n += count
	}
	return n
}

// podName names the pod, and its node if known.
func (f facts) podName(pod string) string {
	if node := f.nodes[pod]; node != "" {
		return "pod " + pod + " on node " + node
	}
	return "pod " + pod
}

// nodesOf returns the nodes of the pods, sorted, without repetition. A pod without a known node is named in place of
// its node.
func (f facts) nodesOf(pods []string) []string {
	var nodes []string
	for _, pod := range pods {
		nodes = append(nodes, cmp.Or(f.nodes[pod], pod))
	}
	return sorted(nodes)
}

// sorted returns the names sorted, each once.
func sorted(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// setIndex finds the backend set of a target.
type setIndex struct {
	// byTarget has the sets by agent and target. Sets that hold for all agents are under the empty name.
	byTarget map[askedTarget]*backendSet
	// onNode has the part of a set that is on the one node that a target leads to.
	onNode map[onNode]*backendSet
	nodes  map[string]string
}

// askedTarget is a target, and an agent that asks there.
type askedTarget struct{ agent, target string }

type onNode struct {
	set  *backendSet
	node string
}

// backendSet is the pods that ought to answer on some targets.
type backendSet struct {
	// pods are the pods that were not changed during the round, sorted; index has the index of each pod in pods.
	pods  []string
	index map[string]int
	// mayAnswer are all pods that may answer, changed pods included.
	mayAnswer map[string]bool
	// uneven is why clients are not led to all pods alike; empty if nothing says so.
	uneven string
	// key is the same for all sets of the same pods.
	key string
}

func newSet(pods []string, may map[string]bool, uneven string) *backendSet {
	set := &backendSet{pods: pods, index: map[string]int{}, mayAnswer: may, uneven: uneven,
		key: strings.Join(pods, "/")}
	for i, pod := range pods {
		set.index[pod] = i
	}
	return set
}

func newSetIndex(groups []report.BackendSet, changed map[string]bool, nodes map[string]string) setIndex {
	s := setIndex{byTarget: map[askedTarget]*backendSet{}, onNode: map[onNode]*backendSet{}, nodes: nodes}
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
				s.byTarget[askedTarget{agent, id}] = set
			}
		}
	}
	return s
}

// find returns the pods that ought to answer the agent on the target, nil if unknown.
func (s setIndex) find(agent string, t *target.Target) *backendSet {
	if t.MayAnswer() != target.Backends {
		return nil
	}
	set := s.byTarget[askedTarget{agent, t.ID}]
	if set == nil {
		set = s.byTarget[askedTarget{"", t.ID}]
	}
	if set == nil || t.OnlyNode == "" {
		return set
	}
	key := onNode{set, t.OnlyNode}
	if s.onNode[key] == nil {
		elsewhere := func(pod string) bool { return s.nodes[pod] != "" && s.nodes[pod] != t.OnlyNode }
		s.onNode[key] = newSet(slices.DeleteFunc(slices.Clone(set.pods), elsewhere), set.mayAnswer, set.uneven)
	}
	return s.onNode[key]
}

// mostNamed is how many things one sentence names at most.
const mostNamed = 3

// firstNames lists the first few names.
func firstNames(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}
