package limits

import "kdoctor.io/kdoctor/internal/mesh"

// Sends returns how many requests a second an agent with the number of targets sends under the load, rounded up. The
// persistent stream of mesh.Both counts as a tenth of the counted requests, and as no less than its least requests over
// the load's duration.
func Sends(l mesh.Load, targets int) int {
	counted, every := targets*l.PerSecond, l.Divisor()
	if l.Connection != mesh.Both {
		return ceil(counted, every)
	}
	seconds := l.Seconds()
	least := l.LeastPersistent() * targets * every
	return max(ceil(counted*(mesh.PersistentShare+1), mesh.PersistentShare*every),
		ceil(counted*seconds+least, every*seconds))
}

// Highest returns the load with the highest rate, up to its own, at which the number of targets gets at most limit
// requests a second by the count of Sends. The rate is a whole number of requests a second or, below that, one request
// in a whole number of seconds, down to a single request in the whole load. When even the single request is too much,
// the load has that rate, and fits is false. Without a limit (0) or without targets every rate fits; below 0 none does.
func Highest(l mesh.Load, targets, limit int) (lower mesh.Load, fits bool) {
	if limit == 0 || targets <= 0 {
		return l, true
	}
	if limit < 0 {
		return lowest(l), false
	}
	if Sends(l, targets) <= limit {
		return l, true
	}
	if whole := wholeRate(l, targets, limit); whole >= 1 {
		l.PerSecond, l.Every = whole, 0
		return l, true
	}
	every, ok := secondsApart(l, targets, limit)
	if !ok || every > l.Seconds() {
		return lowest(l), false
	}
	l.PerSecond, l.Every = 1, every
	return l, true
}

// lowest returns the load with a single request to each target.
func lowest(l mesh.Load) mesh.Load {
	l.PerSecond, l.Every = 1, l.Seconds()
	return l
}

// wholeRate returns the largest whole number of requests a second to each target at which all targets together get at
// most limit requests a second; it may be 0 or less.
func wholeRate(l mesh.Load, targets, limit int) int {
	if l.Connection != mesh.Both {
		return limit / targets
	}
	const share = mesh.PersistentShare
	return min(limit*share/((share+1)*targets),
		(limit*l.Seconds()-l.LeastPersistent()*targets)/(targets*l.Seconds()))
}

// secondsApart returns the least number of seconds between two requests to a target at which all targets together get
// at most limit requests a second. ok is false when the persistent stream alone is too much.
func secondsApart(l mesh.Load, targets, limit int) (seconds int, ok bool) {
	if l.Connection != mesh.Both {
		return ceil(targets, limit), true
	}
	left := limit*l.Seconds() - l.LeastPersistent()*targets
	if left <= 0 {
		return 0, false
	}
	const share = mesh.PersistentShare
	return max(ceil((share+1)*targets, share*limit), ceil(targets*l.Seconds(), left)), true
}

// slower reports whether the rate of a is lower than the rate of b.
func slower(a, b mesh.Load) bool { return a.PerSecond*b.Divisor() < b.PerSecond*a.Divisor() }

// ceil returns a divided by b, rounded up; b is positive.
func ceil(a, b int) int { return (a + b - 1) / b }
