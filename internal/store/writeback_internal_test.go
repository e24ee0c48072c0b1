package store

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

func TestHoldingMakesRoom(t *testing.T) {
	round := func(uid string, n int64) held {
		return held{key: schedule.Key{UID: uid, Round: n}, suffix: roundSuffix, body: make([]byte, 10)}
	}
	plan := func(uid string, n int64) held {
		b := round(uid, n)
		b.suffix = planSuffix
		return b
	}
	full := func(t *testing.T) *holding {
		h := &holding{}
		for n := range int64(maxHeld - 2) {
			h.add(round("a", n))
		}
		h.add(round("b", 0))
		h.add(round("b", 1))
		if len(h.all()) != maxHeld {
			t.Fatalf("%d blobs are held, want %d", len(h.all()), maxHeld)
		}
		return h
	}
	t.Run("a round drops the oldest of the task with most, and says so when it is put again", func(t *testing.T) {
		h := full(t)
		kept, dropped := h.add(round("c", 0))
		if want := []schedule.Key{{UID: "a", Round: 0}}; !kept || !cmp.Equal(want, dropped) {
			t.Errorf("got %v, %v", kept, dropped)
		}
		kept, again := h.add(round("c", 0))
		if !kept || !cmp.Equal(dropped, again) {
			t.Errorf("put again: got %v, %v; want %v", kept, again, dropped)
		}
	})
	t.Run("a plan drops no round", func(t *testing.T) {
		h := full(t)
		if kept, dropped := h.add(plan("c", 0)); kept || dropped != nil {
			t.Errorf("got %v, %v", kept, dropped)
		}
	})
	t.Run("a round drops a plan before a round", func(t *testing.T) {
		h := full(t)
		h.remove(schedule.Key{UID: "b", Round: 1}, roundSuffix)
		h.add(plan("c", 0))
		if kept, dropped := h.add(round("c", 0)); !kept || dropped != nil {
			t.Errorf("got %v, %v", kept, dropped)
		}
	})
	t.Run("two rounds that cannot be encoded are held, and never written", func(t *testing.T) {
		h := &holding{}
		for n := range int64(3) {
			kept, dropped := h.add(held{key: schedule.Key{UID: "a", Round: n}, suffix: roundSuffix,
				content: verdict.StoredRound{}})
			if want := max(0, int(n)-1); !kept || len(dropped) != want {
				t.Errorf("round %d: got %v, %v; want %d dropped", n, kept, dropped, want)
			}
		}
		if len(h.all()) != 2 || len(h.writable()) != 0 {
			t.Errorf("%d are held, %d of them to be written; want two and none", len(h.all()), len(h.writable()))
		}
	})
	t.Run("a round that is too large for all the room there is is not held", func(t *testing.T) {
		h := &holding{}
		huge := round("a", 0)
		huge.body = make([]byte, maxHeldBytes+1)
		if kept, _ := h.add(huge); kept {
			t.Error("it was held")
		}
	})
}

func TestBlobsThatUnpackToTooMuchAreRefused(t *testing.T) {
	body := gzipped(t, make([]byte, 10_000))
	for limit, want := range map[int64]bool{9_999: false, 10_000: true} {
		content, err := unpack(bytes.NewReader(body), limit)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(content); (err == nil) != want {
			t.Errorf("with a limit of %d: got %v", limit, err)
		}
	}
}
