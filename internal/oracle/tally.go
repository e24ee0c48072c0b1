package oracle

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kdoctor.io/kdoctor/internal/verdict"
)

// margin returns how many of n requests a share may cost: the share itself, three standard deviations, and one request
// more.
func margin(share, n float64) float64 { return n*share + deviations*math.Sqrt(n*share*(1-share)) + 1 }

// Tally adds up the outcomes of many rounds.
type Tally struct {
	Rounds, Quiet, Blamed, Unlucky, Faulty, Found int
	Results                                       map[verdict.Result]int
	Errors                                        map[Kind]int
	// Examples are the first few rounds of each kind of error, by number.
	Examples map[Kind][]Example
	most     int
}

// Example is one round that was judged wrongly.
type Example struct {
	Number uint64
	Text   string
}

// Examples is the default number of examples that a tally keeps of each kind of error.
const Examples = 5

func newTally(examples int) *Tally {
	return &Tally{most: examples, Results: map[verdict.Result]int{}, Errors: map[Kind]int{},
		Examples: map[Kind][]Example{}}
}

func (t *Tally) add(number uint64, o RoundCheck) {
	t.Rounds++
	t.Results[o.Result]++
	if o.Unlucky {
		t.Unlucky++
	}
	if o.FaultFree {
		t.Quiet++
		if o.Blames > 0 {
			t.Blamed++
		}
	} else {
		t.Faulty++
		if o.Found {
			t.Found++
		}
	}
	for _, p := range o.Problems {
		t.Errors[p.Kind]++
		t.Examples[p.Kind] = append(t.Examples[p.Kind], Example{number, p.Text})
	}
	for kind, all := range t.Examples {
		t.Examples[kind] = firstOf(all, t.most)
	}
}

func firstOf(all []Example, most int) []Example {
	slices.SortFunc(all,
		func(a, b Example) int { return int(int64(a.Number) - int64(b.Number)) }) // #nosec G115 -- numbers are small
	return all[:min(len(all), most)]
}

func (t *Tally) merge(o *Tally) {
	t.Rounds, t.Quiet, t.Blamed, t.Unlucky = t.Rounds+o.Rounds, t.Quiet+o.Quiet, t.Blamed+o.Blamed, t.Unlucky+o.Unlucky
	t.Faulty, t.Found = t.Faulty+o.Faulty, t.Found+o.Found
	for r, n := range o.Results {
		t.Results[r] += n
	}
	for k, n := range o.Errors {
		t.Errors[k] += n
		t.Examples[k] = firstOf(append(t.Examples[k], o.Examples[k]...), t.most)
	}
}

// Run checks the rounds of a seed from number first on, on all processors, and keeps up to examples examples of each
// kind of error. progress, which may be nil, is called every thousand rounds or so.
func Run(seed, first, rounds uint64, examples int, progress func(done uint64)) *Tally {
	var next, done atomic.Uint64
	var all sync.Mutex
	total := newTally(examples)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			own := newTally(examples)
			for {
				i := next.Add(1) - 1
				if i >= rounds {
					break
				}
				own.add(first+i, Check(Draw(seed, first+i)))
				if n := done.Add(1); progress != nil && n%1000 == 0 {
					progress(n)
				}
			}
			all.Lock()
			defer all.Unlock()
			total.merge(own)
		})
	}
	workers.Wait()
	return total
}

// allowedBlame is the share of rounds without a fault in which a finding may be wrong: package diagnose promises one
// in a thousand.
const allowedBlame = 0.001

// Failed reports whether the product made an error. Findings are drawn from chance, so a share of them may be wrong:
// they are an error only if more are wrong than the allowed share explains.
func (t *Tally) Failed() bool {
	for kind, n := range t.Errors {
		if n > 0 && kind != FalseBlame {
			return true
		}
	}
	lower, _ := Bounds(t.Blamed, t.Quiet)
	return lower > allowedBlame
}

// Write prints the number of rounds and the rate of each kind of error.
func (t *Tally) Write(out io.Writer, seed uint64, took time.Duration) {
	fmt.Fprintf(out, "%d rounds of seed %d in %v (%.0f a second)\n", t.Rounds, seed, took.Round(time.Second/10),
		float64(t.Rounds)/took.Seconds())
	var results []string
	for r, n := range t.Results {
		results = append(results, fmt.Sprintf("%s %d", r, n))
	}
	slices.Sort(results)
	fmt.Fprintf(out, "results: %s\n", strings.Join(results, ", "))
	lower, upper := Bounds(t.Unlucky, t.Rounds)
	fmt.Fprintf(out, "%d rounds without a fault, %d with one; in %d of these a finding\n", t.Quiet, t.Faulty, t.Found)
	fmt.Fprintf(out, "in %d rounds (%.2e to %.2e) a path fails for chance beyond the margin, or for what nobody can "+
		"know: no error\n",
		t.Unlucky, lower, upper)
	fmt.Fprintf(out, "%-42s %8s %12s   95 %% bound (Clopper-Pearson)\n", "error", "rounds", "rate")
	for _, kind := range Kinds() {
		n, of := t.Errors[kind], t.Rounds
		if kind == FalseBlame {
			of = t.Quiet
		}
		lower, upper := Bounds(n, of)
		fmt.Fprintf(out, "%-42s %8d %12.2e   %.2e to %.2e\n", kind, n, float64(n)/float64(max(of, 1)), lower, upper)
		for _, e := range t.Examples[kind] {
			fmt.Fprintf(out, "    -seed %d -round %d: %s\n", seed, e.Number, e.Text)
		}
	}
}

// Bounds returns the exact two-sided 95 % confidence interval of a rate that was seen in k of n cases (Clopper and
// Pearson, 1934).
func Bounds(k, n int) (lower, upper float64) {
	if n == 0 {
		return 0, 1
	}
	const half = 0.025
	if k > 0 {
		lower = solve(func(p float64) float64 { return half - atLeast(k, n, p) })
	}
	upper = 1
	if k < n {
		upper = solve(func(p float64) float64 { return 1 - atLeast(k+1, n, p) - half })
	}
	return lower, upper
}

// solve finds the rate at which a falling function crosses 0.
func solve(f func(float64) float64) float64 {
	low, high := 0.0, 1.0
	for range 200 {
		middle := (low + high) / 2
		if f(middle) > 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

// atLeast returns the probability of k or more successes in n.
func atLeast(k, n int, p float64) float64 {
	if p <= 0 {
		return 0
	}
	if p >= 1 {
		return 1
	}
	below := 0.0
	for i := range k {
		below += math.Exp(logChoose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return max(0, 1-below)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
