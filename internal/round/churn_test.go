package round_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// moment is what a cluster has from so long after its beginning on; a nil change is a time in which it cannot be read.
type moment struct {
	after  time.Duration
	change func(*topology.Snapshot, time.Time)
}

// history is a cluster of the pods a, b and c that changes.
type history struct {
	began   time.Time
	moments []moment
}

func (h history) Snapshot(ctx context.Context, _ topology.Workload) (topology.Snapshot, error) {
	if ctx.Err() != nil {
		return topology.Snapshot{}, ctx.Err()
	}
	s := topology.Snapshot{Taken: time.Now(), Agents: pods("a", "b", "c")}
	for _, name := range []string{"a", "b", "c"} {
		s.Nodes = append(s.Nodes, topology.Node{Name: "node-" + name})
	}
	for _, m := range slices.Backward(h.moments) {
		if time.Since(h.began) < m.after {
			continue
		}
		if m.change == nil {
			return topology.Snapshot{}, errAPI
		}
		m.change(&s, h.began)
		break
	}
	return s, nil
}

// terminating tells that the deletion of pod b was asked for so long after the beginning; then it is gone.
func terminating(after time.Duration) func(*topology.Snapshot, time.Time) {
	return func(s *topology.Snapshot, began time.Time) {
		s.Agents[1].Deleted, s.Agents[1].NotReady = began.Add(after), "pod is terminating"
	}
}

func gone(s *topology.Snapshot, _ time.Time) { s.Agents = slices.Delete(s.Agents, 1, 2) }

func allGone(s *topology.Snapshot, _ time.Time) { s.Agents = nil }

func ranOut(after time.Duration) func(*topology.Snapshot, time.Time) {
	return func(s *topology.Snapshot, began time.Time) {
		b := &s.Agents[1]
		b.Restarts, b.Ended, b.Started, b.EndReason = 1, began.Add(after), began.Add(after+time.Second), "OOMKilled"
	}
}

func dead(s *topology.Snapshot, _ time.Time) {
	s.Nodes[1].NotReady, s.Agents[1].NotReady = true, "node node-b is NotReady"
}

func cordoned(s *topology.Snapshot, _ time.Time) { s.Nodes[1].Cordoned = true }

func leaving(s *topology.Snapshot, _ time.Time) {
	s.Nodes[1].Cordoned, s.Nodes[1].Removing = true, "the cluster autoscaler removes it"
}

func cordonedAndDead(s *topology.Snapshot, began time.Time) {
	cordoned(s, began)
	dead(s, began)
}

func removed(s *topology.Snapshot, _ time.Time) {
	s.Nodes, s.Agents = slices.Delete(s.Nodes, 1, 2), slices.Delete(s.Agents, 1, 2)
}

func TestChangesWhileARoundRuns(t *testing.T) {
	const second = time.Second
	lost := func(from time.Duration) map[string]time.Duration { return map[string]time.Duration{"b": from} }
	// b goes so long after the start, and the others miss it from so long after the start on.
	without := func(goes, missed time.Duration) map[string]habit {
		return map[string]habit{"a": {lost: lost(missed)}, "b": {goneAfter: goes}, "c": {lost: lost(missed)}}
	}
	silent := report.Missing{Pod: "b", Node: "node-b", Reason: "no answer: no route to host"}
	deleted := report.Missing{Pod: "b", Node: "node-b", Reason: "its pod was deleted during the round", Excused: true}
	cases := []changing{
		{name: "nothing changes", duration: 10 * second, result: verdict.Pass},
		{name: "a pod that is deleted fails nothing",
			moments: []moment{{5 * second, terminating(5 * second)}, {7 * second, gone}},
			habits:  without(5*second, 5*second), duration: 10 * second, result: verdict.Pass,
			missing: []report.Missing{deleted}, churn: 1, void: 50},
		{name: "a pod whose deletion is seen in the middle of a long round fails nothing, though it is gone at its end",
			moments: []moment{{20 * second, terminating(20 * second)}, {31 * second, gone}},
			habits:  without(20*second, 20*second), duration: 60 * second, result: verdict.Pass,
			missing: []report.Missing{deleted}, churn: 1, void: 400},
		{name: "an agent that runs out of memory fails nothing, and says so",
			moments:  []moment{{5 * second, ranOut(5 * second)}},
			habits:   map[string]habit{"a": {lost: lost(5 * second)}, "b": {forgetAfter: 5 * second}},
			duration: 10 * second, result: verdict.Pass,
			missing: []report.Missing{{Pod: "b", Node: "node-b", Reason: "its agent was restarted (OOMKilled) during " +
				"the round", Excused: true}}, churn: 1, void: 50},
		{name: "a pod that is deleted before its agent is started fails nothing",
			moments: []moment{{second / 2, terminating(second / 2)}},
			habits:  map[string]habit{"a": {lost: lost(0)}, "b": {refuses: true}}, duration: 10 * second,
			result: verdict.Pass, missing: []report.Missing{deleted}, churn: 1, void: 100},
		{name: "an agent that does not answer for a moment long before its pod is deleted fails nothing",
			moments: []moment{{20 * second, terminating(20 * second)}},
			habits: map[string]habit{"a": {lost: lost(20 * second)},
				"b": {hiccup: 5 * second, goneAfter: 20 * second}, "c": {lost: lost(20 * second)}},
			duration: 60 * second, result: verdict.Pass, missing: []report.Missing{deleted}, churn: 1, void: 400},
		{name: "an agent whose clock is an hour behind is understood all the same",
			moments: []moment{{5 * second, terminating(5 * second)}},
			habits: map[string]habit{"a": {lost: lost(5 * second), ahead: -time.Hour}, "b": {goneAfter: 5 * second},
				"c": {lost: lost(5 * second), ahead: time.Hour}},
			duration: 10 * second, result: verdict.Pass, missing: []report.Missing{deleted}, churn: 1, void: 50},
		{name: "a pod that could not be reached from the start and is deleted at the end is a fault",
			moments: []moment{{9 * second, terminating(9 * second)}},
			habits:  without(9*second, 0), duration: 10 * second, result: verdict.Fail,
			missing: []report.Missing{deleted}, churn: 1},
		{name: "a pod that is gone before anybody looks went after its agent last answered",
			moments: []moment{{7 * second, gone}},
			habits:  without(7*second, 0), duration: 8 * second, result: verdict.Fail,
			missing: []report.Missing{deleted}, churn: 1},
		{name: "a change after the last look of the load is seen at the end",
			moments: []moment{{12 * second, terminating(12 * second)}},
			habits:  without(12*second, 12*second), duration: 15 * second, result: verdict.Pass,
			missing: []report.Missing{deleted}, churn: 1, void: 30},
		{name: "a node that dies is a fault", moments: []moment{{5 * second, dead}},
			habits: without(5*second, 5*second), duration: 10 * second,
			result: verdict.Fail, missing: []report.Missing{silent}},
		{name: "an agent that falls silent and was not touched is a fault", habits: without(5*second, 5*second),
			duration: 10 * second,
			result:   verdict.Fail, missing: []report.Missing{silent}},
		{name: "a cluster that cannot be read any more excuses nothing", moments: []moment{{5 * second, nil}},
			habits: without(5*second, 5*second), duration: 10 * second,
			result: verdict.Fail, missing: []report.Missing{silent}},
		{name: "an agent that fell silent long before its pod was deleted is a fault",
			moments: []moment{{50 * second, terminating(50 * second)}},
			habits:  without(20*second, 20*second), duration: 60 * second, result: verdict.Fail,
			missing: []report.Missing{silent}, churn: 1},
		{name: "a round that loses all its agents has no data", moments: []moment{{5 * second, allGone}},
			habits: map[string]habit{"a": {goneAfter: 5 * second}, "b": {goneAfter: 5 * second},
				"c": {goneAfter: 5 * second}}, duration: 10 * second, result: verdict.NoData,
			missing: []report.Missing{{Pod: "a", Node: "node-a", Reason: deleted.Reason, Excused: true}, deleted,
				{Pod: "c", Node: "node-c", Reason: deleted.Reason, Excused: true}}, churn: 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { synctest.Test(t, c.run) })
	}
}

// The snapshot that a round is planned for is the first look at its agents: what was so then was so before.
func TestThePlanningSnapshotIsTheFirstLook(t *testing.T) {
	const second = time.Second
	lost := map[string]time.Duration{"b": 5 * second}
	habits := map[string]habit{"a": {lost: lost}, "b": {goneAfter: 5 * second}, "c": {lost: lost}}
	silent := []report.Missing{{Pod: "b", Node: "node-b", Reason: "no answer: no route to host"}}
	drained := []report.Missing{{Pod: "b", Node: "node-b", Reason: "its node was drained during the round",
		Excused: true}}
	for _, c := range []changing{
		{name: "a node that is cordoned soon after the start, and stops before anybody looks, was drained",
			moments: []moment{{3 * second, cordoned}, {5 * second, cordonedAndDead}}, result: verdict.Pass,
			missing: drained, churn: 1, void: 150},
		{name: "a node that is cordoned soon after the start and then stops was drained",
			moments: []moment{{3 * second, cordoned}, {12 * second, cordonedAndDead}}, result: verdict.Pass,
			missing: drained, churn: 1, void: 150},
		{name: "a node that was cordoned before and dies is a fault",
			moments: []moment{{0, cordoned}, {5 * second, cordonedAndDead}}, result: verdict.Fail, missing: silent},
		{name: "a node that was to be removed and stops was drained, though nobody but its agent's silence tells",
			moments: []moment{{0, leaving}}, result: verdict.Pass, missing: drained, churn: 1, void: 150},
		{name: "a node that is removed soon after the start was drained",
			moments: []moment{{5 * second, removed}}, result: verdict.Pass, missing: drained, churn: 1, void: 150},
	} {
		c.habits, c.duration = habits, 20*second
		t.Run(c.name, func(t *testing.T) { synctest.Test(t, c.run) })
	}
}

// changing is a round while which the cluster changes.
type changing struct {
	name     string
	moments  []moment
	habits   map[string]habit
	duration time.Duration
	result   verdict.Result
	missing  []report.Missing
	churn    int
	// void is how many requests of agent a say nothing.
	void uint64
}

func (c changing) run(t *testing.T) {
	req := request(5 * time.Minute)
	req.Want.Load.Duration = c.duration
	got, err := conductor(history{began: time.Now(), moments: c.moments}, newAgents(c.habits),
		newMemory()).Run(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got.Verdict.Result != c.result || (c.result != verdict.Pass) != (len(got.Verdict.Reasons) > 0) {
		t.Errorf("verdict %q with reasons %q, want %q", got.Verdict.Result, got.Verdict.Reasons, c.result)
	}
	if diff := cmp.Diff(c.missing, got.Round.Missing,
		cmpopts.IgnoreFields(report.Missing{}, "Change", "LastAnswered")); diff != "" {
		t.Errorf("agents that are missing (-want +got):\n%s", diff)
	}
	for _, m := range got.Round.Missing {
		if m.Excused != (m.Change != nil && slices.Contains(got.Round.Churn, *m.Change)) {
			t.Errorf("void %v because of %+v", m.Excused, m.Change)
		}
		if m.LastAnswered.Before(got.Round.Started) || m.LastAnswered.After(got.Round.Ended) {
			t.Errorf("last known to be well at %v", m.LastAnswered)
		}
	}
	if len(got.Round.Churn) != c.churn {
		t.Errorf("changes %+v, want %d", got.Round.Churn, c.churn)
	}
	var void uint64
	for _, a := range got.Round.Agents {
		for _, p := range a.Paths {
			if a.Pod == "a" {
				void += p.Excused()
			}
		}
	}
	if void != c.void {
		t.Errorf("%d requests are void, want %d", void, c.void)
	}
}

// The failures of an agent have times by its own clock. How exactly they are known by the controller's depends on when
// it started.
func TestItIsKnownWhenAnAgentStarted(t *testing.T) {
	const second = time.Second
	cases := []struct {
		name  string
		habit habit
		// handed is when the round is handed over, zero for never.
		handed           time.Duration
		earliest, latest time.Duration
	}{
		{"one that starts at once", habit{ahead: time.Hour}, 0, 0, 0},
		{"one that starts after some tries was still running shortly before it was done",
			habit{refusesFor: 6 * second, ahead: time.Hour}, 0, 5 * second, 6 * second},
		{"one that another process started", habit{ahead: -time.Hour}, 3 * second, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conduct, req := conductor(pods("a"), newAgents(map[string]habit{"a": c.habit}), newMemory()),
					request(time.Minute)
				req.Want.Load.Duration = 11 * second
				if c.handed > 0 {
					handOver(t, conduct, req, c.handed)
				}
				got, err := conduct.Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				a := got.Round.Agents[0]
				earliest, latest := a.Earliest.Sub(got.Round.Started), a.Latest.Sub(got.Round.Started)
				if earliest != c.earliest || latest != c.latest {
					t.Errorf("it started %v to %v after the round, want %v to %v", earliest, latest, c.earliest,
						c.latest)
				}
			})
		})
	}
}
