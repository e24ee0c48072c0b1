// Package mesh looks at the clock.
package mesh

import (
	"net"
	clock "time"
)

func now() clock.Time { return clock.Now() }

func dial() { _, _ = net.Dial("tcp", net.JoinHostPort("localhost", "1")) }

func wait(d clock.Duration) { clock.Sleep(d) }
