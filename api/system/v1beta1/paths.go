package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// KdoctorPath is what one agent measured on one target in one round. Paths can be listed, those of one report at a
// time, by the field selectors report, node, target, kind and result.
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kdoctorpaths,scope=Cluster
type KdoctorPath struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec KdoctorPathSpec `json:"spec"`
}

// KdoctorPathList is a list of KdoctorPath.
// +kubebuilder:object:root=true
type KdoctorPathList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []KdoctorPath `json:"items"`
	// Summed are the other paths of the node that the selector names: those that are not reported one by one. They are
	// in the first page alone, and left out where the selector names no node, or chooses by target or result.
	Summed []SummedPaths `json:"summed,omitempty"`
}

// KdoctorPathSpec is the content of a path.
type KdoctorPathSpec struct {
	// ReportName is the name of the stored round, such as netreach-task:1.3.
	ReportName string `json:"ReportName"`
	// NodeName and PodName are those of the agent that sent the requests.
	NodeName string `json:"NodeName"`
	PodName  string `json:"PodName"`
	// Detail is what Report[].Detail has of the path.
	Detail TargetDetail `json:"Detail"`
}

// SummedPaths are paths of one agent, of one kind and IP family and to the nodes of one zone, of which only sums are
// known.
type SummedPaths struct {
	NodeName string `json:"NodeName"`
	PodName  string `json:"PodName"`
	// ToZone is the zone of the targets' nodes; left out if it is unknown.
	ToZone      string `json:"ToZone,omitempty"`
	PathSummary `json:",inline"`
}

// OpenAPIModelName is the name of the type in OpenAPI documents.
func (KdoctorPath) OpenAPIModelName() string { return "io.kdoctor.system.v1beta1.KdoctorPath" }

// OpenAPIModelName is the name of the type in OpenAPI documents.
func (KdoctorPathList) OpenAPIModelName() string { return "io.kdoctor.system.v1beta1.KdoctorPathList" }
