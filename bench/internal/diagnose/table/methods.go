package table

import (
	"fmt"

	"kdoctor.io/kdoctor/bench/internal/diagnose/baseline"
	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/internal/infer"
)

// Localiser finds faults in what a round's probes saw.
type Localiser interface {
	Name() string
	Find(in infer.Input) []infer.Fault
}

// Product is the name of the product's own inference.
const Product = "kdoctor"

// Methods are the names of all localisers, the product's first.
func Methods() []string { return []string{Product, "threshold", "007", "set cover", "NetBouncer"} }

// product is the product's inference.
type product struct{}

func (product) Name() string                      { return Product }
func (product) Find(in infer.Input) []infer.Fault { return infer.Find(in) }

// localiser returns a method. Baselines have the settings that were best on training seeds for the severity.
func localiser(name string, severity round.Severity) (Localiser, error) {
	if name == Product {
		return product{}, nil
	}
	for _, l := range tuned(severity) {
		if l.Name() == name {
			return l, nil
		}
	}
	return nil, fmt.Errorf("the method is %q and must be one of %v", name, Methods())
}

// tuned are the baselines with the best of all settings of the grid on training seeds, as -tune finds them: one set for
// hard faults and one for gray ones, since none serves both well.
func tuned(severity round.Severity) []Localiser {
	if severity == round.Hard {
		return []Localiser{
			baseline.Threshold{Loss: 0.9, Share: 1},
			baseline.Votes{Share: 0.01, Least: 4},
			baseline.Cover{Ratio: 0.4, Loss: 0.5, Least: 4},
			baseline.Bounce{Weight: 0.1, Loss: 0.9},
		}
	}
	return []Localiser{
		baseline.Threshold{Loss: 0.3, Share: 0.5},
		baseline.Votes{Share: 0.01, Least: 4},
		baseline.Cover{Ratio: 0.4, Loss: 0, Least: 8},
		baseline.Bounce{Weight: 30, Loss: 0.005},
	}
}

// grid are all settings that -tune tries.
func grid() []Localiser {
	var all []Localiser
	for _, loss := range []float64{0, 0.02, 0.1, 0.3, 0.5, 0.9} {
		for _, share := range []float64{0.05, 0.1, 0.2, 0.5, 0.8, 1} {
			all = append(all, baseline.Threshold{Loss: loss, Share: share})
		}
	}
	for _, share := range []float64{0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2} {
		for _, least := range []float64{2, 4, 8} {
			all = append(all, baseline.Votes{Share: share, Least: least})
		}
	}
	for _, ratio := range []float64{0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95} {
		for _, loss := range []float64{0, 0.05, 0.5} {
			for _, least := range []float64{1, 2, 4, 8, 16} {
				all = append(all, baseline.Cover{Ratio: ratio, Loss: loss, Least: least})
			}
		}
	}
	for _, weight := range []float64{0.01, 0.1, 1, 10, 30, 100} {
		for _, loss := range []float64{0.005, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9} {
			all = append(all, baseline.Bounce{Weight: weight, Loss: loss})
		}
	}
	return all
}
