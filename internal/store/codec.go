package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

const (
	// roundFormat is the version of the content of stored rounds, planFormat that of stored plans. Rounds of format 1,
	// one JSON value each, are read as well.
	roundFormat = 2
	planFormat  = 1
	// maxBlob bounds a blob as it is kept, maxUnpacked what it may unpack to, both in bytes.
	maxBlob     = 64 << 20
	maxUnpacked = 512 << 20
)

// wholeRound is a round of format 1.
type wholeRound struct {
	Format  int             `json:"format"`
	Round   report.Round    `json:"round"`
	Verdict verdict.Verdict `json:"verdict"`
	Spec    json.RawMessage `json:"spec,omitempty"`
}

type planBlob struct {
	Format   int          `json:"format"`
	Key      schedule.Key `json:"key"`
	Mesh     mesh.Mesh    `json:"mesh"`
	Started  time.Time    `json:"started"`
	Deadline time.Time    `json:"deadline"`
}

func encodeRound(kept verdict.StoredRound) func(io.Writer) error {
	return pack(func(w io.Writer) error { return writeRound(w, kept) })
}

func encodePlan(key schedule.Key, plan StoredPlan) func(io.Writer) error {
	content := planBlob{Format: planFormat, Key: key, Mesh: plan.Mesh, Started: plan.Started, Deadline: plan.Deadline}
	return pack(func(w io.Writer) error { return json.NewEncoder(w).Encode(content) })
}

// pack compresses what is written.
func pack(write func(io.Writer) error) func(io.Writer) error {
	return func(w io.Writer) error {
		// The columns leave little to find: a better compression takes four times as long for a twentieth.
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		if err := write(&bounded{w: z, left: maxUnpacked}); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		return z.Close()
	}
}

// bounded refuses to write more than can be read again.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("more than the %d bytes that can be read again", maxUnpacked)
	}
	return b.w.Write(p)
}

// unpack returns what a blob unpacks to, up to limit bytes.
func unpack(from io.Reader, limit int64) (*bufio.Reader, error) {
	z, err := gzip.NewReader(from)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(&limited{r: z, left: limit}, 64<<10), nil
}

// limited is an error once more than the limit is read.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errors.New("it unpacks to more than is allowed")
	}
	return n, err
}

// formatOf returns the format that the content begins with; 0 if there is none. It takes nothing from the content.
func formatOf(content *bufio.Reader) (int, error) {
	start, err := content.Peek(32)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	number := regexp.MustCompile(`^{\s*"format":\s*(\d{1,9})\s*[,}]`).FindSubmatch(start)
	if number == nil {
		return 0, nil
	}
	return strconv.Atoi(string(number[1]))
}

// unknown is the error of a format that this release does not read.
func unknown(format, newest int) error {
	if format > newest {
		return fmt.Errorf("format %d was written by a newer release; this one reads format %d", format, newest)
	}
	return fmt.Errorf("format %d is not known", format)
}

func corrupt(err error) error { return fmt.Errorf("%w: %w", ErrCorrupt, err) }

func decodeRound(key schedule.Key, body []byte) (verdict.StoredRound, error) {
	content, err := unpack(bytes.NewReader(body), maxUnpacked)
	if err != nil {
		return verdict.StoredRound{}, corrupt(err)
	}
	stored, err := readRound(key, content)
	if err != nil {
		return verdict.StoredRound{}, corrupt(err)
	}
	return stored, nil
}

// readRound reads a round of any format.
func readRound(key schedule.Key, content *bufio.Reader) (verdict.StoredRound, error) {
	r, whole, err := openRound(key, content)
	if err != nil || r == nil {
		return whole, err
	}
	return r.round(key)
}

// openRound returns a reader of what comes after the preamble, or, for format 1, the whole round.
func openRound(key schedule.Key, content *bufio.Reader) (*roundReader, verdict.StoredRound, error) {
	format, err := formatOf(content)
	if err != nil {
		return nil, verdict.StoredRound{}, err
	}
	switch format {
	case roundFormat:
		if line, err := content.ReadString('\n'); line != preamble {
			err = errors.Join(errors.New("the first line does not name the format alone"), err)
			return nil, verdict.StoredRound{}, err
		}
		r, err := newRoundReader(content)
		return r, verdict.StoredRound{}, err
	case 1:
		var b wholeRound
		if err := readJSON(content, &b); err != nil {
			return nil, verdict.StoredRound{}, err
		}
		if b.Round.Key != key {
			return nil, verdict.StoredRound{}, fmt.Errorf("it holds round %s", b.Round.Key)
		}
		return nil, verdict.StoredRound{Round: b.Round, Verdict: b.Verdict, Spec: b.Spec}, nil
	default:
		return nil, verdict.StoredRound{}, unknown(format, roundFormat)
	}
}

func decodePlan(key schedule.Key, body []byte) (StoredPlan, error) {
	var b planBlob
	content, err := unpack(bytes.NewReader(body), maxUnpacked)
	if err != nil {
		return StoredPlan{}, corrupt(err)
	}
	format, err := formatOf(content)
	if err != nil {
		return StoredPlan{}, corrupt(err)
	}
	if format != planFormat {
		return StoredPlan{}, corrupt(unknown(format, planFormat))
	}
	if err := readJSON(content, &b); err != nil {
		return StoredPlan{}, corrupt(err)
	}
	if b.Key != key {
		return StoredPlan{}, fmt.Errorf("it holds plan %s: %w", b.Key, ErrCorrupt)
	}
	return StoredPlan{Mesh: b.Mesh, Started: b.Started, Deadline: b.Deadline}, nil
}

// readJSON reads one JSON value and insists on the end of the stream, where the checksum of the compression is.
func readJSON(content *bufio.Reader, into any) error {
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
