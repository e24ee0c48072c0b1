package store

import "sync"

// surplus is by how much more rounds of a task may be stored than are to be kept, one in so many, before the oldest
// go: not every round needs a listing.
const surplus = 20

// numbers counts what was stored of each task since its oldest rounds went, so that Run removes them in time. Its zero
// value is ready, and watches nothing.
type numbers struct {
	mu sync.Mutex
	// limit is how many rounds of a task are to be kept, zero for all of them.
	limit int
	// stored are the rounds that were written since the task was pruned, by its UID. A task that was never pruned by
	// this process is due with its first round: nobody knows how many there are.
	stored map[string]int
	due    map[string]bool
}

// watch sets the limit.
func (n *numbers) watch(limit int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.limit, n.stored, n.due = limit, map[string]int{}, map[string]bool{}
}

// add counts a round of a task and reports whether the task may have too many now.
func (n *numbers) add(uid string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.limit == 0 {
		return false
	}
	since, pruned := n.stored[uid]
	n.stored[uid] = since + 1
	if !pruned || since+1 >= max(n.limit/surplus, 1) {
		n.stored[uid], n.due[uid] = 0, true
	}
	return n.due[uid]
}

// take returns the tasks that may have too many rounds, and forgets that they do.
func (n *numbers) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var uids []string
	for uid := range n.due {
		uids = append(uids, uid)
	}
	clear(n.due)
	return uids
}

// forget forgets a task.
func (n *numbers) forget(uid string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.stored, uid)
	delete(n.due, uid)
}
