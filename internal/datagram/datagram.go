// Package datagram is what both ends of a UDP probe agree on, and the end that answers.
//
// A request has the size that the probe wants to test, and the answer has the same size: nobody can use an agent to
// send more than was sent to it. The answer repeats the request's number and says which pod answers.
package datagram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
)

// Sizes of a datagram's payload in bytes.
const (
	// MinBytes is the least size of a request and its answer.
	MinBytes = 128
	// MaxBytes is the largest: the payload of the largest UDP packet over IPv4.
	MaxBytes = 65507
)

// The layout: four bytes of magic, the kind, the request's number, a hash of the pod's name, the length of the name's
// beginning, and that beginning. Zeros fill it up.
const (
	magic   = "kdp1"
	request = 1
	answer  = 2

	kindAt   = len(magic)
	numberAt = kindAt + 1
	hashAt   = numberAt + 8
	lengthAt = hashAt + 8
	nameAt   = lengthAt + 1
	maxName  = MinBytes - nameAt
)

var (
	errShort   = errors.New("the datagram is too short")
	errForeign = errors.New("the datagram is not of an agent")
)

// Request returns a request of the given size, which is raised to MinBytes.
func Request(number uint64, size int) []byte {
	b := make([]byte, min(max(size, MinBytes), MaxBytes))
	copy(b, magic)
	b[kindAt] = request
	binary.BigEndian.PutUint64(b[numberAt:], number)
	return b
}

// Answer turns a request into its answer, in place. It returns an error for everything that is no request.
func Answer(b []byte, pod string) error {
	if err := check(b, request); err != nil {
		return err
	}
	b[kindAt] = answer
	binary.BigEndian.PutUint64(b[hashAt:], hash(pod))
	b[lengthAt] = byte(copy(b[nameAt:MinBytes], pod)) // #nosec G115 -- less than MinBytes
	return nil
}

// Peer says which pod sent an answer.
type Peer struct {
	// Name is the pod's name, cut to the first hundred bytes or so.
	Name string
	hash uint64
}

// Is reports whether the peer is the named pod.
func (p Peer) Is(pod string) bool { return p.hash == hash(pod) }

// ParseAnswer reads an answer, and returns the number of its request.
func ParseAnswer(b []byte) (number uint64, from Peer, err error) {
	if err := check(b, answer); err != nil {
		return 0, Peer{}, err
	}
	length := int(b[lengthAt])
	if length > maxName {
		return 0, Peer{}, errForeign
	}
	name := b[nameAt : nameAt+length]
	if bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return 0, Peer{}, errForeign
	}
	return binary.BigEndian.Uint64(b[numberAt:]), Peer{string(name), binary.BigEndian.Uint64(b[hashAt:])}, nil
}

func check(b []byte, kind byte) error {
	switch {
	case len(b) < MinBytes:
		return errShort
	case string(b[:len(magic)]) != magic || b[kindAt] != kind:
		return errForeign
	}
	return nil
}

func hash(pod string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(pod)) // a hash takes everything
	return h.Sum64()
}
