package tlsprobe

// What one attempt costs of this process's CPU at most, in microseconds, whatever the protocol. BenchmarkAttempt
// measured it on a virtual machine with 2 CPUs that others used too, with the server in a process of its own, in three
// runs of 2 s each, lowest to highest:
//
//	             new connection     resumed session     persistent connection
//	HTTP/1.1     166 to 173         -                   62 to 76
//	HTTPS        831 to 985         702 to 744          83 to 102
//	HTTP/2       1098 to 1165       -                   133 to 179
const (
	newMicroseconds        = 1200
	persistentMicroseconds = 180
)

// Budget returns how many attempts a second the cores can carry, each with a new connection and a full TLS handshake.
// The result leaves nothing for anything else: a caller that shares the cores passes this tier's part.
func Budget(cores float64) (perSecond int) { return budget(cores, newMicroseconds) }

// Fits reports whether the cores can carry the attempts, over new connections or over persistent ones.
func Fits(cores float64, perSecond int, persistent bool) bool {
	cost := newMicroseconds
	if persistent {
		cost = persistentMicroseconds
	}
	return perSecond <= budget(cores, cost)
}

func budget(cores float64, microseconds int) int {
	const second = 1e6
	return int(max(cores, 0) * second / float64(microseconds))
}
