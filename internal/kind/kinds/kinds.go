// Package kinds is the table of task kinds.
package kinds

import (
	"slices"

	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kind/netreach"
)

// All returns all kinds, in the order in which people see them.
func All() []kind.Kind {
	return []kind.Kind{netreach.Kind()}
}

// Named returns the kind that people spell so: by its name in small letters, its plural or a short name.
func Named(word string) (kind.Kind, bool) {
	all := All()
	i := slices.IndexFunc(all, func(k kind.Kind) bool {
		return word == k.Singular() || word == k.Plural || slices.Contains(k.Short, word)
	})
	if i < 0 {
		return kind.Kind{}, false
	}
	return all[i], true
}
