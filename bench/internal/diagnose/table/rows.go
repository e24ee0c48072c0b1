package table

import (
	"time"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
)

// Rows is the fixed evaluation. Each row has seeds of its own.
func Rows() []Spec {
	var rows []Spec
	add := func(s Spec) {
		s.Seed = Evaluation + uint64(len(rows))*10_000 // #nosec G115 -- an index
		rows = append(rows, s)
	}
	for _, g := range []string{"paths", "packets"} {
		for _, s := range sizes() {
			s.Generator = g
			add(s)
		}
		for _, change := range disturbances() {
			s := usual(200, 1, round.Hard, 60)
			s.Generator = g
			change(&s)
			add(s)
		}
	}
	for _, s := range wide() {
		add(s)
	}
	return rows
}

// TrainingSeed returns the first of a row's seeds for training, of which each row has 1,000.
func TrainingSeed(row int) uint64 { return 1 + 1_000*uint64(row) } // #nosec G115 -- an index

// Limits returns after how much CPU time no further trial of a row begins, and after how much it is ended whatever it
// does. With them the evaluation ends within 15 minutes on two idle cores unless many searches do not end.
func (s Spec) Limits() (begin, end time.Duration) {
	switch {
	case s.Nodes > Together:
		return 60 * time.Second, 80 * time.Second
	case s.Nodes > large:
		return 50 * time.Second, 65 * time.Second
	case s.Nodes == large:
		return 24 * time.Second, 32 * time.Second
	case s.Nodes == 200 && s.Trials >= 300:
		return 45 * time.Second, 55 * time.Second
	default:
		return 16 * time.Second, 20 * time.Second
	}
}

// Together is up to which size two rows are simulated side by side.
const Together = 5_000

// usual is a row without disturbances.
func usual(nodes, faults int, severity round.Severity, trials int) Spec {
	return Spec{Nodes: nodes, Zones: 3, Faults: faults, Trials: trials, Severity: severity, Noise: 1, Burst: 1,
		Methods: Methods()}
}

// sizes are the rows by size, number of faults, and severity.
func sizes() []Spec {
	return []Spec{
		usual(10, 0, round.Hard, 200),
		usual(10, 1, round.Hard, 400),
		usual(10, 2, round.Hard, 400),
		usual(10, 3, round.Hard, 400),
		usual(10, 1, round.Gray, 200),
		usual(50, 0, round.Hard, 200),
		usual(50, 1, round.Hard, 200),
		usual(50, 2, round.Hard, 100),
		usual(50, 3, round.Hard, 100),
		usual(50, 1, round.Gray, 100),
		usual(200, 0, round.Hard, 100),
		usual(200, 1, round.Hard, 300),
		usual(200, 2, round.Hard, 100),
		usual(200, 3, round.Hard, 100),
		usual(200, 1, round.Gray, 100),
		usual(200, 3, round.Gray, 60),
		usual(200, 1, round.Faint, 60),
		usual(1000, 0, round.Hard, 20),
		usual(1000, 1, round.Hard, 20),
		usual(1000, 3, round.Hard, 20),
		usual(1000, 3, round.Gray, 20),
		usual(5000, 1, round.Hard, 6),
		usual(5000, 3, round.Hard, 6),
	}
}

// disturbances change a row of 200 nodes with one hard fault.
func disturbances() []func(*Spec) {
	return []func(*Spec){
		func(s *Spec) { s.Faults, s.Noise = 0, 10 },
		func(s *Spec) { s.Faults, s.Noise = 0, 50 },
		func(s *Spec) { s.Noise = 10 },
		func(s *Spec) { s.Noise = 50 },
		func(s *Spec) { s.Noise, s.Unknown = 10, true },
		func(s *Spec) { s.Severity, s.Noise = round.Gray, 10 },
		func(s *Spec) { s.Severity, s.Burst = round.Gray, 4 },
		func(s *Spec) { s.Lost = 0.1 },
		func(s *Spec) { s.Lost = 0.3 },
		func(s *Spec) { s.Labels = 0.05 },
		func(s *Spec) { s.Labels = 0.1 },
		func(s *Spec) { s.Churn = 0.01 },
		func(s *Spec) { s.WithoutHosts = true },
	}
}

// wide are the rows that only the product's inference is asked in: how long does it take?
func wide() []Spec {
	var rows []Spec
	for _, s := range []Spec{usual(20_000, 3, round.Hard, 2), usual(100_000, 1, round.Hard, 2),
		usual(100_000, 3, round.Hard, 1)} {
		s.Methods, s.Generator = []string{Product}, "paths"
		rows = append(rows, s)
	}
	return rows
}
