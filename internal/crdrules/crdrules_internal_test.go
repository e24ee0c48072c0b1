package crdrules

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/schedule"
)

func TestNumbersMatchesWhatIsBetweenTheBoundsAlone(t *testing.T) {
	for _, field := range schedule.CronFields() {
		t.Run(field.Name, func(t *testing.T) {
			accepts := regexp.MustCompile("^(" + numbers(field.Least, field.Most) + ")$").MatchString
			for n := range 130 {
				want := n >= field.Least && n <= field.Most
				if got := accepts(strconv.Itoa(n)); got != want {
					t.Errorf("%d is accepted: %t", n, got)
				}
				if padded := fmt.Sprintf("%02d", n); accepts(padded) != want {
					t.Errorf("%s is accepted: %t", padded, !want)
				}
			}
			for _, wrong := range []string{"", "007", "-1", "1a", " 1"} {
				if accepts(wrong) {
					t.Errorf("%q is accepted", wrong)
				}
			}
		})
	}
}

func TestListTakesWhatTheParserTakes(t *testing.T) {
	fields := schedule.CronFields()
	items := strings.Fields("* ? 0 1 9 09 23 24 31 32 59 60 jan DEC sun sat jan-dec 1-5 1-5/2 */2 */0 */12345 1,2 " +
		"1,*/3 , 1, -1 1- x")
	for i, field := range fields {
		accepts := regexp.MustCompile("(?i)^" + list(field) + "$").MatchString
		for _, item := range items {
			text := strings.Fields("* * * * *")
			text[i] = item
			_, err := schedule.Parse(strings.Join(text, " "), "")
			if got := accepts(item); got != (err == nil) {
				t.Errorf("%s %q: the rule accepts: %t, the parser says %v", field.Name, item, got, err)
			}
		}
	}
}

func TestBackwardsNamesEveryRangeThatGoesBack(t *testing.T) {
	fields := schedule.CronFields()
	matches := regexp.MustCompile("^(" + backwards(fields[:]) + ")$").MatchString
	for _, field := range fields {
		for i, from := range field.Words {
			for j, to := range field.Words {
				if got := matches(from + "-" + to); got != (j < i) {
					t.Errorf("%s-%s goes back: %t", from, to, got)
				}
			}
		}
	}
}

func TestEveryRuleHasASentenceThatNamesTheFieldAndTheCure(t *testing.T) {
	for _, rule := range NetReach() {
		for _, text := range []string{rule.Sentence, rule.Fixed} {
			if text != "" && (!strings.Contains(text, "spec.") || !strings.Contains(text, "use ") &&
				!strings.Contains(text, "set ") &&
				!strings.Contains(text, "must ")) {
				t.Errorf("%s: %q names no field, or no cure", rule.At, text)
			}
		}
		if rule.Sentence == "" && rule.Fixed == "" {
			t.Errorf("%s: no sentence for %s", rule.At, rule.CEL)
		}
	}
}
