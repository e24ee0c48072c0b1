//go:build !linux

package segment

import "syscall"

// bound changes nothing: the option is Linux's.
func bound(syscall.RawConn, int) error { return nil }
