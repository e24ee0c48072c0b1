package store

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const (
	// ownerName is the blob in a task's folder that says which installation keeps the task's rounds.
	ownerName = "owner"
	// longestOwner is more than the name of an installation ever has, in bytes.
	longestOwner = 1024
	// quiet is how long nothing must have been written about a task before it counts as abandoned.
	quiet = 24 * time.Hour
)

// owners knows who keeps which task's rounds, as far as the marks were read. Its zero value knows nothing.
type owners struct {
	mu sync.Mutex
	// ours is the name of this installation; empty where the store is shared with no other.
	ours  string
	known map[string]string
}

// OwnedBy names the installation whose store this is, such as "<UID of the cluster>/<namespace>". What it writes is
// marked with the name, and what bears another mark, or none in an object store, is neither pruned nor abandoned: it
// may be that of another cluster which uses the same bucket. Without a name all is ours. Call it before anything else.
func (s *Store) OwnedBy(installation string) { s.owners.ours = installation }

// Abandoned is what a store has of tasks that do not exist.
type Abandoned struct {
	// UIDs are the tasks of this installation about which nothing was written for a day, sorted.
	UIDs []string
	// Foreign is how many tasks bear no mark of this installation and do not exist in its cluster.
	Foreign int
}

// Abandoned returns what is kept of tasks that do not exist. Those that exist are marked as this installation's where
// they are not.
func (s *Store) Abandoned(ctx context.Context, exist map[string]bool) (Abandoned, error) {
	uids, err := s.Tasks(ctx)
	if err != nil {
		return Abandoned{}, err
	}
	s.owners.only(uids)
	var found Abandoned
	for _, uid := range uids {
		if exist[uid] {
			if err := s.claim(ctx, uid); err != nil {
				return found, fmt.Errorf("mark what is kept of %s: %w", uid, err)
			}
			continue
		}
		ours, err := s.isOurs(ctx, uid)
		switch {
		case err != nil:
			return found, err
		case !ours:
			found.Foreign++
			continue
		}
		names, err := s.names(ctx, uid)
		if err != nil {
			return found, err
		}
		if time.Since(newestOf(names)) > quiet {
			found.UIDs = append(found.UIDs, uid)
		}
	}
	return found, nil
}

// newestOf returns when the last of the blobs was written, without the mark.
func newestOf(names []name) time.Time {
	var last time.Time
	for _, n := range names {
		if !n.isMark() && n.modified.After(last) {
			last = n.modified
		}
	}
	return last
}

func (n name) isMark() bool { return strings.HasSuffix(n.name, "/"+ownerName) }

// claim marks a task as this installation's.
func (s *Store) claim(ctx context.Context, uid string) error {
	if s.owners.isOurs(uid) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, planWithin)
	defer cancel()
	err := s.bucket.WriteAll(ctx, uid+"/"+ownerName, []byte(s.owners.ours+"\n"),
		&blob.WriterOptions{ContentType: "text/plain"})
	if err != nil {
		return err
	}
	s.owners.learn(uid, s.owners.ours)
	return nil
}

// isOurs reports whether a task is this installation's. In a folder, which no two share unless they mark what they
// write, a task without a mark is: an earlier release wrote none.
func (s *Store) isOurs(ctx context.Context, uid string) (bool, error) {
	if s.owners.isOurs(uid) {
		return true, nil
	}
	if owner, known := s.owners.of(uid); known {
		return owner == "" && s.dir != "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, planWithin)
	defer cancel()
	r, err := s.bucket.NewReader(ctx, uid+"/"+ownerName, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		s.owners.learn(uid, "")
		return s.dir != "", nil
	}
	if err != nil {
		return false, fmt.Errorf("read whose task %s is: %w", uid, err)
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, longestOwner))
	if err != nil {
		return false, fmt.Errorf("read whose task %s is: %w", uid, err)
	}
	// A mark that is empty is one all the same, of somebody who is not known.
	owner := strings.TrimSuffix(string(text), "\n")
	if owner == "" {
		owner = "?"
	}
	s.owners.learn(uid, owner)
	return s.owners.isOurs(uid), nil
}

// ours lists the tasks that are this installation's.
func (s *Store) ours(ctx context.Context) ([]string, error) {
	uids, err := s.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	var ours []string
	for _, uid := range uids {
		is, err := s.isOurs(ctx, uid)
		if err != nil {
			return nil, err
		}
		if is {
			ours = append(ours, uid)
		}
	}
	return ours, nil
}

func (o *owners) isOurs(uid string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ours == "" || o.known[uid] == o.ours
}

func (o *owners) of(uid string) (owner string, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	owner, known = o.known[uid]
	return owner, known
}

func (o *owners) learn(uid, owner string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = map[string]string{}
	}
	o.known[uid] = owner
}

func (o *owners) forget(uid string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, uid)
}

// only forgets all tasks but those given.
func (o *owners) only(uids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.known, func(uid, _ string) bool { return !slices.Contains(uids, uid) })
}
