package diagnose

import "math"

// chance is the most that the probability of any finding about backend selection is, in a round in which every
// connection is led to one of the ready backends by chance, all alike, and all of them answer. Each of the tests gets
// an equal part of it.
const chance = 0.001

// tests is how many kinds of tests share chance: silence in one view, silence in pools, few backends, uneven shares.
const tests = 4

// unlikely reports whether something of the probability e^log would still be a surprise after so many comparisons: what
// is looked at several times is found by chance more often, so the bound holds for all comparisons together
// (Bonferroni's correction).
func unlikely(log float64, comparisons int) bool {
	return log+math.Log(float64(comparisons)) <= math.Log(chance/tests)
}

// unmet is the logarithm of the probability that n connections, each led to one of k backends by chance, all miss a
// given one.
func unmet(n uint64, k int) float64 { return float64(n) * math.Log1p(-1/float64(k)) }

// tail is the logarithm of an upper bound of the probability that of n independent events, whose probabilities are q on
// average, at least part n happen (Hoeffding 1963, theorem 1; for equal probabilities this is Chernoff's bound).
func tail(n, part, q float64) float64 {
	if part <= q {
		return 0
	}
	return -n * divergence(part, q)
}

// below is the same for at most part n events.
func below(n, part, q float64) float64 { return tail(n, 1-part, 1-q) }

// divergence is Kullback and Leibler's, of two probabilities of which the first is not 0.
func divergence(a, b float64) float64 {
	if a == 1 {
		return -math.Log(b)
	}
	return a*math.Log(a/b) + (1-a)*math.Log((1-a)/(1-b))
}

// choose is the logarithm of how many ways there are to choose h of k.
func choose(k, h int) float64 {
	gamma := func(n int) float64 { v, _ := math.Lgamma(float64(n + 1)); return v }
	return gamma(k) - gamma(h) - gamma(k-h)
}

// distinct is how many different backends n connections meet on average that are led to one of m by chance.
func distinct(n uint64, m int) float64 {
	return -float64(m) * math.Expm1(float64(n)*math.Log1p(-1/float64(m)))
}
