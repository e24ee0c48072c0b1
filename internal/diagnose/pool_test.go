package diagnose

import (
	"math"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/target"
)

// tallied4 is what an agent saw of four pods.
func tallied4(met ...uint64) *podCounts {
	t := &podCounts{answers: met}
	for _, n := range met {
		t.n += n
	}
	return t
}

func TestAgentsThatMissMostPods(t *testing.T) {
	for name, c := range map[string]struct {
		agents map[string]*podCounts
		want   []string
	}{
		"all meet all": {map[string]*podCounts{"a": tallied4(9, 9, 9, 9), "b": tallied4(9, 9, 9, 9)},
			[]string{"a", "b"}},
		"one met nobody": {map[string]*podCounts{"a": tallied4(0, 0, 0, 0), "b": tallied4(9, 9, 9, 9)},
			[]string{"b"}},
		"one answer is an answer": {map[string]*podCounts{"a": tallied4(1, 0, 0, 0), "b": tallied4(9, 9, 9, 9)},
			[]string{"a", "b"}},
		"one misses half": {map[string]*podCounts{"a": tallied4(50, 50, 0, 0), "b": tallied4(9, 9, 9, 9)},
			[]string{"a", "b"}},
		"one misses most, by too few": {map[string]*podCounts{"a": tallied4(33, 0, 0, 0), "b": tallied4(9, 9, 9, 9)},
			[]string{"a", "b"}},
		"one misses most": {map[string]*podCounts{"a": tallied4(34, 0, 0, 0), "b": tallied4(9, 9, 9, 9)},
			[]string{"b"}},
		"all miss most": {map[string]*podCounts{"a": tallied4(34, 0, 0, 0), "b": tallied4(0, 34, 0, 0)},
			[]string{"a", "b"}},
		"all miss most but for nothing": {map[string]*podCounts{"a": tallied4(34, 0, 0, 0), "b": tallied4(0, 0, 0, 0)},
			[]string{"a"}},
	} {
		if got := (&pool{agents: c.agents}).fairAgents(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestSurprise(t *testing.T) {
	p := &pool{set: newSet([]string{"p", "q", "r", "s"}, nil, ""),
		agents: map[string]*podCounts{"a": tallied4(1, 0, 0, 0), "b": tallied4(20, 0, 0, 0)}}
	q := func(n float64) float64 { return math.Pow(0.75, n) }
	for name, c := range map[string]struct {
		silentInPool
		want float64
	}{
		"silent to all": {silentInPool{judgedBy: []string{"a", "b"}, silentTo: []string{"a", "b"}},
			21 * math.Log(0.75)},
		"silent to one": {silentInPool{judgedBy: []string{"b", "b"}, silentTo: []string{"b"}}, logTail(2, 0.5, q(20))},
		"silent to one, of whom it would not surprise": {silentInPool{judgedBy: []string{"a", "b"},
			silentTo: []string{"a"}},
			logTail(2, 0.5, (q(1)+q(20))/2)},
		"silent to none": {silentInPool{judgedBy: []string{"a", "b"}}, 0},
	} {
		if got := p.logChance(c.silentInPool); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestTurns(t *testing.T) {
	port := func(met ...uint64) *cell {
		return &cell{pathKind: pathKind{kind: target.NodePort}, targets: map[string]*podCounts{"x": tallied4(met...)}}
	}
	own := &cell{pathKind: pathKind{kind: target.ClusterIP}, targets: map[string]*podCounts{"x": tallied4(0, 90, 90,
		90)}}
	for name, c := range map[string]struct {
		cells []*cell
		want  bool
	}{
		"all it may have":                        {[]*cell{port(10, 10, 10, 10)}, true},
		"three quarters":                         {[]*cell{port(6, 9, 9, 8)}, true},
		"less than three quarters":               {[]*cell{port(5, 9, 9, 9)}, false},
		"one turn, and one had":                  {[]*cell{port(1, 1, 1, 1)}, true},
		"no turn for anyone":                     {[]*cell{port(1, 1, 1, 0)}, false},
		"clients' own nodes do not count":        {[]*cell{own, port(6, 9, 9, 8)}, true},
		"clients' own nodes alone give no turns": {[]*cell{own}, false},
		"one way makes up for the other":         {[]*cell{port(4, 9, 9, 10), port(9, 9, 9, 9)}, true},
	} {
		if got := (&pool{cells: c.cells}).getsTurns(0); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestByChance(t *testing.T) {
	agent := func(n uint64, seen, chance float64, turns uint64) *podCounts {
		return &podCounts{n: n, distinct: seen, expectedDistinct: chance, turns: turns}
	}
	for name, c := range map[string]struct {
		agents []*podCounts
		turns  bool
		want   bool
	}{
		"a pod without turns":                     {[]*podCounts{agent(10, 1, 4, 0)}, false, true},
		"agents that always meet the same pods":   {[]*podCounts{agent(10, 2, 4, 0)}, true, false},
		"agents that meet just enough pods":       {[]*podCounts{agent(10, 3, 4, 0)}, true, true},
		"agents that meet each pod once":          {[]*podCounts{agent(10, 10, 8, 0)}, true, false},
		"agents that meet pods again, hardly":     {[]*podCounts{agent(10, 9.5, 8, 0)}, true, true},
		"agents whose node deals to all":          {[]*podCounts{agent(10, 1, 4, 4)}, true, true},
		"agents whose node deals to all but one":  {[]*podCounts{agent(10, 1, 4, 3)}, true, false},
		"agents of whom one's node deals to all":  {[]*podCounts{agent(10, 1, 4, 3), agent(10, 1, 4, 4)}, true, false},
		"agents together meet just enough pods":   {[]*podCounts{agent(10, 2, 4, 0), agent(10, 4, 4, 0)}, true, true},
		"agents together meet each pod once":      {[]*podCounts{agent(10, 10, 8, 0), agent(10, 10, 8, 0)}, true, false},
		"agents together meet pods again, hardly": {[]*podCounts{agent(10, 10, 8, 0), agent(10, 9, 8, 0)}, true, true},
	} {
		p := &pool{set: newSet([]string{"p", "q", "r", "s"}, nil, ""), agents: map[string]*podCounts{}}
		u := silentInPool{getsTurns: c.turns}
		for i, a := range c.agents {
			agent := string(rune('a' + i))
			p.agents[agent], u.silentTo = a, append(u.silentTo, agent)
		}
		if got := p.notDealt(u); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
