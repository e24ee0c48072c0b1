//go:build !linux

package probetest

import (
	"syscall"
	"testing"
)

// refusing is for Linux.
func refusing(t *testing.T, _ syscall.Errno, _ func()) {
	t.Helper()
	t.Skip("only Linux has policies at connect(2) that a test can make")
}
