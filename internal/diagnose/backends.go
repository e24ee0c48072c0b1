package diagnose

import (
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// backendsOf returns how many backends the Service of the fault has, the nodes of backends that answered nobody among
// the askers whose requests failed, and whether each of these askers missed its own backend alone.
func (l locator) backendsOf(f infer.Fault) (backends int, silent []string, own bool) {
	answered, expected := map[string]bool{}, map[string]bool{}
	own = true
	by := map[string]*metBackends{}
	for _, i := range f.Observations() {
		o := &l.seen[i]
		if len(o.Backends) == 0 || o.Answered == 0 {
			own = false
			continue
		}
		asker := by[entered(o)]
		if asker == nil {
			asker = &metBackends{met: map[string]bool{}}
			by[entered(o)] = asker
		}
		asker.all = o.Backends
		for peer, n := range o.Peers {
			if node := l.cluster.Nodes[peer]; n > 0 {
				asker.met[node], answered[node] = true, true
			}
		}
		for _, node := range o.Backends {
			expected[node] = true
		}
	}
	for at, asker := range by {
		missing := asker.missing()
		own = own && len(missing) == 1 && missing[0] == at
	}
	for node := range expected {
		if !answered[node] {
			silent = append(silent, node)
		}
	}
	slices.Sort(silent)
	return len(expected), silent, own && len(by) > 0
}

// entered is the node at which a request meets the rules that choose a backend.
func entered(o *ladder.Observation) string {
	if o.At != "" {
		return o.At
	}
	return o.From
}

// metBackends are the nodes of a Service's backends, and those from which answers came.
type metBackends struct {
	all []string
	met map[string]bool
}

// missing are the nodes of backends from which no answer came.
func (m *metBackends) missing() []string {
	return slices.DeleteFunc(slices.Clone(m.all), func(node string) bool { return m.met[node] })
}
