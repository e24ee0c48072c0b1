//go:build !linux

package resident

import "runtime/debug"

// Release collects garbage and gives free memory of the heap back to the kernel.
func Release() error {
	debug.FreeOSMemory()
	return nil
}

// Map does nothing: which pages of a program are mapped is decided on Linux alone.
func Map() error { return nil }
