package study

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuantilesInterpolate(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.25, 7},
		{[]float64{3, 1}, 0.5, 2},
		{[]float64{4, 1, 3, 2, 5}, 0.25, 2},
		{[]float64{4, 1, 3, 2, 5}, 1, 5},
		{[]float64{1, 2, 3, 4}, 0.75, 3.25},
	} {
		if got := Quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.values, got, c.want)
		}
	}
}

// run is a record with one value named v.
func run(round int, contestant string, v float64) Record {
	return Record{Part: "p", Round: round, Contestant: contestant, Values: map[string]float64{"v": v}}
}

func TestGoalsAreJudgedByTheMedianOfPairedRounds(t *testing.T) {
	records := []Record{
		run(0, "us", 10), run(0, "wrk", 5), run(0, "ab", 20),
		run(1, "us", 30), run(1, "wrk", 40), run(1, "ab", 10),
		run(2, "us", 9), run(2, "wrk", 9), run(2, "ab", 3),
		run(3, "us", 9), // Nothing to compare with.
		{Part: "other", Round: 0, Contestant: "us", Values: map[string]float64{"v": 1000}},
	}
	for _, c := range []struct {
		name    string
		goal    Goal
		want    Summary
		verdict Verdict
	}{
		{"more is better, held against one peer",
			Goal{Name: "G", Part: "p", Value: "v", Of: "us", To: []string{"wrk"}, More: true, Bound: 1},
			Summary{Median: 1, Q1: 0.875, Q3: 1.5, Wins: 2, Rounds: 3}, Met},
		{"more is better, held against the best of two",
			Goal{Name: "G", Part: "p", Value: "v", Of: "us", To: []string{"wrk", "ab"}, More: true, Bound: 1},
			Summary{Median: 0.75, Q1: 0.625, Q3: 0.875, Wins: 1, Rounds: 3}, Missed},
		{"less is better, held against the best of two",
			Goal{Name: "G", Part: "p", Value: "v", Of: "us", To: []string{"wrk", "ab"}, Bound: 1},
			Summary{Median: 3, Q1: 2.5, Q3: 3, Wins: 0, Rounds: 3}, Missed},
		{"an absolute bound", Goal{Name: "G", Part: "p", Value: "v", Of: "us", Bound: 9.5},
			Summary{Median: 9.5, Q1: 9, Q3: 15, Wins: 2, Rounds: 4}, Met},
		{"a row without a goal only informs",
			Goal{Part: "p", Value: "v", Of: "us", To: []string{"wrk"}, More: true, Bound: 100},
			Summary{Median: 1, Q1: 0.875, Q3: 1.5, Wins: 2, Rounds: 3}, Informs},
		{"nothing measured is not met",
			Goal{Name: "G", Part: "p", Value: "v", Of: "hey", To: []string{"wrk"}, Bound: 1}, Summary{}, NotMeasured},
		{"a value that nobody measured is not met", Goal{Name: "G", Part: "p", Value: "w", Of: "us", Bound: 1},
			Summary{}, NotMeasured},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(c.goal, records)
			if diff := cmp.Diff(c.want, got.Summary); diff != "" {
				t.Error(diff)
			}
			if got.Verdict != c.verdict {
				t.Errorf("verdict %q, want %q", got.Verdict, c.verdict)
			}
		})
	}
}

func TestTableHidesNoMiss(t *testing.T) {
	rows := []Row{
		{Goal: Goal{Name: "G1", What: "us to wrk", To: []string{"wrk"}, More: true, Bound: 1},
			Summary: Summary{Median: 0.912, Q1: 0.8, Q3: 1.041, Wins: 2, Rounds: 5}, Verdict: Missed},
		{Goal: Goal{Name: "G12", What: "p99", Bound: 10, Unit: "ms", Note: "from due to end"}, Verdict: NotMeasured},
		{Goal: Goal{What: "p50", Unit: "ms"}, Summary: Summary{Median: 250.4, Q1: 12.34, Q3: 0.0123, Rounds: 5},
			Verdict: Informs},
	}
	var got strings.Builder
	Table(&got, rows, []Record{{Foreign: 0.1}, {Foreign: 0.25}, {Foreign: 0.12}}, 3,
		Machine{CPU: "a CPU", Kernel: "6.1", Go: "go1.26", Date: "2026-11-25", Cores: 2, Peers: []string{"wrk 4.1.0"},
			Foreign: 0.3})
	want := `| goal | what is compared | bound      | median [q1..q3]       | wins   | verdict      |
| ---- | ---------------- | ---------- | --------------------- | ------ | ------------ |
| G1   | us to wrk        | >= 1.00x   | 0.91x [0.80..1.04]    | 2 of 5 | NOT met      |
| G12  | p99              | <= 10.0 ms | -                     | 0 of 0 | not measured |
| -    | p50              | -          | 250 ms [12.3..0.0123] | -      | -            |

G12, p99: from due to end.

Measured on 2026-11-25: a CPU, 2 cores, Linux 6.1, go1.26. Peers: wrk 4.1.0.
During the runs other processes took 0.12 CPUs (median; at most 0.25).
Runs during which other processes took more than 0.30 CPUs do not count: 3.
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestSharesAreThoseOfAllRoundsTogether(t *testing.T) {
	trial := func(round int, hits, trials float64) Record {
		return Record{Part: "p", Round: round, Contestant: "us",
			Values: map[string]float64{"hits": hits, "trials": trials}}
	}
	for _, c := range []struct {
		name    string
		records []Record
		more    bool
		bound   float64
		want    Summary
		verdict Verdict
	}{
		{"the larger round counts more", []Record{trial(0, 0, 10), trial(1, 90, 90)}, true, 90,
			Summary{Median: 90, Q1: 82.56, Q3: 94.48, Wins: 1, Rounds: 2}, Met},
		{"just below the bound", []Record{trial(0, 0, 10), trial(1, 90, 90)}, true, 90.1,
			Summary{Median: 90, Q1: 82.56, Q3: 94.48, Wins: 1, Rounds: 2}, Missed},
		{"none of many", []Record{trial(0, 0, 1000)}, false, 0, Summary{Q3: 0.38, Wins: 1, Rounds: 1}, Met},
		{"one of many is more than none", []Record{trial(0, 1, 1000)}, false, 0,
			Summary{Median: 0.1, Q1: 0.02, Q3: 0.56, Rounds: 1}, Missed},
		{"without trials there is nothing", []Record{trial(0, 0, 0)}, false, 0, Summary{}, NotMeasured},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(Goal{Name: "G", Part: "p", Value: "hits", Share: "trials", Of: "us", More: c.more,
				Bound: c.bound}, c.records)
			for _, v := range []*float64{&got.Median, &got.Q1, &got.Q3} {
				*v = math.Round(*v*100) / 100
			}
			if got.Summary != c.want || got.Verdict != c.verdict {
				t.Errorf("got %+v, %s; want %+v, %s", got.Summary, got.Verdict, c.want, c.verdict)
			}
			if c.verdict != NotMeasured &&
				(!strings.HasSuffix(got.String(), "]") || !strings.Contains(got.String(), " % [") ||
					!strings.Contains(got.Note, " of ")) {
				t.Errorf("the row is %q with the note %q", got.String(), got.Note)
			}
		})
	}
}
