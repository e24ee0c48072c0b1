// Package score says how good diagnoses were.
package score

import (
	"math"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/internal/infer"
)

// bins is by how many parts of the range of confidence calibration is measured.
const bins = 10

// Tally adds up trials. Its zero value is none.
type Tally struct {
	// Trials is how many there were, and Broken in how many something was broken.
	Trials, Broken int
	// Injected faults, those of them that were found, and reported faults that were none. A further report of a fault
	// that was found already is neither.
	Injected, Hits, False int
	// First is in how many trials with faults the first report was right.
	First int
	// Grouped is the sum of the sizes of the hits' groups; a component without others is a group of one.
	Grouped int
	// Aspects is how many hits were of faults with a known aspect, AspectsRight how many of them said the right one.
	Aspects, AspectsRight int
	// Confident, Sum and Right are, for each part of the range of confidence: how many reports, the sum of their
	// confidences, how many were right.
	Confident, Right [bins]int
	Sum              [bins]float64
	// Kinds has for each kind of fault how often it was there and was missed, Wrong for each part how often it was
	// named falsely.
	Kinds map[string]Kind
	Wrong map[string]int
}

// Kind is what became of faults of one kind.
type Kind struct{ Injected, Missed int }

// Outcome is what a diagnosis was worth in one trial.
type Outcome struct {
	// Hit says for each injected fault whether it was found or known before; False are the reports that were none.
	Hit   []bool
	False []infer.Fault
}

// Add judges the reports of a trial and adds them.
func (t *Tally) Add(trial *round.Trial, reports []infer.Fault) Outcome {
	t.Trials++
	o := Outcome{Hit: make([]bool, len(trial.Faults))}
	if t.Kinds == nil {
		t.Kinds, t.Wrong = map[string]Kind{}, map[string]int{}
	}
	unknown := 0
	for i, f := range trial.Faults {
		o.Hit[i] = f.Truth.Known
		if !f.Truth.Known {
			unknown++
		}
	}
	if unknown > 0 {
		t.Broken++
	}
	for rank, f := range reports {
		hit, again := match(f, trial.Faults, o.Hit)
		switch {
		case hit >= 0:
			o.Hit[hit] = true
			t.hit(f, trial.Faults[hit].Truth)
		case !again:
			t.False++
			t.Wrong[string(f.Component.Part)]++
			o.False = append(o.False, f)
		}
		if hit >= 0 || !again {
			t.confide(f.Confidence, hit >= 0)
		}
		if rank == 0 && hit >= 0 {
			t.First++
		}
	}
	for i, f := range trial.Faults {
		if f.Truth.Known {
			continue
		}
		k := t.Kinds[f.Truth.Kind]
		k.Injected++
		t.Injected++
		if !o.Hit[i] {
			k.Missed++
		}
		t.Kinds[f.Truth.Kind] = k
	}
	return o
}

func (t *Tally) hit(f infer.Fault, truth round.Truth) {
	t.Hits++
	t.Grouped += 1 + len(f.Group)
	if truth.AspectKnown {
		t.Aspects++
		if f.Aspect == truth.Aspect {
			t.AspectsRight++
		}
	}
}

func (t *Tally) confide(confidence float64, right bool) {
	bin := min(bins-1, max(0, int(confidence*bins)))
	t.Confident[bin]++
	t.Sum[bin] += confidence
	if right {
		t.Right[bin]++
	}
}

// match returns the fault that a report found, of those that were not found before; or -1, and whether the report names
// again a fault that was.
func match(f infer.Fault, faults []round.Fault, found []bool) (hit int, again bool) {
	for _, c := range append([]infer.Component{f.Component}, f.Group...) {
		for i := range faults {
			if !found[i] && accepts(faults[i].Truth, c) {
				return i, false
			}
		}
	}
	for i := range faults {
		if found[i] && accepts(faults[i].Truth, f.Component) {
			return -1, true
		}
	}
	return -1, false
}

func accepts(t round.Truth, c infer.Component) bool {
	for _, right := range t.Accept {
		if Same(right, c) {
			return true
		}
	}
	return false
}

// Same reports whether two components are the same: pairs in either order, DNS servers by name, parts of the whole
// cluster by the part, all others by their node.
func Same(a, b infer.Component) bool {
	if a.Part != b.Part {
		return false
	}
	switch a.Part {
	case infer.PolicyPair, infer.PodPair, infer.NodePair, infer.ZonePair, infer.ZonePodPair:
		return a.Node == b.Node && a.Peer == b.Peer || a.Node == b.Peer && a.Peer == b.Node
	case infer.DNSServer:
		return a.Service == b.Service
	case infer.Service, infer.LoadBalancer, infer.Ingress, infer.DNSService, infer.APIServer, infer.SecondNetwork:
		return true
	default:
		return a.Node == b.Node
	}
}

// share divides counts; of nothing it is one.
func share(part, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(part) / float64(of)
}

// Precision is the share of reports that were right, 0 to 1; without reports 1.
func (t *Tally) Precision() float64 { return share(t.Hits, t.Hits+t.False) }

// Recall is the share of faults that were found, 0 to 1; without faults 1.
func (t *Tally) Recall() float64 { return share(t.Hits, t.Injected) }

// F1 is the harmonic mean of precision and recall, 0 to 1.
func (t *Tally) F1() float64 { return share(2*t.Hits, t.Hits+t.False+t.Injected) }

// FirstHit is the share of trials with faults in which the first report was right, 0 to 1.
func (t *Tally) FirstHit() float64 { return share(t.First, t.Broken) }

// GroupSize is the mean size of the hits' groups, at least 1; without hits 0.
func (t *Tally) GroupSize() float64 {
	if t.Hits == 0 {
		return 0
	}
	return float64(t.Grouped) / float64(t.Hits)
}

// AspectRight is the share of hits that said which traffic is affected, 0 to 1, of those where that is known.
func (t *Tally) AspectRight() float64 { return share(t.AspectsRight, t.Aspects) }

// CalibrationError is how far confidence is from the share of right reports, 0 to 1: the mean over ten bins of
// confidence, weighted by their reports.
func (t *Tally) CalibrationError() float64 {
	all, sum := 0, 0.0
	for i, n := range t.Confident {
		all += n
		sum += math.Abs(t.Sum[i] - float64(t.Right[i]))
	}
	if all == 0 {
		return 0
	}
	return sum / float64(all)
}
