// Package store keeps the rounds of tasks, one compressed blob each, in a folder or in a bucket of an object store that
// speaks S3.
//
// A task's folder has the name of the installation that keeps it in <uid>/owner. A round is
// <uid>/<generation>/<round>.json.gz and its plan, which lives while the round runs,
// <uid>/<generation>/<round>.plan.json.gz; both numbers have ten digits, so that names sort as numbers do. A blob is
// written whole or not at all, and one that cannot be read is an error for its own key alone.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// ErrNotFound is returned, wrapped, for what the store does not hold.
var ErrNotFound = errors.New("not found")

// ErrCorrupt is returned, wrapped, for a blob that is there and cannot be read: cut short, damaged, too large, or not
// ours.
var ErrCorrupt = errors.New("corrupt")

// StoredPlan is a round that has started and is not over: what a restarted controller needs to take it up again.
type StoredPlan struct {
	Mesh              mesh.Mesh
	Started, Deadline time.Time
}

// Store keeps rounds. Make one with Open or New. It is safe for concurrent use.
//
// What cannot be written is held in memory and read from there, see NotStoredError; Run writes it later.
type Store struct {
	bucket *blob.Bucket
	// dir is the folder of the blobs, empty where they are not files.
	dir     string
	feed    feed
	holding holding
	usage   usage
	counts  roundCounts
	owners  owners
	// wake makes Run look for what is to be written or removed.
	wake chan struct{}
	// flushing is locked while a held blob is written, so that a task is not deleted in the midst of it.
	flushing sync.Mutex
}

// New makes a store of a bucket, which Close closes.
func New(bucket *blob.Bucket) *Store { return &Store{bucket: bucket, wake: make(chan struct{}, 1)} }

// PutRound keeps a round under its own key. It is atomic: a reader sees the old blob or the new one, whole. To put a
// round again replaces it, so that a controller that was killed between keeping a round and telling of it may just do
// both again.
//
// When it cannot be encoded or written, the error is a NotStoredError, which says whether it is held in memory; to put
// it again is one more try. The round must not be changed afterwards: one that cannot be encoded is held as it is.
func (s *Store) PutRound(ctx context.Context, kept verdict.StoredRound) error {
	err := s.put(ctx, kept.Round.Key, roundSuffix, kept, encodeRound(kept))
	var notStored *NotStoredError
	if err == nil || errors.As(err, &notStored) && notStored.Held {
		s.feed.changed(kept.Round.Key.UID)
	}
	if err != nil {
		return fmt.Errorf("keep round %s: %w", kept.Round.Key, err)
	}
	return nil
}

// Round returns the round of the key, or ErrNotFound, or ErrCorrupt.
func (s *Store) Round(ctx context.Context, key schedule.Key) (verdict.StoredRound, error) {
	if stored, ok := s.holding.round(key); ok {
		return stored, nil
	}
	body, err := s.get(ctx, key, roundSuffix)
	if err != nil {
		return verdict.StoredRound{}, fmt.Errorf("read round %s: %w", key, err)
	}
	kept, err := decodeRound(key, body)
	if err != nil {
		return verdict.StoredRound{}, fmt.Errorf("read round %s: %w", key, err)
	}
	return kept, nil
}

// Latest returns the newest round, which LatestKey names, or ErrNotFound, or ErrCorrupt when that very blob
// cannot be read: an older round in its place would be taken for the newest.
func (s *Store) Latest(ctx context.Context, uid string) (verdict.StoredRound, error) {
	key, err := s.LatestKey(ctx, uid)
	if err != nil {
		return verdict.StoredRound{}, err
	}
	return s.Round(ctx, key)
}

// Rounds returns the keys of all stored rounds of a task, oldest first; none is no error.
// It reads names only, so a blob that cannot be read is in the list.
func (s *Store) Rounds(ctx context.Context, uid string) ([]schedule.Key, error) {
	names, err := s.names(ctx, uid)
	if err != nil {
		return nil, err
	}
	var keys []schedule.Key
	for _, n := range names {
		if n.suffix == roundSuffix {
			keys = append(keys, n.key)
		}
	}
	keys = append(keys, s.holding.rounds(uid)...)
	slices.SortFunc(keys, compare)
	return slices.Compact(keys), nil
}

// PutPlan keeps the plan of a round that starts; to put it again replaces it. A plan that cannot be encoded or written
// is no error, for no round shall wait for a full disk: it is held in memory, where a controller that is restarted
// before it is written will not find it.
func (s *Store) PutPlan(ctx context.Context, key schedule.Key, plan StoredPlan) error {
	err := s.put(ctx, key, planSuffix, plan, encodePlan(key, plan))
	if notStored := (*NotStoredError)(nil); err != nil && !errors.As(err, &notStored) {
		return fmt.Errorf("keep plan %s: %w", key, err)
	}
	return nil
}

// Plan returns the plan of a round, or ErrNotFound, or ErrCorrupt.
func (s *Store) Plan(ctx context.Context, key schedule.Key) (StoredPlan, error) {
	if plan, ok := s.holding.plan(key); ok {
		return plan, nil
	}
	body, err := s.get(ctx, key, planSuffix)
	if err != nil {
		return StoredPlan{}, fmt.Errorf("read plan %s: %w", key, err)
	}
	plan, err := decodePlan(key, body)
	if err != nil {
		return StoredPlan{}, fmt.Errorf("read plan %s: %w", key, err)
	}
	return plan, nil
}

// DeletePlan removes the plan of a round; one that is not there is no error.
func (s *Store) DeletePlan(ctx context.Context, key schedule.Key) error {
	name, err := nameOf(key, planSuffix)
	if err != nil {
		return fmt.Errorf("delete plan %s: %w", key, err)
	}
	s.flushing.Lock()
	s.holding.remove(key, planSuffix)
	s.flushing.Unlock()
	if err := s.remove(ctx, name); err != nil {
		return fmt.Errorf("delete plan %s: %w", key, err)
	}
	return nil
}

// DeleteTask removes all that is kept of a task; a task that the store does not know is no error.
func (s *Store) DeleteTask(ctx context.Context, uid string) error {
	s.flushing.Lock()
	forgotten := s.holding.forget(uid)
	s.flushing.Unlock()
	s.counts.forget(uid)
	names, err := s.names(ctx, uid)
	if err != nil {
		return fmt.Errorf("delete task %s: %w", uid, err)
	}
	for _, n := range names {
		if err := s.remove(ctx, n.name); err != nil {
			return fmt.Errorf("delete task %s: %w", uid, err)
		}
	}
	s.owners.forget(uid)
	s.removeFolders(uid)
	if len(names) > 0 || forgotten {
		s.feed.changed(uid)
	}
	return nil
}

// Tasks returns the UIDs of all tasks that have stored rounds or plans, sorted.
func (s *Store) Tasks(ctx context.Context) ([]string, error) {
	objects, err := s.list(ctx, &blob.ListOptions{Delimiter: "/"})
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	var uids []string
	for _, o := range objects {
		if uid := strings.TrimSuffix(o.Key, "/"); o.IsDir && validUID(uid) {
			uids = append(uids, uid)
		}
	}
	for _, b := range s.holding.all() {
		uids = append(uids, b.key.UID)
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

// removeFolders removes the folders that a task's files leave behind empty. Errors are of no concern: an empty folder
// is not a task.
func (s *Store) removeFolders(uid string) {
	if s.dir == "" {
		return
	}
	top := filepath.Join(s.dir, uid)
	entries, err := os.ReadDir(top)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(top, e.Name()))
		}
	}
	_ = os.Remove(top)
}

func (s *Store) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, planWithin)
	defer cancel()
	if err := s.bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	return nil
}
