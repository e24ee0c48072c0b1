// Package table runs the rows of the evaluation: simulated rounds in which faults are searched for by the product's
// inference and by the baselines, and the goals that their scores are held against.
package table

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
)

// Evaluation is the first seed of evaluations. The seeds below are for training: whoever mends the inference or tunes a
// baseline looks at these alone.
const Evaluation = 1_000_000

// Spec is one row: what is simulated, how often, and who searches.
type Spec struct {
	Nodes, Zones, Faults, Trials int
	Generator                    string
	Severity                     round.Severity
	// Noise, Burst, Lost, Labels, Churn and Unknown are round.Conditions.
	Noise               float64
	Burst               int
	Lost, Labels, Churn float64
	Unknown             bool
	// WithoutHosts leaves out the agents in host networks.
	WithoutHosts bool
	// Methods are names of localisers.
	Methods []string
	// Seed is the first trial's; each further trial has the next one.
	Seed uint64
}

// MostNodes is how many nodes can be simulated.
const MostNodes = 100_000

// Validate reports what is wrong with a row.
func (s Spec) Validate() error {
	var failures []error
	need := func(is bool, format string, values ...any) {
		if !is {
			failures = append(failures, fmt.Errorf(format, values...))
		}
	}
	need(s.Nodes >= 4 && s.Nodes <= MostNodes, "-nodes is %d and must be 4 to %d", s.Nodes, MostNodes)
	need(s.Zones >= 1 && s.Zones <= 20 && s.Zones <= s.Nodes, "-zones is %d and must be 1 to 20, and at most -nodes",
		s.Zones)
	need(s.Faults >= 0 && s.Faults <= 3, "-faults is %d and must be 0 to 3", s.Faults)
	need(s.Trials >= 1, "-trials is %d and must be 1 at least", s.Trials)
	need(s.Noise > 0 && s.Noise <= 1000, "-noise is %v and must be above 0 and at most 1000", s.Noise)
	need(s.Burst >= 1 && s.Burst <= 60, "-burst is %d and must be 1 to 60", s.Burst)
	for name, share := range map[string]float64{"-lost": s.Lost, "-labels": s.Labels, "-churn": s.Churn} {
		need(share >= 0 && share <= 0.5, "%s is %v and must be 0 to 0.5", name, share)
	}
	if _, err := generator(s.Generator); err != nil {
		failures = append(failures, err)
	}
	if _, err := round.ParseSeverity(string(s.Severity)); err != nil {
		failures = append(failures, err)
	}
	for _, name := range s.Methods {
		if _, err := localiser(name, s.Severity); err != nil {
			failures = append(failures, err)
		}
	}
	need(s.Seed >= Evaluation || s.Seed+uint64(max(0, s.Trials)) <= Evaluation, // #nosec G115 -- a positive count
		"-seed and the trials reach from training seeds into those of evaluations, which begin at %d", Evaluation)
	return errors.Join(failures...)
}

// Args returns the flags that make the row.
func (s Spec) Args() []string {
	args := []string{"-nodes", strconv.Itoa(s.Nodes), "-zones", strconv.Itoa(s.Zones), "-faults",
		strconv.Itoa(s.Faults), "-severity", string(s.Severity), "-generator", s.Generator, "-trials",
		strconv.Itoa(s.Trials), "-seed", strconv.FormatUint(s.Seed, 10)}
	add := func(is bool, more ...string) {
		if is {
			args = append(args, more...)
		}
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	add(s.Noise != 1, "-noise", number(s.Noise))
	add(s.Burst != 1, "-burst", strconv.Itoa(s.Burst))
	add(s.Lost != 0, "-lost", number(s.Lost))
	add(s.Labels != 0, "-labels", number(s.Labels))
	add(s.Churn != 0, "-churn", number(s.Churn))
	add(s.Unknown, "-unknown-background")
	add(s.WithoutHosts, "-without-hosts")
	add(!slices.Equal(s.Methods, Methods()), "-methods", strings.Join(s.Methods, ","))
	return args
}

// Plain reports whether nothing disturbs the rounds but their faults, so that the goals apply.
func (s Spec) Plain() bool {
	return s.Noise == 1 && s.Burst == 1 && s.Lost == 0 && s.Labels == 0 && s.Churn == 0 && !s.Unknown &&
		!s.WithoutHosts && s.Severity != round.Faint
}

// Disturbed names what disturbs the rounds, in few words.
func (s Spec) Disturbed() string {
	var words []string
	add := func(is bool, format string, values ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, values...))
		}
	}
	add(s.Noise != 1, "noise x%g", s.Noise)
	add(s.Burst != 1, "bursts of %d", s.Burst)
	add(s.Lost != 0, "%g %% reports lost", 100*s.Lost)
	add(s.Labels != 0, "%g %% zones wrong", 100*s.Labels)
	add(s.Churn != 0, "%g %% nodes deleted", 100*s.Churn)
	add(s.Unknown, "background unknown")
	add(s.WithoutHosts, "no host agents")
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}

// conditions are those of the row's rounds.
func (s Spec) conditions(gentle bool) round.Conditions {
	return round.Conditions{Noise: s.Noise, Burst: s.Burst, LostReports: s.Lost, WrongZones: s.Labels, Churn: s.Churn,
		BackgroundUnknown: s.Unknown, GentleTCP: gentle}
}
