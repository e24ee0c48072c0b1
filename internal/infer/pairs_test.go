package infer_test

import (
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// meet returns how many of n requests through a Service of four backends fail that are led to each in turn, where the
// way to a backend loses the share.
func meet(n uint64, lost func(backend string) float64) uint64 {
	var sum float64
	for _, backend := range []string{"n0", "n1", "n2", "n3"} {
		sum += float64(n) / 4 * lost(backend)
	}
	return uint64(sum)
}

// Of two faults the larger one makes failures through Services likely anyway; the smaller one shows as those beyond.
func TestAFaultOfAServiceBesideAFaultOfANode(t *testing.T) {
	for _, c := range []struct {
		name string
		// silent is a node whose agent reports nothing.
		silent string
		is     broken
		want   []infer.Component
	}{
		{"a node port that masquerades nothing, and a dead node", "n1",
			func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
				if o.To == "n1" || o.At == "n1" {
					return n, ladder.NoAnswer
				}
				if o.Service != ladder.Agents || len(o.Backends) == 0 {
					return 0, ""
				}
				return meet(n, func(backend string) float64 {
					if backend == "n1" || o.At == "n2" && o.From != "n2" && backend != "n2" {
						return 1
					}
					return 0
				}), ladder.NoAnswer
			}, []infer.Component{{Part: infer.NodeNetwork, Node: "n1"}, {Part: infer.NodePort, Node: "n2"}}},
		{"a pod that does not reach itself through the Service, and a node that loses a fifth of its packets", "",
			func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
				lossy := func(a, b string) float64 {
					if a == b || a != "n2" && b != "n2" {
						return 0
					}
					return 0.2
				}
				if o.Service != ladder.Agents || len(o.Backends) == 0 {
					if o.To == "" {
						return 0, ""
					}
					return uint64(float64(n)*lossy(o.From, o.To) + 0.5), ladder.NoAnswer
				}
				return meet(n, func(backend string) float64 {
					if o.Rung != ladder.HostClusterIP && o.From == "n3" && backend == "n3" {
						return 1
					}
					if o.At != "" {
						return 1 - (1-lossy(o.From, o.At))*(1-lossy(o.At, backend))
					}
					return lossy(o.From, backend)
				}), ladder.NoAnswer
			}, []infer.Component{{Part: infer.NodeNetwork, Node: "n2"}, {Part: infer.KubeProxy, Node: "n3"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := cluster(4, true)
			in := counted(seen(s, c.is), s, 80, c.is)
			in.Observations = slices.DeleteFunc(in.Observations,
				func(o ladder.Observation) bool { return o.From == c.silent })
			var got []infer.Component
			for _, f := range infer.Find(in) {
				got = append(got, f.Component)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
		})
	}
}
