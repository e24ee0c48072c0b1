package diagnose

import "math"

// chance bounds the probability of any finding about backend selection in a healthy round: every connection is led to
// one of the ready backends by chance, all alike, and all of them answer. Each kind of test gets an equal part of
// chance.
const chance = 0.001

// tests is how many kinds of tests share chance: silence in one view, silence in pools, few backends, uneven shares.
const tests = 4

// unlikely reports whether an event of the probability e^log is still a surprise after the given number of comparisons.
// The more comparisons, the more often one of them succeeds by chance; the bound holds for all of them together
// (Bonferroni's correction).
func unlikely(log float64, comparisons int) bool {
	return log+math.Log(float64(comparisons)) <= math.Log(chance/tests)
}

// logMissed returns the logarithm of the probability that n connections, each led to one of k backends by chance, all
// miss a given backend.
func logMissed(n uint64, k int) float64 { return float64(n) * math.Log1p(-1/float64(k)) }

// logTail returns the logarithm of an upper bound of the probability that at least part n of n independent events
// happen, if their probabilities are q on average (Hoeffding 1963, theorem 1; for equal probabilities this is
// Chernoff's bound).
func logTail(n, part, q float64) float64 {
	if part <= q {
		return 0
	}
	return -n * divergence(part, q)
}

// logTailBelow is logTail for at most part n events.
func logTailBelow(n, part, q float64) float64 { return logTail(n, 1-part, 1-q) }

// divergence is the Kullback-Leibler divergence of two probabilities. The first must not be 0.
func divergence(a, b float64) float64 {
	if a == 1 {
		return -math.Log(b)
	}
	return a*math.Log(a/b) + (1-a)*math.Log((1-a)/(1-b))
}

// logChoose returns the logarithm of the number of ways to choose h of k.
func logChoose(k, h int) float64 {
	gamma := func(n int) float64 { v, _ := math.Lgamma(float64(n + 1)); return v }
	return gamma(k) - gamma(h) - gamma(k-h)
}

// expectedDistinct returns how many different backends n connections meet on average if each is led to one of m by
// chance.
func expectedDistinct(n uint64, m int) float64 {
	return -float64(m) * math.Expm1(float64(n)*math.Log1p(-1/float64(m)))
}
