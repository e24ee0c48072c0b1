package httpprobe_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/probetest"
)

func TestProberKeepsTheContract(t *testing.T) {
	probetest.HTTP(t, func(c httpprobe.Config) probe.Prober { return httpprobe.New(c) })
}
