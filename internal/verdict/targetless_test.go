package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// An agent without targets measured nothing. If it was also stopped, its stop is the only reason.
func TestAnAgentWithoutTargets(t *testing.T) {
	good := agent("c", path("x", 3000, 3000, 3000, time.Millisecond))
	for _, c := range []struct {
		name  string
		agent report.AgentReport
		want  verdict.Result
		code  verdict.Code
	}{
		{"it came to its end", agent("a"), verdict.NoData, verdict.NoTargets},
		{"it was cut", cutShort(agent("a")), verdict.Void, verdict.Cut},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Churn: deleted("a"), Agents: []report.AgentReport{c.agent, good},
				Expected: []report.Expected{{Pod: "a"}, planned(3000, "c", "x")}}, strict())
			if got := v.Agents[0]; got.Result != c.want || got.Reason.Code != c.code {
				t.Errorf("got %s with %s, want %s with %s", got.Result, got.Reason.Code, c.want, c.code)
			}
		})
	}
}
