package httpprobe_test

import (
	"syscall"
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/probetest"
)

func TestErrorNumbersAtConnect(t *testing.T) {
	probetest.Errnos(t, func(errno syscall.Errno) (s probe.Sample) {
		httpprobe.Config{}.JudgeError(probe.Connect, errno, &s)
		return s
	})
}
