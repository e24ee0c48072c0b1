package rig

import (
	"os"
	"testing"
)

func TestBusyTimeIsReadFromTheKernelsText(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       float64
		bad        bool
	}{
		{"idle and waiting for disks are not busy, stolen time is", "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 1 2 3 " +
			"4 5 6 7 8 9 10\n", 1.71, false},
		{"a line without stolen time is refused", "cpu  100 20 30 4000 500 6 7\n", 0, true},
		{"another file is refused", "MemTotal: 1 kB\n", 0, true},
		{"no number", "cpu  x 20 30 4000 500 6 7 8 9 10\n", 0, true},
		{"nothing", "", 0, true},
	} {
		if got, err := Busy(c.text); got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestUsedTimeIsReadWhateverTheProgramIsCalled(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       float64
		bad        bool
	}{
		{"a plain name", "12 (wrk) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 2 0 1 2 3", 3, false},
		{"a name with parentheses and blanks", "12 (a) b (c)) S 1 12 12 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 2 0 1 2 3",
			0.03, false},
		{"a line that is too short", "12 (wrk) S 1 12", 0, true},
		{"no parenthesis", "12", 0, true},
		{"no number", "12 (wrk) S 1 12 12 0 -1 4194304 100 0 0 0 x 50 0 0 20", 0, true},
	} {
		if got, err := Used(c.text); got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestTheKernelsRealFilesAreRead(t *testing.T) {
	for file, read := range map[string]func(string) (float64, error){"/proc/stat": Busy, "/proc/self/stat": Used} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read(string(text)); err != nil {
			t.Error(err)
		}
	}
}

func TestForeignTimeIsWhatNobodyOfTheMeasurementUsed(t *testing.T) {
	for _, c := range []struct{ busy, known, wall, want float64 }{
		{3, 2, 2, 0.5}, {2, 2.1, 2, 0}, {1, 0, 0, 0},
	} {
		if got := Foreign(c.busy, c.known, c.wall); got != c.want {
			t.Errorf("%v busy, %v known in %v s: %v, want %v", c.busy, c.known, c.wall, got, c.want)
		}
	}
}
