package node

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWeightIsWrittenWhereThereIsOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.shares")
	if err := weigh(file, podShares); err != nil {
		t.Errorf("without the file: %v; want that nothing is done", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file was made")
	}
	if err := os.WriteFile(file, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := weigh(file, podShares); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != podShares {
		t.Errorf("the file holds %q (%v), want %s", got, err, podShares)
	}
}
