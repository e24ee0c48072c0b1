package sheet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
)

// View is all that a report says, decided as the sheet decides it and without a layout. Its lists are as long as the
// report's.
type View struct {
	// Verdict and Headline are the sheet's first line.
	Verdict  Result
	Headline string
	// Round names the task and the round, in short.
	Round string
	Facts []Fact
	// Changes say what was deleted, drained or restarted meanwhile, Notes what the round does not prove.
	Changes, Notes []string
	Findings       []Finding
	// FindingsLeftOut is how many further findings the report leaves out.
	FindingsLeftOut int
	// Silent are agents that did not report, Changed those whose missing report is void.
	Silent, Changed Absent
	// Reasons say why the round failed, but for those that are findings.
	Reasons []string
	// Expected is what the task expects of its paths; empty where the report does not say that.
	Expected Expectation
	Paths    []Path
	// BoundNote explains the mark ≤; empty where no figure has the mark.
	BoundNote string
	// Diagnosis is what the probes beside the requests cost; SmallestLoss is the smallest loss that they could have
	// seen.
	Diagnosis    string
	SmallestLoss []Loss
	// Omitted says why the report has no single paths; empty where it has them. What follows is there only then.
	Omitted      string
	Nodes, Zones Table
	Worst        Table
	// LeftOut counts further reasons, changes and notes that the report leaves out.
	LeftOut []string
	// Total sums up the paths, Advice is what to do next, with Command where a command helps.
	Total, Advice, Command, Apart string
}

// Result is a result in a word.
type Result struct {
	Word string
	Tone Tone
}

func (o outcome) result() Result { return Result{Word: o.String(), Tone: o.tone()} }

// Absent are agents without a report. InAll is how many there are, with those that the report leaves out.
type Absent struct {
	Agents []systemv1beta1.NotReported
	InAll  int
}

// Finding is one of the report's, with how sure it is.
type Finding struct {
	systemv1beta1.Finding
	Sureness string
}

// Loss is the smallest loss that would have shown on a kind of path. Probes counts the probes and requests of the node
// with the fewest.
type Loss struct {
	Path, Percent string
	Probes        int64
}

// Expectation is what a task expects of each path; a part is empty where the report does not say it.
type Expectation struct{ Success, Mean string }

// Row is what is said of one path, or of several.
type Row struct {
	// Label names the paths, where the row is about a part of a kind.
	Label string
	// Targets and Requests are those that passed of those that count; Success is the share of the requests.
	Targets, Requests, Success string
	Mean, P50, P99, Max        string
	Result                     Result
	Notes                      []string
}

// Path is one kind of path over one family, from all agents.
type Path struct {
	Row
	Title, Family string
	// SmallestLoss is the smallest loss at one node that the round could have seen on paths of the kind; empty where
	// the report does not say it.
	SmallestLoss string
	// NotPassed are its paths that did not pass, by what they have in common.
	NotPassed []Row
	// Matrix has its single paths; it is empty where the report has none.
	Matrix Matrix
}

// Table is a table of texts. LeftOut is how many further rows the report leaves out.
type Table struct {
	Title   string
	Rows    []TableRow
	LeftOut int
}

// TableRow is a row with a result and a reason, where there are such.
type TableRow struct {
	Cells  []string
	Result Result
	Reason string
}

// Read returns what the report says. Of the options only the round counts.
func Read(r systemv1beta1.KdoctorReport, o Options) View {
	o = Options{Round: o.Round, Wide: true}
	s := r.Spec
	var v View
	var seen evidence
	if Omitted(r) {
		seen = surveySummary(r)
		v.omitted(s)
	} else {
		all := sources(s, Options{})
		seen = survey(r, all)
		v.paths(s, all, commandFor(r, o)+" --node NODE shows what one node measured")
	}
	v.head(r, seen, o)
	v.findings(s)
	silent, changed := apart(s.NotReported)
	v.Silent, v.Changed = Absent{silent, agentsOf(s).silent()}, Absent{changed, agentsOf(s).changed}
	for _, reason := range reasonsOf(s) {
		if !located(reason, s) {
			v.Reasons = append(v.Reasons, reason.Message)
		}
	}
	v.Expected = expectation(s)
	v.LeftOut = leftOutLists(s.LeftOut)
	c := conclude(r, seen, s.NotReported, o)
	v.Total, v.Advice, v.Command, v.Apart = c.total, c.advice, c.command, c.apart
	return v
}

// head reads the verdict and the facts.
func (v *View) head(r systemv1beta1.KdoctorReport, seen evidence, o Options) {
	s := r.Spec
	word, as, text := headlineOf(r, seen)
	v.Verdict, v.Headline = Result{word, as.tone()}, text
	v.Round = fmt.Sprintf("%s %s, round %d", s.TaskType, s.TaskName, s.ReportRoundNumber)
	v.Facts = []Fact{{"task", s.TaskType + " " + s.TaskName}, {"round", strings.TrimPrefix(rounds(s), "round ")}}
	for _, f := range facts(s, o) {
		switch f.Label {
		case labelNote:
			v.Notes = append(v.Notes, f.Text)
		case labelChanged:
			v.Changes = append(v.Changes, f.Text)
		default:
			v.Facts = append(v.Facts, f)
		}
	}
	if text := releases(s); text != "" {
		v.Facts = append(v.Facts, Fact{"release", text})
	}
}

// releases names the releases of the round's programs; empty for rounds that do not have them.
func releases(s systemv1beta1.KdoctorReportSpec) string {
	var parts []string
	if s.ControllerRelease != "" {
		parts = append(parts, "controller "+s.ControllerRelease)
	}
	for _, a := range s.AgentReleases {
		release := a.Release
		if release == "" {
			release = "of an unknown release"
		}
		parts = append(parts, count(a.Agents, "agent")+" "+release)
	}
	return strings.Join(parts, ", ")
}

func (v *View) findings(s systemv1beta1.KdoctorReportSpec) {
	for _, f := range s.Findings {
		v.Findings = append(v.Findings, Finding{f, sureness(f)})
	}
	if s.LeftOut != nil {
		v.FindingsLeftOut = int(s.LeftOut.Findings)
	}
	if d := s.Diagnosis; d != nil {
		v.Diagnosis = strings.Join(diagnosed(d, Options{}), " ")
		for _, l := range d.SmallestLoss {
			v.SmallestLoss = append(v.SmallestLoss, Loss{l.Path, lossPercent(l), l.Probes})
		}
	}
}

// paths reads single paths.
func (v *View) paths(s systemv1beta1.KdoctorReportSpec, all []source, hint string) {
	for _, f := range folds(all) {
		p := pathView(f.group, groupLine(f.group))
		for _, l := range blame(f, hint) {
			p.blamed(l)
		}
		p.Matrix = matrixOf(f.path, all)
		v.add(p, f.kind, s)
	}
}

// omitted reads the sums of a report without single paths.
func (v *View) omitted(s systemv1beta1.KdoctorReportSpec) {
	v.Omitted = s.ReportOmitted
	for _, g := range summaryGroups(s) {
		v.add(pathView(g, summaryLine(g)), g.kind, s)
	}
	shown := worthShowing(s.NodesNotPassed)
	v.Nodes = Table{LeftOut: len(s.NodesNotPassed) - shown + leftOutNodes(s)}
	v.Zones = Table{LeftOut: leftOutZones(s)}
	for _, n := range s.NodesNotPassed[:shown] {
		v.Nodes.Rows = append(v.Nodes.Rows, TableRow{Cells: nodeCells(n, s.NotReported)})
	}
	for _, z := range s.ZonePairsNotPassed {
		v.Zones.Rows = append(v.Zones.Rows, TableRow{Cells: zoneCells(z)})
	}
	title, _, paths := worst(s)
	v.Worst.Title = title
	for _, p := range paths {
		t := worstOf(p)
		cells := singleCells(t)
		v.Worst.Rows = append(v.Worst.Rows, TableRow{append([]string{p.NodeName}, cells[:len(cells)-1]...),
			t.outcome().result(), t.reason})
	}
}

// add adds a path, and the explanation of ≤ with the first that has the mark.
func (v *View) add(p Path, of target.Kind, s systemv1beta1.KdoctorReportSpec) {
	p.SmallestLoss = smallestLoss(of, s.Diagnosis)
	v.Paths = append(v.Paths, p)
	marked := func(r Row) bool { return strings.HasPrefix(r.P99, "≤") }
	if marked(p.Row) || slices.ContainsFunc(p.NotPassed, marked) {
		v.BoundNote = boundNote
	}
}

func pathView(g group, l line) Path {
	p := Path{Row: rowOf(l), Title: l.cells[colPath], Family: l.cells[colFamily]}
	p.Success, p.Notes = successOf(g.figures), append(loss(g.figures), excused(g.figures)...)
	return p
}

// blamed takes in a line about paths that did not pass: a row, or a note about the row before.
func (p *Path) blamed(l line) {
	switch last := len(p.NotPassed) - 1; {
	case l.note == "":
		p.NotPassed = append(p.NotPassed, rowOf(l))
	case last < 0:
		p.Notes = append(p.Notes, l.note)
	default:
		p.NotPassed[last].Notes = append(p.NotPassed[last].Notes, l.note)
	}
}

func rowOf(l line) Row {
	return Row{Label: l.label, Targets: l.cells[colTargets], Requests: l.cells[colRequests], Mean: l.cells[colMean],
		P50: l.cells[colP50], P99: l.cells[colP99], Max: l.cells[colMax], Result: l.outcome.result()}
}

// successOf is the share of requests that succeeded, of those that count.
func successOf(f figures) string {
	if f.sent == 0 {
		return "-"
	}
	return percent(f.ok, f.sent)
}

// smallestLoss is what the report says of the kind of path; empty where it does not say it.
func smallestLoss(of target.Kind, d *systemv1beta1.Diagnosis) string {
	if d == nil {
		return ""
	}
	for _, l := range d.SmallestLoss {
		if l.Path == lossTitle(of) {
			return lossPercent(l)
		}
	}
	return ""
}

// lossTitle is the name that the smallest losses of a report have for the kind of path.
func lossTitle(of target.Kind) string {
	switch of {
	case target.Endpoint:
		return "pod to pod"
	case target.SecondInterface:
		return "second interface"
	case target.ClusterIP:
		return "ClusterIP"
	case target.NodePort:
		return "node port"
	case target.LoadBalancer:
		return "load balancer"
	case target.Ingress:
		return "Ingress"
	default:
		return ""
	}
}

// expectation reads what the task expects from the spec that the agents were given.
func expectation(s systemv1beta1.KdoctorReportSpec) Expectation {
	var spec struct {
		Expect v1beta1.Expect `json:"expect"`
	}
	for _, a := range s.Report {
		if a.NetReachTaskSpec == nil || json.Unmarshal(a.NetReachTaskSpec.Raw, &spec) != nil {
			continue
		}
		var e Expectation
		if rate := spec.Expect.SuccessRate; rate != nil {
			e.Success = fmt.Sprintf("at least %.4g %%", 100**rate)
		}
		if mean := spec.Expect.MeanAccessDelayInMs; mean != nil {
			e.Mean = fmt.Sprintf("at most %d ms", *mean)
		}
		return e
	}
	return Expectation{}
}

// leftOutLists counts the entries that the report leaves out of its reasons, changes and notes.
func leftOutLists(l *systemv1beta1.LeftOut) []string {
	if l == nil {
		return nil
	}
	var all []string
	for _, list := range []struct {
		n    int64
		what string
	}{{l.Reasons, "more reason"}, {l.Churn, "more change"}, {l.Notes, "more note"}} {
		if list.n > 0 {
			all = append(all, count(list.n, list.what))
		}
	}
	return all
}
