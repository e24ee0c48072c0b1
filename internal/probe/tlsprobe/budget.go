package tlsprobe

// What one attempt costs of this process's CPU at most, in microseconds, whatever the protocol. Measured by BenchmarkAttempt on a virtual machine
// with 2 CPUs that others used too, the server in a process of its own, three runs of 2 s each, lowest to highest:
//
//	             new connection     resumed session     kept connection
//	HTTP/1.1     166 to 173         -                   62 to 76
//	HTTPS        831 to 985         702 to 744          83 to 102
//	HTTP/2       1098 to 1165       -                   133 to 179
const (
	newMicroseconds        = 1200
	persistentMicroseconds = 180
)

// Budget is how many attempts a second so many cores can carry, each with a new connection and a full TLS handshake. It leaves nothing
// for anything else: whoever shares the cores passes the part that is this tier's.
func Budget(cores float64) (perSecond int) { return budget(cores, newMicroseconds) }

// Fits tells whether so many cores can carry the attempts, over new connections or over kept ones.
func Fits(cores float64, perSecond int, kept bool) bool {
	cost := newMicroseconds
	if kept {
		cost = persistentMicroseconds
	}
	return perSecond <= budget(cores, cost)
}

func budget(cores float64, microseconds int) int {
	const second = 1e6
	return int(max(cores, 0) * second / float64(microseconds))
}
