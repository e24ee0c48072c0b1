package diagnose

import (
	"maps"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

// overBackground is by how much a loss must exceed the background loss to be claimed; internal/infer claims no less.
const overBackground = 20

// smallest returns, for each rung, the smallest loss at one node that these observations show where a share of probes
// is lost anyway.
func smallest(seen []ladder.Observation, background float64) []report.LossBound {
	type place struct {
		rung ladder.Rung
		node string
	}
	through := map[place]uint64{}
	nodes := map[string]bool{}
	for i := range seen {
		o := &seen[i]
		if o.FollowUp {
			// A node with a few probes of a kind on suspicion is better seen than one without, not worse.
			continue
		}
		nodes[o.From] = true
		through[place{o.Rung, o.From}] += o.Sent
		if o.To != "" && o.To != o.From {
			through[place{o.Rung, o.To}] += o.Sent
		}
	}
	fewest := map[ladder.Rung]uint64{}
	for at, n := range through {
		if least, ok := fewest[at.rung]; !ok || n < least {
			fewest[at.rung] = n
		}
	}
	bounds := make([]report.LossBound, 0, len(fewest))
	for _, rung := range slices.Sorted(maps.Keys(fewest)) {
		loss := max(infer.SmallestLoss(fewest[rung], len(nodes)), overBackground*background)
		bounds = append(bounds, report.LossBound{Rung: rung, Probes: fewest[rung], Loss: math.Round(loss*1e4) / 1e4})
	}
	return bounds
}

// summary returns what the ladder cost and saw.
func summary(climbed []ladder.Observation, cluster Cluster) *report.Ladder {
	s := &report.Ladder{Hosts: cluster.Hosts}
	type sender struct {
		node string
		host bool
	}
	senders := map[sender]bool{}
	for _, o := range climbed {
		senders[sender{o.From, fromHost(o.Rung)}] = true
		s.Sent += o.Sent
		s.Failed += o.Failed()
		switch {
		case o.Failed() == 0:
		case len(s.Failing) < report.MaxFailing:
			s.Failing = append(s.Failing, o)
		default:
			s.MoreFailing++
		}
	}
	s.Senders = len(senders)
	return s
}

func fromHost(r ladder.Rung) bool {
	return r == ladder.HostToOwnPod || r == ladder.HostToHost || r == ladder.HostToPod || r == ladder.HostClusterIP
}
