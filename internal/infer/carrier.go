package infer

import "kdoctor.io/kdoctor/internal/ladder"

// carried adds the node's network to a broken overlay of the node, where pods on other nodes do not reach its host
// network over one IP family either, and over the other they do. A tunnel runs over one family and carries the pods'
// traffic of both, so what is wrong with the node's address of that family breaks all of this as well.
func (f *finder) carried(fault Fault) Fault {
	const enough, nearlyAll = 4, 0.9
	if fault.Component.Part != Overlay || fault.Aspect.Family != "" || fault.Severity < nearlyAll {
		return fault
	}
	var sent, lost [families]uint64
	for _, i := range f.of[direct] {
		o := &f.in.Observations[i]
		if o.To != fault.Component.Node || o.Rung != ladder.PodToHost && o.Rung != ladder.HostToHost || f.suspect(o) {
			continue
		}
		family := int(bucketOf(o)) / (kinds * sizes)
		sent[family] += o.Sent
		lost[family] += o.Failed()
	}
	broken, well := 0, 0
	for family := 1; family < families; family++ {
		switch {
		case sent[family] < enough:
		case lost[family] == 0:
			well++
		case float64(lost[family]) >= nearlyAll*float64(sent[family]):
			broken++
		}
	}
	if broken == 1 && well == 1 {
		network := Component{Part: NodeNetwork, Node: fault.Component.Node}
		fault.Component, fault.Group = network, append([]Component{fault.Component}, fault.Group...)
	}
	return fault
}
