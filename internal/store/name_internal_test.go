package store

import "testing"

// FuzzName reads the names of objects that lie in the store: only what the store itself would write is taken for a
// round.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"", "a/0/1", "a/b/c", "../x/1", "u/0000000001/0000000001.round",
		"u/-000000001/+000000001.plan"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, suffix, ok := parseName(text)
		if !ok {
			return
		}
		if again, err := nameOf(key, suffix); err != nil || again != text {
			t.Errorf("%q reads as %v%s, which would be written %q, %v", text, key, suffix, again, err)
		}
	})
}
