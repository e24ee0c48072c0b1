package engine

import "bytes"

// maxCachedHeader is the longest head of an answer that is remembered.
const maxCachedHeader = 512

// headerCache remembers the last head of an answer, from the status line to the blank line, and what the parser made of it: agents send
// the same one over and over, within a second to the byte. The parser looks at nothing behind the head to understand it, so equal bytes mean the same.
type headerCache struct {
	head  []byte
	after parser
}

// feed is the parser's, with the memo's help.
func (m *headerCache) feed(p *parser, b []byte) (n int, v verdict, err error) {
	if p.stage != atStatus || p.messages != 0 || p.lines.scan != 0 {
		return p.feed(b)
	}
	if len(m.head) > 0 && bytes.HasPrefix(b, m.head) {
		*p = m.after
		return copy(b, b[len(m.head):]), final, nil
	}
	if v, err = p.head(b); v != final {
		return len(b), v, err
	}
	// What was changed in place to join lines is not what was received.
	if head := b[:p.lines.pos]; p.messages == 0 && !p.lines.joined && len(head) <= maxCachedHeader {
		m.head, m.after = append(m.head[:0], head...), *p
	}
	return copy(b, b[p.lines.pos:]), final, nil
}
