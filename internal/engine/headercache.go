package engine

import "bytes"

// maxCachedHeader is the longest head of an answer that is cached, in bytes.
const maxCachedHeader = 512

// headerCache caches the last head of an answer, from the status line to the blank line, and the parser's state after
// it. Agents send the same head again and again: within a second it is equal to the byte. The parser reads nothing
// after a head to understand it, so that equal bytes mean the same.
type headerCache struct {
	head  []byte
	after parser
}

// feed is parser.feed, with the cache's help.
func (m *headerCache) feed(p *parser, b []byte) (n int, v verdict, err error) {
	if p.stage != atStatus || p.messages != 0 || p.header.scan != 0 {
		return p.feed(b)
	}
	if len(m.head) > 0 && bytes.HasPrefix(b, m.head) {
		*p = m.after
		return copy(b, b[len(m.head):]), final, nil
	}
	if v, err = p.head(b); v != final {
		return len(b), v, err
	}
	// Where lines were joined in place, the buffer no longer holds what was received.
	if head := b[:p.header.pos]; p.messages == 0 && !p.header.joined && len(head) <= maxCachedHeader {
		m.head, m.after = append(m.head[:0], head...), *p
	}
	return copy(b, b[p.header.pos:]), final, nil
}
