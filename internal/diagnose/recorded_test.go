package diagnose_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
)

// The files in testdata/recorded are rounds of a real cluster into which the fault of the file's name was injected, on
// the node of that name. Those of names that end in cluster-ip are of a task for ClusterIP alone, those that end in
// without-hosts of a cluster without agents in host networks. What each of them names is in recorded.txt, a line a
// finding, the first one first.
func TestRecordedRoundsNameWhatWasInjected(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "recorded", "*.json.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var got strings.Builder
	for _, at := range files {
		name := strings.TrimSuffix(filepath.Base(at), ".json.gz")
		fmt.Fprintln(&got, name)
		findings := recorded(t, at).Findings()
		if healthy := strings.HasPrefix(name, "healthy"); healthy != (len(findings) == 0) {
			t.Errorf("%s has %d findings", name, len(findings))
		}
		for _, f := range findings {
			fmt.Fprintf(&got, "  %s, %s, %s %.2f\n", f.Component, f.Where, f.Cause, f.Probability)
			for _, c := range f.Causes {
				fmt.Fprintf(&got, "    if it is the %s, %s\n", c.Component, c.Cause)
			}
			for _, line := range f.Evidence {
				if strings.HasPrefix(line, "requests failed only") {
					fmt.Fprintf(&got, "    %s\n", line)
				}
			}
		}
	}
	golden := filepath.Join("testdata", "recorded.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func recorded(t *testing.T, at string) diagnose.Recording {
	t.Helper()
	file, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	r, err := diagnose.ReadRecording(file)
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	return r
}
