// Package phrases puts into English what a report says about the load of a round, about changes and about excuses.
// Package report holds the data alone, so that no stored form and no decision depends on a wording.
//
// A sentence has no final stop. A clause follows another word, such as "because".
package phrases

import "fmt"

// Count returns the number with its noun, in the plural unless n is 1.
func Count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// WasOrWere returns "was" for one thing, else "were".
func WasOrWere(one bool) string {
	if one {
		return "was"
	}
	return "were"
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}
