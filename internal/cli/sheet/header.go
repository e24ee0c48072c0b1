package sheet

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// header says how the round ended and why, when it was and who took part.
func header(r systemv1beta1.KdoctorReport, seen evidence, o Options) []string {
	lines := headline(r, seen, o)
	for _, f := range facts(r.Spec, o) {
		lines = append(lines, labelled(fmt.Sprintf("  %-8s", f.Label), f.Text, o)...)
	}
	return lines
}

// Fact is one sentence about the round, behind a label. Several facts may have the same label.
type Fact struct{ Label, Text string }

// The labels of facts.
const (
	labelWhen    = "when"
	labelAgents  = "agents"
	labelCovers  = "covers"
	labelFailed  = "failed"
	labelLoad    = "load"
	labelChanged = "changed"
	labelNote    = "note"
	labelShown   = "shown"
)

// facts say when the round was, who took part, with which load, what changed meanwhile and what it does not prove.
func facts(s systemv1beta1.KdoctorReportSpec, o Options) []Fact {
	all := []Fact{{labelWhen, when(s, o.Now)}, {labelAgents, agents(s)}}
	if text := covered(s.Coverage); text != "" {
		all = append(all, Fact{labelCovers, text})
	}
	if slices.ContainsFunc(s.FailedRoundNumber, func(n int64) bool { return n != s.ReportRoundNumber }) {
		all = append(all, Fact{labelFailed, failedRounds(s.FailedRoundNumber)})
	}
	reduced := s.ReducedLoad
	if slices.Contains(s.FailedReasons, reduced) {
		// It is said as the reason of the failure.
		reduced = ""
	}
	for _, sentence := range []string{footprint(s.Load, o), answers(s.Load), reduced, s.LoadOfOthers} {
		if sentence != "" {
			all = append(all, Fact{labelLoad, sentence})
		}
	}
	all = append(all, changes(s, o)...)
	for _, n := range s.Notes {
		if n.Code == string(verdict.PartOfPairs) && covered(s.Coverage) != "" {
			// It is said above.
			continue
		}
		all = append(all, Fact{labelNote, n.Message})
	}
	if text := shown(o); text != "" {
		all = append(all, Fact{labelShown, text})
	}
	return all
}

// shown says what of the report is shown; it is empty for all.
func shown(o Options) string {
	if o.Node == "" && o.Target == "" && o.Kind == "" && !o.Failed {
		return ""
	}
	text := "what failed"
	switch {
	case !o.Failed && o.Node != "":
		text = "what node " + o.Node + " measured"
	case !o.Failed:
		text = "what was measured"
	case o.Node != "":
		text += " on node " + o.Node
	}
	if o.Kind != "" {
		text += ", by " + path{kind: o.Kind}.title()
	}
	if o.Target != "" {
		text += ", to " + o.Target
	}
	return text
}

// covered says how much of the cluster the round probed, where that is not all of it.
func covered(c *systemv1beta1.Coverage) string {
	if c == nil || c.Mode != string(report.Rotate) || c.PairsInAll == 0 {
		return ""
	}
	text := fmt.Sprintf("this round %s of the pairs of nodes", percent(c.PairsProbed, c.PairsInAll))
	if c.EveryPairWithin != "" {
		return "every pair within " + c.EveryPairWithin + "; " + text
	}
	if c.EveryPairWithinRounds > 0 {
		return fmt.Sprintf("every pair within %s; ", count(c.EveryPairWithinRounds, "round")) + text
	}
	return text
}

// percent never rounds a part up to the whole, nor down to nothing.
func percent(part, whole int64) string {
	share := 100 * float64(part) / float64(whole)
	switch {
	case part > 0 && share < 0.1:
		return "less than 0.1 %"
	case share < 10:
		return strconv.FormatFloat(math.Floor(10*share)/10, 'f', -1, 64) + " %"
	}
	return strconv.FormatFloat(math.Floor(share), 'f', 0, 64) + " %"
}

// labelled is the text, wrapped, behind its label.
func labelled(label, text string, o Options) []string {
	lines := wrap(text, o.Width, len(label))
	lines[0] = label + lines[0][len(label):]
	return lines
}

// footprint says in the wide form what the load was, and what it cost.
func footprint(l *systemv1beta1.Load, o Options) string {
	if l == nil || !o.Wide {
		return ""
	}
	opened := count(l.ConnectionsPerSecond, "new connection") + "/s"
	if l.ConnectionsPerSecond == 0 {
		opened = "connections that stay open"
	}
	rate := count(l.RequestsPerSecond, "request") + "/s"
	switch {
	case l.SecondsPerRequest > 0:
		rate = fmt.Sprintf("1 request every %d s", l.SecondsPerRequest)
	case l.RequestsPerSecond == 0:
		// Nothing was sent; ReducedLoad says why.
		return ""
	}
	return fmt.Sprintf("%s to each of up to %s from each agent: %s, up to %d tracked",
		rate, count(l.TargetsPerAgent, "target"), opened, l.TrackedConnections)
}

// answers says how large answers are, where a task asks for large ones, and what that brings to an agent.
func answers(l *systemv1beta1.Load) string {
	if l == nil || l.AnswerSizeInByte == 0 || l.AnswerBytesPerSecond == 0 {
		return ""
	}
	return fmt.Sprintf("answers of at least %s: up to %.1f MB/s to each agent", count(l.AnswerSizeInByte, "byte"),
		float64(l.AnswerBytesPerSecond)/1e6)
}

// changes tells of what was deleted, drained or restarted meanwhile.
func changes(s systemv1beta1.KdoctorReportSpec, o Options) []Fact {
	most, hint, more := 5, ": --wide shows all", 0
	if s.LeftOut != nil && s.LeftOut.Churn > 0 {
		most, hint, more = 3, "", int(s.LeftOut.Churn)
	}
	shown := first(s.Churn, most, o)
	var all []Fact
	for _, sentence := range shown {
		all = append(all, Fact{labelChanged, sentence})
	}
	if more += len(s.Churn) - len(shown); more > 0 {
		all = append(all, Fact{labelChanged, fmt.Sprintf("and %s%s", count(more, "more change"), hint)})
	}
	return all
}

func rounds(s systemv1beta1.KdoctorReportSpec) string {
	text := fmt.Sprintf("round %d of %d", s.ReportRoundNumber, s.RoundNumber)
	if s.RoundNumber > 0 && s.ReportRoundNumber > s.RoundNumber {
		// It was asked for beyond those that the task plans.
		return fmt.Sprintf("round %d", s.ReportRoundNumber)
	}
	if s.RoundNumber < 1 {
		text = fmt.Sprintf("round %d, without an end", s.ReportRoundNumber)
	}
	return text
}

// failedRounds shows the last few: a task without an end may have thousands.
func failedRounds(all []int64) string {
	const most = 10
	var texts []string
	for _, n := range all[max(0, len(all)-most):] {
		texts = append(texts, strconv.FormatInt(n, 10))
	}
	if len(all) > most {
		return fmt.Sprintf("%d rounds so far, the last ones %s", len(all), strings.Join(texts, ", "))
	}
	if len(all) == 1 {
		return "round " + texts[0]
	}
	return "rounds " + strings.Join(texts, ", ")
}

func when(s systemv1beta1.KdoctorReportSpec, now time.Time) string {
	who := agentsOf(s)
	begin, end := who.begin, who.end
	if begin.IsZero() || end.IsZero() {
		return "unknown: no agent reported"
	}
	const clock = "15:04:05"
	until := end.UTC().Format(clock)
	if begin.UTC().Format(time.DateOnly) != end.UTC().Format(time.DateOnly) {
		until = end.UTC().Format(time.DateTime)
	}
	text := fmt.Sprintf("%s to %s UTC, took %s", begin.UTC().Format(time.DateTime), until,
		end.Sub(begin).Round(time.Second))
	if age := now.Sub(end); !now.IsZero() && age >= 0 {
		text += ", " + ago(age)
	}
	return text
}

// ago tells an age in the one unit that matters.
func ago(age time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		name string
		of   time.Duration
	}{{"day", day}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		if n := int(age / unit.of); n > 0 {
			return count(n, unit.name) + " ago"
		}
	}
	return "just now"
}

func agents(s systemv1beta1.KdoctorReportSpec) string {
	who := agentsOf(s)
	text := fmt.Sprintf("%d of %d reported", who.reported, who.expected)
	if who.changed > 0 {
		text += fmt.Sprintf(", %d void", who.changed)
	}
	if who.cpu > 0 && who.memory > 0 {
		text += fmt.Sprintf("; at most %.0f%% of a core in a second, and a working set of %.0f MB", who.cpu,
			float64(who.memory)/1e6)
	}
	return text
}

func count[T int | int64](n T, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
