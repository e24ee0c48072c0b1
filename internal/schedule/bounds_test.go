package schedule_test

import (
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/schedule"
)

// What a field does not take is refused with a sentence that names the field and says what it takes: the library below
// does neither.
func TestCronFieldsAtTheirBounds(t *testing.T) {
	const rest = ", a range such as 2-4, a step such as */2, or a list of these with commas"
	for _, c := range []struct {
		field, allowed string
		// text has a mark where the item stands.
		text           string
		taken, refused []string
	}{
		{"minute", "*, a number from 0 to 59", "# * * * *",
			[]string{"0", "59", "00", "5-5", "0-59", "*", "?", "*/1", "*/9999", "1/10", "58,59"},
			[]string{"60", "-", "x", "0-x", "x-1", "0-60", "6-5", "*/0", "*/05", "*/10000", "*/x", "*/", "/2", "1-",
				"000", "mon", "1,", ",1"}},
		{"hour", "*, a number from 0 to 23", "0 # * * *", []string{"0", "23"}, []string{"24", "-1"}},
		{"day of month", "*, a number from 1 to 31", "0 0 # * *", []string{"1", "31"}, []string{"0", "32", "0-1"}},
		{"month", "*, a number from 1 to 12, a name from jan to dec", "0 0 1 # *",
			[]string{"1", "12", "jan", "DEC", "jan-dec", "feb,Mar"},
			[]string{"0", "13", "sun", "jan-12", "1-dec", "dec-jan", "ja", "janu"}},
		{"day of week", "*, a number from 0 to 6 (0 is Sunday), a name from sun to sat", "0 0 * * #",
			[]string{"0", "6", "sun", "sat", "sun-sat", "mon-fri"}, []string{"7", "0-7", "sun-6", "jan", "fri-mon"}},
	} {
		for _, item := range c.taken {
			text := strings.Replace(c.text, "#", item, 1)
			if _, err := schedule.Parse(text, ""); err != nil {
				t.Errorf("%q is refused: %v", text, err)
			}
		}
		for _, item := range c.refused {
			text := strings.Replace(c.text, "#", item, 1)
			_, err := schedule.Parse(text, "")
			if want := " is not a " + c.field + "; use " + c.allowed + rest; err == nil ||
				!strings.HasSuffix(err.Error(), want) {
				t.Errorf("%q: %v; want it to be refused with ...%s", text, err, want)
			}
		}
	}
}

func TestMinutesAtTheirBounds(t *testing.T) {
	for text, want := range map[string]bool{
		"0 1": true, "525600 1": true, "525601 1": false, "0525600 1": false, "0 525600": true, "0 525601": false,
		"0 0": false, "0 x": false,
	} {
		if _, err := schedule.Parse(text, ""); (err == nil) != want {
			t.Errorf("%q: %v, want taken %t", text, err, want)
		}
	}
}

func TestCronAfterALongOutage(t *testing.T) {
	begin := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	s, err := schedule.Parse("* * * * *", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		missed, counted int64
	}{
		{"99999 missed windows are counted", 99_999, 99_999},
		{"100000 are the most that are counted", 100_000, 100_000},
		{"after a longer outage it is 100000 all the same", 100_500, 100_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := begin.Add(time.Duration(c.missed-1)*time.Minute + 59*time.Second)
			start, missed := s.Next(begin.Add(-time.Minute), now, 59*time.Second)
			if want := now.Add(time.Second); !start.Equal(want) || missed != c.counted {
				t.Errorf("next start is %v with %d missed, want %v with %d", start, missed, want, c.counted)
			}
		})
	}
}

// The year 2100 is no leap year, and the library looks five years ahead.
func TestTheNextStartMayBeEightYearsAway(t *testing.T) {
	s, err := schedule.Parse("0 0 29 2 *", "")
	if err != nil {
		t.Fatal(err)
	}
	leap := time.Date(2096, time.February, 29, 0, 0, 0, 0, time.UTC)
	if start, missed := s.Next(leap, leap.Add(time.Hour), time.Minute); !start.Equal(leap.AddDate(8, 0, 0)) ||
		missed != 0 {
		t.Errorf("next start is %v with %d missed, want 29 February 2104", start, missed)
	}
}

// The API's number for "never finishes" is this one.
func TestForeverIsMinusOne(t *testing.T) {
	if schedule.Forever != -1 {
		t.Errorf("%d rounds never finish, want -1", schedule.Forever)
	}
}
