package resident

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyAreasOfTheProgramThatNobodyWritesAreFound(t *testing.T) {
	const smaps = `00400000-00911000 r-xp 00000000 00:1b 77 /kdoctor-agent
Size:               5188 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00911000-00ea0000 r--p 00511000 00:1b 77 /kdoctor-agent
Anonymous:             0 kB
00ea0000-00f00000 r--p 00aa0000 00:1b 77 /kdoctor-agent
Anonymous:             8 kB
00f00000-00f80000 rw-p 00b00000 00:1b 77 /kdoctor-agent
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:          2048 kB
7f0000000000-7f0000001000 r--p 00000000 00:1b 78 /other
Anonymous:             0 kB
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
`
	got, err := untouched(strings.NewReader(smaps), "/kdoctor-agent")
	if err != nil {
		t.Fatal(err)
	}
	want := []area{{0x400000, 0x911000}, {0x911000, 0xea0000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(area{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNoListOfAreasHasNone(t *testing.T) {
	for _, text := range []string{"", "Anonymous: 0 kB\n", "x-y r-xp 0 0 0 /p\nAnonymous: 0 kB\n",
		"20-10 r-xp 0 0 0 /p\nAnonymous: 0 kB\n", "10-20 r-xp 0 0 0 /p\n"} {
		if got, err := untouched(strings.NewReader(text), "/p"); err != nil || len(got) > 0 {
			t.Errorf("%q: found %v, %v", text, got, err)
		}
	}
}
