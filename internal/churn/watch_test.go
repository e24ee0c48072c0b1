package churn_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// at returns the moment so many seconds after the start of the round, by the controller's clock.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// snapshotOf returns a snapshot of pod a on node n, and of other objects.
func snapshotOf(second float64, a *topology.Agent, others ...topology.Agent) topology.Snapshot {
	s := topology.Snapshot{Taken: at(second), Agents: others, Nodes: []topology.Node{{Name: "n"}}}
	if a != nil {
		s.Agents = append(s.Agents, *a)
	}
	return s
}

func on(s topology.Snapshot, node topology.Node) topology.Snapshot {
	node.Name = "n"
	s.Nodes = []topology.Node{node}
	return s
}

func TestWatch(t *testing.T) {
	well := topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	with := func(change func(*topology.Agent)) *topology.Agent {
		a := well
		change(&a)
		return &a
	}
	deleted := func(second float64) *topology.Agent {
		return with(func(a *topology.Agent) { a.Deleted, a.NotReady = at(second), "pod is terminating" })
	}
	restarted := func(ended, started float64) *topology.Agent {
		return with(func(a *topology.Agent) {
			a.Restarts, a.Ended, a.Started, a.EndReason = 1, at(ended), at(started), "OOMKilled"
		})
	}
	dead := with(func(a *topology.Agent) {
		a.Ended, a.Started, a.EndReason, a.NotReady = at(14), time.Time{}, "Error", "container agent is not ready"
	})
	down := topology.Node{NotReady: true}
	change := func(what report.ChangeKind, from, to float64) report.Change {
		return report.Change{Pod: "a", Node: "n", Kind: what, WindowStart: at(from), WindowEnd: at(to)}
	}
	oom := func(from, to float64) report.Change {
		c := change(report.Restarted, from, to)
		c.Detail = "OOMKilled"
		return c
	}
	cases := []struct {
		name     string
		looks    []topology.Snapshot
		answered time.Time
		want     []report.Change
	}{
		{name: "a round in which nobody could look knows of nothing"},
		{name: "an agent that stays as it is was not changed",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, &well)}},
		{name: "a pod that is deleted was changed when that was asked for",
			looks:    []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, deleted(14))},
			answered: at(18), want: []report.Change{change(report.Deleted, 14, 14)}},
		{name: "a pod that is deleted and then gone was changed once",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, deleted(14)), snapshotOf(30, nil)},
			want:  []report.Change{change(report.Deleted, 14, 14)}},
		{name: "a deletion by a clock that is wrong happened between two looks",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, deleted(500))},
			want:  []report.Change{change(report.Deleted, 10, 20)}},
		{name: "a deletion just over a second before the last look is by a clock that is wrong",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, deleted(9))},
			want:  []report.Change{change(report.Deleted, 10, 20)}},
		{name: "a deletion within a second before the last look is rounded",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, deleted(9.1))},
			want:  []report.Change{change(report.Deleted, 9.1, 9.1)}},
		{name: "a deletion within a second after it was noticed is by a clock that is ahead",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, deleted(20.9))},
			want:  []report.Change{change(report.Deleted, 20.9, 20.9)}},
		{name: "a deletion a second after it was noticed is by a clock that is wrong",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, deleted(21))},
			want:  []report.Change{change(report.Deleted, 10, 20)}},
		{name: "of two restarts since the last look, nothing tells when the first began",
			looks: []topology.Snapshot{snapshotOf(10, &well),
				snapshotOf(20, with(func(a *topology.Agent) {
					a.Restarts, a.Ended, a.Started, a.EndReason = 2, at(14),
						at(15), "OOMKilled"
				}))},
			want: []report.Change{oom(10, 15)}},
		{name: "a restart is over no earlier than it began", looks: []topology.Snapshot{snapshotOf(10, &well),
			snapshotOf(20, with(func(a *topology.Agent) {
				a.Restarts, a.Ended, a.Started, a.EndReason = 2, at(14), at(15),
					"OOMKilled"
			}))},
			answered: at(18), want: []report.Change{oom(16, 16)}},
		{name: "a restart of which only the count tells is one", looks: []topology.Snapshot{snapshotOf(10, &well),
			snapshotOf(20, with(func(a *topology.Agent) { a.Restarts, a.Started = 1, at(15) }))},
			want: []report.Change{change(report.Restarted, 10, 15)}},
		{name: "a restart that ended by a clock that is behind is over when that was seen",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, restarted(14, 5))},
			want:  []report.Change{oom(14, 20)}},
		{name: "a restart that began by a clock that is ahead began after the agent last answered, and is over when " +
			"that was seen", looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, restarted(5000, 15))},
			answered: at(18), want: []report.Change{oom(16, 20)}},
		{name: "a restart whose beginning is by a clock that is wrong ends when that was seen",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, restarted(8, 15))},
			want:  []report.Change{oom(10, 20)}},
		{name: "of two restarts by a clock that is wrong nothing tells when the last was over",
			looks: []topology.Snapshot{snapshotOf(10, &well),
				snapshotOf(20, with(func(a *topology.Agent) {
					a.Restarts, a.Ended, a.Started, a.EndReason = 2, at(8),
						at(15), "OOMKilled"
				}))},
			want: []report.Change{oom(10, 20)}},
		{name: "a pod that is gone went after it was last seen",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, nil)},
			want:  []report.Change{change(report.Deleted, 10, 20)}},
		{name: "a pod that is gone went after it last answered, less the time it takes to end",
			looks:    []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, nil)},
			answered: at(16), want: []report.Change{change(report.Deleted, 14, 20)}},
		{name: "a pod that is gone after nobody looked for long went at most half a minute before it was missed",
			looks: []topology.Snapshot{snapshotOf(1000, nil)},
			want:  []report.Change{change(report.Deleted, 970, 1000)}},
		{name: "a pod of the same name is another where its UID is",
			looks: []topology.Snapshot{snapshotOf(10, with(func(a *topology.Agent) { a.UID = "2" }))},
			want:  []report.Change{change(report.Deleted, 0, 10)}},
		{name: "a pod that another has replaced is found among those that leave", looks: []topology.Snapshot{
			{Taken: at(10), Agents: []topology.Agent{{Pod: "b", Node: "n"}}, Leaving: []topology.Agent{*deleted(7)}}},
			want: []report.Change{change(report.Deleted, 7, 7)}},
		{name: "a pod deleted from a cordoned node was drained",
			looks: []topology.Snapshot{on(snapshotOf(10, deleted(7)), topology.Node{Cordoned: true})},
			want:  []report.Change{change(report.Drained, 7, 7)}},
		{name: "a node that was cordoned and then stops was drained, though its pod is left",
			looks: []topology.Snapshot{on(snapshotOf(10, &well), topology.Node{NotReady: true, Cordoned: true})},
			want: []report.Change{{Pod: "a", Node: "n", Kind: report.Drained, NodeLeft: true, WindowStart: at(0),
				WindowEnd: at(10)}}},
		{name: "a node that dies is a fault", looks: []topology.Snapshot{on(snapshotOf(10, &well), down)}},
		{name: "a pod that is deleted because its node died is a fault",
			looks: []topology.Snapshot{on(snapshotOf(10, &well), down), on(snapshotOf(310, deleted(305)), down),
				snapshotOf(320, nil)}},
		{name: "an agent that starts again after its node died is a fault",
			looks: []topology.Snapshot{on(snapshotOf(10, &well), down), snapshotOf(60, restarted(50, 51))}},
		{name: "a pod that is not ready and was not touched is a fault",
			looks: []topology.Snapshot{snapshotOf(10,
				with(func(a *topology.Agent) { a.NotReady = "pod is not Ready" }))}},
		{name: "a restart lasts from the end of the container to its next start",
			looks:    []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, restarted(14, 15))},
			answered: at(12), want: []report.Change{oom(14, 15)}},
		{name: "a restart by a clock that is wrong lasts from one look to the next",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, restarted(5000, 5001))},
			want:  []report.Change{oom(10, 20)}},
		{name: "an agent that ended and is not back has no end of the restart",
			looks: []topology.Snapshot{snapshotOf(10, &well), snapshotOf(20, dead)},
			want: []report.Change{{Pod: "a", Node: "n", Kind: report.Restarted, Detail: "Error",
				WindowStart: at(14)}}},
		{name: "an agent that is back later was restarted once", looks: []topology.Snapshot{snapshotOf(20, dead),
			snapshotOf(30, with(func(a *topology.Agent) { a.Restarts, a.Ended, a.Started = 1, at(14), at(25) }))},
			want: []report.Change{{Pod: "a", Node: "n", Kind: report.Restarted, Detail: "Error", WindowStart: at(14),
				WindowEnd: at(25)}}},
		{name: "an agent that is back in the second of a look was back then, for seconds are rounded down",
			looks: []topology.Snapshot{snapshotOf(20.4, dead),
				snapshotOf(30, with(func(a *topology.Agent) { a.Restarts, a.Ended, a.Started = 1, at(14), at(20) }))},
			want: []report.Change{{Pod: "a", Node: "n", Kind: report.Restarted, Detail: "Error", WindowStart: at(14),
				WindowEnd: at(20)}}},
		{name: "an agent that is back more than a second before a look that found it down has a clock that is wrong",
			looks: []topology.Snapshot{snapshotOf(20.4, dead),
				snapshotOf(30, with(func(a *topology.Agent) { a.Restarts, a.Ended, a.Started = 1, at(14), at(19.4) }))},
			want: []report.Change{{Pod: "a", Node: "n", Kind: report.Restarted, Detail: "Error", WindowStart: at(14),
				WindowEnd: at(30)}}},
		{name: "two restarts are two changes", looks: []topology.Snapshot{snapshotOf(10, restarted(4, 5)),
			snapshotOf(100, with(func(a *topology.Agent) {
				a.Restarts, a.Ended, a.Started, a.EndReason = 2, at(94), at(95), "OOMKilled"
			}))},
			want: []report.Change{oom(4, 5), oom(94, 95)}},
		{name: "a restart and then a deletion are two changes",
			looks: []topology.Snapshot{snapshotOf(10, restarted(4, 5)), snapshotOf(20, nil)},
			want:  []report.Change{oom(4, 5), change(report.Deleted, 10, 20)}},
		{name: "what happens to pods that are not in the plan is of no concern",
			looks: []topology.Snapshot{snapshotOf(10, &well, topology.Agent{Pod: "b", Deleted: at(5)})}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := churn.NewWatch([]topology.Agent{well}, at(0))
			for _, s := range c.looks {
				w.Observe(s)
			}
			if diff := cmp.Diff(c.want, w.Changes(map[string]time.Time{"a": c.answered})); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChangesAreSortedByTimeThenNodeThenPod(t *testing.T) {
	agents := []topology.Agent{{Pod: "d", Node: "m"}, {Pod: "c", Node: "m"}, {Pod: "b", Node: "n"},
		{Pod: "a", Node: "k"}}
	w := churn.NewWatch(agents, at(0))
	s := topology.Snapshot{Taken: at(10)}
	for i, a := range agents {
		a.Deleted = at([]float64{5, 5, 4, 5}[i])
		s.Agents = append(s.Agents, a)
	}
	w.Observe(s)
	var got []string
	for _, c := range w.Changes(nil) {
		got = append(got, c.Pod)
	}
	if diff := cmp.Diff([]string{"b", "a", "c", "d"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}
