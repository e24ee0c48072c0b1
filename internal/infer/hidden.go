package infer

import "slices"

// withoutHidden leaves out faults of a node, or between zones, all of whose failures lie on paths to or from one other
// node, where a fault that explains more hides what else is wrong: the failures are as well of that node.
func (f *finder) withoutHidden(found []Fault) []Fault {
	return slices.DeleteFunc(slices.Clone(found), func(weak Fault) bool {
		part := weak.Component.Part
		if !carriesAll(part) || weak.Component.Node == "" || weak.Component.Peer != "" && !betweenZones(part) {
			return false
		}
		return slices.ContainsFunc(found, func(strong Fault) bool {
			node := strong.Component.Node
			return strong.Stands > weak.Stands && node != weak.Component.Node && strong.Component.Peer == "" &&
				strong.hides(Component{Part: NodeNetwork, Node: node}) && f.allTouch(weak, node)
		})
	})
}

// allTouch reports whether everything that the fault explains begins or ends at the node.
func (f *finder) allTouch(fault Fault, node string) bool {
	return node != "" && !slices.ContainsFunc(fault.observations, func(i int) bool {
		o := &f.in.Observations[i]
		return o.From != node && o.To != node
	})
}
