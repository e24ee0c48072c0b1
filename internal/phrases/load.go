package phrases

import (
	"fmt"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// Reduction says in one sentence why a round was granted less than its task asks for. Reduction is empty where all was
// granted.
func Reduction(b report.RequestBudget) string {
	if b.Withheld() {
		return NothingSent(b)
	}
	if !b.Reduced() {
		return ""
	}
	who, limit, others := fmt.Sprintf("an agent with %d targets", b.Targets), b.Limit, b.Others
	if b.ByTotal {
		who, limit, others = fmt.Sprintf("all agents together, with %d targets,", b.TotalTargets), b.TotalLimit,
			b.OthersTotal
	}
	got := fmt.Sprintf("%s a second instead of %d", requests(b.Granted), b.Asked)
	if b.Every > 1 {
		got = fmt.Sprintf("%s every %d seconds instead of %d a second", requests(b.Granted), b.Every, b.Asked)
	}
	text := fmt.Sprintf("each target got %s: %s may send %s a second for this task", got, who, requests(limit))
	if others > 0 {
		text += fmt.Sprintf(" beside %d for others", others)
	}
	return text
}

// NothingSent says in one sentence why a round was withheld. NothingSent is empty for any other round.
func NothingSent(b report.RequestBudget) string {
	if !b.Withheld() {
		return ""
	}
	if b.MostTargets > 0 {
		return fmt.Sprintf("nothing was sent: an agent can probe %d targets in a round, and in this one has %d; set "+
			"spec.target.mesh to Auto or Rotate, or ask for fewer kinds of targets or for one IP family", b.MostTargets,
			b.Targets)
	}
	who, limit, setting, targets, others := "an agent", "each agent", "limits.requestsPerSecondPerAgent", b.Targets,
		b.Others
	if b.ByTotal {
		who, limit, setting, targets, others = "all agents together", "all agents together", "limits.requestsPerSecond",
			b.TotalTargets, b.OthersTotal
	}
	text := fmt.Sprintf("nothing was sent: %s may send %s a second (%s)", limit, requests(b.Cap), setting)
	if b.UsedBy != "" {
		text += fmt.Sprintf(", of which the rounds of %s had %d until it was too late to begin", b.UsedBy, others)
	}
	return text + fmt.Sprintf(", and %s with %d targets would have sent %d at the lowest rate", who, targets,
		b.LowestRate)
}

// OtherRounds says in one sentence how loaded the agents were with other rounds when this round was planned, and how
// long this round waited for the others. OtherRounds is empty for a round without others, and for a withheld round:
// NothingSent says what the others had.
func OtherRounds(b report.RequestBudget) string {
	if b.Withheld() {
		return ""
	}
	waited := ""
	if b.Waited > 0 {
		waited = fmt.Sprintf("waited %v until other rounds left it enough", b.Waited.Round(time.Second))
	}
	switch {
	case b.Others <= 0 && waited == "":
		return ""
	case b.Others <= 0:
		return "this round " + waited
	case waited != "":
		waited = ", which had " + waited
	}
	return fmt.Sprintf("other rounds sent %s a second from each of these agents when this one began, beside the %d "+
		"of this round%s", requests(b.Others), b.Sends, waited)
}
