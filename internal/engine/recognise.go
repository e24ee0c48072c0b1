package engine

import (
	"bytes"
	"encoding/json"

	"kdoctor.io/kdoctor/internal/echo"
)

// recogniser reads the usual answer of an agent without garbage: the fields in the order in which package responder
// writes them, and strings without escapes. An answer that it does not recognise may still be one; package httpprobe
// judges it.
type recogniser struct {
	// front is what precedes the pod's name; it is empty for an installation whose name needs an escape.
	front []byte
}

func newRecogniser(installation string) recogniser {
	quoted, err := json.Marshal(installation)
	if err != nil || string(quoted) != `"`+installation+`"` {
		return recogniser{}
	}
	return recogniser{[]byte(`{"kdoctor":{"installation":` + string(quoted) + `,"pod":"`)}
}

// pod returns the name of the pod that answered.
func (r recogniser) pod(body []byte) (pod []byte, ok bool) {
	if len(r.front) == 0 || !bytes.HasPrefix(body, r.front) {
		return nil, false
	}
	pod, rest, ok := text(body[len(r.front):])
	if !ok || len(pod) == 0 || len(pod) > echo.MaxPodBytes || bytes.IndexByte(pod, ' ') >= 0 {
		return nil, false
	}
	for _, key := range [...]string{`,"podUID":"`, `,"node":"`, `},"clientAddress":"`, `,"method":"`, `,"path":"`,
		`,"host":"`} {
		if len(rest) < len(key) || string(rest[:len(key)]) != key {
			return nil, false
		}
		if _, rest, ok = text(rest[len(key):]); !ok {
			return nil, false
		}
	}
	if len(rest) == 0 || rest[0] != '}' {
		return nil, false
	}
	return pod, len(bytes.TrimLeft(rest[1:], " \n")) == 0
}

// text reads the rest of a string of printable ASCII without escapes.
func text(b []byte) (value, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '"')
	if end < 0 {
		return nil, nil, false
	}
	value = b[:end]
	for _, c := range value {
		if c < ' ' || c >= 0x7f || c == '\\' {
			return nil, nil, false
		}
	}
	return value, b[end+1:], true
}
