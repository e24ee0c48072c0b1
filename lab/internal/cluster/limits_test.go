package cluster

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLimitsAreRaisedWhereTheyAreLowAndNeverLowered(t *testing.T) {
	for _, test := range []struct {
		name, content, after string
		before               int
	}{
		{"Linux as it is", "128\n", "8192", 128},
		{"enough", "8192\n", "8192\n", 0},
		{"more than enough", "100000\n", "100000\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "limit")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := raise(folder, limit{"limit", 8192})
			if err != nil || before != test.before {
				t.Errorf("it was %d before (%v), want %d", before, err, test.before)
			}
			if after, err := os.ReadFile(file); err != nil || string(after) != test.after {
				t.Errorf("it is %q after (%v), want %q", after, err, test.after)
			}
		})
	}
}

func TestALimitThatIsNoNumberIsLeftAlone(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "limit")
	if err := os.WriteFile(file, []byte("many"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := raise(folder, limit{"limit", 8192}); err == nil {
		t.Error("it was taken for a number")
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != "many" {
		t.Errorf("it is %q after (%v)", after, err)
	}
}

func TestLimitsAreSettingsOfLinux(t *testing.T) {
	for _, l := range limits() {
		if _, err := os.Stat(filepath.Join(settings, l.file)); err != nil {
			t.Errorf("%v", err)
		}
	}
}
