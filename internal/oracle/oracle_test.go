package oracle_test

import (
	"os"
	"runtime/debug"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/oracle"
)

func TestRoundsOfKnownTruth(t *testing.T) {
	// Rounds are short-lived: to collect less often takes a third of the time away.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	start := time.Now()
	tally := oracle.Run(1, 0, 2000, nil)
	tally.Write(os.Stdout, 1, time.Since(start))
	if tally.Failed() {
		t.Error("the product was wrong")
	}
}
