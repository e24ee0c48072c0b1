package report_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

func TestPhasesAreStoredByName(t *testing.T) {
	var phases report.Phases
	phases[probe.Connect] = report.Phase{Count: 3, Sum: 3 * time.Millisecond, Max: 2 * time.Millisecond}
	text, err := json.Marshal(phases)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"connect":{"Count":3,"Sum":3000000,"Max":2000000}}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	for name, stored := range map[string]string{
		"by name":                     string(text),
		"in order, by the first":      `[{"Count":0,"Sum":0,"Max":0},{"Count":0,"Sum":0,"Max":0},{"Count":3,"Sum":3000000,"Max":2000000}]`,
		"with one of a later release": `{"connect":{"Count":3,"Sum":3000000,"Max":2000000},"query":{"Count":1,"Sum":1,"Max":1}}`,
		"with more than there are":    `[{},{},{"Count":3,"Sum":3000000,"Max":2000000},{},{},{},{"Count":1}]`,
	} {
		t.Run(name, func(t *testing.T) {
			read := report.Phases{probe.TLS: {Count: 9}}
			if err := json.Unmarshal([]byte(stored), &read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(phases, read); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, wrong := range []string{`{"connect":1}`, `[1]`, `"connect"`} {
		var read report.Phases
		if err := json.Unmarshal([]byte(wrong), &read); err == nil {
			t.Errorf("%s is read as %v", wrong, read)
		}
	}
}
