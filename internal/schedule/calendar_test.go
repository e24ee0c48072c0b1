package schedule_test

import (
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/schedule"
)

// starts are the starts of the schedule after the moment and before the end.
func starts(t *testing.T, text, zone string, after, end time.Time) (all []time.Time) {
	t.Helper()
	s, err := schedule.Parse(text, zone)
	if err != nil {
		t.Fatal(err)
	}
	for at := s.First(after); !at.IsZero() && at.Before(end); at = s.First(at) {
		if next, missed := s.Next(at, at, time.Minute); !next.Equal(s.First(at)) || missed != 0 {
			t.Fatalf("%q in %s: %v follows %v as the next, with %d missed, and %v as the first", text, zone, next, at,
				missed, s.First(at))
		}
		all = append(all, at)
	}
	return all
}

func TestClocksThatAreTurned(t *testing.T) {
	for _, c := range []struct {
		name, text, zone, after string
		want                    []string
	}{
		{"an hour that winter time repeats has one start, the first", "30 2 * * *", "Europe/Berlin",
			"2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"west of Greenwich too", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		{"half an hour that is repeated", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z",
			[]string{"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}},
		{"the hour after midnight", "30 0 * * *", "Atlantic/Azores", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"the hour before midnight", "30 23 * * *", "Africa/Cairo", "2026-10-29T08:00:00Z",
			[]string{"2026-10-29T20:30:00Z", "2026-10-30T21:30:00Z"}},
		{"the very end of the repeated hour", "59 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:59:00Z", "2026-10-26T01:59:00Z"}},
		{"the very beginning of the repeated hour", "0 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"}},
		{"the first time that is not repeated", "0 3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"}},
		{"a task that is first seen in the repeated hour waits for the next day", "30 2 * * *", "Europe/Berlin",
			"2026-10-25T01:10:00Z", []string{"2026-10-26T01:30:00Z"}},
		{"a list of hours starts at each once", "0 1,2,3 * * *", "Europe/Berlin", "2026-10-24T20:00:00Z",
			[]string{"2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", "2026-10-26T00:00:00Z"}},
		{"a range of hours starts at each minute of them once", "*/30 2-3 * * *", "Europe/Berlin",
			"2026-10-24T20:00:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z",
				"2026-10-26T01:00:00Z"}},
		{"every hour goes on through the repeated one", "30 * * * *", "Europe/Berlin", "2026-10-24T23:40:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"}},
		{"so does a range of all hours", "30 0-23 * * *", "Europe/Berlin", "2026-10-24T23:40:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"}},
		{"a range of all hours but one does not", "30 0-22 * * *", "Europe/Berlin", "2026-10-24T23:40:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"}},
		{"nor does another", "30 1-23 * * *", "Europe/Berlin", "2026-10-24T23:00:00Z",
			[]string{"2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"}},
		{"a clock that is turned back by most of a day", "59 23 * * *", "Pacific/Kwajalein", "1969-09-30T00:00:00Z",
			[]string{"1969-09-30T12:59:00Z", "1969-10-02T11:59:00Z"}},
		{"every second hour goes on", "0 */2 * * *", "Europe/Berlin", "2026-10-24T22:30:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T03:00:00Z"}},
		{"a question mark is any hour", "0 ? * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		{"every twenty minutes goes on", "*/20 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30:00Z",
			[]string{"2026-04-04T14:40:00Z", "2026-04-04T15:10:00Z", "2026-04-04T15:30:00Z", "2026-04-04T15:50:00Z"}},
		{"a time that summer time skips has no start", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-30T00:30:00Z"}},
		{"nor has midnight", "15 0 * * *", "Africa/Cairo", "2026-04-22T12:00:00Z", []string{"2026-04-22T22:15:00Z",
			"2026-04-24T21:15:00Z"}},
		{"every hour goes on over the skipped one", "30 * * * *", "Europe/Berlin", "2026-03-28T23:40:00Z",
			[]string{"2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"}},
		{"a day that the calendar skips has no start", "0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z",
			[]string{"2012-12-29T22:00:00Z"}},
		{"a leap day", "0 3 29 2 *", "Europe/Berlin", "2096-03-01T00:00:00Z", []string{"2104-02-29T02:00:00Z"}},
		{"a leap day where clocks are turned four times a year", "0 3 29 2 *", "Africa/Casablanca",
			"2028-03-01T00:00:00Z", []string{"2032-02-29T02:00:00Z"}},
		{"the last day of a leap year far away", "0 12 * * *", "Europe/Berlin", "2040-12-30T00:00:00Z",
			[]string{"2040-12-30T11:00:00Z", "2040-12-31T11:00:00Z", "2041-01-01T11:00:00Z"}},
		{"the summer after it", "0 12 1 7 *", "Europe/Berlin", "2040-12-31T12:00:00Z",
			[]string{"2041-07-01T10:00:00Z"}},
		{"every hour of it", "0 */12 * * *", "Australia/Lord_Howe", "2096-12-30T12:00:00Z",
			[]string{"2096-12-30T13:00:00Z", "2096-12-31T01:00:00Z", "2096-12-31T13:00:00Z", "2097-01-01T01:00:00Z"}},
		{"a clock that is turned far away", "30 2 * * *", "Europe/Berlin", "2096-10-27T12:00:00Z",
			[]string{"2096-10-28T00:30:00Z", "2096-10-29T01:30:00Z"}},
		{"a leap day of UTC", "0 3 29 2 *", "", "2096-03-01T00:00:00Z", []string{"2104-02-29T03:00:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			after, err := time.Parse(time.RFC3339, c.after)
			if err != nil {
				t.Fatal(err)
			}
			last, err := time.Parse(time.RFC3339, c.want[len(c.want)-1])
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, at := range starts(t, c.text, c.zone, after, last.Add(time.Second)) {
				got = append(got, at.Format(time.RFC3339))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q in %s (-want +got):\n%s", c.text, c.zone, diff)
			}
		})
	}
}

// TestEveryTurnOfManyClocks walks in steps of five minutes through the hours around every change of offset of many
// zones and years.
func TestEveryTurnOfManyClocks(t *testing.T) {
	hour := func(hours ...int) func(time.Time) bool {
		return func(at time.Time) bool { return slices.Contains(hours, at.Hour()) }
	}
	schedules := []struct {
		text  string
		open  bool
		fires func(local time.Time) bool
	}{
		{"*/10 * * * *", true, func(at time.Time) bool { return at.Minute()%10 == 0 }},
		{"45 * * * *", true, func(at time.Time) bool { return at.Minute() == 45 }},
		{"15,45 0,1,2,3,4,22,23 * * *", false, func(at time.Time) bool {
			return at.Minute()%30 == 15 && hour(0, 1, 2, 3,
				4, 22, 23)(at)
		}},
		{"0 0-12 * * sun", false, func(at time.Time) bool {
			return at.Minute() == 0 && at.Hour() <= 12 &&
				at.Weekday() == time.Sunday
		}},
		{"0 0 1 * *", false, func(at time.Time) bool { return at.Minute() == 0 && at.Hour() == 0 && at.Day() == 1 }},
	}
	// All schedules above and all offsets of these years are multiples of it.
	const step = 5 * time.Minute
	turns := 0
	for _, name := range []string{"Europe/Berlin", "Europe/Dublin", "America/New_York", "America/St_Johns",
		"America/Havana", "America/Sao_Paulo", "America/Caracas", "America/Scoresbysund",
		"Atlantic/Azores", "Africa/Cairo", "Africa/Casablanca", "Asia/Tehran", "Asia/Gaza", "Asia/Amman",
		"Asia/Pyongyang", "Antarctica/Troll", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		end := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
		_, turn := time.Date(2011, time.January, 1, 0, 0, 0, 0, zone).ZoneBounds()
		for ; !turn.IsZero() && turn.Before(end); _, turn = turn.ZoneBounds() {
			turns++
			from, until := turn.Add(-8*time.Hour).Truncate(step), turn.Add(8*time.Hour)
			want := make([][]time.Time, len(schedules))
			shown := map[string]bool{}
			for at := from.Add(-4 * time.Hour); at.Before(until); at = at.Add(step) {
				local, again := at.In(zone), false
				for i, s := range schedules {
					if !s.fires(local) {
						continue
					}
					text := local.Format(time.DateTime)
					again = again || shown[text]
					if at.After(from) && (s.open || !again) {
						want[i] = append(want[i], at.UTC())
					}
				}
				shown[local.Format(time.DateTime)] = true
			}
			for i, s := range schedules {
				if diff := cmp.Diff(want[i], starts(t, s.text, name, from, until)); diff != "" {
					t.Fatalf("%q in %s around %v (-want +got):\n%s", s.text, name, turn, diff)
				}
			}
		}
	}
	if turns < 400 {
		t.Errorf("clocks were turned %d times", turns)
	}
}
