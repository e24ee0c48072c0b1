package store

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

func FuzzDecode(f *testing.F) {
	key := schedule.Key{UID: "u", Generation: 1, Round: 1}
	f.Add(encoded(f, encodeRound(verdict.StoredRound{Round: report.Round{Key: key}})))
	f.Add(encoded(f, encodePlan(key, StoredPlan{})))
	f.Add(gzipped(f, []byte(`{"format":1,"round":{"Key":{"UID":"u","Generation":1,"Round":1}}}`)))
	f.Add(gzipped(f, []byte(`{"format":3}`)))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, body []byte) {
		readAndWrite(t, key, body)
		if _, err := decodePlan(key, body); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("plan: %v is not ErrCorrupt", err)
		}
	})
}

// readAndWrite reads a round and, if it can be read, writes it. It reports whether the round could be read.
func readAndWrite(t *testing.T, key schedule.Key, body []byte) bool {
	t.Helper()
	kept, err := decodeRound(key, body)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("round: %v is not ErrCorrupt", err)
		}
		return false
	}
	if err := encodeRound(kept)(io.Discard); err != nil {
		t.Errorf("a round that was read cannot be written: %v", err)
	}
	return true
}

// FuzzFrames puts frames with any content, but with checksums that fit, into a round.
func FuzzFrames(f *testing.F) {
	of := realisticRound(2)
	of.Round.Agents[0].Paths = of.Round.Agents[0].Paths[:1]
	of.Round.Agents[1].Paths[0].Failures = []report.Failure{{Outcome: 1, Phase: 1, Count: 3, Examples: []string{"x"}}}
	f.Add(framesOf(f, of))
	f.Add([]byte{agentFrame, 0})
	f.Fuzz(func(t *testing.T, content []byte) {
		var out bytes.Buffer
		out.WriteString(preamble)
		head := `{"round":{"Key":{"UID":"u","Generation":1,"Round":1}}}`
		if err := writeFrame(&out, headFrame, []byte(head)); err != nil {
			t.Fatal(err)
		}
		out.Write(framed(content))
		if err := writeFrame(&out, endFrame, nil); err != nil {
			t.Fatal(err)
		}
		readAndWrite(t, of.Round.Key, gzipped(t, out.Bytes()))
	})
}

// framed returns the frames of framesOf as a blob has them.
func framed(content []byte) []byte {
	var out []byte
	for len(content) > 0 {
		kind := content[0]
		body, rest, err := cutBytes(content[1:])
		if err != nil {
			break
		}
		out, content = append(out, frame(kind, body)...), rest
	}
	return out
}

// framesOf returns the frames of a round behind its head, each as its kind, its length and its bytes.
func framesOf(t testing.TB, of verdict.StoredRound) []byte {
	t.Helper()
	content := unpacked(t, encoded(t, encodeRound(of)))
	f := frames{from: bufferedFrom(content[len(preamble):])}
	var out []byte
	for {
		kind, body, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case headFrame:
		case endFrame:
			return out
		default:
			out = appendBytes(append(out, kind), body)
		}
	}
}
