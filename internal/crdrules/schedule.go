package crdrules

import (
	"fmt"
	"strconv"
	"strings"

	"kdoctor.io/kdoctor/internal/schedule"
)

// The forms of a schedule, as regular expressions: two numbers of minutes, or five fields of cron.
const (
	two   = `^ *[^ ]+ +[^ ]+ *$`
	pair  = `^ *[0-9]{1,6} +[0-9]{1,6} *$`
	five  = `^ *([^ ]+ +){4}[^ ]+ *$`
	words = `self.split(' ').filter(f, f.size() > 0)`
)

func schedules() []Rule {
	const at, most = "spec.schedule.schedule", "525600"
	second := strings.Replace(words, "self", "self.schedule", 1) + "[1]"
	rules := []Rule{
		{At: "spec.schedule", CEL: "!has(self.intervalInSecond) || self.schedule == '0 1'",
			Sentence: `'spec.schedule.schedule is "%s", and spec.schedule.intervalInSecond is %d; use one of them'` +
				`.format([self.schedule, self.intervalInSecond])`,
			Fixed: "spec.schedule.schedule and spec.schedule.intervalInSecond are both set; use one of them"},
		between("spec.schedule.intervalInSecond", strconv.Itoa(schedule.LeastSeconds),
			strconv.Itoa(schedule.MostSeconds), "a number of seconds"),
		{At: "spec.schedule", CEL: "has(self.intervalInSecond) || !has(self.roundNumber) || self.roundNumber == 1 || !self.schedule.matches('" +
			pair + "') || " +
			"self.roundTimeoutMinute <= int(" + second + ")",
			Sentence: `'spec.schedule.roundTimeoutMinute is %d, but spec.schedule.schedule "%s" starts a round every %s ` +
				`minutes; use at most %s or a larger second number'` +
				`.format([self.roundTimeoutMinute, self.schedule, ` + second + ", " + second + "])",
			Fixed: "spec.schedule.roundTimeoutMinute is longer than the time between two rounds in " +
				"spec.schedule.schedule; " +
				"use at most that time"},
		{At: "spec.schedule.roundNumber", CEL: "self == -1 || (self >= 1 && self <= 1000000)",
			Sentence: "'spec.schedule.roundNumber is %d; use -1 (for ever) or a number from 1 to " +
				"1000000'.format([self])"},
		between("spec.schedule.roundTimeoutMinute", "1", "1440", "a number of minutes"),
		quoted(at, "self.matches('"+two+"') || self.matches('"+five+"')", " is not in a known form;",
			"use two numbers of minutes (start in M minutes, repeat every N) or the five fields of cron "+
				"(minute, hour, day of month, month, day of week)"),
		quoted(at, "!self.matches('"+two+"') || (self.matches('"+pair+"') && int("+words+"[0]) <= "+most+
			" && int("+words+"[1]) >= 1 && int("+words+"[1]) <= "+most+")", ":",
			"the first number must be 0 to "+most+" and the second 1 to "+most+", both in minutes"),
	}
	rules = append(rules, cron(at)...)
	return append(rules, quoted("spec.schedule.timeZone",
		"self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$') && self != 'Local'", ":",
		"use the IANA name of a time zone, such as Europe/Berlin or UTC"))
}

// quoted is a rule about a text, which is quoted where it is refused.
func quoted(at, cel, after, use string) Rule {
	return Rule{At: at, CEL: cel, Sentence: fmt.Sprintf(`'%s is "%%s"; %s'.format([self])`, at, use),
		Fixed: at + after + " " + use}
}

// cron are the rules for the five fields.
func cron(at string) []Rule {
	var rules []Rule
	fields := schedule.CronFields()
	for i, field := range fields {
		shape := strings.Repeat("[^ ]+ +", i) + list(field) + strings.Repeat(" +[^ ]+", len(fields)-1-i)
		rules = append(rules, quoted(at, "!self.matches('"+five+"') || self.matches('(?i)^ *"+shape+" *$')", ":",
			"the "+field.Name+" must be "+field.Allowed()))
	}
	return append(rules,
		quoted(at, "!self.matches('"+five+"') || (!self.matches('(?i)(^|[ ,])("+backwards(fields[:])+")([/ ,]|$)') && "+
			"self.replace(',', ' ').split(' ').all(i, !i.matches('^[0-9]{1,2}-[0-9]{1,2}(/[0-9]+)?$') || "+
			"int(i.split('-')[0]) <= int(i.split('-')[1].split('/')[0])))", ":",
			"a range must go from the smaller to the larger value, such as 2-4"),
		quoted(at, "!self.matches('(?i)^ *[^ ]+ +[^ ]+ +("+days("31", "0?[2469]|11|feb|apr|jun|sep|nov")+"|"+
			days("3[01]", "0?2|feb")+`) +([^ ]*,)?[*?](/1)?(,[^ ]*)? *$')`, ":",
			"that day never comes; use a day of month that the month has"))
}

// list is a field of cron: values, ranges and * with steps, and commas between them.
func list(field schedule.Field) string {
	number := "(" + numbers(field.Least, field.Most) + ")"
	value := "[*?]|" + number + "(-" + number + ")?"
	if field.Words != nil {
		name := "(" + strings.Join(field.Words, "|") + ")"
		value += "|" + name + "(-" + name + ")?"
	}
	const step = "(/[1-9][0-9]{0,3})?"
	item := "(" + value + ")" + step
	return item + "(," + item + ")*"
}

// numbers is every number from least to most, which has two digits at most; those below ten may have a 0 before them.
func numbers(least, most int) string {
	digit := func(from, to int) string {
		if from == to {
			return strconv.Itoa(from)
		}
		return fmt.Sprintf("[%d-%d]", from, to)
	}
	all := []string{"0?" + digit(least, min(9, most))}
	full := (most+1)/10 - 1
	if full >= 1 {
		all = append(all, digit(1, full)+"[0-9]")
	}
	if last := most % 10; most >= 10 && last != 9 {
		all = append(all, strconv.Itoa(most/10)+digit(0, last))
	}
	return strings.Join(all, "|")
}

// backwards is every range of names that goes from a later to an earlier one.
func backwards(fields []schedule.Field) string {
	var all []string
	for _, field := range fields {
		for i, name := range field.Words {
			if i > 0 {
				all = append(all, name+"-("+strings.Join(field.Words[:i], "|")+")")
			}
		}
	}
	return strings.Join(all, "|")
}

// days is a list of those days of a month, in a list of those months.
func days(day, month string) string {
	item := day + "(-" + day + ")?(/[0-9]+)?"
	return item + "(," + item + ")* +(" + month + ")(,(" + month + "))*"
}
