package schedule

import (
	"testing"
	"time"
)

func TestParseTakesWhatTheRulesOfTheCRDTake(t *testing.T) {
	for text, want := range map[string]bool{
		"0 1": true, " 5  60 ": true, "525600 525600": true, "*/5 * * * *": true, "0 9-17 * JAN,mar-may mon-fri": true,
		"0 0 29 2 *": true, "0 0 31 2 mon": true,
		"": false, "1": false, "0 0": false, "-1 1": false, "525601 1": false, "0 99999999999": false, "0\t1": false,
		"@daily":    false,
		", * * * *": false, "*-5 * * * *": false, "+5 * * * *": false, "005 * * * *": false, "60 * * * *": false,
		"*/0 * * * *": false, "5-1 * * * *": false,
		"0 0 * mar-jan *": false, "0 0 * 1-mar *": false, "0 0 * * 7": false, "0 0 30 2 *": false,
		"0 0 31 4-4 *": false,
	} {
		if _, err := Parse(text, ""); (err == nil) != want {
			t.Errorf("%q: %v, want taken %t", text, err, want)
		}
	}
}

func FuzzParseLetsNothingThroughThatNeverStarts(f *testing.F) {
	for _, seed := range []string{"0 1", "*/5 1-3 1,2 jan-mar sun", "0 0 31 2 *", "525600 525600", "1/2/3 - , ? *"} {
		f.Add(seed)
	}
	seen := time.Date(2026, time.March, 1, 12, 30, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text, "")
		if err != nil {
			return
		}
		first := parsed.First(seen)
		if first.Before(seen) {
			t.Errorf("%q starts at %s, before it was seen", text, first)
		}
		if next, _ := parsed.Next(first, first, time.Minute); !next.After(first) {
			t.Errorf("%q: %s follows %s", text, next, first)
		}
	})
}
