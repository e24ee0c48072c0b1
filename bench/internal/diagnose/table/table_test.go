package table

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/score"
)

func TestRowsAreValidAndHaveSeedsOfTheirOwn(t *testing.T) {
	end := uint64(Evaluation)
	worst := [2]time.Duration{}
	for i, r := range Rows() {
		if err := r.Validate(); err != nil {
			t.Errorf("row %d: %v", i, err)
		}
		if r.Seed < end {
			t.Errorf("row %d begins with seed %d, and the one before ends with %d", i, r.Seed, end)
		}
		end = r.Seed + uint64(r.Trials) // #nosec G115 -- a positive count
		training := r
		if training.Seed = TrainingSeed(i); training.Validate() != nil || training.Trials > 1000 {
			t.Errorf("row %d has no training seeds: %v", i, training.Validate())
		}
		begin, limit := r.Limits()
		if begin >= limit {
			t.Errorf("row %d may begin a trial %v after its beginning and ends after %v", i, begin, limit)
		}
		if r.Nodes > Together {
			worst[1] += limit
			continue
		}
		worst[0] += limit
	}
	if most := worst[0]/2 + worst[1]; most > 20*time.Minute {
		t.Errorf("the evaluation may take %v on two cores", most)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Spec)
		bad    bool
	}{
		{"an ordinary row", func(*Spec) {}, false},
		{"too few nodes", func(s *Spec) { s.Nodes = 3 }, true},
		{"too many nodes", func(s *Spec) { s.Nodes = 100_001 }, true},
		{"more zones than nodes", func(s *Spec) { s.Nodes, s.Zones = 4, 5 }, true},
		{"four faults", func(s *Spec) { s.Faults = 4 }, true},
		{"no noise at all", func(s *Spec) { s.Noise = 0 }, true},
		{"no burst", func(s *Spec) { s.Burst = 0 }, true},
		{"most reports lost", func(s *Spec) { s.Lost = 0.9 }, true},
		{"an unknown generator", func(s *Spec) { s.Generator = "dice" }, true},
		{"an unknown severity", func(s *Spec) { s.Severity = "dark" }, true},
		{"an unknown method", func(s *Spec) { s.Methods = []string{"guess"} }, true},
		{"from training into evaluation", func(s *Spec) { s.Seed = Evaluation - 1 }, true},
	} {
		s := usual(10, 1, round.Hard, 5)
		s.Generator = "paths"
		c.change(&s)
		if err := s.Validate(); (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestARowIsTheSameEachTime(t *testing.T) {
	for _, g := range []string{"paths", "packets"} {
		s := usual(10, 2, round.Gray, 4)
		s.Generator, s.Seed = g, 7
		var tallies [2][]score.Tally
		for k := range tallies {
			r, err := Run(context.Background(), s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range r.Scores {
				tallies[k] = append(tallies[k], one.Tally)
			}
			if r.Done != 4 || r.Observations == 0 || r.Probes == 0 {
				t.Errorf("%+v", r)
			}
		}
		if !reflect.DeepEqual(tallies[0], tallies[1]) {
			t.Errorf("%s: two runs of one row differ:\n%+v\n%+v", g, tallies[0], tallies[1])
		}
		if len(tallies[0]) != len(Methods()) || tallies[0][0].Injected < 6 {
			t.Errorf("%s: %+v", g, tallies[0])
		}
	}
}

// reached is a result in which the product found some of the faults, and a baseline some.
func reached(s Spec, hits, missed, wrong, others int) Result {
	ours := Score{Method: Product, Tally: score.Tally{Injected: hits + missed, Hits: hits, False: wrong}}
	other := Score{Method: "007", Tally: score.Tally{Injected: hits + missed, Hits: others}}
	return Result{Spec: s, Done: s.Trials, Scores: []Score{ours, other}}
}

func TestJudge(t *testing.T) {
	one := usual(200, 1, round.Hard, 100)
	noisy := one
	noisy.Noise = 10
	many := usual(mustWork, 3, round.Hard, 5)
	slow := reached(many, 100, 0, 0, 50)
	slow.Scores[0].Mean = 2
	ended := slow
	ended.Scores = slices.Clone(slow.Scores)
	ended.Scores[0].Mean, ended.GaveUp = 0.1, 45
	for _, c := range []struct {
		name   string
		result Result
		goals  int
		missed int
	}{
		{"all found", reached(one, 100, 0, 0, 50), 3, 0},
		{"two of a hundred missed", reached(one, 98, 2, 0, 50), 3, 1},
		{"two false", reached(one, 100, 0, 2, 50), 3, 1},
		{"behind a baseline", reached(one, 99, 1, 0, 100), 3, 1},
		{"disturbed rows have the baselines as their goal", reached(noisy, 50, 50, 0, 40), 1, 0},
		{"disturbed and behind a baseline", reached(noisy, 50, 50, 0, 60), 1, 1},
		{"gray faults may be missed more often", reached(usual(200, 1, round.Gray, 100), 94, 6, 0, 50), 3, 0},
		{"two hard faults", reached(usual(200, 2, round.Hard, 100), 97, 3, 1, 50), 3, 0},
		{"healthy rounds have no goal", reached(usual(200, 0, round.Hard, 100), 0, 0, 3, 0), 0, 0},
		{"too slow", slow, 4, 1},
		{"ended in the midst of a search", ended, 4, 1},
		{"no trial at all", Result{Spec: one, GaveUp: 45}, 1, 1},
	} {
		goals := Judge([]Result{c.result})
		missed := 0
		for _, g := range goals {
			if !g.Met {
				missed++
			}
		}
		if len(goals) != c.goals || missed != c.missed {
			t.Errorf("%s: %+v", c.name, goals)
		}
	}
}

func TestEveryMethodHasSettings(t *testing.T) {
	for _, severity := range []round.Severity{round.Hard, round.Gray, round.Faint} {
		for _, name := range Methods() {
			if l, err := localiser(name, severity); err != nil || l.Name() != name {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	tried := map[string]int{}
	for _, l := range grid() {
		tried[l.Name()]++
	}
	for _, name := range Methods()[1:] {
		if tried[name] < 20 {
			t.Errorf("%d settings of %s are tried", tried[name], name)
		}
	}
}

// Rounds with training seeds in which the search named something else, whole or in part.
func TestRoundsThatWereMistaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults int
		seed   uint64
	}{
		{"two broken pairs of nodes were taken for their zones", 2, 5047},
		{"an address that two nodes have was taken for two broken pairs", 2, 5059},
		{"an address that two nodes have was taken for one broken pair, and that for the other node", 3, 5172},
		{"a broken pair and a filter for the probe port were taken for one of the nodes", 3, 30500},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Run(context.Background(), Spec{Nodes: 10, Zones: 3, Faults: c.faults, Trials: 1, Seed: c.seed,
				Generator: "packets", Severity: round.Hard, Noise: 1, Burst: 1, Methods: []string{"kdoctor"}}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s := r.Scores[0]; s.Hits != c.faults || s.False > 0 {
				t.Errorf("%d of %d faults were found, and %d things named falsely", s.Hits, c.faults, s.False)
			}
		})
	}
}
