// Package v1beta1 holds KdoctorReport, the detailed report of a task's last round, as the aggregated API serves it.
//
// The names of its fields begin with capitals and some numbers are strings with units: that is the format that users' tools already read.
//
// +kubebuilder:object:generate=true
// +groupName=system.kdoctor.io
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of all kinds of this package.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "system.kdoctor.io", Version: "v1beta1"}
}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &KdoctorReport{}, &KdoctorReportList{})
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}

// KdoctorReport is the report of a task's last finished round. Its name is <lowercase task kind>-<task name>.
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=kdoctorreports,scope=Cluster,categories=kdoctor
type KdoctorReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec KdoctorReportSpec `json:"spec"`
}

// KdoctorReportList is a list of KdoctorReport.
// +kubebuilder:object:root=true
type KdoctorReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []KdoctorReport `json:"items"`
}

// OpenAPIModelName is the name of the type in OpenAPI documents.
func (KdoctorReport) OpenAPIModelName() string { return "io.kdoctor.system.v1beta1.KdoctorReport" }

// OpenAPIModelName is the name of the type in OpenAPI documents.
func (KdoctorReportList) OpenAPIModelName() string {
	return "io.kdoctor.system.v1beta1.KdoctorReportList"
}

// KdoctorReportSpec is the content of a report.
type KdoctorReportSpec struct {
	TaskName string `json:"TaskName"`
	TaskType string `json:"TaskType"`
	// RoundNumber is how many rounds the task asks for.
	RoundNumber int64 `json:"RoundNumber"`
	// ReportRoundNumber is the round that Report is about.
	ReportRoundNumber int64 `json:"ReportRoundNumber"`
	// FinishedRoundNumber is how many rounds are over.
	FinishedRoundNumber int64 `json:"FinishedRoundNumber"`
	// FailedRoundNumber are the rounds that failed; null when none did.
	FailedRoundNumber []int64 `json:"FailedRoundNumber"`
	// Status is Finished or NotFinished.
	Status string `json:"Status"`
	// FailedReasons says, one sentence each, what kept the round from succeeding; left out when it succeeded.
	FailedReasons []string `json:"FailedReasons,omitempty"`
	// NotReported are the agents that were expected and gave no report; left out when all did.
	NotReported []NotReported `json:"NotReported,omitempty"`
	// Report holds one report per agent.
	Report []Report `json:"Report"`
}

// NotReported is an agent that was expected and gave no report.
type NotReported struct {
	NodeName string `json:"NodeName"`
	PodName  string `json:"PodName"`
	Reason   string `json:"Reason"`
}

// Report is what one agent measured.
type Report struct {
	NodeName       string      `json:"NodeName"`
	PodName        string      `json:"PodName"`
	TaskName       string      `json:"TaskName"`
	TaskType       string      `json:"TaskType"`
	ReportType     string      `json:"ReportType"`
	RoundNumber    int64       `json:"RoundNumber"`
	RoundResult    string      `json:"RoundResult"`
	FailedReason   *string     `json:"FailedReason,omitempty"`
	RoundDuration  string      `json:"RoundDuration"`
	StartTimeStamp metav1.Time `json:"StartTimeStamp"`
	EndTimeStamp   metav1.Time `json:"EndTimeStamp"`
	// FetchedBy is the way by which the controller got the report when the direct one was closed: port-forward.
	FetchedBy string `json:"FetchedBy,omitempty"`
	// NetReachTaskSpec is the task's spec as it was for this round, to the letter, whichever release wrote it.
	// +kubebuilder:pruning:PreserveUnknownFields
	NetReachTaskSpec *runtime.RawExtension `json:"NetReachTaskSpec,omitempty"`
	NetReachTask     *NetReachTask         `json:"NetReachTask,omitempty"`
}

// NetReachTask is what one agent measured for a NetReach.
type NetReachTask struct {
	TargetType   string `json:"TargetType"`
	TargetNumber int64  `json:"TargetNumber"`
	Succeed      bool   `json:"Succeed"`
	// MaxCPU is in percent of one core, such as 26.203%; empty when the agent could not tell.
	MaxCPU string `json:"MaxCPU"`
	// MaxMemory is in 10^6 bytes, such as 101.00MB; empty when the agent could not tell.
	MaxMemory string           `json:"MaxMemory"`
	Detail    []NetReachDetail `json:"Detail"`
}

// NetReachDetail is what one agent measured on one target.
type NetReachDetail struct {
	TargetName   string `json:"TargetName"`
	TargetUrl    string `json:"TargetUrl"` //nolint:revive // the seed's spelling
	TargetMethod string `json:"TargetMethod"`
	Succeed      bool   `json:"Succeed"`
	// FailureReason is left out when the target succeeded.
	FailureReason *string `json:"FailureReason,omitempty"`
	SucceedRate   float64 `json:"SucceedRate"`
	// MeanDelay is in milliseconds, over the successful requests.
	MeanDelay float64     `json:"MeanDelay"`
	Metrics   HTTPMetrics `json:"Metrics"`
}

// HTTPMetrics are the figures behind a detail.
type HTTPMetrics struct {
	StartTime metav1.Time `json:"StartTime"`
	EndTime   metav1.Time `json:"EndTime"`
	// Duration is a Go duration.
	Duration string `json:"Duration"`
	// RequestCounts is how many requests were sent, SuccessCounts how many succeeded.
	RequestCounts int64 `json:"RequestCounts"`
	SuccessCounts int64 `json:"SuccessCounts"`
	// TPS is RequestCounts per second of Duration.
	TPS float64 `json:"TPS"`
	// TotalDataSize is the size of all answers' bodies, such as "36968 byte".
	TotalDataSize string `json:"TotalDataSize"`
	// StatusCodes counts HTTP statuses.
	StatusCodes map[string]int64 `json:"StatusCodes"`
	// Errors counts failures by outcome and phase.
	Errors    map[string]int64 `json:"Errors"`
	Latencies Latencies        `json:"Latencies"`
}

// Latencies are in milliseconds, over the successful requests.
type Latencies struct {
	MaxInMs  float64 `json:"MaxInMs"`
	MeanInMs float64 `json:"MeanInMs"`
	MinInMs  float64 `json:"MinInMs"`
	P50InMs  float64 `json:"P50InMs"`
	P90InMs  float64 `json:"P90InMs"`
	P95InMs  float64 `json:"P95InMs"`
	P99InMs  float64 `json:"P99InMs"`
}
