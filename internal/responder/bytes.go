package responder

import "bytes"

func withoutReturn(b []byte, from, to int) int {
	if to > from && b[to-1] == '\r' {
		return to - 1
	}
	return to
}

func trim(b []byte) []byte {
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// contains tells whether a list has the element, which is in lower case.
func contains(list []byte, element string) bool {
	for {
		comma := bytes.IndexByte(list, ',')
		if comma < 0 {
			return equalFold(trim(list), element)
		}
		if equalFold(trim(list[:comma]), element) {
			return true
		}
		list = list[comma+1:]
	}
}

// equalFold compares ASCII without case; lower is in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// decimal reads a number that is written in at most 18 digits.
func decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
		if len(b) > 18 {
			return 0, false
		}
	}
	return n, len(b) > 0
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// Sets of ASCII characters: one bit for each, in two words.
const (
	digits  = (1<<10 - 1) << '0'
	letters = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	// names are the characters of a token, RFC 9110, section 5.6.2.
	namesLow  = digits | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.'
	namesHigh = letters | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
	// hosts are the characters that net/http's server accepts in the Host field.
	hostsLow  = digits | 1<<'!' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' | 1<<',' | 1<<'-' | 1<<'.' | 1<<':' | 1<<';' | 1<<'='
	hostsHigh = letters | 1<<('['-64) | 1<<(']'-64) | 1<<('_'-64) | 1<<('~'-64)
)

func in(c byte, low, high uint64) bool {
	switch {
	case c < 64:
		return low>>c&1 != 0
	case c < 128:
		return high>>(c-64)&1 != 0
	}
	return false
}

// nameByte tells whether the byte may stand in a method or the name of a header.
func nameByte(c byte) bool { return in(c, namesLow, namesHigh) }

func validHost(b []byte) bool {
	for _, c := range b {
		if !in(c, hostsLow, hostsHigh) {
			return false
		}
	}
	return true
}
