package topology

// The kinds of workload that can run agents.
const (
	DaemonSet  = "DaemonSet"
	Deployment = "Deployment"
)

// Workload names what runs the agents of a task, and what stands in front of them. All objects are in the
// installation's namespace.
type Workload struct {
	// Kind is DaemonSet or Deployment, Name the workload's name.
	Kind, Name string
	// Services are the names of the agents' Services, one for each IP family, ending in -ipv4 and -ipv6; it may be
	// empty.
	Services []string
	// Ingress is the name of the agents' Ingress, empty when there is none. It is made when a task asks for it.
	Ingress string
	// NoLoadBalancer and NoIngress are why there is none, as one clause; empty where there may be one.
	NoLoadBalancer, NoIngress string
}
