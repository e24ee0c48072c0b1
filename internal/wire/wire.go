// Package wire maps between the control channel's messages (api/agent/v1) and our own types.
//
// Messages come from the network: every Parse function bounds sizes and counts and refuses what no correct peer sends,
// so that no other package needs to check a message again.
package wire

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/schedule"
)

// Bounds of the messages that are accepted from the other side.
const (
	// MaxMessageBytes bounds one message either way; it holds a report of MaxTargets paths with full histograms.
	MaxMessageBytes = 128 << 20
	// MaxTargets bounds the targets of one plan.
	MaxTargets = mesh.MaxTargets
	// MaxPerSecond bounds the rate per target.
	MaxPerSecond = 1000
	// MaxDuration bounds the load's duration, MaxLimit the whole round.
	MaxDuration = 24 * time.Hour
	MaxLimit    = 48 * time.Hour
	// MaxTimeout bounds one request.
	MaxTimeout = time.Hour
	// MaxAuthorities bounds the authorities of one plan, MaxAuthorityBytes the certificates of one.
	MaxAuthorities    = 64
	MaxAuthorityBytes = 256 << 10
	// MaxExamples and MaxExampleBytes bound the example messages of one kind of failure.
	MaxExamples     = 3
	MaxExampleBytes = 256

	maxUIDBytes     = 64
	maxNameBytes    = 253
	maxIDBytes      = 1024
	maxAddressBytes = 2048
)

// Key returns the message for a round's key.
func Key(k schedule.Key) *agentv1.RoundKey {
	return &agentv1.RoundKey{TaskUid: k.UID, Generation: k.Generation, Round: k.Round}
}

// ParseKey reads a key: a UID of 1 to 64 letters, digits, dots, dashes or underscores, a generation of 0 or more, a
// round of 1 or more.
func ParseKey(m *agentv1.RoundKey) (schedule.Key, error) {
	k := schedule.Key{UID: m.GetTaskUid(), Generation: m.GetGeneration(), Round: m.GetRound()}
	switch {
	case m == nil:
		return schedule.Key{}, errors.New("round key is missing")
	case k.UID == "" || len(k.UID) > maxUIDBytes || strings.ContainsFunc(k.UID, notInUID):
		return schedule.Key{}, fmt.Errorf("round key: task UID must be 1 to %d letters, digits, dots, dashes or "+
			"underscores", maxUIDBytes)
	case k.Generation < 0:
		return schedule.Key{}, fmt.Errorf("round key: generation %d is negative", k.Generation)
	case k.Round < 1:
		return schedule.Key{}, fmt.Errorf("round key: round %d is below 1", k.Round)
	}
	return k, nil
}

const uidCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

func notInUID(r rune) bool { return !strings.ContainsRune(uidCharacters, r) }

// text checks the length of a foreign string in bytes, and that it has no control characters, which could disturb a
// terminal or a log.
func text(what, s string, least, most int) error {
	if len(s) < least || len(s) > most {
		return fmt.Errorf("%s has %d bytes, allowed are %d to %d", what, len(s), least, most)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return textBeyondASCII(what, s)
		}
	}
	return nil
}

func textBeyondASCII(what, s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%s has characters that are not text", what)
	}
	return nil
}

// duration reads a duration between the two bounds, both included.
func duration(what string, m *durationpb.Duration, least, most time.Duration) (time.Duration, error) {
	if m == nil {
		return 0, fmt.Errorf("%s is missing", what)
	}
	if err := m.CheckValid(); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	d := m.AsDuration()
	if d < least || d > most {
		return 0, fmt.Errorf("%s %v is outside %v to %v", what, d, least, most)
	}
	return d, nil
}

// timestamp returns the message for a time, nil for the zero time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func parseTimes(what string, from, to *timestamppb.Timestamp) (started, ended time.Time, err error) {
	if started, err = parseTime(what+" start", from); err != nil {
		return started, ended, err
	}
	if ended, err = parseTime(what+" end", to); err != nil {
		return started, ended, err
	}
	if !ended.IsZero() && (started.IsZero() || ended.Before(started)) {
		return started, ended, fmt.Errorf("%s ends before it starts", what)
	}
	return started, ended, nil
}

func parseTime(what string, m *timestamppb.Timestamp) (time.Time, error) {
	if m == nil {
		return time.Time{}, nil
	}
	if err := m.CheckValid(); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", what, err)
	}
	return m.AsTime(), nil
}
