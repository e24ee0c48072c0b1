package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The kinds of frames. A reader passes over kinds that it does not know.
const (
	// headFrame is the round without its agents, in JSON. It comes first.
	headFrame = 'h'
	// stringsFrame and targetsFrame add to the dictionary what the frame behind them needs.
	stringsFrame = 's'
	targetsFrame = 't'
	// restFrame is what the head leaves out beside the agents.
	restFrame = 'r'
	// agentFrame is one agent.
	agentFrame = 'a'
	// endFrame is the last frame. It is empty.
	endFrame = 'e'
)

// maxFrame bounds a frame, in bytes.
const maxFrame = 16 << 20

// writeFrame writes one frame: its kind, its length as a varint, its checksum (CRC-32C, little endian) and its bytes.
func writeFrame(w io.Writer, kind byte, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("%d bytes of a frame are more than the %d that can be read again", len(body), maxFrame)
	}
	head := binary.AppendUvarint([]byte{kind}, uint64(len(body)))
	head = binary.LittleEndian.AppendUint32(head, checksum(body))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// frames reads frames.
type frames struct {
	from *bufio.Reader
	body bytes.Buffer
}

// next returns the next frame. Its bytes are valid until the next call.
func (f *frames) next() (kind byte, body []byte, err error) {
	if kind, err = f.from.ReadByte(); err != nil {
		return 0, nil, noEOF(err)
	}
	n, err := binary.ReadUvarint(f.from)
	if err != nil {
		return 0, nil, noEOF(err)
	}
	if n > maxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	var sum [4]byte
	if _, err := io.ReadFull(f.from, sum[:]); err != nil {
		return 0, nil, noEOF(err)
	}
	// The buffer grows with the bytes that there are, not with the bytes that are claimed.
	f.body.Reset()
	if _, err := io.CopyN(&f.body, f.from, int64(n)); err != nil { // #nosec G115 -- it is at most maxFrame
		return 0, nil, noEOF(err)
	}
	if binary.LittleEndian.Uint32(sum[:]) != checksum(f.body.Bytes()) {
		return 0, nil, fmt.Errorf("the checksum of a frame %q does not fit", kind)
	}
	return kind, f.body.Bytes(), nil
}

// end insists on the end of the stream, where the checksum of the compression is.
func (f *frames) end() error {
	switch _, err := f.from.ReadByte(); {
	case err == nil:
		return errors.New("there is more behind the end")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// noEOF makes the end of the stream an error, where something had to come.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
