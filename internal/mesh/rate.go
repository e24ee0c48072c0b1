package mesh

import (
	"math"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/report"
)

// keptLeast is the least number of requests of a persistent stream: three, without which no connection would have to
// last, or as many as keep the pauses between them within echo.LongestPause.
func (l Load) keptLeast() int {
	return max(3, ceil(l.seconds(), int(echo.LongestPause/time.Second)))
}

// Sends is how many requests a second the load sends to so many targets, rounded up. The kept stream of Both counts as
// a tenth of the counted requests, and as no less than its least requests over the load's duration.
func (l Load) Sends(targets int) int {
	counted, every := targets*l.PerSecond, l.every()
	if l.Connection != Both {
		return ceil(counted, every)
	}
	seconds := l.seconds()
	least := l.keptLeast() * targets * every
	return max(ceil(counted*(keptShare+1), keptShare*every), ceil(counted*seconds+least, every*seconds))
}

// Within is the load with the highest rate up to its own at which so many targets get at most limit requests a second,
// by the count of Sends: a whole number of requests a second or, below that, one request every so many whole seconds,
// down to a single one in the whole load. Where even that is too much, it is that, and fits is false. Without a limit
// (0) or without targets every rate fits; below 0 none does.
func (l Load) Within(targets, limit int) (lower Load, fits bool) {
	if limit == 0 || targets <= 0 {
		return l, true
	}
	if limit < 0 {
		return l.lowest(), false
	}
	if l.Sends(targets) <= limit {
		return l, true
	}
	if whole := l.fits(targets, limit); whole >= 1 {
		l.PerSecond, l.Every = whole, 0
		return l, true
	}
	every, ok := l.apart(targets, limit)
	if !ok || every > l.seconds() {
		return l.lowest(), false
	}
	l.PerSecond, l.Every = 1, every
	return l, true
}

// lowest is the load with one request to each target.
func (l Load) lowest() Load {
	l.PerSecond, l.Every = 1, l.seconds()
	return l
}

// fits is the largest whole rate with which so many targets get at most limit requests a second; it may be 0 or less.
func (l Load) fits(targets, limit int) int {
	if l.Connection != Both {
		return limit / targets
	}
	seconds := l.seconds()
	return min(limit*keptShare/((keptShare+1)*targets), (limit*seconds-l.keptLeast()*targets)/(targets*seconds))
}

// apart is the least number of seconds between two requests to a target with which so many targets get at most limit
// requests a second; it is not ok where the kept stream alone is too much.
func (l Load) apart(targets, limit int) (seconds int, ok bool) {
	if l.Connection != Both {
		return ceil(targets, limit), true
	}
	left := limit*l.seconds() - l.keptLeast()*targets
	if left <= 0 {
		return 0, false
	}
	return max(ceil((keptShare+1)*targets, keptShare*limit), ceil(targets*l.seconds(), left)), true
}

// slower reports whether the rate is lower than the other's.
func (l Load) slower(than Load) bool { return l.PerSecond*than.every() < than.PerSecond*l.every() }

// seconds is the duration in whole seconds, every the divisor of the rate; both are at least 1.
func (l Load) seconds() int { return max(int(l.Duration/time.Second), 1) }

func (l Load) every() int { return max(l.Every, 1) }

func ceil(a, b int) int { return (a + b - 1) / b }

// within lowers the load as far as the limits need it. It tells both rates, and what the lower one costs. Where no rate
// fits, none is told to be given, and the load is the lowest one.
func within(ask Ask, limits Limits) (Load, report.RequestBudget) {
	asked := ask.Load
	given, fits := asked.Within(ask.Most, limits.PerAgent)
	total, fitsTotal := asked.Within(ask.All, limits.Total)
	told := report.RequestBudget{Asked: asked.PerSecond, Limit: max(limits.PerAgent, 0), Targets: ask.Most,
		TotalLimit: max(limits.Total, 0), TotalTargets: ask.All,
		Others: limits.Others, OthersTotal: limits.OthersTotal, ByTotal: total.slower(given)}
	if told.ByTotal {
		given = total
	}
	if !fits || !fitsTotal {
		told.ByTotal = fits
		told.LowestRate, told.Cap, told.UsedBy = given.lowest().Sends(ask.Most), limits.Cap, limits.Users
		if told.ByTotal {
			told.LowestRate, told.Cap, told.UsedBy = given.lowest().Sends(ask.All), limits.CapTotal, limits.UsersTotal
		}
		if told.LowestRate > told.Cap {
			told.UsedBy = ""
		}
		return given.lowest(), told
	}
	cost := given.Footprint(ask.Most)
	told.Granted, told.Sends, told.TotalSends = given.PerSecond, given.Sends(ask.Most), given.Sends(ask.All)
	if given.every() > 1 {
		told.Every = given.Every
	}
	told.Connections, told.Tracked, told.Ports = cost.Connections, cost.Tracked, cost.Ports
	return given, told
}

// fair is what who asks for so much gets when the limit is filled like a vessel: all rise together until they have what
// they want. wanted is what all want, this one too, sorted.
func fair(limit, asked int, wanted []int) int {
	for i, w := range wanted {
		level := limit / (len(wanted) - i)
		if w > level {
			return min(asked, level)
		}
		limit -= w
	}
	return asked
}

// all is what a round asks for of which nothing is known yet.
const all = math.MaxInt
