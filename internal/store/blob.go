package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"kdoctor.io/kdoctor/internal/schedule"
)

const (
	roundSuffix = ".json.gz"
	planSuffix  = ".plan.json.gz"
	digits      = 10
	largest     = 9_999_999_999
	// maxUID is far above the 36 characters of a Kubernetes UID.
	maxUID = 128

	// within bounds the reading, writing or listing of blobs; what belongs to a round that is about to start must not
	// make it wait so long.
	within     = 30 * time.Second
	planWithin = 5 * time.Second
)

// name is one object of a task in the bucket; suffix is empty for one that is not ours, such as a temporary file that a
// crash left.
type name struct {
	name     string
	key      schedule.Key
	suffix   string
	modified time.Time
	size     int64
}

// compare orders keys of one task by generation, then round.
func compare(a, b schedule.Key) int {
	return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Round, b.Round))
}

// sortByAge sorts the rounds of one task, oldest first: by their keys. Release 0.1.0 could count rounds from 1 again in
// a generation that had rounds already. Those are known by their times: in the order of numbers these go back just
// once, at a gap, and the last is before the first. Times in any other order, such as those of a restored copy, tell
// nothing.
func sortByAge(rounds []name) {
	slices.SortFunc(rounds, func(a, b name) int { return compare(a.key, b.key) })
	if len(rounds) == 0 {
		return
	}
	last := rounds[len(rounds)-1]
	first := slices.IndexFunc(rounds, func(n name) bool { return n.key.Generation == last.key.Generation })
	of := rounds[first:]
	var back []int
	for i := 1; i < len(of); i++ {
		if of[i].modified.Before(of[i-1].modified) {
			back = append(back, i)
		}
	}
	if len(back) != 1 || !last.modified.Before(of[0].modified) ||
		of[back[0]].key.Round == of[back[0]-1].key.Round+1 {
		return
	}
	copy(of, slices.Concat(of[back[0]:], of[:back[0]]))
}

// validUID reports whether a UID can be a folder's name that stays inside the store.
func validUID(uid string) bool {
	if uid == "" || len(uid) > maxUID {
		return false
	}
	for _, c := range uid {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func nameOf(key schedule.Key, suffix string) (string, error) {
	if !validUID(key.UID) {
		return "", fmt.Errorf("the task UID %q cannot be a name", key.UID)
	}
	if key.Generation < 0 || key.Generation > largest || key.Round < 0 || key.Round > largest {
		return "", fmt.Errorf("generation %d or round %d is out of range", key.Generation, key.Round)
	}
	return fmt.Sprintf("%s/%0*d/%0*d%s", key.UID, digits, key.Generation, digits, key.Round, suffix), nil
}

// parseName reads what nameOf wrote, and nothing else.
func parseName(text string) (key schedule.Key, suffix string, ok bool) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || !validUID(parts[0]) || len(parts[1]) != digits || len(parts[2]) < digits {
		return schedule.Key{}, "", false
	}
	suffix = parts[2][digits:]
	if suffix != roundSuffix && suffix != planSuffix {
		return schedule.Key{}, "", false
	}
	generation, ok := parseNumber(parts[1])
	if !ok {
		return schedule.Key{}, "", false
	}
	round, ok := parseNumber(parts[2][:digits])
	if !ok {
		return schedule.Key{}, "", false
	}
	return schedule.Key{UID: parts[0], Generation: generation, Round: round}, suffix, true
}

// parseNumber reads digits alone: a sign would make two names of one key.
func parseNumber(text string) (int64, bool) {
	if strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// names lists all objects of a task.
func (s *Store) names(ctx context.Context, uid string) ([]name, error) {
	if !validUID(uid) {
		return nil, fmt.Errorf("the task UID %q cannot be a name", uid)
	}
	objects, err := s.list(ctx, &blob.ListOptions{Prefix: uid + "/"})
	if err != nil {
		return nil, fmt.Errorf("list rounds of %s: %w", uid, err)
	}
	var names []name
	for _, o := range objects {
		key, suffix, ok := parseName(o.Key)
		if !ok {
			suffix = ""
		}
		names = append(names, name{name: o.Key, key: key, suffix: suffix, modified: o.ModTime, size: o.Size})
	}
	return names, nil
}

// listAttempts bounds how often a listing begins again because a file vanished under it.
const listAttempts = 20

// list returns all objects. A listing of files fails when one of them, such as a temporary one, is gone between being
// seen and being looked at; such a listing begins again.
func (s *Store) list(ctx context.Context, options *blob.ListOptions) ([]*blob.ListObject, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	for range listAttempts {
		objects, err := s.listOnce(ctx, options)
		if err == nil {
			return objects, nil
		}
		if last = err; gcerrors.Code(err) != gcerrors.NotFound || ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

func (s *Store) listOnce(ctx context.Context, options *blob.ListOptions) ([]*blob.ListObject, error) {
	var objects []*blob.ListObject
	for it := s.bucket.List(options); ; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
}

// put writes a blob, or holds it in memory when that fails, which is a NotStoredError. The content is what the blob
// encodes: it is held in the blob's place if it cannot be encoded.
func (s *Store) put(ctx context.Context, key schedule.Key, suffix string, content any,
	encode func(io.Writer) error) error {
	if _, err := nameOf(key, suffix); err != nil {
		return err
	}
	var body bytes.Buffer
	err := encode(&body)
	if err == nil && body.Len() > maxBlob {
		err = fmt.Errorf("encode: %d bytes are more than the %d that a blob may have", body.Len(), maxBlob)
	}
	if err != nil {
		kept, dropped := s.holding.add(held{key: key, suffix: suffix, content: content})
		return &NotStoredError{Key: key, Held: kept, Dropped: dropped, Err: err, lasting: true}
	}
	err = s.write(ctx, key, suffix, body.Bytes())
	switch {
	case err == nil:
		s.holding.remove(key, suffix)
		return nil
	case ctx.Err() != nil:
		// Nobody wants the blob any more.
		return err
	}
	kept, dropped := s.holding.add(held{key: key, suffix: suffix, body: body.Bytes()})
	s.wakeUp()
	return &NotStoredError{Key: key, Held: kept, Dropped: dropped, Err: err}
}

// write writes a blob whole or not at all; in a folder it is on the disk when write returns.
func (s *Store) write(ctx context.Context, key schedule.Key, suffix string, body []byte) error {
	at, err := nameOf(key, suffix)
	if err != nil {
		return err
	}
	if err := s.claim(ctx, key.UID); err != nil {
		return fmt.Errorf("mark whose task it is: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience(suffix))
	defer cancel()
	var file *os.File
	w, err := s.bucket.NewWriter(ctx, at, &blob.WriterOptions{
		ContentType: "application/gzip",
		BeforeWrite: func(as func(any) bool) error {
			_ = as(
				&file)
			return nil
		}, // file stays nil where blobs are no files
	})
	if err != nil {
		return err
	}
	_, err = w.Write(body)
	if err == nil && file != nil {
		err = file.Sync()
	}
	if err != nil {
		// The blob appears when a writer is closed whose context is alive.
		cancel()
	}
	if closed := w.Close(); err != nil || closed != nil {
		return cmp.Or(err, closed)
	}
	s.syncFolders(at)
	if suffix == roundSuffix {
		tooLarge, tooMany := s.usage.add(s.cost(int64(len(body)))), s.counts.add(key.UID)
		if tooLarge || tooMany {
			s.wakeUp()
		}
	}
	return nil
}

// syncFolders brings the name of a new file to the disk. Some filesystems cannot, and do it by themselves.
func (s *Store) syncFolders(at string) {
	if s.dir == "" {
		return
	}
	for rel := path.Dir(at); ; rel = path.Dir(rel) {
		if folder, err := os.Open(filepath.Join(s.dir, rel)); err == nil {
			_ = folder.Sync()
			_ = folder.Close()
		}
		if rel == "." {
			return
		}
	}
}

// patience is how long the reading or writing of a blob may take.
func patience(suffix string) time.Duration {
	if suffix == planSuffix {
		return planWithin
	}
	return within
}

// get returns a blob whole.
func (s *Store) get(ctx context.Context, key schedule.Key, suffix string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience(suffix))
	defer cancel()
	r, err := s.open(ctx, key, suffix)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r, maxBlob+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if len(body) > maxBlob {
		return nil, fmt.Errorf("more than %d bytes: %w", maxBlob, ErrCorrupt)
	}
	return body, nil
}

// open opens a blob for reading; the caller closes it while the context is alive. What is held because it cannot be
// encoded has no blob: see holding.round.
func (s *Store) open(ctx context.Context, key schedule.Key, suffix string) (io.ReadCloser, error) {
	at, err := nameOf(key, suffix)
	if err != nil {
		return nil, err
	}
	if b, ok := s.holding.find(key, suffix); ok && b.content == nil {
		return io.NopCloser(bytes.NewReader(b.body)), nil
	}
	r, err := s.bucket.NewReader(ctx, at, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}
