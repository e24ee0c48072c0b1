package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Field is one of the five fields of cron, with the values that it may hold.
type Field struct {
	Name        string
	Least, Most int
	// Words are the names that stand for Least, Least+1 and so on; nil when there are none.
	Words []string
	// About explains the numbers to people; empty when they need no explanation.
	About string
}

// CronFields are the five fields, in their order.
func CronFields() [5]Field {
	return [5]Field{
		{Name: "minute", Least: 0, Most: 59},
		{Name: "hour", Least: 0, Most: 23},
		{Name: "day of month", Least: 1, Most: 31},
		{Name: "month", Least: 1, Most: 12, Words: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
		{Name: "day of week", Least: 0, Most: 6, Words: strings.Fields("sun mon tue wed thu fri sat"),
			About: " (0 is Sunday)"},
	}
}

// parseCron reads five fields. parseCron accepts exactly what the rules of the CRD accept, and refuses a date that
// never comes, such as 30 February. The cron library accepts more: "," for "never", "*-5" for "*" and "+5" for "5".
func parseCron(text string, parts []string) (cron.Schedule, error) {
	for i, f := range CronFields() {
		for _, item := range strings.Split(parts[i], ",") {
			if !f.takes(item) {
				return nil, fmt.Errorf("schedule %q: %q is not a %s; use %s", text, item, f.Name, f.Allowed())
			}
		}
	}
	parsed, err := cron.ParseStandard(strings.Join(parts, " "))
	if err != nil {
		return nil, fmt.Errorf("schedule %q is not valid cron: %w", text, err)
	}
	// The library looks five years ahead, and 29 February, the rarest day, may be eight years away around a century
	// that is no leap year. From the year 1 on, every day of a calendar comes within four years.
	if parsed.Next(time.Time{}).IsZero() {
		return nil, fmt.Errorf("schedule %q never comes; use a day of month that the month has", text)
	}
	return parsed, nil
}

// Allowed says what the field may hold.
func (f Field) Allowed() string {
	text := fmt.Sprintf("*, a number from %d to %d%s", f.Least, f.Most, f.About)
	if f.Words != nil {
		text += fmt.Sprintf(", a name from %s to %s", f.Words[0], f.Words[len(f.Words)-1])
	}
	return text + ", a range such as 2-4, a step such as */2, or a list of these with commas"
}

// takes reports whether the field may hold the item: *, ?, a value or a range, with or without a step of 1 to 9999.
func (f Field) takes(item string) bool {
	base, step, stepped := strings.Cut(item, "/")
	if stepped && (!digits(step, 4) || step[0] == '0') {
		return false
	}
	if base == "*" || base == "?" {
		return true
	}
	low, high, ranged := strings.Cut(base, "-")
	from, fromName, ok := f.value(low)
	if !ok || !ranged {
		return ok
	}
	to, toName, ok := f.value(high)
	return ok && fromName == toName && from <= to
}

func (f Field) value(text string) (value int, isName, ok bool) {
	for i, name := range f.Words {
		if strings.EqualFold(name, text) {
			return f.Least + i, true, true
		}
	}
	if !digits(text, 2) {
		return 0, false, false
	}
	value, err := strconv.Atoi(text)
	return value, false, err == nil && value >= f.Least && value <= f.Most
}

// digits reports whether the text has between one and most characters, all of them ASCII digits.
func digits(text string, most int) bool {
	return len(text) >= 1 && len(text) <= most && strings.Trim(text, "0123456789") == ""
}
