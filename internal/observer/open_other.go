//go:build !linux

package observer

// Open is a reader that knows nothing: the figures are those of Linux.
func Open() *Reader { return &Reader{} }
