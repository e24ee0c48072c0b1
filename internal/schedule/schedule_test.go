package schedule_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/schedule"
)

func TestNext(t *testing.T) {
	begin := time.Date(2026, time.March, 1, 12, 0, 30, 0, time.UTC)
	cases := []struct {
		name, text    string
		previous, now time.Duration
		window        time.Duration
		start         time.Duration
		missed        int64
	}{
		{name: "the next start counts from the planned one, however late that began", text: "0 5", now: 4 * time.Minute,
			window: time.Minute, start: 5 * time.Minute},
		{name: "a window that is still open is used late", text: "0 5", now: 5*time.Minute + 59*time.Second,
			window: time.Minute, start: 5 * time.Minute},
		{name: "a window that has just closed is missed", text: "0 5", now: 6 * time.Minute, window: time.Minute,
			start: 10 * time.Minute, missed: 1},
		{name: "a long outage is skipped in one step", text: "0 1", now: 24*time.Hour + 10*time.Second,
			window: time.Minute, start: 24 * time.Hour, missed: 1439},
		{name: "cron goes on from the planned start", text: "*/5 * * * *", now: time.Minute, window: time.Minute,
			start: 4*time.Minute + 30*time.Second},
		{name: "cron uses a window that is still open", text: "*/5 * * * *", now: 5 * time.Minute, window: time.Minute,
			start: 4*time.Minute + 30*time.Second},
		{name: "cron counts what it missed", text: "*/5 * * * *", now: 16 * time.Minute, window: time.Minute,
			start: 19*time.Minute + 30*time.Second, missed: 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := schedule.Parse(c.text, "")
			if err != nil {
				t.Fatal(err)
			}
			start, missed := s.Next(begin.Add(c.previous), begin.Add(c.now), c.window)
			if got := start.Sub(begin); got != c.start || missed != c.missed {
				t.Errorf("next start after %v with %d missed, want %v with %d", got, missed, c.start, c.missed)
			}
		})
	}
}

func TestFirst(t *testing.T) {
	seen := time.Date(2026, time.March, 1, 12, 0, 30, 0, time.UTC)
	for text, want := range map[string]time.Duration{"0 1": 0, "7 1": 7 * time.Minute, "*/5 * * * *": 4*time.Minute +
		30*time.Second} {
		s, err := schedule.Parse(text, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.First(seen).Sub(seen); got != want {
			t.Errorf("%q: first start after %v, want %v", text, got, want)
		}
	}
}

func TestKeyString(t *testing.T) {
	if got := (schedule.Key{UID: "u", Generation: 2, Round: 3}).String(); got != "u/2/3" {
		t.Errorf("key %q, want u/2/3", got)
	}
}

func TestCronFollowsItsTimeZone(t *testing.T) {
	cases := []struct {
		name, text, zone, seen string
		want                   []string
	}{
		{"a zone east of UTC comes earlier", "0 3 * * *", "Asia/Tokyo", "2026-01-10T00:00:00Z",
			[]string{"2026-01-10T18:00:00Z", "2026-01-11T18:00:00Z"}},
		{"summer time moves the start in UTC", "0 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"}},
		{"an hour that summer time skips has no start", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-30T00:30:00Z"}},
		{"no zone is UTC", "0 9 * * *", "", "2026-03-28T00:00:00Z", []string{"2026-03-28T09:00:00Z"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := schedule.Parse(c.text, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.seen)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				at = s.First(at)
				if got := at.Format(time.RFC3339); got != want {
					t.Errorf("start at %s, want %s", got, want)
				}
			}
		})
	}
}

func TestZonesThatAreNoneAreRefused(t *testing.T) {
	for _, zone := range []string{"Local", "Mars/Olympus", "../etc/passwd"} {
		if _, err := schedule.Parse("0 1", zone); err == nil {
			t.Errorf("zone %q is taken", zone)
		}
	}
}

func TestEveryStartsARoundAtOnceAndOneAfterEachInterval(t *testing.T) {
	seen := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, interval := range []time.Duration{10 * time.Second, 45 * time.Second, time.Hour} {
		s, err := schedule.Every(interval)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.First(seen); !got.Equal(seen) {
			t.Errorf("every %v: the first start is %v, want %v", interval, got, seen)
		}
		next, missed := s.Next(seen, seen.Add(interval), interval/2)
		if !next.Equal(seen.Add(interval)) || missed != 0 || s.Interval(seen) != interval {
			t.Errorf("every %v: the next start is %v with %d missed, the interval %v", interval, next, missed,
				s.Interval(seen))
		}
		next, missed = s.Next(seen, seen.Add(3*interval+interval/2), interval/2)
		if !next.Equal(seen.Add(4*interval)) || missed != 3 {
			t.Errorf("every %v, late: the next start is %v with %d missed, want 3", interval, next.Sub(seen), missed)
		}
	}
	for _, interval := range []time.Duration{0, -time.Second, 9 * time.Second, time.Hour + time.Second} {
		if _, err := schedule.Every(interval); err == nil {
			t.Errorf("an interval of %v is taken", interval)
		}
	}
}
