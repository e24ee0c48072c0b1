package httpbytes

import "encoding/binary"

// Sets of ASCII characters: a bit for each, in a word for those below 64 and one for those above.
const (
	digits  = (1<<10 - 1) << '0'
	letters = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	// names are the characters of a token (RFC 9110, section 5.6.2).
	namesLow  = digits | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.'
	namesHigh = letters | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
	// hosts are the characters that net/http's server accepts in the Host field.
	hostsLow = digits | 1<<'!' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' |
		1<<',' | 1<<'-' | 1<<'.' | 1<<':' | 1<<';' | 1<<'='
	hostsHigh = letters | 1<<('['-64) | 1<<(']'-64) | 1<<('_'-64) | 1<<('~'-64)
)

func in(c byte, low, high uint64) bool {
	if c < 64 {
		return low>>c&1 != 0
	}
	return c < 128 && high>>(c-64)&1 != 0
}

// NameByte reports whether the byte may stand in a method or in the name of a field.
func NameByte(c byte) bool { return in(c, namesLow, namesHigh) }

// ValidName reports whether b is a method or the name of a field: one or more bytes of a token.
func ValidName(b []byte) bool {
	for _, c := range b {
		if !NameByte(c) {
			return false
		}
	}
	return len(b) > 0
}

// ValidHost reports whether the Host field may have the value.
func ValidHost(b []byte) bool {
	for _, c := range b {
		if !in(c, hostsLow, hostsHigh) {
			return false
		}
	}
	return true
}

// ValidValue reports whether a field may have the value: it has no control character but tabs.
func ValidValue(b []byte) bool {
	if printable(b) {
		return true
	}
	for _, c := range b {
		if Control(c) {
			return false
		}
	}
	return true
}

// Control reports whether the byte is a control character other than a tab.
func Control(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// Words of eight equal bytes.
const (
	ones  = 0x0101010101010101
	tops  = 0x8080808080808080
	space = ' ' * ones
	del   = 0x7f * ones
)

// printable reports whether no byte is a control character, tabs included; bytes above 0x7f are none. It looks at eight
// bytes at once.
func printable(b []byte) bool {
	for len(b) >= 8 {
		w := binary.NativeEndian.Uint64(b)
		x := w ^ del
		if ((w-space)&^w|(x-ones)&^x)&tops != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
