// Package v1beta1 holds KdoctorReport, the detailed report of a task's last round, as the aggregated API serves it.
//
// The names of its fields begin with capitals and some numbers are strings with units: that is the format that users'
// tools already read.
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
	scheme.AddKnownTypes(GroupVersion(), &KdoctorReport{}, &KdoctorReportList{}, &KdoctorPath{}, &KdoctorPathList{})
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
	// Reasons are the same as data, in the same order; left out when the round succeeded.
	Reasons []Reason `json:"Reasons,omitempty"`
	// NotReported are the agents that were expected and gave no report; left out when all did.
	NotReported []NotReported `json:"NotReported,omitempty"`
	// Outside are the nodes that the round did not look at because they run no agent and are not meant to; left out
	// when there are none.
	Outside []Outside `json:"Outside,omitempty"`
	// Notes say what the round does not prove, whatever its result; left out when there is nothing to say.
	Notes []Note `json:"Notes,omitempty"`
	// Findings say where faults are, as far as the figures tell; left out when nothing was found.
	Findings []Finding `json:"Findings,omitempty"`
	// Diagnosis is what the probes beside the counted requests cost and saw; left out in a round without them.
	Diagnosis *Diagnosis `json:"Diagnosis,omitempty"`
	// Load is the load that the round's agents were given; left out when nothing is known of it.
	Load *Load `json:"Load,omitempty"`
	// ReducedLoad says why the load was lower than the task asks for; left out when it was not.
	ReducedLoad string `json:"ReducedLoad,omitempty"`
	// LoadOfOthers says how loaded the agents were with other rounds when this one began, and how long it waited for
	// such rounds; left out when there were none.
	LoadOfOthers string `json:"LoadOfOthers,omitempty"`
	// Churn says, one sentence each, which agents were deleted, drained or restarted while the round ran; left out when
	// none was. What failed because of that fails nothing.
	Churn []string `json:"Churn,omitempty"`
	// Coverage says which pairs of nodes the round probed; left out of rounds that an earlier release stored, which
	// probed all.
	Coverage *Coverage `json:"Coverage,omitempty"`
	// ControllerRelease is the release of the controller that judged the round, AgentReleases those of the agents that
	// reported, the most frequent first, at most 10. Both are left out of rounds of 0.1.0.
	ControllerRelease string         `json:"ControllerRelease,omitempty"`
	AgentReleases     []AgentRelease `json:"AgentReleases,omitempty"`
	// Summary is the round in figures; it is there at every size of the cluster.
	Summary *Summary `json:"Summary,omitempty"`
	// NodesNotPassed are the nodes whose agents did not pass or to which paths did not pass, those with the most such
	// paths first; at most 200. ZonePairsNotPassed are the pairs of zones between which paths did not pass, those with
	// the most first; at most 50. WorstPaths are the paths with the most failed requests, then the slowest; at most 50.
	// All three are left out while Report is there.
	NodesNotPassed     []NodeSummary `json:"NodesNotPassed,omitempty"`
	ZonePairsNotPassed []ZonePair    `json:"ZonePairsNotPassed,omitempty"`
	WorstPaths         []WorstPath   `json:"WorstPaths,omitempty"`
	// LeftOut counts the entries of other lists that are left out with Report; left out when there are none.
	LeftOut *LeftOut `json:"LeftOut,omitempty"`
	// Report holds one report per agent. It is empty if the object would be larger than 300 kB with it.
	Report []Report `json:"Report"`
	// ReportOmitted is one sentence that says why Report is empty and where the paths are; left out while Report is
	// there.
	ReportOmitted string `json:"ReportOmitted,omitempty"`
}

// AgentRelease is how many agents of one release reported.
type AgentRelease struct {
	// Release is empty for agents that did not tell theirs.
	Release string `json:"Release"`
	Agents  int    `json:"Agents"`
}

// Reason is one thing that kept a round from succeeding.
type Reason struct {
	// Code names the kind of reason in one word that stays the same, such as TooFewSucceeded or NotReported; left out
	// for reasons that an earlier release stored.
	Code string `json:"Code,omitempty"`
	// NodeName and PodName name the agent that it is about, TargetName the target; left out where it is about none.
	NodeName   string `json:"NodeName,omitempty"`
	PodName    string `json:"PodName,omitempty"`
	TargetName string `json:"TargetName,omitempty"`
	// Message is one sentence that says all of it.
	Message string `json:"Message"`
}

// Outside is a node that a round did not look at.
type Outside struct {
	NodeName string `json:"NodeName"`
	// Reason is one clause, such as "its node selector leaves it out".
	Reason string `json:"Reason"`
}

// Note is something that a round does not prove. It fails nothing.
type Note struct {
	// Code names it in one word that stays the same: PartOfPairs, NodesLeftOut, NodesInPart or ShortCircuit.
	Code string `json:"Code"`
	// Message is one sentence.
	Message string `json:"Message"`
}

// NotReported is an agent that was expected and gave no report.
type NotReported struct {
	NodeName string `json:"NodeName"`
	PodName  string `json:"PodName"`
	Reason   string `json:"Reason"`
	// Void reports that the report is missing because the agent was deleted, drained or restarted, which fails nothing.
	Void bool `json:"Void,omitempty"`
}

// Load is the load that a round's agents were given. What is said of one agent holds for the one with the most targets.
type Load struct {
	// RequestsPerSecond is the rate from each agent to each target, AskedRequestsPerSecond the one that the task asks
	// for. It is 0 where it is below one, or where nothing was sent.
	RequestsPerSecond      int64 `json:"RequestsPerSecond"`
	AskedRequestsPerSecond int64 `json:"AskedRequestsPerSecond"`
	// SecondsPerRequest is how many seconds there are between two requests to a target where the rate is below one a
	// second; left out elsewhere.
	SecondsPerRequest int64 `json:"SecondsPerRequest,omitempty"`
	// TargetsPerAgent is how many targets one agent has.
	TargetsPerAgent int64 `json:"TargetsPerAgent"`
	// ConnectionsPerSecond is how many new connections one agent opens; 0 where all go over connections that stay open.
	ConnectionsPerSecond int64 `json:"ConnectionsPerSecond"`
	// TrackedConnections is the most entries that these hold at a time in the node's table of tracked connections, when
	// all requests are answered.
	TrackedConnections int64 `json:"TrackedConnections"`
	// PortsPerTarget is the most local ports that connections to one target hold at a time.
	PortsPerTarget int64 `json:"PortsPerTarget"`
	// AnswerSizeInByte is how large the body of an answer is at least; left out where answers are as short as they can
	// be.
	AnswerSizeInByte int64 `json:"AnswerSizeInByte,omitempty"`
	// AnswerBytesPerSecond is how many bytes of such answers one agent receives when all requests are answered; left
	// out with it.
	AnswerBytesPerSecond int64 `json:"AnswerBytesPerSecond,omitempty"`
}

// Diagnosis is what the probes that tell components apart cost and saw. They are no part of the counted requests.
type Diagnosis struct {
	// Agents is how many agents sent probes, those in the nodes' host networks included; HostAgents is how many of
	// these there are. Without them some components cannot be told apart.
	Agents     int64 `json:"Agents"`
	HostAgents int64 `json:"HostAgents"`
	// Probes is how many probes were sent in the whole round, Failed how many of them failed.
	Probes int64 `json:"Probes"`
	Failed int64 `json:"Failed"`
	// SmallestLoss has, for each kind of path, the smallest loss at one node that the round could have seen.
	SmallestLoss []SmallestLoss `json:"SmallestLoss,omitempty"`
}

// SmallestLoss is the smallest loss at one node that a round could have seen on one kind of path.
type SmallestLoss struct {
	// Path is the kind of path, such as "pod to pod".
	Path string `json:"Path"`
	// Probes is how many probes and requests of the kind the node with the fewest had.
	Probes int64 `json:"Probes"`
	// Percent is the loss in percent, up to 100; 100 means that nothing less than the loss of all would have shown.
	Percent float64 `json:"Percent"`
}

// Finding is one fault and where it is.
type Finding struct {
	// Reason names what was found in one word that stays the same, such as SilentBackend.
	Reason string `json:"Reason"`
	// Component is the part of the cluster that it is about, such as "Service path".
	Component string `json:"Component"`
	// Where names the thing, such as a pod and its node.
	Where string `json:"Where"`
	// Confidence is high, medium or low.
	Confidence string `json:"Confidence"`
	// Message is one sentence: what is wrong, seen from where, and what to look at next.
	Message string `json:"Message"`
	// Evidence are the figures behind it. MoreEvidence is how many of them are left out because the object would be too
	// large with them.
	Evidence     []string `json:"Evidence,omitempty"`
	MoreEvidence int64    `json:"MoreEvidence,omitempty"`
	// Cause is why the component fails, in one word that stays the same, such as PathMTUTooSmall; empty where the
	// figures do not say it. Components that the probes cannot tell apart may fail for different causes: Causes has
	// these.
	Cause  string           `json:"Cause,omitempty"`
	Causes []ComponentCause `json:"Causes,omitempty"`
	// Probability is how likely the component is the faulty one, 0 to 1; 0 where no probability was computed.
	Probability float64 `json:"Probability,omitempty"`
	// Against is what speaks against it, RunnerUp the next best explanation, Falsify what would show that it is wrong,
	// and Command a command that reproduces a failing probe.
	Against  []string `json:"Against,omitempty"`
	RunnerUp string   `json:"RunnerUp,omitempty"`
	Falsify  string   `json:"Falsify,omitempty"`
	Command  string   `json:"Command,omitempty"`
}

// ComponentCause is why one of several components fails, if it is that one.
type ComponentCause struct {
	// Component is the part of the cluster, such as overlay; Cause is one word that stays the same.
	Component string `json:"Component"`
	Cause     string `json:"Cause"`
}

// ResultVoid is the RoundResult of an agent, and the Result of a target, of which too little is left to judge because
// agents were deleted, drained or restarted. It fails nothing.
const ResultVoid = "void"

// AnsweredByNode is the value of TargetDetail.AnsweredBy, StreamPersistent that of TargetDetail.FailureStream.
const (
	AnsweredByNode   = "node"
	StreamPersistent = "persistent"
)

// Report is what one agent measured.
type Report struct {
	NodeName    string `json:"NodeName"`
	PodName     string `json:"PodName"`
	TaskName    string `json:"TaskName"`
	TaskType    string `json:"TaskType"`
	ReportType  string `json:"ReportType"`
	RoundNumber int64  `json:"RoundNumber"`
	// RoundResult is succeed, fail or void.
	RoundResult  string  `json:"RoundResult"`
	FailedReason *string `json:"FailedReason,omitempty"`
	// RoundDuration is a Go duration, RoundDurationInMs the same as a number.
	RoundDuration     string      `json:"RoundDuration"`
	RoundDurationInMs float64     `json:"RoundDurationInMs,omitempty"`
	StartTimeStamp    metav1.Time `json:"StartTimeStamp"`
	EndTimeStamp      metav1.Time `json:"EndTimeStamp"`
	// FetchedBy is the way by which the controller got the report when the direct one was closed: port-forward.
	FetchedBy string `json:"FetchedBy,omitempty"`
	// The fields that follow have the task's kind in their name; see Task and SetTask.
	//
	// NetReachTaskSpec is the task's spec as it was for this round, to the letter, whichever release wrote it.
	// +kubebuilder:pruning:PreserveUnknownFields
	NetReachTaskSpec *runtime.RawExtension `json:"NetReachTaskSpec,omitempty"`
	NetReachTask     *TaskReport           `json:"NetReachTask,omitempty"`
}

// Task is what the agent measured, whatever the kind of the task; nil where the report has nothing of it.
func (r *Report) Task() *TaskReport { return r.NetReachTask }

// SetTask sets what the agent measured, and the task's spec in JSON, in the fields of the task's kind. An empty spec is
// left out.
func (r *Report) SetTask(spec []byte, measured *TaskReport) {
	r.NetReachTask = measured
	if len(spec) > 0 {
		r.NetReachTaskSpec = &runtime.RawExtension{Raw: spec}
	}
}

// TaskReport is what one agent measured for a task.
type TaskReport struct {
	TargetType   string `json:"TargetType"`
	TargetNumber int64  `json:"TargetNumber"`
	Succeed      bool   `json:"Succeed"`
	// MaxCPU is the most CPU that the agent used in any one second, in percent of one core, such as 26.203%; empty when
	// the agent could not measure it. MaxCPUInPercent is the same as a number.
	MaxCPU          string  `json:"MaxCPU"`
	MaxCPUInPercent float64 `json:"MaxCPUInPercent,omitempty"`
	// MeanCPU and MeanCPUInPercent are the mean over the whole round.
	MeanCPU          string  `json:"MeanCPU,omitempty"`
	MeanCPUInPercent float64 `json:"MeanCPUInPercent,omitempty"`
	// MaxMemory is in 10^6 bytes, such as 101.00MB; empty when the agent could not measure it. MaxMemoryInByte is the
	// same as a number.
	MaxMemory       string `json:"MaxMemory"`
	MaxMemoryInByte int64  `json:"MaxMemoryInByte,omitempty"`
	// Observer is how well the agent could observe; left out when it does not tell.
	Observer *Observer      `json:"Observer,omitempty"`
	Detail   []TargetDetail `json:"Detail"`
}

// Observer is how well an agent could observe: what kept it from sending or looking in time is not the network's fault.
// Figures that the agent could not tell are left out.
type Observer struct {
	// Mode is precise, with a wake-up for every event, or grid: under high load the agent wakes at fixed moments.
	Mode string `json:"Mode"`
	// CPULimit is in cores.
	CPULimit float64 `json:"CPULimit,omitempty"`
	// ThrottledShare is the share, from 0 to 1, of the CPU limit's periods in which the agent was stopped;
	// ThrottledInMs is for how long in all.
	ThrottledShare float64 `json:"ThrottledShare,omitempty"`
	ThrottledInMs  float64 `json:"ThrottledInMs,omitempty"`
	// LongestPauseInMs is the longest stop of the whole agent by its own garbage collector.
	LongestPauseInMs float64 `json:"LongestPauseInMs,omitempty"`
	// Files is the most descriptors that were open at once, of FileLimit.
	Files     int64 `json:"Files,omitempty"`
	FileLimit int64 `json:"FileLimit,omitempty"`
	// Ports is how many local ports connections to one address may use.
	Ports int64 `json:"Ports,omitempty"`
	// Conntrack is the most connections that the kernel tracked at once on the agent's side, of ConntrackLimit.
	Conntrack      int64 `json:"Conntrack,omitempty"`
	ConntrackLimit int64 `json:"ConntrackLimit,omitempty"`
}

// TargetDetail is what one agent measured on one target.
type TargetDetail struct {
	TargetName   string `json:"TargetName"`
	TargetUrl    string `json:"TargetUrl"` //nolint:revive // the seed's spelling
	TargetMethod string `json:"TargetMethod"`
	// TargetKind is the kind of path: Endpoint, MultusInterface, ClusterIP, NodePort, LoadBalancer or Ingress. IPFamily
	// is IPv4 or IPv6. Both are left out of a target that no agent measured.
	TargetKind string `json:"TargetKind,omitempty"`
	IPFamily   string `json:"IPFamily,omitempty"`
	// TargetPodName is the pod that has the address, left out where any of several pods may answer. TargetNodeName is
	// the node of that pod, or the node that has the address of a NodePort; it is left out elsewhere.
	TargetPodName  string `json:"TargetPodName,omitempty"`
	TargetNodeName string `json:"TargetNodeName,omitempty"`
	// Interface is the device inside the pod that has the address, such as net1; left out for the pod's first one.
	Interface string `json:"Interface,omitempty"`
	// AnsweredBy is "node" where the Service proxy of the asking agent's own node answers for a load balancer's address
	// (ipMode VIP): requests never leave for the load balancer, so they prove nothing about it. It is left out
	// elsewhere.
	AnsweredBy string `json:"AnsweredBy,omitempty"`
	Succeed    bool   `json:"Succeed"`
	// Result is left out where Succeed tells it; else it is "tool-limited", which is the agent's own limit and says
	// nothing about the target, "no data", or "void": too little is left to judge because agents were deleted, drained
	// or restarted, which fails nothing.
	Result string `json:"Result,omitempty"`
	// FailureReason is left out when the target succeeded.
	FailureReason *string `json:"FailureReason,omitempty"`
	// FailureCode names the kind of reason, as Reason.Code does; FailureStream is "persistent" where it is about the
	// requests over a connection that stays open, beside the counted ones. Both are left out where nothing is known of
	// them.
	FailureCode   string  `json:"FailureCode,omitempty"`
	FailureStream string  `json:"FailureStream,omitempty"`
	SucceedRate   float64 `json:"SucceedRate"`
	// MeanDelay is in milliseconds, over the successful requests.
	MeanDelay float64     `json:"MeanDelay"`
	Metrics   HTTPMetrics `json:"Metrics"`
}
