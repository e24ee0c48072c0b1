//go:build !linux

package ladderprobe

import "net"

// retried is unknown: agents run on Linux.
func retried(net.Conn) bool { return false }
