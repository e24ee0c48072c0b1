package render

import "kdoctor.io/kdoctor/internal/verdict"

// Counts is what a stored round holds, as far as it is known without reading its agents.
type Counts struct {
	// Reported is how many agents reported. Agents counts judged agents by their result, Paths the paths that are
	// reported one by one by theirs.
	Reported int
	Agents   map[verdict.Result]int
	Paths    map[verdict.Result]int
	// Planned is how many paths all agents were to probe. Listed is how many are reported one by one, and Summed how
	// many in sums; SummedNotPassed of these did not pass.
	Planned, Listed, Summed, SummedNotPassed uint64
}

// Untold is how many paths were planned and are in no report.
func (c Counts) Untold() uint64 { return c.Planned - min(c.Planned, c.Listed+c.Summed) }

// Line is the report of a round in which agents report sums in one line. It is what Summarize reads in the rendered
// report, but for the end, which is that of the round.
func Line(task ReportedTask, head verdict.StoredRound, c Counts) Summary {
	s := Summary{
		Round: rounds(head.Round.Key.Round, task.ExpectedRounds), Result: Succeed,
		Reported: c.Reported, Expected: c.Reported + len(head.Round.Missing), Ended: head.Round.Ended,
	}
	untold, missing := c.Untold(), map[string]bool{}
	for _, m := range head.Round.Missing {
		missing[m.Pod] = true
	}
	for _, e := range head.Round.Expected {
		if missing[e.Pod] {
			untold -= min(untold, e.Paths)
		}
	}
	for result, n := range c.Paths {
		switch result {
		case verdict.Pass:
			s.Paths.Passed += n
		case verdict.Void:
			s.Paths.Void += n
		case verdict.NoData:
			s.Paths.NoData += n
		case verdict.ToolLimited:
			s.Paths.ToolLimited += n
		case verdict.Fail:
			s.Paths.Failed += n
		default:
			s.Paths.Failed += n
		}
	}
	bad := min(c.SummedNotPassed, c.Summed)
	s.Paths.Passed += int(count(c.Summed - bad))
	s.Paths.NotPassed = int(count(bad))
	s.Paths.NoData += int(count(untold))
	for result, n := range c.Agents {
		if n > 0 && result != verdict.Pass && result != verdict.Void {
			s.Result = Fail
		}
	}
	if len(head.Verdict.Reasons) > 0 {
		s.Result, s.Reason = Fail, clip(head.Verdict.Reasons[0].String())
	}
	if c.Reported == 0 {
		s.Result = Fail
	}
	return s
}
