package mesh

import (
	"net"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// backendFinder finds the backends of targets. It derives every set once, however many targets have it.
type backendFinder struct {
	snapshot topology.Snapshot
	services map[string]int
	sets     map[selection]*backendSet
}

// selection is all that a backend set depends on.
type selection struct {
	// service is the index of the Service in the snapshot, -1 for an Ingress.
	service  int
	family   topology.Family
	onlyNode string
	nodePort bool
}

// backendSet has the pods that ought to answer, and the pods that may answer as well.
type backendSet struct {
	pods, also []string
	// uneven is why not all clients are led to all backends alike; see topology.Service.
	uneven string
	// key differs from the key of every other set.
	key string
}

func newBackendFinder(snapshot topology.Snapshot) backendFinder {
	b := backendFinder{snapshot: snapshot, services: map[string]int{}, sets: map[selection]*backendSet{}}
	// Of several Services with one address the first counts; a gap names the others.
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

// backendsOf returns the backends of the target.
func (b backendFinder) backendsOf(t target.Target) *backendSet {
	c := selection{service: b.service(t), family: t.Family, onlyNode: t.OnlyNode, nodePort: t.Kind == target.NodePort}
	if t.Kind.Traits().AnyFamily {
		c.family = ""
	}
	if b.sets[c] == nil {
		b.sets[c] = b.selectPods(c)
	}
	return b.sets[c]
}

// service returns the index of the target's Service in the snapshot, -1 when it has none.
func (b backendFinder) service(t target.Target) int {
	host := strings.TrimPrefix(t.Address, "http://")
	if t.Kind == target.NodePort {
		host = host[strings.LastIndex(host, ":")+1:]
	}
	if i, ok := b.services[string(t.Kind)+host]; ok {
		return i
	}
	return -1
}

// selectPods returns the pods to which the selection leads: all agents that are ready and that the Service selects, or
// only those of the one node. An agent without an address of the family is no backend over that family.
//
// Two kinds of other pods may answer as well: agents that are not ready, when the Service leads to these too, and
// agents of other nodes on a node port with the external traffic policy Local, because the node may treat pods like
// clients of the policy Cluster.
func (b backendFinder) selectPods(c selection) *backendSet {
	var set backendSet
	service := b.anyService()
	if c.service >= 0 {
		service = b.snapshot.Services[c.service]
	}
	set.uneven = service.Uneven
	for _, agent := range b.snapshot.Agents {
		if !selects(service, c.family, agent) {
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

// selects reports whether the Service leads to the agent's pod over the family, or over any family when family is
// empty. The node of the pod does not matter.
func selects(service topology.Service, family topology.Family, agent topology.Agent) bool {
	if family == "" {
		return service.Selects(agent, topology.IPv4) || service.Selects(agent, topology.IPv6)
	}
	return service.Selects(agent, family)
}

// anyService stands for all Services to which an Ingress may lead: a pod that one of them selects may answer, and a
// trait of one of them may be a trait of the Ingress.
func (b backendFinder) anyService() topology.Service {
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
