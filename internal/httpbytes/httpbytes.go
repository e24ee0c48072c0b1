// Package httpbytes reads the small parts of HTTP/1 messages in place: lines, names, values, lists and numbers. It
// accepts what net/http accepts, and makes no garbage.
package httpbytes

import (
	"bytes"
	"math"
)

// LineEnd returns where the line of b that starts at from and whose line feed is at end has its last byte: before the
// line feed, or before the carriage return in front of it.
func LineEnd(b []byte, from, end int) int {
	if end > from && b[end-1] == '\r' {
		return end - 1
	}
	return end
}

// Blank reports whether the byte is a space or a tab.
func Blank(c byte) bool { return c == ' ' || c == '\t' }

// Digit reports whether the byte is a decimal digit.
func Digit(c byte) bool { return '0' <= c && c <= '9' }

// Trim returns b without the blanks around it.
func Trim(b []byte) []byte {
	for len(b) > 0 && Blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && Blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// EqualFold compares ASCII without case; lower is in lower case.
func EqualFold(b []byte, lower string) bool {
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

// Listed reports whether a list of elements between commas has one of the names, which are in lower case.
func Listed(list []byte, names ...string) bool {
	for len(list) > 0 {
		element := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			element, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		element = Trim(element)
		for _, name := range names {
			if EqualFold(element, name) {
				return true
			}
		}
	}
	return false
}

// Decimal reads a number of decimal digits alone. It reports false for one that is no int64.
func Decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if !Digit(c) || n > (math.MaxInt64-int64(c-'0'))/10 {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, len(b) > 0
}

// MaxHexDigits is how many digits the size of a chunk may have.
const MaxHexDigits = 16

// Hex reads a number of 1 to MaxHexDigits hexadecimal digits alone.
func Hex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		digit, ok := HexDigit(c)
		if !ok {
			return 0, false
		}
		n = n<<4 | uint64(digit)
	}
	return n, len(b) > 0 && len(b) <= MaxHexDigits
}

// HexDigit returns the value of a hexadecimal digit.
func HexDigit(c byte) (value byte, ok bool) {
	switch {
	case Digit(c):
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
