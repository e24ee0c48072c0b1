// Package render turns a stored round into the KdoctorReport that users read, in the format that their tools know:
// durations are Go durations, sizes and shares are strings with units, latencies are milliseconds.
package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// The values of Status, RoundResult and ReportType.
const (
	Finished    = "Finished"
	NotFinished = "NotFinished"
	Succeed     = "succeed"
	Fail        = "fail"
	reportType  = "agent test report"
)

// ReportedTask is what a report says of its task.
type ReportedTask struct {
	// Kind is the task's kind, such as NetReach.
	Kind, Name, UID string
	Created         time.Time
	Generation      int64
	// ExpectedRounds is how many rounds are asked for, negative for no end; DoneRounds is how many are over.
	ExpectedRounds, DoneRounds int64
	// Finished reports whether all rounds are over.
	Finished bool
	// FailedRounds are the numbers of the rounds that failed, ascending.
	FailedRounds []int64
}

// Name is the name of a task's report: <lowercase kind>-<task>.
func Name(kind, task string) string { return strings.ToLower(kind) + "-" + task }

// Report renders the task's latest round in at most MaxBytes. It is the same for the same input, whatever order the
// agents reported in.
func Report(task ReportedTask, stored verdict.StoredRound) *systemv1beta1.KdoctorReport {
	figures := tallyOf(stored)
	if fits(stored) {
		r := head(task, FactsOf(stored))
		tell(&r.Spec, stored, figures)
		r.Spec.Report = agents(task, stored)
		if size(r) <= MaxBytes {
			return r
		}
	}
	return withoutPaths(task, stored, figures)
}

// withoutPaths renders the figures alone.
func withoutPaths(task ReportedTask, stored verdict.StoredRound, figures *tally) *systemv1beta1.KdoctorReport {
	r := head(task, FactsOf(stored))
	tell(&r.Spec, stored, figures)
	r.Spec.Report = []systemv1beta1.Report{}
	r.Spec.ReportOmitted = omitted(task, stored, figures)
	r.Spec.NodesNotPassed = figures.notPassed()
	r.Spec.ZonePairsNotPassed = zonePairs(stored.Round)
	r.Spec.WorstPaths = figures.worst.render(figures.known)
	shorten(&r.Spec, count(stored.Round.MoreNodes))
	return r
}

// Whole renders the report with all paths that agents reported one by one, however large it gets, as earlier releases
// served it.
func Whole(task ReportedTask, stored verdict.StoredRound) *systemv1beta1.KdoctorReport {
	r := head(task, FactsOf(stored))
	tell(&r.Spec, stored, tallyOf(stored))
	r.Spec.Report = agents(task, stored)
	return r
}

// tell adds what the round tells beside its paths.
func tell(spec *systemv1beta1.KdoctorReportSpec, stored verdict.StoredRound, figures *tally) {
	spec.Coverage = coverage(stored.Round.Coverage)
	spec.ControllerRelease, spec.AgentReleases = stored.Round.Controller, releases(stored.Round.Agents)
	spec.Summary = figures.summary()
	for _, reason := range stored.Verdict.Reasons {
		message := reason.String()
		spec.FailedReasons = append(spec.FailedReasons, message)
		spec.Reasons = append(spec.Reasons,
			systemv1beta1.Reason{Code: string(reason.Code), NodeName: reason.Node, PodName: reason.Pod,
				TargetName: reason.Target, Message: message})
	}
	for _, m := range stored.Round.Missing {
		spec.NotReported = append(spec.NotReported,
			systemv1beta1.NotReported{NodeName: m.Node, PodName: m.Pod, Reason: m.Reason, Void: m.Excused})
	}
	for _, c := range stored.Round.Churn {
		spec.Churn = append(spec.Churn, phrases.ChangeWithTime(c, stored.Round.Started))
	}
	for _, o := range stored.Round.Outside {
		spec.Outside = append(spec.Outside, systemv1beta1.Outside{NodeName: o.Node, Reason: o.Reason})
	}
	for _, n := range verdict.Notes(stored.Round, stored.Verdict) {
		spec.Notes = append(spec.Notes, systemv1beta1.Note{Code: string(n.Code), Message: n.String()})
	}
	spec.Findings = findings(stored)
	spec.Diagnosis = diagnosis(stored.Round.Ladder)
	spec.Load = load(stored.Round.Budget)
	spec.ReducedLoad = phrases.Reduction(stored.Round.Budget)
	spec.LoadOfOthers = phrases.OtherRounds(stored.Round.Budget)
}

// Bare is the report without anything that the round would tell.
func Bare(task ReportedTask) *systemv1beta1.KdoctorReport {
	status := NotFinished
	if task.Finished {
		status = Finished
	}
	return &systemv1beta1.KdoctorReport{
		TypeMeta: metav1.TypeMeta{APIVersion: systemv1beta1.GroupVersion().String(), Kind: "KdoctorReport"},
		ObjectMeta: metav1.ObjectMeta{
			Name: Name(task.Kind, task.Name), UID: types.UID(task.UID), CreationTimestamp: metav1.NewTime(task.Created),
		},
		Spec: systemv1beta1.KdoctorReportSpec{
			TaskName: task.Name, TaskType: task.Kind, Status: status,
			RoundNumber: task.ExpectedRounds, FinishedRoundNumber: task.DoneRounds,
			FailedRoundNumber: task.FailedRounds,
		},
	}
}

func agents(task ReportedTask, stored verdict.StoredRound) []systemv1beta1.Report {
	judged := judgedAgents(stored.Verdict)
	known := newKnown(stored.Round)
	known.backends = expectedBackends(stored.Round)
	reports := make([]systemv1beta1.Report, 0, len(stored.Round.Agents))
	for _, a := range stored.Round.Agents {
		v := judgedAgent(judged, a.Pod)
		reports = append(reports, agent(task, stored, a, details(a, v, known, nil), v))
	}
	slices.SortFunc(reports, func(a, b systemv1beta1.Report) int {
		return cmp.Or(cmp.Compare(a.NodeName, b.NodeName), cmp.Compare(a.PodName, b.PodName))
	})
	return reports
}

func agent(task ReportedTask, stored verdict.StoredRound, a report.AgentReport, paths []systemv1beta1.TargetDetail,
	v verdict.JudgedAgent) systemv1beta1.Report {
	passed := v.Result == verdict.Pass
	r := systemv1beta1.Report{
		NodeName: a.Node, PodName: a.Pod,
		TaskName: strings.ToLower(task.Kind) + "." + task.Name, TaskType: task.Kind, ReportType: reportType,
		RoundNumber: stored.Round.Key.Round, RoundResult: Fail,
		RoundDuration: a.Ended.Sub(a.Started).String(), RoundDurationInMs: milliseconds(a.Ended.Sub(a.Started)),
		StartTimeStamp: metav1.NewTime(a.Started), EndTimeStamp: metav1.NewTime(a.Ended),
	}
	if reason := v.Reason.String(); !passed {
		r.FailedReason = &reason
	}
	switch v.Result {
	case verdict.Pass:
		r.RoundResult = Succeed
	case verdict.Void:
		r.RoundResult = systemv1beta1.ResultVoid
	}
	if a.Via == report.PortForward {
		r.FetchedBy = string(a.Via)
	}
	measured := &systemv1beta1.TaskReport{TargetType: task.Kind, TargetNumber: int64(len(paths)), Succeed: passed,
		Detail:   paths,
		Observer: observer(a.Observer)}
	if a.Resources.Known {
		measured.MeanCPU = fmt.Sprintf("%.3f%%", a.Resources.MeanCPU)
		measured.MaxCPU = fmt.Sprintf("%.3f%%", a.Resources.MaxCPU)
		measured.MaxMemory = fmt.Sprintf("%.2fMB", float64(a.Resources.MaxMemory)/1e6)
		measured.MeanCPUInPercent, measured.MaxCPUInPercent = a.Resources.MeanCPU, a.Resources.MaxCPU
		measured.MaxMemoryInByte = count(a.Resources.MaxMemory)
	}
	r.SetTask(stored.Spec, measured)
	return r
}

// details renders what the agent measured, and what it was to measure and did not, sorted by kind, family and name:
// those paths that are wanted.
func details(a report.AgentReport, v verdict.JudgedAgent, known known, wanted Wanted) []systemv1beta1.TargetDetail {
	judged := judgedPaths(v)
	paths := slices.Clone(a.Paths)
	slices.SortStableFunc(paths, func(a, b report.Path) int {
		return cmp.Or(cmp.Compare(a.Target.Kind.Traits().Place, b.Target.Kind.Traits().Place),
			cmp.Compare(a.Target.Family, b.Target.Family), cmp.Compare(a.Target.ID, b.Target.ID))
	})
	out := make([]systemv1beta1.TargetDetail, 0, len(paths))
	measured := make(map[string]bool, len(paths))
	for _, p := range paths {
		measured[p.Target.ID] = true
		j := judgedPath(judged, p.Target.ID)
		if !wanted.path(&p.Target, known, j.Result) {
			continue
		}
		if p.Started.IsZero() || p.Ended.IsZero() {
			p.Started, p.Ended = a.Started, a.Ended
		}
		d := detail(p, j, known)
		known.backends.tell(&d.Metrics, a.Pod, p)
		out = append(out, d)
	}
	for _, id := range slices.Sorted(slices.Values(known.expected[a.Pod])) {
		p := report.Path{Target: known.target(id), Started: a.Started, Ended: a.Ended}
		if !measured[id] && wanted.path(&p.Target, known, verdict.NoData) {
			out = append(out, detail(p,
				verdict.JudgedPath{Result: verdict.NoData, Reason: verdict.Reason{Code: verdict.NotMeasured}}, known))
		}
	}
	return out
}

func detail(p report.Path, v verdict.JudgedPath, known known) systemv1beta1.TargetDetail {
	d := systemv1beta1.TargetDetail{
		TargetName: p.Target.ID, TargetUrl: p.Target.Address, TargetMethod: "GET",
		TargetKind: string(p.Target.Kind), IPFamily: string(p.Target.Family), Interface: p.Target.Interface,
		TargetPodName: p.Target.Pod, TargetNodeName: known.node(&p.Target),
		Succeed:   v.Result == verdict.Pass,
		MeanDelay: milliseconds(p.Latency.Mean()),
		Metrics:   metrics(p),
	}
	if p.Target.ShortCircuit {
		d.AnsweredBy = systemv1beta1.AnsweredByNode
	}
	if counted := p.Sent - p.Excused(); counted > 0 {
		d.SucceedRate = float64(p.OK) / float64(counted)
	}
	if v.Result != verdict.Pass && v.Result != verdict.Fail {
		d.Result = string(v.Result)
	}
	if reason := v.Reason.String(); !d.Succeed {
		d.FailureReason, d.FailureCode = &reason, string(v.Reason.Code)
		if v.Reason.Persistent {
			d.FailureStream = systemv1beta1.StreamPersistent
		}
	}
	return d
}
