package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AgentSpec asks for agents of the task's own; without it the default agents do the work.
type AgentSpec struct {
	// annotation is added to the workload, its pods and its Services.
	// +optional
	Annotation map[string]string `json:"annotation,omitempty"`

	// kind is the kind of workload that runs the agents.
	// +optional
	// +kubebuilder:default=DaemonSet
	// +kubebuilder:validation:Enum=Deployment;DaemonSet
	Kind string `json:"kind,omitempty"`

	// deploymentReplicas is the number of replicas of a Deployment.
	// +optional
	DeploymentReplicas *int32 `json:"deploymentReplicas,omitempty"`

	// affinity replaces the affinity of the agents' pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// env is added to the environment of the agents.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	Env []corev1.EnvVar `json:"env,omitempty"`

	// hostNetwork runs the agents in the nodes' own network namespaces.
	// +optional
	// +kubebuilder:default=false
	HostNetwork bool `json:"hostNetwork,omitempty"`

	// resources replaces the resources of the agents' container.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// terminationGracePeriodMinutes is how long the agents stay after the task has finished.
	// +optional
	// +kubebuilder:default=60
	TerminationGracePeriodMinutes *int64 `json:"terminationGracePeriodMinutes,omitempty"`
}

// Schedule says when rounds start, how many there are and how long one may take.
type Schedule struct {
	// schedule is "M N" (start in M minutes, then repeat every N minutes) or the five fields of cron.
	// +optional
	// +kubebuilder:default="0 1"
	// +kubebuilder:validation:MaxLength=256
	Schedule *string `json:"schedule,omitempty"`

	// intervalInSecond starts a round every so many seconds, from 10 to 3600, back to back, in place of schedule, which
	// is left out then. A round is over by the start of the next one; roundTimeoutMinute and timeZone do not count. Of
	// the interval, 3 seconds below a minute and 5 seconds above are left for collecting reports. Below a minute there
	// are events only where the result of a round is another than that of the round before.
	// +optional
	IntervalInSecond *int32 `json:"intervalInSecond,omitempty"`

	// timeZone is the IANA name of the time zone in which cron is read, such as Europe/Berlin; without it that is UTC.
	// The form "M N" does not depend on it. A time of day that summer time skips has no start that day, and one that
	// winter time repeats has one, the first; where the hour field holds * or ?, or all hours, rounds go on through the
	// repeated hour.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone *string `json:"timeZone,omitempty"`

	// roundTimeoutMinute is the time in minutes after which a round is over, whatever is still missing.
	// +optional
	// +kubebuilder:default=1
	RoundTimeoutMinute int64 `json:"roundTimeoutMinute,omitempty"`

	// roundNumber is the number of rounds; -1 goes on for ever.
	// +optional
	// +kubebuilder:default=1
	RoundNumber int64 `json:"roundNumber,omitempty"`
}

// HTTPRequest is the load that each agent puts on each target.
type HTTPRequest struct {
	// durationInSecond is how long the load lasts.
	// +optional
	// +kubebuilder:default=2
	DurationInSecond int64 `json:"durationInSecond,omitempty"`

	// qps is the number of requests per second, from each agent to each target.
	// +optional
	// +kubebuilder:default=5
	QPS int64 `json:"qps,omitempty"`

	// perRequestTimeoutInMS is the time in milliseconds after which a request has failed.
	// +optional
	// +kubebuilder:default=500
	PerRequestTimeoutInMS int64 `json:"perRequestTimeoutInMS,omitempty"`

	// connection is how requests use connections: new opens one for every request, keepalive keeps them open from
	// request to request, both opens one for every request and beside that sends a tenth as many over one that stays
	// open.
	// +optional
	// +kubebuilder:default=both
	// +kubebuilder:validation:MaxLength=256
	Connection Connection `json:"connection,omitempty"`

	// answerSizeInByte is how large the body of an answer is at least; without it, or with 0, answers are as short as
	// they can be. Answers of several packets show paths that lose full packets alone, such as those with a wrong MTU,
	// and links that are too thin. Agents that do not know the round give their usual answer.
	// +optional
	AnswerSizeInByte int64 `json:"answerSizeInByte,omitempty"`
}

// Connection is how requests use connections.
type Connection string

// The ways to use connections.
const (
	// NewConnection opens a connection for every request, so that every request meets the choice of a backend and the
	// rules for new connections.
	NewConnection Connection = "new"
	// KeepAlive sends requests over connections that stay open.
	KeepAlive Connection = "keepalive"
	// Both is NewConnection with a slow stream over a connection that stays open beside it.
	Both Connection = "both"
)

// Expect is what every target must reach for a round to succeed.
type Expect struct {
	// successRate is the least share of requests that must succeed.
	// +optional
	// +kubebuilder:default=1
	SuccessRate *float64 `json:"successRate,omitempty"`

	// meanAccessDelayInMs is the largest mean delay, in milliseconds, of the successful requests.
	// +optional
	// +kubebuilder:default=5000
	MeanAccessDelayInMs *int64 `json:"meanAccessDelayInMs,omitempty"`

	// statusCode is the HTTP status that counts as success; without it that is 200.
	// +optional
	StatusCode *int32 `json:"statusCode,omitempty"`
}

// RoundResult is how the last round of a task ended.
// +kubebuilder:validation:Enum=succeed;fail;unknown
type RoundResult string

// The results of rounds.
const (
	Succeed RoundResult = "succeed"
	Failed  RoundResult = "fail"
	Unknown RoundResult = "unknown"
)

// RecordStatus is where a round in the history stands.
// +kubebuilder:validation:Enum=succeed;fail;ongoing;notstarted
type RecordStatus string

// The states of a round in the history.
const (
	RecordSucceed    RecordStatus = "succeed"
	RecordFail       RecordStatus = "fail"
	RecordOngoing    RecordStatus = "ongoing"
	RecordNotStarted RecordStatus = "notstarted"
)

// Record is one round in the history of a task.
type Record struct {
	// status is where the round stands.
	// +required
	Status RecordStatus `json:"status"`
	// failureReason is the first thing that kept the round from succeeding.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`
	// roundNumber counts from 1.
	// +required
	RoundNumber int64 `json:"roundNumber"`
	// startTimeStamp is the planned start.
	// +required
	StartTimeStamp metav1.Time `json:"startTimeStamp"`
	// endTimeStamp is when the round was closed.
	// +optional
	EndTimeStamp *metav1.Time `json:"endTimeStamp,omitempty"`
	// duration runs from the planned start to the end.
	// +optional
	Duration *string `json:"duration,omitempty"`
	// deadLineTimeStamp is when the round is closed at the latest.
	// +required
	DeadLineTimeStamp metav1.Time `json:"deadLineTimeStamp"`
	// expectedActorNumber is how many agents were expected to report.
	// +optional
	ExpectedActorNumber *int64 `json:"expectedActorNumber,omitempty"`
	// failedAgentNodeList are the nodes whose agents saw a failure that no finding about another node explains: the
	// first 20 of them by name. failedAgentNodeNumber says how many there are.
	// +required
	// +listType=atomic
	FailedAgentNodeList []string `json:"failedAgentNodeList"`
	// succeedAgentNodeList are the nodes whose agents saw none: the first 20 of them by name.
	// succeedAgentNodeNumber says how many there are.
	// +required
	// +listType=atomic
	SucceedAgentNodeList []string `json:"succeedAgentNodeList"`
	// notReportAgentNodeList are the nodes whose agents gave no report: the first 20 of them by name.
	// notReportAgentNodeNumber says how many there are.
	// +required
	// +listType=atomic
	NotReportAgentNodeList []string `json:"notReportAgentNodeList"`
	// failedAgentNodeNumber is how many nodes had agents that saw a failure that no finding about another node
	// explains. It is set once the round is over.
	// +kubebuilder:validation:Minimum=0
	// +optional
	FailedAgentNodeNumber *int64 `json:"failedAgentNodeNumber,omitempty"`
	// succeedAgentNodeNumber is how many nodes had agents that saw none. It is set once the round is over.
	// +kubebuilder:validation:Minimum=0
	// +optional
	SucceedAgentNodeNumber *int64 `json:"succeedAgentNodeNumber,omitempty"`
	// notReportAgentNodeNumber is how many nodes had agents that gave no report. It is set once the round is over.
	// +kubebuilder:validation:Minimum=0
	// +optional
	NotReportAgentNodeNumber *int64 `json:"notReportAgentNodeNumber,omitempty"`
}

// TaskResource says which workload and Services do the work.
type TaskResource struct {
	// runtimeName is the name of the workload.
	// +required
	RuntimeName string `json:"runtimeName"`
	// runtimeType is its kind.
	// +kubebuilder:validation:Enum=Deployment;DaemonSet
	// +required
	RuntimeType string `json:"runtimeType"`
	// serviceNameV4 is the Service over IPv4.
	// +optional
	ServiceNameV4 *string `json:"serviceNameV4,omitempty"`
	// serviceNameV6 is the Service over IPv6.
	// +optional
	ServiceNameV6 *string `json:"serviceNameV6,omitempty"`
	// runtimeStatus is where the workload stands.
	// +kubebuilder:validation:Enum=creating;created;deleted
	// +required
	RuntimeStatus string `json:"runtimeStatus"`
}

// TaskStatus is what the controller writes about a task.
type TaskStatus struct {
	// expectedRound is the number of rounds asked for; -1 is for ever.
	// +optional
	ExpectedRound *int64 `json:"expectedRound,omitempty"`
	// doneRound is the number of rounds that are over, however they ended.
	// +optional
	DoneRound *int64 `json:"doneRound,omitempty"`
	// finish is true once all rounds are over.
	// +required
	Finish bool `json:"finish"`
	// finishTime is when the last round was over.
	// +optional
	FinishTime *metav1.Time `json:"finishTime,omitempty"`
	// lastRoundStatus is how the last round ended.
	// +optional
	LastRoundStatus *RoundResult `json:"lastRoundStatus,omitempty"`
	// schedule says when rounds start: the text of spec.schedule.schedule, or "every 30 s" where
	// spec.schedule.intervalInSecond is set.
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// history holds the last rounds, newest first.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	History []Record `json:"history,omitempty"`
	// resource says which workload does the work.
	// +optional
	Resource *TaskResource `json:"resource,omitempty"`
	// revision names the spec that the rounds are about, without what only pauses them.
	// +optional
	Revision string `json:"revision,omitempty"`
	// roundsGeneration is under which number these rounds are stored: the generation with which they began, or a larger
	// number where rounds of that generation are stored already. Suspending a task begins no new ones.
	// +optional
	RoundsGeneration int64 `json:"roundsGeneration,omitempty"`
	// lastRunNow is the last value of the annotation kdoctor.io/run-now that a round was started for.
	// +optional
	LastRunNow string `json:"lastRunNow,omitempty"`
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions say in words how the task stands.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
