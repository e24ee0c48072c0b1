// Package storetest holds the contract that a store keeps on whatever bucket it stands.
package storetest

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Kept returns a round that uses every field that a round has, with numbers that differ from round to round.
func Kept(key schedule.Key) verdict.StoredRound {
	began := time.Date(2026, 3, 1, 10, 0, 0, 123456789, time.UTC)
	var latency, lag stats.Histogram
	for i := range 50 {
		latency.Record(time.Duration(i*i) * 37 * time.Microsecond)
		lag.Record(time.Duration(i) * time.Microsecond)
	}
	path := report.Path{
		Target: target.Target{ID: "AgentPodV6IP_a_fd00::1", Kind: target.Endpoint, Family: topology.IPv6,
			Protocol: target.HTTP, Address: "http://[fd00::1]:8080", Pod: "a", Node: "n1"},
		Scheduled: 60, Sent: 55, Missed: 5, OK: 50,
		Failures: []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 5,
			Examples: []string{"dial: <i/o timeout> \u2028"}}},
		Latency: latency, Lag: lag,
		Statuses: map[int]uint64{200: 50, 503: 1}, Peers: map[string]uint64{"a": 50}, Bytes: 1<<63 + 1,
		Started: began, Ended: began.Add(10 * time.Second),
	}
	empty := report.Path{Target: target.Target{ID: "never"}, Failures: []report.Failure{}, Statuses: map[int]uint64{}}
	round := report.Round{
		Key: key, Task: report.TaskRef{Kind: "NetReach", Name: "task"},
		Started: began, Deadline: began.Add(time.Minute), Ended: began.Add(11*time.Second + 7),
		Expected: []report.Expected{{Pod: "a", Node: "n1", Targets: []string{"x"}},
			{Pod: "b", Node: "n2", LeftOutWhy: "pod is Pending"}},
		Agents: []report.AgentReport{{
			Pod: "a", Node: "n1", Via: report.PortForward, Finished: true, Started: began,
			Ended:     began.Add(10 * time.Second),
			Paths:     []report.Path{path, empty},
			Resources: report.Resources{MaxCPU: 26.203, MeanCPU: 1.0 / 3, MaxMemory: 101 << 20, Known: true}, Served: 7,
		}},
		Missing: []report.Missing{{Pod: "b", Node: "n2", Reason: "pod is Pending"}},
		Gaps:    []target.Gap{{Kind: target.LoadBalancer, Family: topology.IPv6, Reason: "no address"}},
	}
	return verdict.StoredRound{
		Round:   round,
		Verdict: verdict.Judge(round, verdict.Expect{SuccessRate: 1, MeanDelay: 1500 * time.Millisecond}),
		Spec:    json.RawMessage(`{"target":{"ipv4":true}}`),
	}
}

// Plan returns a plan that uses every field.
func Plan(key schedule.Key) store.StoredPlan {
	agent := topology.Agent{
		Pod: "a", Namespace: "kdoctor", UID: "pod-uid", Node: "n1",
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1%net1"), {}},
		Interfaces: []topology.Interface{{Network: "kube-system/macvlan", Name: "net1",
			Addresses: []netip.Addr{netip.MustParseAddr("::ffff:10.1.1.1")}}},
		HTTPPort: 8080, ControlPort: 5710,
	}
	started := time.Date(2026, 3, 1, 10, 0, 0, 1, time.FixedZone("", 3600))
	return store.StoredPlan{
		Started: started, Deadline: started.Add(time.Minute),
		Mesh: mesh.Mesh{
			Plans: []mesh.Plan{{
				Key: key, Task: report.TaskRef{Kind: "NetReach", Name: "task"}, Agent: agent,
				Targets: []target.Target{{ID: "x", Kind: target.Ingress, Family: topology.IPv4, Protocol: target.HTTP,
					Address: "http://10.0.0.9/kdoctoragent"}},
				Load: mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Timeout: time.Second}, Limit: time.Minute,
				HTTP: mesh.HTTP{Status: 204},
			}},
			Expected: []report.Expected{{Pod: "a", Node: "n1", Targets: []string{"x"}}},
			Gaps:     []target.Gap{{Kind: target.NodePort, Family: topology.IPv4, Node: "n1", Reason: "no node port"}},
		},
	}
}

// Exact are the options under which two rounds or plans are the same: to the bucket of a histogram and to the bits of
// an address.
func Exact() cmp.Options {
	return cmp.Options{cmp.AllowUnexported(stats.Histogram{}),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
}

// Run holds stores against the contract. Make returns an empty store of its own at every call.
func Run(t *testing.T, open func(*testing.T) *store.Store) {
	t.Run("a round that is put comes back exactly as it was", func(t *testing.T) { roundTrip(t, open(t)) })
	t.Run("a round that is put again replaces the first", func(t *testing.T) { replace(t, open(t)) })
	t.Run("the latest round is that of the highest generation, then number", func(t *testing.T) { latest(t, open(t)) })
	t.Run("a plan lives until it is deleted and is no round", func(t *testing.T) { plans(t, open(t)) })
	t.Run("what was never put is not found", func(t *testing.T) { notFound(t, open(t)) })
	t.Run("a deleted task leaves the others alone", func(t *testing.T) { deleteTask(t, open(t)) })
	t.Run("a name that would leave the store is refused", func(t *testing.T) { badNames(t, open(t)) })
}

func key(uid string, generation, round int64) schedule.Key {
	return schedule.Key{UID: uid, Generation: generation, Round: round}
}

func put(t *testing.T, s *store.Store, keys ...schedule.Key) {
	t.Helper()
	for _, k := range keys {
		if err := s.PutRound(t.Context(), Kept(k)); err != nil {
			t.Fatal(err)
		}
	}
}

func roundTrip(t *testing.T, s *store.Store) {
	full := Kept(key("u1", 1, 1))
	bare := verdict.StoredRound{Round: report.Round{Key: key("u1", 1, 2)}}
	for _, want := range []verdict.StoredRound{full, bare} {
		if err := s.PutRound(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, err := s.Round(t.Context(), want.Round.Key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, Exact()); diff != "" {
			t.Errorf("round %s changed (-put +got):\n%s", want.Round.Key, diff)
		}
	}
}

func replace(t *testing.T, s *store.Store) {
	k := key("u1", 1, 1)
	put(t, s, k, k)
	second := Kept(k)
	second.Verdict = verdict.Verdict{Result: verdict.Pass}
	if err := s.PutRound(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	got, err := s.Round(t.Context(), k)
	if err != nil || got.Verdict.Result != verdict.Pass {
		t.Errorf("got %q, %v; want the second one", got.Verdict.Result, err)
	}
	if keys, err := s.Rounds(t.Context(), "u1"); err != nil || len(keys) != 1 {
		t.Errorf("got rounds %v, %v; want one", keys, err)
	}
}

func latest(t *testing.T, s *store.Store) {
	put(t, s, key("u1", 2, 1), key("u1", 1, 10), key("u1", 1, 9), key("u1", 10, 3), key("u1", 10, 20),
		key("u2", 99, 99))
	got, err := s.Latest(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if want := key("u1", 10, 20); got.Round.Key != want {
		t.Errorf("latest is %s, want %s", got.Round.Key, want)
	}
	keys, err := s.Rounds(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	want := []schedule.Key{key("u1", 1, 9), key("u1", 1, 10), key("u1", 2, 1), key("u1", 10, 3), key("u1", 10, 20)}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("rounds (-want +got):\n%s", diff)
	}
}

func plans(t *testing.T, s *store.Store) {
	k := key("u1", 1, 1)
	want := Plan(k)
	if err := s.PutPlan(t.Context(), k, want); err != nil {
		t.Fatal(err)
	}
	got, err := s.Plan(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, Exact()); diff != "" {
		t.Errorf("plan changed (-put +got):\n%s", diff)
	}
	if _, err := s.Latest(t.Context(), "u1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a plan was taken for a round: %v", err)
	}
	if uids, err := s.Tasks(t.Context()); err != nil || !cmp.Equal(uids, []string{"u1"}) {
		t.Errorf("got tasks %v, %v; want u1, whose plan is kept", uids, err)
	}
	for range 2 {
		if err := s.DeletePlan(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Plan(t.Context(), k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v after the plan was deleted, want ErrNotFound", err)
	}
}

func notFound(t *testing.T, s *store.Store) {
	put(t, s, key("u1", 1, 1))
	_, roundErr := s.Round(t.Context(), key("u1", 1, 2))
	_, planErr := s.Plan(t.Context(), key("u1", 1, 1))
	_, latestErr := s.Latest(t.Context(), "u2")
	for what, err := range map[string]error{"round": roundErr, "plan": planErr, "latest": latestErr} {
		if !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrNotFound", what, err)
		}
	}
	if keys, err := s.Rounds(t.Context(), "u2"); err != nil || len(keys) != 0 {
		t.Errorf("got rounds %v, %v; want none", keys, err)
	}
}

func deleteTask(t *testing.T, s *store.Store) {
	// u1 is the beginning of u10's name.
	put(t, s, key("u1", 1, 1), key("u1", 2, 1), key("u10", 1, 1))
	if err := s.PutPlan(t.Context(), key("u1", 2, 2), Plan(key("u1", 2, 2))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.DeleteTask(t.Context(), "u1"); err != nil {
			t.Fatal(err)
		}
	}
	uids, err := s.Tasks(t.Context())
	if err != nil || !cmp.Equal(uids, []string{"u10"}) {
		t.Errorf("got tasks %v, %v; want u10", uids, err)
	}
}

func badNames(t *testing.T, s *store.Store) {
	for _, k := range []schedule.Key{key("", 1, 1), key("..", 1, 1), key("a/b", 1, 1), key("a", -1, 1),
		key("a", 1, 10_000_000_000)} {
		if err := s.PutRound(t.Context(), verdict.StoredRound{Round: report.Round{Key: k}}); err == nil {
			t.Errorf("key %q was accepted", k)
		}
	}
	if err := s.DeleteTask(t.Context(), ""); err == nil {
		t.Error("deleting the task without a name was accepted")
	}
}
