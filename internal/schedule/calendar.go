package schedule

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// calendar is cron by the wall clock of a time zone.
//
// When summer time turns the clock forward, the skipped times have no start, whatever the fields say. When winter time
// turns the clock back, each repeated time has one start, the first time. An open hour field, which has * or ? in it or
// all 24 hours, means an interval and not a time of day: such a schedule goes on through the repeated hour, so that
// "*/10 * * * *" starts every ten minutes and "0 * * * *" every hour.
type calendar struct {
	fields cron.Schedule
	open   bool
	zone   *time.Location
}

// openHours reports whether the hour field means an interval.
func openHours(field string, fields cron.Schedule) bool {
	const all = 1<<24 - 1
	spec, ok := fields.(*cron.SpecSchedule)
	return strings.ContainsAny(field, "*?") || ok && spec.Hour&all == all
}

// next returns the first start after the moment, zero when there is none within nine years: 29 February may be eight
// years away.
//
// The cron library guesses around a change of the zone's offset. Between two changes the clock runs evenly, so the
// library computes there in a zone with a fixed offset.
func (c *calendar) next(after time.Time) time.Time {
	now := after.In(c.zone)
	for last := now.AddDate(9, 0, 0); now.Before(last); {
		_, offset := now.Zone()
		until := evenUntil(now)
		start := c.fields.Next(after.In(time.FixedZone("", offset)))
		for ; !start.IsZero() && start.Before(until); start = c.fields.Next(start) {
			if c.open || !c.repeats(start) {
				return start.UTC()
			}
		}
		now, after = until, until.Add(-1)
	}
	return time.Time{}
}

// evenUntil returns a later moment up to which the offset does not change.
func evenUntil(now time.Time) time.Time {
	_, until := now.ZoneBounds()
	if !until.After(now) {
		// There is no end, or package time gives as the end the beginning of the last day of a leap year beyond its
		// tables.
		return now.AddDate(0, 0, 1)
	}
	return until
}

// longestRepeat is longer than any clock was ever turned back.
const longestRepeat = 25 * time.Hour

// repeats reports whether the wall clock has shown the time of the moment before.
func (c *calendar) repeats(moment time.Time) bool {
	moment = moment.In(c.zone)
	_, offset := moment.Zone()
	from, _ := moment.ZoneBounds()
	for moment.Sub(from) < longestRepeat {
		earlier := from.Add(-1)
		_, before := earlier.Zone()
		shown := moment.Add(time.Duration(offset-before) * time.Second)
		until := from
		from, _ = earlier.ZoneBounds()
		if shown.Before(until) && !shown.Before(from) {
			return true
		}
	}
	return false
}
