// Package crdrules holds what the API server refuses in a task, beyond types: rules in CEL, each with the sentence that
// a user reads. test/rules writes them into the CRDs. What the fields of cron may hold is the table of
// internal/schedule.
package crdrules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
)

// Rule is one rule of a schema. A rule says what holds, and otherwise what was found and what to use instead.
type Rule struct {
	// At is the field whose value the rule is about, such as spec.request.qps; "self" in CEL is this value.
	At string
	// CEL is true for what is accepted.
	CEL string
	// Sentence is CEL for the text that a user reads. Fixed is the same without the value, for where Sentence fails;
	// empty where the API server's own will do.
	Sentence, Fixed string
}

// NetReach are the rules of NetReach, in the order in which the API server shows what is wrong.
func NetReach() []Rule {
	return slices.Concat(rounds(), agents(), expectations(), requests(), schedules(), targets())
}

// KindsAsked is CEL for the list of the kinds of targets that a task asks for, in the names by which a LoadLimit counts
// targets. Those of node ports end in what nodePortAddresses and nodePortNodes say, where that is not the default.
func KindsAsked() string {
	var parts []string
	for _, kind := range target.Kinds() {
		asked := fmt.Sprintf("object.spec.?target.?%s.orValue(%t)", kind.Field, kind.Default)
		name := "'" + kind.Field + "'"
		if kind.Kind == target.NodePort {
			const by, on = "nodePortAddresses", "nodePortNodes"
			name += fmt.Sprintf(" +\n  (object.spec.?target.?%s.orValue('%s') in ['%s', '%s'] ? "+
				"object.spec.target.%s : '') +\n"+
				"  (object.spec.?target.?%s.orValue('%s') == '%s' ? '%s' : '')", by, target.PrimaryAddress,
				target.InternalAddresses, target.AllAddresses, by, on, target.AllNodes, target.LocalNode,
				target.LocalNode)
		}
		parts = append(parts, fmt.Sprintf("(%s ? [%s] : [])", asked, name))
	}
	return strings.Join(parts, " +\n") + "\n"
}

// between is that the field's number is from least to most, both with the same number of decimals.
func between(field, least, most, use string) Rule {
	verb := "%d"
	if strings.Contains(least, ".") {
		verb = "%s"
		use += fmt.Sprintf(" from %s to %s", strings.TrimSuffix(least, ".0"), strings.TrimSuffix(most, ".0"))
	} else {
		use += fmt.Sprintf(" from %s to %s", least, most)
	}
	return Rule{At: field, CEL: fmt.Sprintf("self >= %s && self <= %s", least, most),
		Sentence: fmt.Sprintf("'%s is %s; use %s'.format([self])", field, verb, use)}
}

// oneOf is that the field's text is one of the words.
func oneOf(field string, words ...string) Rule {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + word + "'"
	}
	last := len(words) - 1
	use := strings.Join(words[:last], ", ") + " or " + words[last]
	return Rule{At: field, CEL: fmt.Sprintf("self in [%s]", strings.Join(quoted, ", ")),
		Sentence: fmt.Sprintf(`'%s is "%%s"; use %s'.format([self])`, field, use),
		Fixed:    fmt.Sprintf("%s is not known; use %s", field, use)}
}

// rounds are the rules that hold a round's length against its load.
func rounds() []Rule {
	const unknown = "!has(self.schedule) || !has(self.request) || has(self.schedule.intervalInSecond) || " +
		"self.schedule.roundTimeoutMinute < 1 || self.schedule.roundTimeoutMinute > 1440 || "
	const seconds, milliseconds = "self.schedule.roundTimeoutMinute * 60", "self.schedule.roundTimeoutMinute * 60000"
	longer := func(field, unit string) Rule {
		name := strings.TrimPrefix(field, "spec.request.")
		return Rule{At: "spec", CEL: fmt.Sprintf("%sself.request.%s <= %s", unknown, name, unit),
			Sentence: fmt.Sprintf("'%s is %%d, which is longer than a round; use at most %%d or raise "+
				"spec.schedule.roundTimeoutMinute'.format([self.request.%s, %s])", field, name, unit)}
	}
	return []Rule{
		longer("spec.request.durationInSecond", seconds),
		longer("spec.request.perRequestTimeoutInMS", milliseconds),
		{At: "spec", CEL: unknown + "self.request.durationInSecond > " + seconds + " || " +
			"self.request.perRequestTimeoutInMS > " + milliseconds + " || " +
			"self.request.durationInSecond * 1000 + self.request.perRequestTimeoutInMS + 5000 <= " + milliseconds,
			Sentence: "'spec.request.durationInSecond is %d: with one perRequestTimeoutInMS of %d and 5 seconds for " +
				"collecting reports that is longer than the round of %d seconds; use less of either or raise " +
				"spec.schedule.roundTimeoutMinute'" +
				".format([self.request.durationInSecond, self.request.perRequestTimeoutInMS, " + seconds + "])",
			Fixed: "spec.request.durationInSecond and perRequestTimeoutInMS, with 5 seconds for collecting reports, are " +
				"together longer than the round; use less of either or raise spec.schedule.roundTimeoutMinute"},
		interval(),
	}
}

// interval is the rule that holds the load against the seconds between two rounds.
func interval() Rule {
	const at, load = "self.schedule.intervalInSecond", "self.request."
	reserve := fmt.Sprintf("(%s < %d ? %d : %d)", at, time.Minute/time.Second, schedule.BriefReserve/time.Second,
		schedule.Reserve/time.Second)
	return Rule{At: "spec", CEL: "!has(self.schedule) || !has(self.request) || !has(" + at + ") || " +
		fmt.Sprintf("%s < %d || %s > %d || ", at, schedule.LeastSeconds, at, schedule.MostSeconds) +
		load + "durationInSecond < 1 || " + load + "durationInSecond > 86400 || " +
		load + "perRequestTimeoutInMS < 1 || " + load + "perRequestTimeoutInMS > 600000 || " +
		load + "durationInSecond * 1000 + " + load + "perRequestTimeoutInMS + " + reserve + " * 1000 <= " +
		at + " * 1000",
		Sentence: "'spec.request.durationInSecond is %d: with one perRequestTimeoutInMS of %d and %d seconds for " +
			"collecting reports that is longer than a spec.schedule.intervalInSecond of %d; use less of either or a " +
			"longer interval'.format([self.request.durationInSecond, self.request.perRequestTimeoutInMS, " +
			reserve + ", " + at + "])",
		Fixed: "spec.request.durationInSecond and perRequestTimeoutInMS, with the time for collecting reports, are " +
			"together longer than spec.schedule.intervalInSecond; use less of either or a longer interval"}
}

func agents() []Rule {
	return []Rule{
		between("spec.agentSpec.deploymentReplicas", "0", "10000", "a number"),
		between("spec.agentSpec.terminationGracePeriodMinutes", "0", "525600", "a number of minutes"),
	}
}

func expectations() []Rule {
	return []Rule{
		between("spec.expect.meanAccessDelayInMs", "1", "600000", "a number of milliseconds"),
		between("spec.expect.statusCode", "100", "599", "an HTTP status"),
		between("spec.expect.successRate", "0.0", "1.0", "a number"),
	}
}

func requests() []Rule {
	return []Rule{
		{At: "spec.request", CEL: "!has(self.answerSizeInByte) || self.answerSizeInByte < 0 || " +
			"self.answerSizeInByte > 65536 || self.qps < 1 || self.qps > 1000 || self.answerSizeInByte * self.qps <= " +
			"10000000",
			Sentence: "'spec.request.answerSizeInByte is %d, which makes %d bytes a second from each target to each agent " +
				"with the qps of %d; use at most %d, or a qps of at most %d, so that it is no more than 10000000'" +
				".format([self.answerSizeInByte, self.answerSizeInByte * self.qps, self.qps, 10000000 / self.qps, " +
				"10000000 / self.answerSizeInByte])",
			Fixed: "spec.request.answerSizeInByte times qps is more than 10000000 bytes a second; use less of either"},
		between("spec.request.answerSizeInByte", "0", "65536", "a number of bytes"),
		oneOf("spec.request.connection", "new", "keepalive", "both"),
		between("spec.request.durationInSecond", "1", "86400", "a number of seconds"),
		between("spec.request.perRequestTimeoutInMS", "1", "600000", "a number of milliseconds"),
		between("spec.request.qps", "1", "1000", "a number of requests per second"),
	}
}

func targets() []Rule {
	var fields, asked []string
	for _, kind := range target.Kinds() {
		fields, asked = append(fields, kind.Field), append(asked, "self."+kind.Field)
	}
	last := len(fields) - 1
	return []Rule{
		{At: "spec.target", CEL: "!has(self.ipv4) || !has(self.ipv6) || self.ipv4 || self.ipv6",
			Fixed: "spec.target.ipv4 and spec.target.ipv6 are both false; set at least one of them to true"},
		{At: "spec.target", CEL: "!has(self." + fields[0] + ") || " + strings.Join(asked, " || "),
			Fixed: "every kind in spec.target is false; set at least one of " + strings.Join(fields[:last], ", ") +
				" and " +
				fields[last] + " to true"},
		oneOf("spec.target.nodePortAddresses", "Primary", "Internal", "All"),
		oneOf("spec.target.nodePortNodes", "All", "Local"),
		oneOf("spec.target.mesh", "Auto", "Full", "Rotate"),
	}
}
