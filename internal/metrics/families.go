// Package metrics makes series for Prometheus of the rounds that are over and of the controller's own state.
//
// What is exposed of a task is what its last round said, beside counters of all rounds since the controller began to
// lead. Nothing is exposed for each pair of nodes: the number of series grows with the nodes and the kinds of paths.
// The series of a task and of a node end when the task or the node is deleted.
package metrics

import "slices"

// Type is the type of a family.
type Type string

// The types.
const (
	Gauge     Type = "gauge"
	Counter   Type = "counter"
	Histogram Type = "histogram"
)

// Family is one metric with all its series.
type Family struct {
	Name string
	Type Type
	// Help is one sentence without a final stop.
	Help   string
	Labels []string
	// Series says how many series there are at most.
	Series string
}

// The names of the families.
const (
	roundResult   = "kdoctor_round_result"
	rounds        = "kdoctor_rounds_total"
	lastFinished  = "kdoctor_round_last_finished_timestamp_seconds"
	lastSuccess   = "kdoctor_round_last_success_timestamp_seconds"
	roundDuration = "kdoctor_round_duration_seconds"
	roundDue      = "kdoctor_round_due_timestamp_seconds"
	startMissed   = "kdoctor_task_start_missed"
	taskCreated   = "kdoctor_task_created_timestamp_seconds"
	taskInterval  = "kdoctor_task_interval_seconds"
	taskTimeout   = "kdoctor_task_timeout_seconds"
	expected      = "kdoctor_round_agents_expected"
	reported      = "kdoctor_round_agents_reported"
	silent        = "kdoctor_round_agent_silent"
	roundPaths    = "kdoctor_round_paths"
	nodePaths     = "kdoctor_round_node_paths"
	nodeFailed    = "kdoctor_round_node_failed_paths"
	worstPaths    = "kdoctor_round_worst_path_failure_ratio"
	findings      = "kdoctor_findings"
	requests      = "kdoctor_requests_total"
	excused       = "kdoctor_requests_excused_total"
	missed        = "kdoctor_requests_missed_total"
	retransmits   = "kdoctor_retransmits_total"
	duration      = "kdoctor_request_duration_seconds"
	leader        = "kdoctor_leader"
	running       = "kdoctor_rounds_running"
	storeErrors   = "kdoctor_store_errors_total"
	certificates  = "kdoctor_certificate_expiry_timestamp_seconds"
	buildInfo     = "kdoctor_build_info"
)

// Families returns all families, those of tasks first.
func Families() []Family {
	all := slices.Concat(taskFamilies(), pathFamilies())
	for i := range all {
		all[i].Labels = append([]string{"kind", "task"}, all[i].Labels...)
	}
	return append(all, ownFamilies()...)
}

// taskFamilies are about a task as a whole. The labels kind and task come before theirs.
func taskFamilies() []Family {
	return []Family{
		{roundResult, Gauge, "Whether the last round had the result (1) or not (0); not run is the result of a round " +
			"without a report", []string{"result"}, "5 a task"},
		{rounds, Counter, "Rounds that are over, by result", []string{"result"}, "5 a task"},
		{lastFinished, Gauge, "When the last round was over, in seconds since 1970; there is none before the first " +
			"round is over", nil, "1 a task"},
		{lastSuccess, Gauge, "When the last round that passed was over, in seconds since 1970", nil, "1 a task"},
		{roundDuration, Gauge, "How long the last round took", nil, "1 a task"},
		{roundDue, Gauge, "When the round that runs, or the next one, is to be over at the latest, in seconds since 1970; " +
			"there is none for a task that is suspended or has no further round", nil, "1 a task"},
		{startMissed, Gauge, "Whether a planned start was missed since the last round was over (1) or not (0)", nil,
			"1 a task"},
		{taskCreated, Gauge, "When the task was created, in seconds since 1970", nil, "1 a task"},
		{taskInterval, Gauge, "Time from the start of the last round to the next one by schedule, or from the creation " +
			"of the task to its first round; there is none for a task that is suspended or has no further round", nil,
			"1 a task"},
		{taskTimeout, Gauge, "How long a round of the task may take", nil, "1 a task"},
		{expected, Gauge, "Agents that were to report in the last round", nil, "1 a task"},
		{reported, Gauge, "Agents that reported in the last round", nil, "1 a task"},
		{silent, Gauge, "1 for each node whose agent was to report in the last round and did not, unless a change " +
			"explains it", []string{"node"}, "1 a silent node and task"},
		{findings, Gauge, "Findings of the last round, by rule, part of the cluster and confidence",
			[]string{"reason", "component", "confidence"}, "1 a rule, component and confidence with findings"},
	}
}

// pathFamilies are about the paths of a task. The labels kind and task come before theirs.
func pathFamilies() []Family {
	group := []string{"path", "family"}
	return []Family{
		{roundPaths, Gauge, "Paths of the last round by result", []string{"path", "family", "result"},
			"5 a kind of path, IP family and task"},
		{nodePaths, Gauge, "Paths of the last round that begin at the node (direction from) or lead to it (direction " +
			"to)", []string{"node", "direction", "path"}, "1 a node, direction, kind of path and task"},
		{nodeFailed, Gauge, "Failed paths of the last round that begin at the node (direction from) or lead to it " +
			"(direction to)", []string{"node", "direction", "path"}, "1 a node, direction, kind of path and task"},
		{worstPaths, Gauge, "Share of failed requests on the worst of the failed paths of the last round, of those that " +
			"are reported one by one; to is empty for a path that leads to no certain node",
			[]string{"from", "to", "path", "family"}, "20 a task"},
		{requests, Counter, "Requests by outcome, those of persistent connections not included",
			[]string{"path", "family", "outcome"}, "13 a kind of path, IP family and task"},
		{excused, Counter, "Failed requests that a change explains; they are among kdoctor_requests_total too",
			group, "1 a kind of path, IP family and task"},
		{missed, Counter, "Requests that agents could not send in time", group, "1 a kind of path, IP family and task"},
		{retransmits, Counter, "TCP segments that were retransmitted for requests", group,
			"1 a kind of path, IP family and task"},
		{duration, Histogram, "Time that successful requests took, without what the agent itself added; counts are " +
			"exact, and each duration is known to 3.2 %", group, "14 a kind of path, IP family and task"},
	}
}

// ownFamilies are about the controller.
func ownFamilies() []Family {
	return []Family{
		{leader, Gauge, "Whether this controller leads (1) or waits (0)", nil, "1"},
		{running, Gauge, "Rounds that run right now", nil, "1"},
		{storeErrors, Counter, "Calls to the store of reports that failed, by what was to be done",
			[]string{"operation"}, "3"},
		{certificates, Gauge, "When a certificate that this controller uses ends, in seconds since 1970",
			[]string{"certificate"}, "2"},
		{buildInfo, Gauge, "Always 1; the labels say what this controller was built from",
			[]string{"version", "revision", "goversion"}, "1"},
	}
}
