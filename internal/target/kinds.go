package target

// The kinds of targets. A new one has a row in the table below, and a line with its builder in internal/mesh.
const (
	Endpoint        Kind = "Endpoint"
	SecondInterface Kind = "MultusInterface"
	ClusterIP       Kind = "ClusterIP"
	NodePort        Kind = "NodePort"
	LoadBalancer    Kind = "LoadBalancer"
	Ingress         Kind = "Ingress"
)

// Traits has all differences between kinds of targets, except for the builders, which internal/mesh has.
type Traits struct {
	Kind Kind
	// Field is the field of spec.target that asks for the kind; Default reports that a task asks for it without saying
	// so.
	Field   string
	Default bool
	// Place is the kind's place among the details of a KdoctorReport, from 0 on. Tools that read the format rely on the
	// order.
	Place int
	// Title is the kind's name for people.
	Title string
	// Direct reports that a target is one pod's own address: nothing chooses who answers.
	Direct bool
	// Proxied reports that something on the path ends connections itself and speaks for the agents behind it.
	Proxied bool
	// AnyFamily reports that agents of any family may be behind an address: the proxy that ends the connection opens
	// one of its own.
	AnyFamily bool
	// Component is what leads to the agents, Chooser what selects one of them, in words for people.
	Component, Chooser string
}

// known is the number of kinds.
const known = 6

// table has the kinds in the order in which plans and reports have them. Names in APIs and reports never change.
func table() [known]Traits {
	const service, chooser = "Service path", "the Service's endpoints and at kube-proxy"
	return [...]Traits{
		{Kind: Endpoint, Field: "endpoint", Default: true, Place: 2, Title: "Pod IP", Direct: true},
		{Kind: SecondInterface, Field: "multusInterface", Place: 3, Title: "2nd interface", Direct: true},
		{Kind: ClusterIP, Field: "clusterIP", Default: true, Place: 4, Title: "ClusterIP", Component: service,
			Chooser: chooser},
		{Kind: NodePort, Field: "nodePort", Default: true, Place: 1, Title: "NodePort", Component: service,
			Chooser: chooser},
		{Kind: LoadBalancer, Field: "loadBalancer", Place: 0, Title: "LoadBalancer", Proxied: true,
			Component: "load balancer path", Chooser: "the load balancer's list of backends"},
		{Kind: Ingress, Field: "ingress", Place: 5, Title: "Ingress", Proxied: true, AnyFamily: true,
			Component: "Ingress path", Chooser: "the Ingress controller's list of backends"},
	}
}

// Kinds returns the table of target kinds, in the order in which plans and reports have them.
func Kinds() []Traits {
	rows := table()
	return rows[:]
}

// Traits returns the kind's row. The row of a kind that this release does not have contains the name alone.
func (k Kind) Traits() Traits {
	for _, row := range table() {
		if row.Kind == k {
			return row
		}
	}
	return Traits{Kind: k, Place: known, Title: string(k)}
}
