package engine

import "encoding/binary"

// Words of eight equal bytes.
const (
	ones  = 0x0101010101010101
	tops  = 0x8080808080808080
	space = ' ' * ones
	del   = 0x7f * ones
)

// printable tells whether no byte is a control character; bytes above 0x7f are none. It looks at eight at once.
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

// Sets of the ASCII characters that may stand in a header's name, by their numbers: digits and !#$%&'*+-. below 64, letters and ^_`|~ above.
const (
	lowName  = 0x3ff<<'0' | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.'
	highName = 0x3ffffff<<('A'-64) | 0x3ffffff<<('a'-64) | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)
)

// nameByte tells whether the byte may stand in the name of a header.
func nameByte(c byte) bool {
	if c < 64 {
		return uint64(lowName)>>c&1 != 0
	}
	return c < 128 && uint64(highName)>>(c-64)&1 != 0
}
