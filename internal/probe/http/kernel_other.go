//go:build !linux

package httpprobe

import "syscall"

// resent is not known here.
func resent(int) uint64 { return 0 }

// noNetwork stands for an error that only Linux knows; no error has the number 0.
const noNetwork = syscall.Errno(0)
