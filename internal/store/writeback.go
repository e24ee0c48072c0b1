package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

const (
	// maxHeld is how many blobs may wait in memory to be written, maxHeldBytes how large they may be together, packed.
	maxHeld      = 64
	maxHeldBytes = 64 << 20
)

// NotStoredError is returned, wrapped, by PutRound when a round could not be written.
type NotStoredError struct {
	Key schedule.Key
	// Held reports whether the round is held in memory: it can be read as if it were kept, and is written as soon as
	// that is possible, which it never is for a round that cannot be encoded. It is lost with the process.
	Held bool
	// Dropped are rounds that were held and had to make room for this one; they are lost.
	Dropped []schedule.Key
	// Err is why it could not be written.
	Err error
	// lasting reports that it never can be written.
	lasting bool
}

// Error says what became of the round.
func (e *NotStoredError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "round %s is lost", e.Key)
	switch {
	case e.Held && e.lasting:
		b.Reset()
		fmt.Fprintf(&b, "round %s is held in memory, and lost when this process ends", e.Key)
	case e.Held:
		b.Reset()
		fmt.Fprintf(&b, "round %s is held in memory until it can be written", e.Key)
	}
	for i, key := range e.Dropped {
		separator := ", "
		if i == 0 {
			separator = "; lost, since no more can be held: "
		}
		b.WriteString(separator + key.String())
	}
	return fmt.Sprintf("%s: %v", &b, e.Err)
}

// Unwrap returns why the round could not be written.
func (e *NotStoredError) Unwrap() error { return e.Err }

// held is a blob that could not be written yet, or a content that could not be encoded.
type held struct {
	key    schedule.Key
	suffix string
	body   []byte
	// content is set in place of the body if it could not be encoded: a verdict.StoredRound or a StoredPlan.
	content any
	// dropped are the rounds that made room for it.
	dropped []schedule.Key
}

// holding is what waits in memory to be written, oldest first. Its zero value is empty.
type holding struct {
	mu    sync.Mutex
	blobs []held
}

// add holds a blob in place of an older one of the same name. It is false when there is no room, even after all others
// that may go have gone: plans first, which serve a restarted controller only, then the oldest round of the task of
// which most are held. A plan displaces no round.
func (h *holding) add(b held) (kept bool, dropped []schedule.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(b.key, b.suffix); i >= 0 {
		b.dropped = h.blobs[i].dropped
		h.blobs = slices.Delete(h.blobs, i, i+1)
	}
	for len(h.blobs) >= maxHeld || h.size()+b.size() > maxHeldBytes {
		i := h.victim(b.suffix)
		if i < 0 {
			return false, b.dropped
		}
		if h.blobs[i].suffix == roundSuffix {
			b.dropped = append(b.dropped, h.blobs[i].key)
		}
		h.blobs = slices.Delete(h.blobs, i, i+1)
	}
	h.blobs = append(h.blobs, b)
	return true, b.dropped
}

// victim is the index of the blob that goes first to make room for one of the suffix, negative when none may.
func (h *holding) victim(suffix string) int {
	if i := slices.IndexFunc(h.blobs, func(b held) bool { return b.suffix == planSuffix }); i >= 0 ||
		suffix == planSuffix {
		return i
	}
	number := map[string]int{}
	for _, b := range h.blobs {
		number[b.key.UID]++
	}
	victim := -1
	for i, b := range h.blobs {
		if victim < 0 || number[b.key.UID] > number[h.blobs[victim].key.UID] {
			victim = i
		}
	}
	return victim
}

func (h *holding) index(key schedule.Key, suffix string) int {
	return slices.IndexFunc(h.blobs, func(b held) bool { return b.key == key && b.suffix == suffix })
}

func (h *holding) size() int {
	var size int
	for _, b := range h.blobs {
		size += b.size()
	}
	return size
}

// size is how much of maxHeldBytes it takes. How large a content is nobody knows, so that at most two are held.
func (b held) size() int {
	if b.content != nil {
		return maxHeldBytes / 2
	}
	return len(b.body)
}

// remove forgets one blob.
func (h *holding) remove(key schedule.Key, suffix string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(key, suffix); i >= 0 {
		h.blobs = slices.Delete(h.blobs, i, i+1)
	}
}

// forget forgets all that is held of a task, and reports whether there was anything.
func (h *holding) forget(uid string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := len(h.blobs)
	h.blobs = slices.DeleteFunc(h.blobs, func(b held) bool { return b.key.UID == uid })
	return len(h.blobs) < before
}

// find returns what is held under the name.
func (h *holding) find(key schedule.Key, suffix string) (held, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.index(key, suffix)
	if i < 0 {
		return held{}, false
	}
	return h.blobs[i], true
}

// round returns the round of the key, if it is held because it cannot be encoded.
func (h *holding) round(key schedule.Key) (verdict.StoredRound, bool) {
	b, _ := h.find(key, roundSuffix)
	stored, ok := b.content.(verdict.StoredRound)
	return stored, ok
}

// plan returns the plan of the key, if it is held because it cannot be encoded.
func (h *holding) plan(key schedule.Key) (StoredPlan, bool) {
	b, _ := h.find(key, planSuffix)
	stored, ok := b.content.(StoredPlan)
	return stored, ok
}

// writable returns the blobs that can be written, oldest first.
func (h *holding) writable() []held {
	return slices.DeleteFunc(h.all(), func(b held) bool { return b.content != nil })
}

// all returns what is held, oldest first.
func (h *holding) all() []held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.blobs)
}

// rounds returns the keys of the rounds that are held of a task, in their order.
func (h *holding) rounds(uid string) []schedule.Key {
	var keys []schedule.Key
	for _, b := range h.all() {
		if b.key.UID == uid && b.suffix == roundSuffix {
			keys = append(keys, b.key)
		}
	}
	slices.SortFunc(keys, compare)
	return keys
}
