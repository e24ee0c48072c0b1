package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
)

// lookBack is in how many stored rounds Past looks for each round that it returns.
const lookBack = 3

// Past returns what the newest stored rounds before the round of the key were like (report.Ladder.Usual), the newest
// first, at most so many. Rounds of other generations of the task do not count, nor rounds that have nothing to compare
// with, nor what cannot be read as a round; it looks at no more than three times as many rounds. It reads no further
// than the heads. Any other error is returned.
func (s *Store) Past(ctx context.Context, key schedule.Key, rounds int) ([][]report.Usual, error) {
	keys, err := s.Rounds(ctx, key.UID)
	if err != nil {
		return nil, fmt.Errorf("past rounds of %s: %w", key.UID, err)
	}
	keys = slices.DeleteFunc(keys, func(k schedule.Key) bool {
		return k.Generation != key.Generation || k.Round >= key.Round
	})
	slices.Reverse(keys)
	var past [][]report.Usual
	for _, k := range keys[:min(len(keys), lookBack*rounds)] {
		usual, err := s.usual(ctx, k)
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("past round %s: %w", k, err)
		}
		if len(usual) > 0 {
			past = append(past, usual)
		}
		if len(past) == rounds {
			break
		}
	}
	return past, nil
}

// usualBlob is the part of a head that later rounds compare with.
type usualBlob struct {
	Round struct {
		Key    schedule.Key `json:"Key"`
		Ladder *struct {
			Usual []report.Usual `json:"Usual"`
		} `json:"Ladder"`
	} `json:"round"`
}

// usual returns what the stored round was like.
func (s *Store) usual(ctx context.Context, key schedule.Key) ([]report.Usual, error) {
	if stored, ok := s.holding.round(key); ok {
		return usualOf(stored.Round.Ladder), nil
	}
	var usual []report.Usual
	err := s.readStart(ctx, key, func(from io.Reader) (err error) {
		usual, err = readUsual(key, from)
		return err
	})
	return usual, err
}

func usualOf(l *report.Ladder) []report.Usual {
	if l == nil {
		return nil
	}
	return l.Usual
}

// readUsual reads what a round of any format was like.
func readUsual(key schedule.Key, from io.Reader) ([]report.Usual, error) {
	content, err := unpack(from, maxUnpacked)
	if err != nil {
		return nil, err
	}
	r, whole, err := openRound(key, content)
	if err != nil || r == nil {
		return usualOf(whole.Round.Ladder), err
	}
	kind, body, err := r.frames.next()
	if err != nil {
		return nil, err
	}
	var head usualBlob
	if kind != headFrame {
		return nil, errors.New("the head is missing")
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	if head.Round.Key != key {
		return nil, fmt.Errorf("it holds round %s", head.Round.Key)
	}
	if head.Round.Ladder == nil {
		return nil, nil
	}
	return head.Round.Ladder.Usual, nil
}
