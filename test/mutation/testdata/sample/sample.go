// Package sample is what the tests of command mutation change.
package sample

const most = 10

// Fits reports whether n is from 0 to most.
func Fits(n int) bool {
	return n >= 0 && n <= most
}

// Sum adds the numbers, at most once each.
func Sum[T int | int64](_ string, numbers ...T) (sum T) {
	seen := map[T]bool{}
	for _, n := range numbers {
		if seen[n] {
			continue
		}
		seen[n] = true
		sum += n
	}
	return sum
}

type shop struct{ open, full bool }

func (shop) sign(open bool) string {
	switch {
	case open:
		return "open"
	default:
		return "closed"
	}
}

func first() shop {
	return shop{open: true, full: true}
}
