package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AgentSpec asks for agents of the task's own; without it the default agents do the work.
type AgentSpec struct {
	// Annotation is added to the workload, its pods and its Services.
	// +optional
	Annotation map[string]string `json:"annotation,omitempty"`

	// Kind is the kind of workload that runs the agents.
	// +optional
	// +kubebuilder:default=DaemonSet
	// +kubebuilder:validation:Enum=Deployment;DaemonSet
	Kind string `json:"kind,omitempty"`

	// DeploymentReplicas is the number of replicas of a Deployment.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 0 && self <= 10000",messageExpression="'spec.agentSpec.deploymentReplicas is %d; use a number from 0 to 10000'.format([self])"
	DeploymentReplicas *int32 `json:"deploymentReplicas,omitempty"`

	// Affinity replaces the affinity of the agents' pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// Env is added to the environment of the agents.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Env []corev1.EnvVar `json:"env,omitempty"`

	// HostNetwork runs the agents in the nodes' own network namespaces.
	// +optional
	// +kubebuilder:default=false
	HostNetwork bool `json:"hostNetwork,omitempty"`

	// Resources replaces the resources of the agents' container.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// TerminationGracePeriodMinutes is how long the agents stay after the task has finished.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:XValidation:rule="self >= 0 && self <= 525600",messageExpression="'spec.agentSpec.terminationGracePeriodMinutes is %d; use a number of minutes from 0 to 525600'.format([self])"
	TerminationGracePeriodMinutes *int64 `json:"terminationGracePeriodMinutes,omitempty"`
}

// Schedule says when rounds start, how many there are and how long one may take.
// +kubebuilder:validation:XValidation:rule=`!has(self.roundNumber) || self.roundNumber == 1 || !self.schedule.matches('^ *[0-9]{1,6} +[0-9]{1,6} *$') || self.roundTimeoutMinute <= int(self.schedule.split(' ').filter(f, f.size() > 0)[1])`,messageExpression=`'spec.schedule.roundTimeoutMinute is %d, but spec.schedule.schedule "%s" starts a round every %s minutes; use at most %s or a larger second number'.format([self.roundTimeoutMinute, self.schedule, self.schedule.split(' ').filter(f, f.size() > 0)[1], self.schedule.split(' ').filter(f, f.size() > 0)[1]])`,message="spec.schedule.roundTimeoutMinute is longer than the time between two rounds in spec.schedule.schedule; use at most that time"
type Schedule struct {
	// Schedule is "M N" (start in M minutes, then repeat every N minutes) or the five fields of cron.
	// +optional
	// +kubebuilder:default="0 1"
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches('^ *[^ ]+ +[^ ]+ *$') || self.matches('^ *([^ ]+ +){4}[^ ]+ *$')`,messageExpression=`'spec.schedule.schedule is "%s"; use two numbers of minutes (start in M minutes, repeat every N) or the five fields of cron (minute, hour, day of month, month, day of week)'.format([self])`,message="spec.schedule.schedule is not in a known form; use two numbers of minutes (start in M minutes, repeat every N) or the five fields of cron (minute, hour, day of month, month, day of week)"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^ *[^ ]+ +[^ ]+ *$') || (self.matches('^ *[0-9]{1,6} +[0-9]{1,6} *$') && int(self.split(' ').filter(f, f.size() > 0)[0]) <= 525600 && int(self.split(' ').filter(f, f.size() > 0)[1]) >= 1 && int(self.split(' ').filter(f, f.size() > 0)[1]) <= 525600)`,messageExpression=`'spec.schedule.schedule is "%s"; the first number must be 0 to 525600 and the second 1 to 525600, both in minutes'.format([self])`,message="spec.schedule.schedule: the first number must be 0 to 525600 and the second 1 to 525600, both in minutes"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^ *([^ ]+ +){4}[^ ]+ *$') || self.matches('(?i)^ *([*?]|[0-5]?[0-9](-[0-5]?[0-9])?)(/[1-9][0-9]{0,3})?(,([*?]|[0-5]?[0-9](-[0-5]?[0-9])?)(/[1-9][0-9]{0,3})?)* +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ *$')`,messageExpression=`'spec.schedule.schedule is "%s"; the minute must be *, a number from 0 to 59, a range such as 2-4, a step such as */2, or a list of these with commas'.format([self])`,message="spec.schedule.schedule: the minute must be *, a number from 0 to 59, a range such as 2-4, a step such as */2, or a list of these with commas"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^ *([^ ]+ +){4}[^ ]+ *$') || self.matches('(?i)^ *[^ ]+ +([*?]|([01]?[0-9]|2[0-3])(-([01]?[0-9]|2[0-3]))?)(/[1-9][0-9]{0,3})?(,([*?]|([01]?[0-9]|2[0-3])(-([01]?[0-9]|2[0-3]))?)(/[1-9][0-9]{0,3})?)* +[^ ]+ +[^ ]+ +[^ ]+ *$')`,messageExpression=`'spec.schedule.schedule is "%s"; the hour must be *, a number from 0 to 23, a range such as 2-4, a step such as */2, or a list of these with commas'.format([self])`,message="spec.schedule.schedule: the hour must be *, a number from 0 to 23, a range such as 2-4, a step such as */2, or a list of these with commas"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^ *([^ ]+ +){4}[^ ]+ *$') || self.matches('(?i)^ *[^ ]+ +[^ ]+ +([*?]|(0?[1-9]|[12][0-9]|3[01])(-(0?[1-9]|[12][0-9]|3[01]))?)(/[1-9][0-9]{0,3})?(,([*?]|(0?[1-9]|[12][0-9]|3[01])(-(0?[1-9]|[12][0-9]|3[01]))?)(/[1-9][0-9]{0,3})?)* +[^ ]+ +[^ ]+ *$')`,messageExpression=`'spec.schedule.schedule is "%s"; the day of month must be *, a number from 1 to 31, a range such as 2-4, a step such as */2, or a list of these with commas'.format([self])`,message="spec.schedule.schedule: the day of month must be *, a number from 1 to 31, a range such as 2-4, a step such as */2, or a list of these with commas"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^ *([^ ]+ +){4}[^ ]+ *$') || self.matches('(?i)^ *[^ ]+ +[^ ]+ +[^ ]+ +([*?]|(0?[1-9]|1[0-2])(-(0?[1-9]|1[0-2]))?|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))?)(/[1-9][0-9]{0,3})?(,([*?]|(0?[1-9]|1[0-2])(-(0?[1-9]|1[0-2]))?|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))?)(/[1-9][0-9]{0,3})?)* +[^ ]+ *$')`,messageExpression=`'spec.schedule.schedule is "%s"; the month must be *, a number from 1 to 12, a name from jan to dec, a range such as 2-4, a step such as */2, or a list of these with commas'.format([self])`,message="spec.schedule.schedule: the month must be *, a number from 1 to 12, a name from jan to dec, a range such as 2-4, a step such as */2, or a list of these with commas"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^ *([^ ]+ +){4}[^ ]+ *$') || self.matches('(?i)^ *[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +([*?]|0?[0-6](-0?[0-6])?|(sun|mon|tue|wed|thu|fri|sat)(-(sun|mon|tue|wed|thu|fri|sat))?)(/[1-9][0-9]{0,3})?(,([*?]|0?[0-6](-0?[0-6])?|(sun|mon|tue|wed|thu|fri|sat)(-(sun|mon|tue|wed|thu|fri|sat))?)(/[1-9][0-9]{0,3})?)* *$')`,messageExpression=`'spec.schedule.schedule is "%s"; the day of week must be *, a number from 0 to 6 (0 is Sunday), a name from sun to sat, a range such as 2-4, a step such as */2, or a list of these with commas'.format([self])`,message="spec.schedule.schedule: the day of week must be *, a number from 0 to 6 (0 is Sunday), a name from sun to sat, a range such as 2-4, a step such as */2, or a list of these with commas"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('^ *([^ ]+ +){4}[^ ]+ *$') || (!self.matches('(?i)(^|[ ,])(feb-(jan)|mar-(jan|feb)|apr-(jan|feb|mar)|may-(jan|feb|mar|apr)|jun-(jan|feb|mar|apr|may)|jul-(jan|feb|mar|apr|may|jun)|aug-(jan|feb|mar|apr|may|jun|jul)|sep-(jan|feb|mar|apr|may|jun|jul|aug)|oct-(jan|feb|mar|apr|may|jun|jul|aug|sep)|nov-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct)|dec-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov)|mon-(sun)|tue-(sun|mon)|wed-(sun|mon|tue)|thu-(sun|mon|tue|wed)|fri-(sun|mon|tue|wed|thu)|sat-(sun|mon|tue|wed|thu|fri))([/ ,]|$)') && self.replace(',', ' ').split(' ').all(i, !i.matches('^[0-9]{1,2}-[0-9]{1,2}(/[0-9]+)?$') || int(i.split('-')[0]) <= int(i.split('-')[1].split('/')[0])))`,messageExpression=`'spec.schedule.schedule is "%s"; a range must go from the smaller to the larger value, such as 2-4'.format([self])`,message="spec.schedule.schedule: a range must go from the smaller to the larger value, such as 2-4"
	// +kubebuilder:validation:XValidation:rule=`!self.matches('(?i)^ *[^ ]+ +[^ ]+ +(31(-31)?(/[0-9]+)?(,31(-31)?(/[0-9]+)?)* +(0?[2469]|11|feb|apr|jun|sep|nov)(,(0?[2469]|11|feb|apr|jun|sep|nov))*|3[01](-3[01])?(/[0-9]+)?(,3[01](-3[01])?(/[0-9]+)?)* +(0?2|feb)(,(0?2|feb))*) +([^ ]*,)?[*?](/1)?(,[^ ]*)? *$')`,messageExpression=`'spec.schedule.schedule is "%s"; that day never comes; use a day of month that the month has'.format([self])`,message="spec.schedule.schedule: that day never comes; use a day of month that the month has"
	Schedule *string `json:"schedule,omitempty"`

	// TimeZone is the IANA name of the time zone in which cron is read, such as Europe/Berlin; without it that is UTC.
	// The form "M N" does not depend on it. A time of day that summer time skips has no start that day, and one that winter
	// time repeats has one,
	// the first; where the hour field holds * or ?, or all hours, rounds go on through the repeated hour.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$') && self != 'Local'`,messageExpression=`'spec.schedule.timeZone is "%s"; use the IANA name of a time zone, such as Europe/Berlin or UTC'.format([self])`,message="spec.schedule.timeZone: use the IANA name of a time zone, such as Europe/Berlin or UTC"
	TimeZone *string `json:"timeZone,omitempty"`

	// RoundTimeoutMinute is the time in minutes after which a round is over, whatever is still missing.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 1440",messageExpression="'spec.schedule.roundTimeoutMinute is %d; use a number of minutes from 1 to 1440'.format([self])"
	RoundTimeoutMinute int64 `json:"roundTimeoutMinute,omitempty"`

	// RoundNumber is the number of rounds; -1 goes on for ever.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="self == -1 || (self >= 1 && self <= 1000000)",messageExpression="'spec.schedule.roundNumber is %d; use -1 (for ever) or a number from 1 to 1000000'.format([self])"
	RoundNumber int64 `json:"roundNumber,omitempty"`
}

// HTTPRequest is the load that each agent puts on each target.
// +kubebuilder:validation:XValidation:rule="!has(self.answerSizeInByte) || self.answerSizeInByte < 0 || self.answerSizeInByte > 65536 || self.qps < 1 || self.qps > 1000 || self.answerSizeInByte * self.qps <= 10000000",messageExpression="'spec.request.answerSizeInByte is %d, which makes %d bytes a second from each target to each agent with the qps of %d; use at most %d, or a qps of at most %d, so that it is no more than 10000000'.format([self.answerSizeInByte, self.answerSizeInByte * self.qps, self.qps, 10000000 / self.qps, 10000000 / self.answerSizeInByte])",message="spec.request.answerSizeInByte times qps is more than 10000000 bytes a second; use less of either"
type HTTPRequest struct {
	// DurationInSecond is how long the load lasts.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 86400",messageExpression="'spec.request.durationInSecond is %d; use a number of seconds from 1 to 86400'.format([self])"
	DurationInSecond int64 `json:"durationInSecond,omitempty"`

	// QPS is the number of requests per second, from each agent to each target.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 1000",messageExpression="'spec.request.qps is %d; use a number of requests per second from 1 to 1000'.format([self])"
	QPS int64 `json:"qps,omitempty"`

	// PerRequestTimeoutInMS is the time in milliseconds after which a request has failed.
	// +optional
	// +kubebuilder:default=500
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 600000",messageExpression="'spec.request.perRequestTimeoutInMS is %d; use a number of milliseconds from 1 to 600000'.format([self])"
	PerRequestTimeoutInMS int64 `json:"perRequestTimeoutInMS,omitempty"`

	// Connection is how requests use connections: new opens one for every request, keepalive keeps them open from request to request,
	// both opens one for every request and beside that sends a tenth as many over one that stays open.
	// +optional
	// +kubebuilder:default=both
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self in ['new', 'keepalive', 'both']",messageExpression=`'spec.request.connection is "%s"; use new, keepalive or both'.format([self])`,message="spec.request.connection is not known; use new, keepalive or both"
	Connection Connection `json:"connection,omitempty"`

	// AnswerSizeInByte is how large the body of an answer is at least; without it, or with 0, answers are as short as they can be.
	// Answers of several packets show paths that lose full packets alone, such as those with a wrong MTU, and links that are too thin.
	// Agents that do not know the round give their usual answer.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 0 && self <= 65536",messageExpression="'spec.request.answerSizeInByte is %d; use a number of bytes from 0 to 65536'.format([self])"
	AnswerSizeInByte int64 `json:"answerSizeInByte,omitempty"`
}

// Connection is how requests use connections.
type Connection string

// The ways to use connections.
const (
	// NewConnection opens a connection for every request, so that every request meets the choice of a backend and the rules for new connections.
	NewConnection Connection = "new"
	// KeepAlive sends requests over connections that stay open.
	KeepAlive Connection = "keepalive"
	// Both is NewConnection with a slow stream over a connection that stays open beside it.
	Both Connection = "both"
)

// Expect is what every target must reach for a round to succeed.
type Expect struct {
	// SuccessRate is the least share of requests that must succeed.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="self >= 0.0 && self <= 1.0",messageExpression="'spec.expect.successRate is %s; use a number from 0 to 1'.format([self])"
	SuccessRate *float64 `json:"successRate,omitempty"`

	// MeanAccessDelayInMs is the largest mean delay, in milliseconds, of the successful requests.
	// +optional
	// +kubebuilder:default=5000
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 600000",messageExpression="'spec.expect.meanAccessDelayInMs is %d; use a number of milliseconds from 1 to 600000'.format([self])"
	MeanAccessDelayInMs *int64 `json:"meanAccessDelayInMs,omitempty"`

	// StatusCode is the HTTP status that counts as success; without it that is 200.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 100 && self <= 599",messageExpression="'spec.expect.statusCode is %d; use an HTTP status from 100 to 599'.format([self])"
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
	// Status is where the round stands.
	Status RecordStatus `json:"status"`
	// FailureReason is the first thing that kept the round from succeeding.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`
	// RoundNumber counts from 1.
	RoundNumber int64 `json:"roundNumber"`
	// StartTimeStamp is the planned start.
	StartTimeStamp metav1.Time `json:"startTimeStamp"`
	// EndTimeStamp is when the round was closed.
	// +optional
	EndTimeStamp *metav1.Time `json:"endTimeStamp,omitempty"`
	// Duration runs from the planned start to the end.
	// +optional
	Duration *string `json:"duration,omitempty"`
	// DeadLineTimeStamp is when the round is closed at the latest.
	DeadLineTimeStamp metav1.Time `json:"deadLineTimeStamp"`
	// ExpectedActorNumber is how many agents were expected to report.
	// +optional
	ExpectedActorNumber *int64 `json:"expectedActorNumber,omitempty"`
	// FailedAgentNodeList are the nodes whose agents saw a failure.
	FailedAgentNodeList []string `json:"failedAgentNodeList"`
	// SucceedAgentNodeList are the nodes whose agents saw none.
	SucceedAgentNodeList []string `json:"succeedAgentNodeList"`
	// NotReportAgentNodeList are the nodes whose agents gave no report.
	NotReportAgentNodeList []string `json:"notReportAgentNodeList"`
}

// TaskResource says which workload and Services do the work.
type TaskResource struct {
	// RuntimeName is the name of the workload.
	RuntimeName string `json:"runtimeName"`
	// RuntimeType is its kind.
	// +kubebuilder:validation:Enum=Deployment;DaemonSet
	RuntimeType string `json:"runtimeType"`
	// ServiceNameV4 is the Service over IPv4.
	// +optional
	ServiceNameV4 *string `json:"serviceNameV4,omitempty"`
	// ServiceNameV6 is the Service over IPv6.
	// +optional
	ServiceNameV6 *string `json:"serviceNameV6,omitempty"`
	// RuntimeStatus is where the workload stands.
	// +kubebuilder:validation:Enum=creating;created;deleted
	RuntimeStatus string `json:"runtimeStatus"`
}

// TaskStatus is what the controller writes about a task.
type TaskStatus struct {
	// ExpectedRound is the number of rounds asked for; -1 is for ever.
	// +optional
	ExpectedRound *int64 `json:"expectedRound,omitempty"`
	// DoneRound is the number of rounds that are over, however they ended.
	// +optional
	DoneRound *int64 `json:"doneRound,omitempty"`
	// Finish is true once all rounds are over.
	Finish bool `json:"finish"`
	// FinishTime is when the last round was over.
	// +optional
	FinishTime *metav1.Time `json:"finishTime,omitempty"`
	// LastRoundStatus is how the last round ended.
	// +optional
	LastRoundStatus *RoundResult `json:"lastRoundStatus,omitempty"`
	// History holds the last rounds, newest first.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	History []Record `json:"history,omitempty"`
	// Resource says which workload does the work.
	// +optional
	Resource *TaskResource `json:"resource,omitempty"`
	// Revision names the spec that the rounds are about, without what only pauses them.
	// +optional
	Revision string `json:"revision,omitempty"`
	// RoundsGeneration is the generation with which these rounds began: suspending a task begins no new ones.
	// +optional
	RoundsGeneration int64 `json:"roundsGeneration,omitempty"`
	// LastRunNow is the last value of the annotation kdoctor.io/run-now that a round was started for.
	// +optional
	LastRunNow string `json:"lastRunNow,omitempty"`
	// ObservedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions say in words how the task stands.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
