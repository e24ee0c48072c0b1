package httpbytes

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestNumbersAreReadAsTheStandardLibraryDoes(t *testing.T) {
	digits := []string{"", "0", "7", "00", "12", "+1", "-1", " 1", "1 ", "1_0", "a", "fF", "g", "0x1",
		strconv.Itoa(math.MaxInt64),
		"9223372036854775808", "9223372036854775817", "99999999999999999999",
		"0000000000000000000000012", "ffffffffffffffff",
		"10000000000000000", "00000000000000001"}
	for _, text := range digits {
		n, ok := Decimal([]byte(text))
		want, err := strconv.ParseUint(text, 10, 63)
		if ok != (err == nil) || ok && n != int64(want) {
			t.Errorf("decimal %q is %d, %v; want %d, %v", text, n, ok, want, err)
		}
		h, ok := Hex([]byte(text))
		wantHex, err := strconv.ParseUint(text, 16, 64)
		if ok != (err == nil && len(text) <= MaxHexDigits) || ok && h != wantHex {
			t.Errorf("hexadecimal %q is %d, %v; want %d, %v", text, h, ok, wantHex, err)
		}
	}
}

func TestListsHaveElementsBetweenCommas(t *testing.T) {
	for _, c := range []struct {
		list string
		want bool
	}{
		{"close", true}, {"Close", true}, {"a, \tCLOSE ,b", true}, {",close", true}, {"close,", true}, {"closed",
			false}, {"clo se", false},
		{"", false}, {",", false}, {"a b", false}, {"a;close", false},
	} {
		if got := Listed([]byte(c.list), "other", "close"); got != c.want {
			t.Errorf("list %q: %v, want %v", c.list, got, c.want)
		}
	}
}

func TestNamesAndValuesOfFields(t *testing.T) {
	for _, c := range []struct {
		text        string
		name, value bool
	}{
		{"", false, true}, {"Host", true, true}, {"a b", false, true}, {"a:b", false, true}, {"a\tb", false, true},
		{strings.Repeat("x", 20) + "\t", false, true}, {strings.Repeat("x", 20) + "\n", false, false}, {"\x7f", false,
			false},
		{"\x80", false, true}, {"a\x00", false, false},
	} {
		if got := ValidName([]byte(c.text)); got != c.name {
			t.Errorf("%q as a name: %v, want %v", c.text, got, c.name)
		}
		if got := ValidValue([]byte(c.text)); got != c.value {
			t.Errorf("%q as a value: %v, want %v", c.text, got, c.value)
		}
	}
}

func TestLinesEndBeforeTheirBreak(t *testing.T) {
	for text, want := range map[string]int{"ab\n": 2, "ab\r\n": 2, "\n": 0, "\r\n": 0, "a\r\r\n": 2} {
		if got := LineEnd([]byte(text), 0, len(text)-1); got != want {
			t.Errorf("line %q ends at %d, want %d", text, got, want)
		}
	}
	if got := LineEnd([]byte("\r\n"), 1, 1); got != 1 {
		t.Errorf("a carriage return before the line ends the line at %d, want 1", got)
	}
}

func TestBlanksAreTrimmed(t *testing.T) {
	for text, want := range map[string]string{"": "", " \t": "", " a b\t": "a b", "a": "a", "\na": "\na"} {
		if got := string(Trim([]byte(text))); got != want {
			t.Errorf("%q trimmed is %q, want %q", text, got, want)
		}
	}
}
