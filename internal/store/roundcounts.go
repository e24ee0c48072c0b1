package store

import (
	"maps"
	"slices"
	"sync"
)

// surplus is which part of the rounds to keep may be stored beyond them, as its divisor: not every round needs a
// listing.
const surplus = 20

// roundCounts counts the rounds that were stored of each task since its oldest ones were removed, so that Run removes
// more in time. The zero value has no limit.
type roundCounts struct {
	mu sync.Mutex
	// limit is how many rounds of a task are to be kept, zero for all of them.
	limit int
	// sincePruned is by the task's UID. A task that this process never pruned is due with its first round: nobody knows
	// how many rounds it has.
	sincePruned map[string]int
	due         map[string]bool
}

// watch sets the limit.
func (c *roundCounts) watch(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit, c.sincePruned, c.due = limit, map[string]int{}, map[string]bool{}
}

// add counts a round of a task and reports whether the task may have too many now.
func (c *roundCounts) add(uid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == 0 {
		return false
	}
	since, pruned := c.sincePruned[uid]
	c.sincePruned[uid] = since + 1
	if !pruned || since+1 >= max(c.limit/surplus, 1) {
		c.sincePruned[uid], c.due[uid] = 0, true
	}
	return c.due[uid]
}

// popDue returns the tasks that may have too many rounds, sorted, and leaves none.
func (c *roundCounts) popDue() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	uids := slices.Sorted(maps.Keys(c.due))
	clear(c.due)
	return uids
}

// forget forgets a task.
func (c *roundCounts) forget(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sincePruned, uid)
	delete(c.due, uid)
}
