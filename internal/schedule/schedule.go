// Package schedule decides when the rounds of a task start and end.
//
// Two forms of text are understood: "M N" (the first round starts M minutes after the task was first seen, then one every N
// minutes) and the five fields of cron, read in the task's time zone. A time of day that summer time skips has no
// start, and a time of day that winter time repeats has one. Schedules whose hour field is open, such as "*/10 * * *
// *", go on through the repeated hour.
package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Forever is the number of rounds of a task that never finishes.
const Forever = -1

// Key names one round of one task for ever. A task that is deleted and created again has another UID. A task that is
// edited has another generation.
type Key struct {
	UID        string `json:"UID"`
	Generation int64  `json:"Generation"`
	// Round counts from 1 within a generation.
	Round int64 `json:"Round"`
}

// String returns the key as file names and logs have it: <uid>/<generation>/<round>.
func (k Key) String() string { return fmt.Sprintf("%s/%d/%d", k.UID, k.Generation, k.Round) }

// Schedule knows when the first round starts, and when a round starts after another one.
type Schedule struct {
	delay, interval time.Duration
	// cron is nil for the form "M N".
	cron *calendar
}

// LongestMinutes is the largest number of minutes, a year, that either number of the form "M N" may be.
const LongestMinutes = 525600

// The bounds of a number of seconds between two rounds; see Every.
const (
	LeastSeconds = 10
	MostSeconds  = 3600
)

// What is left of a round for starting agents and collecting their reports. A round that is Brief has less: 5 s would
// be half of the shortest one. Of 3 s, the last call to all agents takes one, a tenth of the shortest round. Reading
// the cluster, starting the agents and noticing that their loads are over takes less than another, and one is spare.
const (
	Reserve      = 5 * time.Second
	BriefReserve = 3 * time.Second
)

// Brief reports whether rounds that take so long at most are too frequent to be told of one by one.
func Brief(round time.Duration) bool { return round < time.Minute }

// Every returns the schedule whose first round starts at once, and a further one after each interval. The interval is
// from LeastSeconds to MostSeconds.
func Every(interval time.Duration) (Schedule, error) {
	if interval < LeastSeconds*time.Second || interval > MostSeconds*time.Second {
		return Schedule{}, fmt.Errorf("the interval is %v; use %d to %d seconds", interval, LeastSeconds, MostSeconds)
	}
	return Schedule{interval: interval}, nil
}

// Parse reads either form; fields are separated by spaces. The zone is an IANA name such as Europe/Berlin, empty for
// UTC; the form "M N" does not depend on it. The error is one sentence that says what is wrong and what would be right.
func Parse(text, zone string) (Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return Schedule{}, fmt.Errorf("there is no time zone %q; use an IANA name such as Europe/Berlin", zone)
	}
	switch parts := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' }); len(parts) {
	case 2:
		return parseSimple(text, parts)
	case 5:
		parsed, err := parseCron(text, parts)
		if err != nil {
			return Schedule{}, err
		}
		return Schedule{cron: &calendar{fields: parsed, open: openHours(parts[1], parsed), zone: location}}, nil
	default:
		return Schedule{}, fmt.Errorf(
			`schedule %q has %d fields; use "M N" (start in M minutes, repeat every N) or the five fields of cron`,
			text, len(parts))
	}
}

func parseSimple(text string, parts []string) (Schedule, error) {
	delay, ok := minutes(parts[0])
	if !ok {
		return Schedule{}, fmt.Errorf("schedule %q: the first field must be a number of minutes from 0 to %d", text,
			LongestMinutes)
	}
	interval, ok := minutes(parts[1])
	if !ok || interval == 0 {
		return Schedule{}, fmt.Errorf("schedule %q: the second field must be a number of minutes from 1 to %d", text,
			LongestMinutes)
	}
	return Schedule{delay: delay, interval: interval}, nil
}

func minutes(text string) (time.Duration, bool) {
	if !digits(text, 6) {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return time.Duration(n) * time.Minute, err == nil && n <= LongestMinutes
}

// First returns when the first round of a task starts that was first seen at the given time.
func (s Schedule) First(seen time.Time) time.Time {
	if s.cron != nil {
		return s.cron.next(seen)
	}
	return seen.Add(s.delay)
}

// Next returns the first planned start after the previous one whose window has not wholly passed, and the number of
// windows in between that were missed. A round whose window [start, start+window) is still open at now starts late.
func (s Schedule) Next(previous, now time.Time, window time.Duration) (start time.Time, missed int64) {
	start = s.after(previous)
	if s.cron == nil {
		if behind := now.Sub(start.Add(window)); behind >= 0 {
			missed = int64(behind/s.interval) + 1
			start = start.Add(time.Duration(missed) * s.interval)
		}
		return start, missed
	}
	const countable = 100_000 // two months of minutes: a bound on the work after a long outage
	for !start.IsZero() && !now.Before(start.Add(window)) {
		missed++
		if missed >= countable {
			return s.cron.next(now), missed
		}
		start = s.after(start)
	}
	return start, missed
}

// Interval returns the time between the planned start of a round and that of the round after it. It is 0 for a schedule
// without a further start.
func (s Schedule) Interval(start time.Time) time.Duration {
	next := s.after(start)
	if next.IsZero() {
		return 0
	}
	return max(next.Sub(start), 0)
}

func (s Schedule) after(previous time.Time) time.Time {
	if s.cron != nil {
		return s.cron.next(previous)
	}
	return previous.Add(s.interval)
}
