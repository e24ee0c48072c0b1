package api

import (
	"math/rand/v2"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kdoctor.io/kdoctor/internal/schedule"
)

const year = " 1 1 1 *" // the rest of a cron line behind a minute

// The API server and the controller must read a schedule alike: what only one of them takes either never runs or cannot
// be asked for.
func TestScheduleIsReadAlikeByTheAPIServerAndTheController(t *testing.T) {
	c := connect(t)
	good := []string{
		"0 1", "  0   1  ", "007 060", "525600 525600",
		"* * * * *", "? ? ? ? ?", "*/5 * * * *", "5/20 1-5 1,15 jan-mar,OCT mon-fri", "0-59/9999 00-23 01-31 01-12 0-6",
		" 0  0  29  2  * ", "0 0 31 1,2 *", "0 0 31 2 mon", "0 0 31 2 */2", "0 0 30-31 4 *", "0 0 29-31 feb ?",
		"1,2,*,?/3 0 * * sun,sat,3",
	}
	bad := []string{
		"", " ", "1", "1 2 3", "1 2 3 4", "1 2 3 4 5 6", "a b", "0 0", "-1 1", "+1 1", "1 -1", "0.5 1", "0 525601",
		"525601 1", "1000000 1",
		"@daily", "@every 1h", "TZ=UTC 0 0 * *", "CRON_TZ=UTC * * * * *", "0\t1", "0 1\n", "* * *\t* *",
		"* * * * *\u00a0",
		"60" + year, "-1" + year, "," + year, "1," + year, ",1" + year, "1,,2" + year, "*-5" + year, "+5" + year,
		"005" + year,
		"*/0" + year, "*/" + year, "/5" + year, "*/05" + year, "*/10000" + year, "1-2-3" + year, "1/2/3" + year, "5-1" +
			year, "1-60" + year, "**" + year, "1?" + year, "jan" + year,
		"0 24 1 1 *", "0 0 0 1 *", "0 0 32 1 *", "0 0 1 0 *", "0 0 1 13 *", "0 0 1 january *", "0 0 1 1jan *",
		"0 0 1 1-mar *", "0 0 1 mar-jan *", "0 0 1 mon *",
		"0 0 * * 7", "0 0 * * sunday", "0 0 * * sat-sun", "0 0 * * 6-0", "0 0 * * jan",
		"0 0 30 2 *", "0 0 31 feb,apr,06,sep,11 *", "0 0 31 4 ?", "0 0 30,31 02 1,*", "0 0 30-31 2 */1",
		"0 0 31/2 11 *",
		strings.Repeat("1,", 126) + "1" + year,
	}
	for _, text := range good {
		t.Run("taken: "+text, func(t *testing.T) { checkSchedule(t, c, text, true) })
	}
	for _, text := range bad {
		t.Run("refused: "+text, func(t *testing.T) { checkSchedule(t, c, text, false) })
	}
}

func TestRandomSchedulesAreReadAlike(t *testing.T) {
	c := connect(t)
	random := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 2000 {
		text := randomSchedule(random)
		_, parseErr := schedule.Parse(text, "")
		if parseErr == nil {
			taken++
		}
		if !neverComes(parseErr) {
			checkSchedule(t, c, text, parseErr == nil)
		}
	}
	if taken < 200 || taken > 1800 {
		t.Errorf("%d of 2000 random schedules were good: too one-sided to show anything", taken)
	}
}

// neverComes is the one difference: the CRD's rule knows days that never come where the months are single ones; a range
// or a step of months ("0 0 31 4-4 *") only the controller sees through.
func neverComes(err error) bool { return err != nil && strings.Contains(err.Error(), "never comes") }

func checkSchedule(t *testing.T, c cluster, text string, want bool) {
	t.Helper()
	_, parseErr := schedule.Parse(text, "")
	_, err := c.create(t.Context(), map[string]any{"schedule": map[string]any{"schedule": text}})
	if err != nil && !apierrors.IsInvalid(err) {
		t.Fatalf("schedule %q: refused for another reason: %v", text, err)
	}
	if (err == nil) != want {
		t.Errorf("schedule %q: the API server's answer is %v, want taken %t", text, err, want)
	}
	if tooLong := len(text) > 256; !tooLong && (parseErr == nil) != want {
		t.Errorf("schedule %q: the controller's answer is %v, want taken %t", text, parseErr, want)
	}
	if err == nil {
		return
	}
	message := err.Error()
	if !strings.Contains(message, "spec.schedule.schedule") || strings.Contains(message, "failed rule") ||
		strings.Contains(message, "no such") {
		t.Errorf("schedule %q: the refusal is not a sentence for people: %v", text, err)
	}
	if printable := !strings.ContainsAny(text, "\t\n\u00a0") && len(text) <= 256; printable &&
		!strings.Contains(message, `is "`+text+`"`) {
		t.Errorf("schedule %q: the refusal does not name the value: %v", text, err)
	}
}

// randomSchedule is mostly right, so that both answers are common.
func randomSchedule(random *rand.Rand) string {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	number := func() string {
		return pick("0", "1", "2", "3", "4", "5", "06", "7", "11", "12", "13", "23", "24", "30", "31", "59", "60")
	}
	name := func() string { return pick("jan", "feb", "MAR", "apr", "Nov", "dec", "sun", "mon", "Sat") }
	value := func(names bool) string {
		if names && random.IntN(3) == 0 {
			return name()
		}
		return number()
	}
	item := func(names bool) string {
		text := pick("*", "?", value(names), value(names), value(names)+"-"+value(names))
		if random.IntN(4) == 0 {
			text += "/" + pick("1", "2", "5", "40", "0", "x")
		}
		return text
	}
	if random.IntN(8) == 0 {
		return number() + pick(" ", "  ") + number()
	}
	parts := make([]string, 0, 6)
	for i := range pick5(random) {
		text := item(i >= 3)
		for random.IntN(4) == 0 {
			text += pick(",", ",", ",", ",,") + item(i >= 3)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, pick(" ", " ", "  "))
}

func pick5(random *rand.Rand) int {
	if random.IntN(20) == 0 {
		return 3 + random.IntN(4)
	}
	return 5
}
