package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob/memblob"

	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
)

// What the aggregated API renders of the parts of a stored round is what it renders of the whole.
func TestPartsOfStoredRounds(t *testing.T) {
	s := reports{store.New(memblob.OpenBucket(nil))}
	task := render.ReportedTask{Kind: "NetReach", Name: "task", UID: "u", Generation: 1}
	if _, found, err := s.LatestKey(t.Context(), "u"); found || err != nil {
		t.Errorf("before the first round: %t, %v", found, err)
	}
	if _, found, err := s.Parts(t.Context(), schedule.Key{UID: "u", Generation: 1, Round: 1}); found || err != nil {
		t.Errorf("the parts before the first round: %t, %v", found, err)
	}
	stored := roundtest.New("u", roundtest.Shape{Agents: 200, Dead: 17})
	if err := s.PutRound(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	key, found, err := s.LatestKey(t.Context(), "u")
	if !found || err != nil || key != stored.Round.Key {
		t.Fatalf("latest is %v, %t, %v", key, found, err)
	}
	whole, _, err := s.Round(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	parts, found, err := s.Parts(t.Context(), key)
	if !found || err != nil || !cmp.Equal(parts.Counts, roundtest.Counts(stored)) {
		t.Fatalf("%t, %v, counts are %+v, want %+v", found, err, parts.Counts, roundtest.Counts(stored))
	}
	stream := render.NewStream(task, parts.Head)
	for a, err := range parts.Agents(func(_, _ string) bool { return true }) {
		if err != nil {
			t.Fatal(err)
		}
		stream.Add(a.Report, a.Verdict)
	}
	if diff := cmp.Diff(render.Report(task, whole), stream.Report()); diff != "" {
		t.Errorf("the parts differ from the whole (-want +got):\n%s", diff)
	}
	var nodes []string
	for a, err := range parts.Agents(func(_, node string) bool { return node == roundtest.Node(5) }) {
		if err != nil || a.Verdict == nil {
			t.Fatalf("%v, verdict %v", err, a.Verdict)
		}
		nodes = append(nodes, a.Report.Node)
	}
	if diff := cmp.Diff([]string{roundtest.Node(5)}, nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

// What another replica wrote while it led is in the store, and nobody tells of it.
func TestAReplicaThatBeginsToLeadLooksAtAllStoredRoundsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elected := make(chan struct{})
		l := led{reports{store.New(memblob.OpenBucket(nil))}, elected}
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int64
		var owner sync.WaitGroup
		owner.Go(func() {
			err := l.Watch(ctx, func(uids []string) {
				if len(uids) > 0 {
					t.Errorf("nothing was written, and %v changed", uids)
				}
				calls.Add(1)
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the feed ended with %v", err)
			}
		})
		for _, want := range []int64{1, 2} {
			synctest.Wait()
			if n := calls.Load(); n != want {
				t.Errorf("all was looked at %d times, want %d", n, want)
			}
			if want == 1 {
				close(elected)
			}
		}
		cancel()
		owner.Wait()
	})
}
