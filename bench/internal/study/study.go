// Package study turns what was measured into what can be said: ratios of runs that belong together, their quartiles,
// and whether a goal is met. It only calculates.
package study

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Record is one run of one contestant.
type Record struct {
	Part       string `json:"part"`
	Round      int    `json:"round"`
	Contestant string `json:"contestant"`
	// Values are what was measured, by name; the unit is part of the name.
	Values map[string]float64 `json:"values"`
	// Foreign is how many CPUs other processes took meanwhile, Repeats how many runs before this one were thrown away
	// because of that.
	Foreign float64 `json:"foreign"`
	Repeats int     `json:"repeats"`
}

// Goal is one claim. Value of the contestant Of is divided by that of To in every round; with several in To, by the
// best of them in that round; with none, it is taken as it is.
type Goal struct {
	// Name is the goal's number in the design; empty for a row that only informs.
	Name, What string
	Part       string
	Value, Of  string
	// Base is the value of To where it has another name than Of's.
	Base string
	To   []string
	// More tells that larger values are better: it also says which of several peers is the best.
	More bool
	// Share names a value of Of that counts trials, of which Value counts those that the goal is about: the figure is
	// their share in per cent over all rounds together, with its interval in place of quartiles. To is not used then.
	Share string
	// Bound is what the median, or the share, must reach: at least with More, at most without. It is ignored without a
	// name.
	Bound float64
	// Unit stands behind absolute values in tables.
	Unit string
	// Note is added to the row, where the goal needs explanation.
	Note string
}

// Verdict is what came of a goal.
type Verdict string

// The verdicts.
const (
	Met         Verdict = "met"
	Missed      Verdict = "NOT met"
	NotMeasured Verdict = "not measured"
	Informs     Verdict = "-"
)

// Summary is the spread of one figure over the rounds.
type Summary struct {
	Median, Q1, Q3 float64
	// Wins is in how many of Rounds the contestant was not worse than what it was compared with, or than the bound of
	// an absolute goal.
	Wins, Rounds int
}

// Row is one line of the table.
type Row struct {
	Goal
	Summary
	Verdict Verdict
}

// Judge compares the records with the goal. Rounds in which one side is missing are left out.
func Judge(g Goal, records []Record) Row {
	byRound := map[int]map[string]Record{}
	for _, r := range records {
		if r.Part != g.Part {
			continue
		}
		if byRound[r.Round] == nil {
			byRound[r.Round] = map[string]Record{}
		}
		byRound[r.Round][r.Contestant] = r
	}
	var figures []float64
	wins := 0
	for _, round := range byRound {
		figure, reference, ok := compare(g, round)
		if !ok {
			continue
		}
		figures = append(figures, figure)
		if reaches(g.More, figure, reference) {
			wins++
		}
	}
	row := Row{Goal: g, Verdict: NotMeasured}
	if len(figures) == 0 {
		return row
	}
	if g.Share != "" {
		return row.share(records, wins, len(figures))
	}
	row.Summary = Summary{Median: Quantile(figures, 0.5), Q1: Quantile(figures, 0.25), Q3: Quantile(figures, 0.75),
		Wins: wins, Rounds: len(figures)}
	return row.judged()
}

// judged holds the figure against the bound.
func (r Row) judged() Row {
	switch {
	case r.Name == "":
		r.Verdict = Informs
	case reaches(r.More, r.Median, r.Bound):
		r.Verdict = Met
	default:
		r.Verdict = Missed
	}
	return r
}

// share counts the trials of all rounds together.
func (r Row) share(records []Record, wins, rounds int) Row {
	var hits, trials float64
	for _, record := range records {
		if record.Part == r.Part && record.Contestant == r.Of {
			hits += record.Values[r.Value]
			trials += record.Values[r.Share]
		}
	}
	low, high := Interval(hits, trials)
	r.Summary = Summary{Median: 100 * hits / trials, Q1: 100 * low, Q3: 100 * high, Wins: wins, Rounds: rounds}
	r.Unit = "%"
	said := fmt.Sprintf("%.0f of %.0f over all rounds together, with the 95 %% interval of a binomial share", hits,
		trials)
	if r.Note != "" {
		said += "; " + r.Note
	}
	r.Note = said
	return r.judged()
}

// Interval is Wilson's interval, 0 to 1, in which the probability lies with a confidence of 95 % when hits of so many
// trials (at least one) were seen.
func Interval(hits, trials float64) (low, high float64) {
	const z = 1.959964
	p, extra := hits/trials, z*z/trials
	middle := (p + extra/2) / (1 + extra)
	half := z / (1 + extra) * math.Sqrt(p*(1-p)/trials+extra/trials/4)
	return max(middle-half, 0), min(middle+half, 1)
}

func reaches(more bool, figure, bound float64) bool {
	if more {
		return figure >= bound
	}
	return figure <= bound
}

// compare is the figure of one round and what it has to reach to win the round.
func compare(g Goal, round map[string]Record) (figure, reference float64, ok bool) {
	own, ok := round[g.Of].Values[g.Value]
	if !ok || math.IsNaN(own) {
		return 0, 0, false
	}
	if g.Share != "" {
		trials := round[g.Of].Values[g.Share]
		return 100 * own / trials, g.Bound, trials > 0
	}
	if len(g.To) == 0 {
		return own, g.Bound, true
	}
	var others []float64
	for _, name := range g.To {
		if v, ok := round[name].Values[cmp.Or(g.Base, g.Value)]; ok && v > 0 {
			others = append(others, v)
		}
	}
	if len(others) == 0 {
		return 0, 0, false
	}
	best := slices.Min(others)
	if g.More {
		best = slices.Max(others)
	}
	return own / best, 1, true
}

// Quantile is the q-quantile (0 <= q <= 1) with linear interpolation between the two nearest values, 0 of none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}

// String is the spread as tables show it.
func (r Row) String() string {
	if r.Rounds == 0 {
		return "-"
	}
	unit := "x"
	if len(r.To) == 0 {
		unit = ""
		if r.Unit != "" {
			unit = " " + r.Unit
		}
	}
	return fmt.Sprintf("%s%s [%s..%s]", Figure(r.Median), unit, Figure(r.Q1), Figure(r.Q3))
}

// Figure writes a number with three digits that say something.
func Figure(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}
