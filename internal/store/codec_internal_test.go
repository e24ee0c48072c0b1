package store

import (
	"bytes"
	"errors"
	"testing"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
)

func FuzzDecode(f *testing.F) {
	key := schedule.Key{UID: "u", Generation: 1, Round: 1}
	for _, encode := range []func() []byte{
		func() []byte { return packed(f, roundBlob{Format: format, Round: report.Round{Key: key}}) },
		func() []byte { return packed(f, planBlob{Format: format, Key: key}) },
		func() []byte { return packed(f, map[string]any{"format": 2}) },
	} {
		f.Add(encode())
	}
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, body []byte) {
		kept, err := decodeRound(key, body)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("round: %v is not ErrCorrupt", err)
		}
		if err == nil {
			var again bytes.Buffer
			if err := encodeRound(kept)(&again); err != nil {
				t.Errorf("a round that was read cannot be written: %v", err)
			}
		}
		if _, err := decodePlan(key, body); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("plan: %v is not ErrCorrupt", err)
		}
	})
}

func packed(f testing.TB, content any) []byte {
	var b bytes.Buffer
	if err := pack(content)(&b); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}
