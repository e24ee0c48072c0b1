package diagnose_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// excuseShare marks the changed pod's share of the failures on the agents' Services as excused.
func excuseShare(r report.Round, each uint64) report.Round {
	for _, a := range r.Agents {
		for _, p := range a.Paths {
			for i, f := range p.Failures {
				if p.Target.Kind == target.ClusterIP && f.Outcome == probe.Timeout {
					p.Failures[i].Excused = min(f.Count, each)
				}
			}
		}
	}
	return r
}

func TestWhatWasChangedIsNotSilent(t *testing.T) {
	service := cluster{pods: 4, requests: 400, kinds: []target.Kind{target.ClusterIP}, lost: true, direct: always}
	with := func(silent func(string, string, target.Kind) bool) report.Round {
		c := service
		c.silent = silent
		return c.build()
	}
	from := func(sources ...string) func(string, string, target.Kind) bool {
		return func(agent, to string, _ target.Kind) bool {
			for _, s := range sources {
				if agent == s && to == "agent-c" {
					return true
				}
			}
			return false
		}
	}
	two := cluster{pods: 2, requests: 400, kinds: service.kinds, silent: anywhere("agent-b"), direct: always}
	type found struct {
		Where      string
		Confidence diagnose.Confidence
	}
	c := found{"pod agent-c on node node-3", diagnose.High}
	cases := []struct {
		name    string
		round   report.Round
		changed []string
		want    []found
		// silent are the pods that agent-a misses.
		silent []string
	}{
		{"a pod that was not changed is silent", with(anywhere("agent-c")), nil, []found{c}, []string{"agent-c"}},
		{"a pod that was changed is not called silent", with(anywhere("agent-c")), []string{"agent-c"}, nil, nil},
		{"another pod is, beside it", excuseShare(with(anywhere("agent-c", "agent-d")), 100), []string{"agent-d"},
			[]found{c},
			[]string{"agent-c"}},
		{"a pod that only a changed agent misses is not", with(from("agent-a")), []string{"agent-a"}, nil, nil},
		{"a pod that an unchanged agent misses too is, by what that one saw", with(from("agent-a", "agent-b")),
			[]string{"agent-b"}, []found{c}, []string{"agent-c"}},
		{"where one pod alone was not changed there is nobody to compare it with", two.build(), []string{"agent-a"},
			nil, nil},
		{"the change of a pod that is no part of this changes nothing", with(anywhere("agent-c")), []string{"other"},
			[]found{c}, []string{"agent-c"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			for _, pod := range tc.changed {
				tc.round.Churn = append(tc.round.Churn, report.Change{Pod: pod, Kind: report.Deleted})
			}
			backends := append([]string(nil), tc.round.Backends[0].Pods...)
			var got []found
			for _, f := range patterns(tc.round) {
				got = append(got, found{f.Where, f.Confidence})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			seen := diagnose.AgentTarget{Agent: "agent-a", Target: "AgentClusterIPV4IP_10.0.0.1:80"}
			if diff := cmp.Diff(tc.silent, diagnose.SilentBackends(tc.round)[seen]); diff != "" {
				t.Errorf("silent to agent-a (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(backends, tc.round.Backends[0].Pods); diff != "" {
				t.Errorf("the round's own pods are changed:\n%s", diff)
			}
		})
	}
}
