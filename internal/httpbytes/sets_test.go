package httpbytes

import (
	"strings"
	"testing"
)

func TestNamesOfHeadersHaveTheCharactersOfTokens(t *testing.T) {
	for c := range 256 {
		want := c < 128 && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			c != 0 && strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)))
		if got := NameByte(byte(c)); got != want {
			t.Errorf("%#x in a name is %v, want %v", c, got, want)
		}
	}
}

func TestControlCharactersAreFoundAnywhere(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				b := []byte(strings.Repeat("x", length))
				b[at] = byte(c)
				if got, want := printable(b), c >= ' ' && c != 0x7f; got != want {
					t.Fatalf("of %q: %v, want %v", b, got, want)
				}
				b[(at+1)%length] = 0xff
				if got, want := printable(b), length == 1 || c >= ' ' && c != 0x7f; got != want {
					t.Fatalf("of %q: %v, want %v", b, got, want)
				}
			}
		}
	}
}
