package resident_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/resident"
)

// programPages returns how much of files the process has in memory, in kB.
func programPages(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if n, err := fmt.Sscanf(line, "RssFile: %d kB", &kB); n == 1 && err == nil {
			return kB
		}
	}
	t.Fatalf("no RssFile in %s", status)
	return 0
}

func TestPagesOfTheProgramAreReleasedAndMapped(t *testing.T) {
	if err := resident.Map(); err != nil {
		t.Fatal(err)
	}
	all := programPages(t)
	if err := resident.Release(); err != nil {
		t.Fatal(err)
	}
	few := programPages(t)
	if err := resident.Map(); err != nil {
		t.Fatal(err)
	}
	again := programPages(t)
	// What runs meanwhile maps some again.
	if few*4 > all*3 || again < all*9/10 {
		t.Errorf("%d kB with all mapped, %d kB released, %d kB mapped again", all, few, again)
	}
}
