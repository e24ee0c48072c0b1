package render

import (
	"fmt"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Wanted chooses paths. Nil chooses all.
type Wanted func(Chosen) bool

// Chosen is what paths are chosen by.
type Chosen struct {
	// Target, TargetPod, TargetNode and Kind are those of the target.
	Target, TargetPod, TargetNode, Kind string
	Result                              verdict.Result
}

func (w Wanted) path(t *target.Target, known known, r verdict.Result) bool {
	return w == nil || w(Chosen{Target: t.ID, TargetPod: t.Pod, TargetNode: known.node(t), Kind: string(t.Kind),
		Result: r})
}

// RoundName is the name of a stored round: that of its task's report, a colon, which no task's name holds, and
// generation and number.
func RoundName(report string, key schedule.Key) string {
	return fmt.Sprintf("%s:%d.%d", report, key.Generation, key.Round)
}

// Single renders single paths of a round.
type Single struct {
	name  string
	known known
}

// NewSingle prepares for the paths of a round, which may lack its agents and its backends. Then paths do not say how
// many backends were expected, and those that no agent told are left out.
func NewSingle(report string, round report.Round) Single {
	s := Single{name: RoundName(report, round.Key), known: newKnown(round)}
	// Who was silent is known only from all agents together; findings say it.
	s.known.backends = backends{expected: round.BackendSets(), unknown: len(round.Backends) == 0}
	return s
}

// Paths renders the wanted paths of one agent as Report has them in Detail, in the same order. The judgement is nil for
// an agent that was not judged.
func (s Single) Paths(a report.AgentReport, v *verdict.JudgedAgent, wanted Wanted) []systemv1beta1.KdoctorPath {
	if v == nil {
		v = new(judgedAgent(nil, a.Pod))
	}
	var all []systemv1beta1.KdoctorPath
	for _, d := range details(a, *v, s.known, wanted) {
		p := systemv1beta1.KdoctorPath{Spec: systemv1beta1.KdoctorPathSpec{ReportName: s.name, NodeName: a.Node,
			PodName: a.Pod, Detail: d}}
		p.APIVersion, p.Kind = systemv1beta1.GroupVersion().String(), "KdoctorPath"
		p.Name = strings.Join([]string{s.name, a.Pod, d.TargetName}, ":")
		all = append(all, p)
	}
	return all
}

// Sums renders what is known of the agent's other paths, those of the wanted kinds.
func (s Single) Sums(a report.AgentReport, wantedKind func(string) bool) []systemv1beta1.SummedPaths {
	var all []systemv1beta1.SummedPaths
	for i := range a.Sums {
		sum := &a.Sums[i]
		if !wantedKind(string(sum.Total.Target.Kind)) {
			continue
		}
		var w way
		w.add(&sum.Total)
		addSum(&w.counts, *sum)
		all = append(all, systemv1beta1.SummedPaths{NodeName: a.Node, PodName: a.Pod, ToZone: sum.Zone,
			PathSummary: w.summary(wayKey{sum.Total.Target.Kind, sum.Total.Target.Family})})
	}
	return all
}

// JudgedAgents returns a function that looks up the judgement on an agent.
func JudgedAgents(v verdict.Verdict) func(pod string) verdict.JudgedAgent {
	judged := judgedAgents(v)
	return func(pod string) verdict.JudgedAgent { return judgedAgent(judged, pod) }
}
