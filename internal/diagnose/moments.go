package diagnose

import (
	"fmt"
	"math"
	"time"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

// moments is when counted requests across a component failed, beside the time in which they were sent.
type moments struct {
	// begin and end are those of the load; lastBegin is when the last of the agents began.
	begin, lastBegin, end time.Time
	first, last           time.Time
	sent, lost            uint64
}

// momentsOf returns the moments of the counted requests of the kinds that the fault explains, near its component. ok is
// false where agents do not report each failure's moment, where changes excuse some failures, since nobody knows which,
// and where agents did not begin together.
func (l locator) momentsOf(f infer.Fault) (m moments, ok bool) {
	rungs := map[ladder.Rung]bool{}
	for _, i := range f.Observations() {
		rungs[l.seen[i].Rung] = rungs[l.seen[i].Rung] || l.seen[i].Counted
	}
	between := interval(l.round.Budget)
	for _, a := range l.round.Agents {
		for i := range a.Paths {
			p := &a.Paths[i]
			o, isRung := rungOf(a.Node, &p.Target)
			o.Family, o.Method = p.Target.Family, ladder.HTTP
			if !isRung || p.Sent == 0 || !rungs[o.Rung] || !l.near(&o, f.Component) {
				continue
			}
			if !m.add(p, between) {
				return moments{}, false
			}
		}
	}
	return m, m.lost > 0 && between > 0 && m.lastBegin.Sub(m.begin) < time.Second
}

// add adds a path, and reports whether the moments of all failures that no change excuses are known.
func (m *moments) add(p *report.Path, between time.Duration) bool {
	if p.Excused() > 0 {
		return false
	}
	m.begin, m.lastBegin = earlier(m.begin, p.Started), later(m.lastBegin, p.Started)
	m.end = later(m.end, p.Started.Add(time.Duration(p.Scheduled)*between)) //nolint:gosec // Plans bound it.
	m.sent += p.Sent
	for _, failure := range p.Failures {
		timed := uint64(0)
		for _, s := range failure.Spans {
			m.first, m.last = earlier(m.first, p.Started.Add(s.First)), later(m.last, p.Started.Add(s.Last))
			timed += s.Count
		}
		if timed != failure.Count {
			return false
		}
		m.lost += timed
	}
	return true
}

// interval is the time between two requests of a path; 0 if it is not known.
func interval(of report.RequestBudget) time.Duration {
	switch {
	case of.Granted <= 0:
		return 0
	case of.Every > 1:
		return time.Duration(of.Every) * time.Second
	}
	return time.Second / time.Duration(of.Granted)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// quiet reports whether there was no failure before the first one, or after the last one, for longer than chance
// explains: by chance, n failures are within the share w of the time with the probability n w^(n-1) at most.
func (m moments) quiet() (before, after bool) {
	const unlikely, part = 1e-6, 0.1
	whole := m.end.Sub(m.begin)
	if whole <= 0 || m.lost < 2 {
		return false, false
	}
	share, n := float64(m.last.Sub(m.first))/float64(whole), float64(m.lost)
	if n*math.Pow(share, n-1) > unlikely {
		return false, false
	}
	least := max(time.Second, time.Duration(part*float64(whole)))
	return m.first.Sub(m.begin) >= least, m.end.Sub(m.last) >= least
}

// evidence says when requests failed, where that was a part of the time only; empty otherwise.
func (m moments) evidence() string {
	const clock = "15:04:05.0 UTC"
	first, last, load := m.first.UTC().Format(clock), m.last.UTC().Format(clock), seconds(m.end.Sub(m.begin))
	switch before, after := m.quiet(); {
	case before && after:
		return fmt.Sprintf("requests failed only from %s to %s, within %s of %s of load", first, last,
			seconds(m.last.Sub(m.first)), load)
	case before:
		return fmt.Sprintf("requests failed only from %s on, after %s of load without a failure", first,
			seconds(m.first.Sub(m.begin)))
	case after:
		return fmt.Sprintf("requests failed only until %s, and %s of load without a failure followed", last,
			seconds(m.end.Sub(m.last)))
	}
	return ""
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// interrupted reports whether most of what was sent between the first and the last failure failed, and nothing before
// and after: the load was even.
func (m moments) interrupted() bool {
	const most = 0.6
	before, after := m.quiet()
	if !before || !after {
		return false
	}
	share := float64(m.last.Sub(m.first)) / float64(m.end.Sub(m.begin))
	return float64(m.lost) >= most*share*float64(m.sent)
}
