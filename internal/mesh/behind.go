package mesh

import (
	"net"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// behind finds who stands behind targets. Every set is made once, however many targets have it.
type behind struct {
	snapshot topology.Snapshot
	services map[string]int
	sets     map[choice]*backendSet
}

// choice is what a backend set depends on.
type choice struct {
	// service is the Service's place in the snapshot, -1 for an Ingress.
	service  int
	family   topology.Family
	onlyNode string
	nodePort bool
}

// backendSet is who ought to answer and who may answer as well. The key is that of no other set.
type backendSet struct {
	pods, also  []string
	uneven, key string
}

func newBehind(snapshot topology.Snapshot) behind {
	b := behind{snapshot: snapshot, services: map[string]int{}, sets: map[choice]*backendSet{}}
	// Of several Services with one address the first counts: there is a gap that tells of the others.
	note := func(key string, i int) {
		if _, known := b.services[key]; !known {
			b.services[key] = i
		}
	}
	for i, s := range snapshot.Services {
		for _, a := range s.ClusterIPs {
			note(string(target.ClusterIP)+target.HostPort(a, s.Port), i)
		}
		for _, e := range s.Ingress {
			host := e.Hostname
			if host == "" {
				host = e.Address.String()
			}
			note(string(target.LoadBalancer)+net.JoinHostPort(host, target.Port(s.Port)), i)
		}
		// No target has port 0.
		note(string(target.NodePort)+target.Port(s.NodePort), i)
	}
	return b
}

// of returns who stands behind the target.
func (b behind) of(t target.Target) *backendSet {
	c := choice{service: b.service(t), family: t.Family, onlyNode: t.OnlyNode, nodePort: t.Kind == target.NodePort}
	if t.Kind.Traits().AnyFamily {
		c.family = ""
	}
	if b.sets[c] == nil {
		b.sets[c] = b.choose(c)
	}
	return b.sets[c]
}

// service is the place of the target's Service in the snapshot, -1 where it has none.
func (b behind) service(t target.Target) int {
	host := strings.TrimPrefix(t.Address, "http://")
	if t.Kind == target.NodePort {
		host = host[strings.LastIndex(host, ":")+1:]
	}
	if i, ok := b.services[string(t.Kind)+host]; ok {
		return i
	}
	return -1
}

// choose returns the pods that the choice leads to: all agents that are ready and that the Service selects, or those of
// the one node. An agent without an address of the family is no backend over that family.
//
// Others may answer as well: agents that are not ready, where the Service leads to them all the same, and on a node
// port with the external traffic policy Local those of other nodes, because the node may treat pods like clients of the
// policy Cluster.
func (b behind) choose(c choice) *backendSet {
	var set backendSet
	service := b.all()
	if c.service >= 0 {
		service = b.snapshot.Services[c.service]
	}
	set.uneven = service.Uneven
	for _, agent := range b.snapshot.Agents {
		if !leads(service, c.family, agent) {
			continue
		}
		elsewhere := c.onlyNode != "" && agent.Node != c.onlyNode
		switch {
		case agent.Ready() && !elsewhere:
			set.pods = append(set.pods, agent.Pod)
		case (agent.Ready() || service.NotReadyToo) && (!elsewhere || c.nodePort):
			set.also = append(set.also, agent.Pod)
		}
	}
	slices.Sort(set.pods)
	slices.Sort(set.also)
	// No name of a pod has a slash or a line break in it.
	set.key = strings.Join([]string{strings.Join(set.pods, "/"), strings.Join(set.also, "/"), set.uneven}, "\n")
	return &set
}

// leads reports whether the Service leads to the agent's pod over the family, or over any where it is empty, wherever
// the pod runs.
func leads(service topology.Service, family topology.Family, agent topology.Agent) bool {
	if family == "" {
		return service.Selects(agent, topology.IPv4) || service.Selects(agent, topology.IPv6)
	}
	return service.Selects(agent, family)
}

// all stands for the Services that an Ingress may lead to: a pod that one of them selects may answer, and what is said
// of one of them may hold for the Ingress.
func (b behind) all() topology.Service {
	var all topology.Service
	for i, s := range b.snapshot.Services {
		all.NotReadyToo = all.NotReadyToo || s.NotReadyToo
		if all.Uneven == "" {
			all.Uneven = s.Uneven
		}
		if i == 0 {
			all.Unselected = s.Unselected
		}
		all.Unselected = slices.DeleteFunc(slices.Clone(all.Unselected),
			func(pod string) bool { return !slices.Contains(s.Unselected, pod) })
	}
	return all
}
