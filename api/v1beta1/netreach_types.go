package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NetReachTarget says over which paths the agents reach each other.
type NetReachTarget struct {
	// ipv4 probes over IPv4.
	// +optional
	// +kubebuilder:default=true
	IPv4 *bool `json:"ipv4,omitempty"`
	// ipv6 probes over IPv6.
	// +optional
	// +kubebuilder:default=false
	IPv6 *bool `json:"ipv6,omitempty"`
	// endpoint probes every agent's pod address.
	// +optional
	// +kubebuilder:default=true
	Endpoint *bool `json:"endpoint,omitempty"`
	// multusInterface probes every agent's further interfaces.
	// +optional
	// +kubebuilder:default=false
	MultusInterface *bool `json:"multusInterface,omitempty"`
	// clusterIP probes the cluster addresses of the agents' Services.
	// +optional
	// +kubebuilder:default=true
	ClusterIP *bool `json:"clusterIP,omitempty"`
	// nodePort probes the node ports of the agents' Services.
	// +optional
	// +kubebuilder:default=true
	NodePort *bool `json:"nodePort,omitempty"`
	// nodePortNodes is on which nodes node ports are probed, from each agent: All is every node of the cluster,
	// Local is the agent's own node; nodePortAddresses says by which addresses.
	// +optional
	// +kubebuilder:default=All
	// +kubebuilder:validation:MaxLength=256
	NodePortNodes NodePortNodes `json:"nodePortNodes,omitempty"`
	// nodePortAddresses is by which addresses of a node its node ports are probed: Primary, which is also what no value
	// means, is the first InternalIP of the family, or the node's first address of the family where it has no
	// InternalIP; Internal is every InternalIP; All is every InternalIP and ExternalIP. kube-proxy with nftables
	// answers on primary addresses alone, unless it is told otherwise, and an ExternalIP may be behind a firewall.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	NodePortAddresses NodePortAddresses `json:"nodePortAddresses,omitempty"`
	// mesh is which pairs of nodes a round probes. Full is every pair in every round. Rotate is a part of the pairs in
	// each round, so that consecutive rounds together probe every pair. Auto, which is also what no value means, is
	// Full for as many nodes as the limits of requests allow within durationInSecond, and Rotate beyond. Up to 50 nodes
	// are always probed in full. The report says what a round covers.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Mesh Mesh `json:"mesh,omitempty"`
	// loadBalancer probes the load balancer addresses of the agents' Services.
	// +optional
	// +kubebuilder:default=false
	LoadBalancer *bool `json:"loadBalancer,omitempty"`
	// ingress probes the agents' Ingress.
	// +optional
	// +kubebuilder:default=false
	Ingress *bool `json:"ingress,omitempty"`
	// enableLatencyMetric is accepted for compatibility and changes nothing: latencies are always recorded.
	// +optional
	// +kubebuilder:default=false
	EnableLatencyMetric bool `json:"enableLatencyMetric,omitempty"`
}

// NodePortNodes is on which nodes node ports are probed.
type NodePortNodes string

// The choices of nodes.
const (
	// AllNodes are all nodes of the cluster.
	AllNodes NodePortNodes = "All"
	// LocalNode is the node of the agent that sends the requests.
	LocalNode NodePortNodes = "Local"
)

// NodePortAddresses is by which addresses of a node its node ports are probed.
type NodePortAddresses string

// The choices of addresses.
const (
	// PrimaryAddress is the node's primary address of the family.
	PrimaryAddress NodePortAddresses = "Primary"
	// InternalAddresses are all addresses of the type InternalIP.
	InternalAddresses NodePortAddresses = "Internal"
	// AllAddresses are those of the types InternalIP and ExternalIP.
	AllAddresses NodePortAddresses = "All"
)

// Mesh is which pairs of nodes a round probes.
type Mesh string

// The choices of pairs.
const (
	// MeshAuto is every pair where that is within the limits, and a part of them in each round otherwise.
	MeshAuto Mesh = "Auto"
	// MeshFull is every pair in every round.
	MeshFull Mesh = "Full"
	// MeshRotate is a part of the pairs in each round.
	MeshRotate Mesh = "Rotate"
)

// NetReachSpec is one full-mesh test of the cluster's data plane. Every part of it may be left out.
type NetReachSpec struct {
	// agentSpec asks for agents of the task's own; without it the default agents do the work.
	// +optional
	AgentSpec *AgentSpec `json:"agentSpec,omitempty"`
	// suspend keeps further rounds from starting; the one that is running goes on to its end.
	// +optional
	// +kubebuilder:default=false
	Suspend bool `json:"suspend,omitempty"`
	// schedule says when rounds start.
	// +optional
	// +kubebuilder:default={}
	Schedule *Schedule `json:"schedule,omitempty"`
	// request is the load.
	// +optional
	// +kubebuilder:default={}
	Request *HTTPRequest `json:"request,omitempty"`
	// expect is what makes a round succeed.
	// +optional
	// +kubebuilder:default={}
	Expect *Expect `json:"expect,omitempty"`
	// target says which paths are probed.
	// +optional
	// +kubebuilder:default={}
	Target *NetReachTarget `json:"target,omitempty"`
	// diagnosis says how a round looks for the component behind failures.
	// +optional
	Diagnosis *Diagnosis `json:"diagnosis,omitempty"`
}

// Diagnosis says how a round looks for the component behind failures.
type Diagnosis struct {
	// enabled sends a few probes of other kinds beside the counted requests, which tell components apart: small and
	// full-size datagrams, connections and DNS queries between pods, nodes and Services. No value means true. The
	// report says how many were sent.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
}

// NetReach makes the agents on all nodes send HTTP requests to each other over every path that is asked for.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=netreaches,scope=Cluster,shortName=nr,categories=kdoctor
// +kubebuilder:printcolumn:name="finish",type=boolean,JSONPath=".status.finish",description="whether all rounds are over"
// +kubebuilder:printcolumn:name="expectedRound",type=integer,JSONPath=".status.expectedRound",description="number of rounds asked for"
// +kubebuilder:printcolumn:name="doneRound",type=integer,JSONPath=".status.doneRound",description="number of rounds that are over"
// +kubebuilder:printcolumn:name="lastRoundStatus",type=string,JSONPath=".status.lastRoundStatus",description="how the last round ended"
// +kubebuilder:printcolumn:name="schedule",type=string,JSONPath=".status.schedule",description="when rounds start"
// +kubebuilder:printcolumn:name="ready",type=string,priority=1,JSONPath=".status.conditions[?(@.type==\"Ready\")].status",description="whether the task can run"
// +kubebuilder:printcolumn:name="reason",type=string,priority=1,JSONPath=".status.conditions[?(@.type==\"Succeeded\")].message",description="how the last round ended, and why"
// +kubebuilder:printcolumn:name="age",type=date,JSONPath=".metadata.creationTimestamp",description="since when the task is there"
type NetReach struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of objects.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is tested, when, and what is expected.
	// +optional
	// +kubebuilder:default={}
	Spec NetReachSpec `json:"spec,omitempty"`
	// status is what became of it; the controller writes it.
	// +optional
	Status TaskStatus `json:"status,omitempty"`
}

// NetReachList is a list of NetReach.
// +kubebuilder:object:root=true
type NetReachList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []NetReach `json:"items"`
}
