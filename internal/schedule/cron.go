package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// field is one of the five of cron: what it may hold, in words and in numbers.
type field struct {
	name        string
	least, most int
	// names are the words that stand for least, least+1 and so on; nil when there are none.
	names []string
}

func fields() [5]field {
	return [5]field{
		{name: "minute", least: 0, most: 59},
		{name: "hour", least: 0, most: 23},
		{name: "day of month", least: 1, most: 31},
		{name: "month", least: 1, most: 12, names: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
		{name: "day of week", least: 0, most: 6, names: strings.Fields("sun mon tue wed thu fri sat")},
	}
}

// parseCron reads five fields. It is stricter than the cron library, which takes "," for "never", "*-5" for "*" and "+5" for "5":
// it takes exactly what the rules of the CRD take, and refuses what never comes, such as 30 February.
func parseCron(text string, parts []string) (cron.Schedule, error) {
	for i, f := range fields() {
		for _, item := range strings.Split(parts[i], ",") {
			if !f.takes(item) {
				return nil, fmt.Errorf("schedule %q: %q is not a %s; use %s", text, item, f.name, f.allowed())
			}
		}
	}
	parsed, err := cron.ParseStandard(strings.Join(parts, " "))
	if err != nil {
		return nil, fmt.Errorf("schedule %q is not valid cron: %w", text, err)
	}
	// The library looks five years ahead; 29 February, the rarest day, may be eight years away around a century that is no leap year.
	// From the year 1 on, all days of a calendar come within four.
	if parsed.Next(time.Time{}).IsZero() {
		return nil, fmt.Errorf("schedule %q never comes; use a day of month that the month has", text)
	}
	return parsed, nil
}

func (f field) allowed() string {
	text := fmt.Sprintf("*, a number from %d to %d", f.least, f.most)
	if f.names != nil {
		text += fmt.Sprintf(", a name from %s to %s", f.names[0], f.names[len(f.names)-1])
	}
	return text + ", a range such as 2-4, a step such as */2, or a list of these with commas"
}

// takes reports whether the item is *, ? or a value or a range, each with or without a step of 1 to 9999.
func (f field) takes(item string) bool {
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

func (f field) value(text string) (value int, isName, ok bool) {
	for i, name := range f.names {
		if strings.EqualFold(name, text) {
			return f.least + i, true, true
		}
	}
	if !digits(text, 2) {
		return 0, false, false
	}
	value, err := strconv.Atoi(text)
	return value, false, err == nil && value >= f.least && value <= f.most
}

// digits reports whether the text is one to most ASCII digits.
func digits(text string, most int) bool {
	return len(text) >= 1 && len(text) <= most && strings.Trim(text, "0123456789") == ""
}
