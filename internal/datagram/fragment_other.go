//go:build !linux

package datagram

import "syscall"

// neverFragment does nothing: agents run on Linux.
func neverFragment(string, string, syscall.RawConn) error { return nil }
