package render

import (
	"cmp"
	"slices"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// ranked is a path with what it is ranked by.
type ranked struct {
	agent  *report.AgentReport
	path   *report.Path
	judged verdict.JudgedPath
	// failed reports that the path did not pass; failures is how many requests failed that no change explains.
	failed   bool
	failures uint64
	p99      time.Duration
}

// worse puts paths that did not pass first, then those with the most failures, then the slowest.
func worse(a, b ranked) int {
	rank := func(r ranked) int {
		if r.failed {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.failures, a.failures), cmp.Compare(b.p99, a.p99),
		cmp.Compare(a.agent.Node, b.agent.Node), cmp.Compare(a.agent.Pod, b.agent.Pod),
		cmp.Compare(a.path.Target.ID, b.path.Target.ID))
}

// worst keeps the worst paths, sorted. Its zero value is empty.
type worst struct{ paths []ranked }

// offer takes the path in if it is among the worst.
func (w *worst) offer(a *report.AgentReport, p *report.Path, j verdict.JudgedPath) {
	r := ranked{agent: a, path: p, judged: j, failed: j.Result != verdict.Pass && j.Result != verdict.Void,
		failures: p.Failed() - min(p.Failed(), p.Excused()), p99: p.Latency.Max()}
	most := worstBound().entries
	// No percentile is above the maximum, so most paths are out before the percentile is looked up.
	if len(w.paths) == most && worse(r, w.paths[most-1]) > 0 {
		return
	}
	r.p99 = p.Latency.Quantile(0.99)
	at, _ := slices.BinarySearchFunc(w.paths, r, worse)
	if at == most {
		return
	}
	w.paths = slices.Insert(w.paths, at, r)
	w.paths = w.paths[:min(len(w.paths), most)]
}

// render is what the object has of them.
func (w *worst) render(known known) []systemv1beta1.WorstPath {
	var all []systemv1beta1.WorstPath
	for _, r := range w.paths {
		t := &r.path.Target
		told := systemv1beta1.WorstPath{
			NodeName: r.agent.Node, PodName: r.agent.Pod,
			TargetName: t.ID, TargetUrl: t.Address, TargetKind: string(t.Kind), IPFamily: string(t.Family),
			TargetPodName: t.Pod, TargetNodeName: known.node(t), Result: string(r.judged.Result),
			RequestCounts: count(r.path.Sent), SuccessCounts: count(r.path.OK), VoidRequests: count(r.path.Excused()),
			MeanInMs: milliseconds(r.path.Latency.Mean()), P99InMs: milliseconds(r.p99),
			MaxInMs: milliseconds(r.path.Latency.Max()),
		}
		if r.judged.Result != verdict.Pass {
			told.FailureCode, told.FailureReason = string(r.judged.Reason.Code), clip(r.judged.Reason.String())
		}
		all = append(all, told)
	}
	return all
}
