package workload

import "testing"

func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"", "21000-21999", "1023-2000", "65533-65535", "65534-65536", "21000-", "-1-5",
		"3-2-1", "+21000-+21999"} {
		f.Add(seed, "agent")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		r, err := ParseRange(text)
		if err != nil {
			return
		}
		if r.First < 1024 || r.Last > 65535 || r.Last-r.First < 2 {
			t.Fatalf("%q reads as %+v", text, r)
		}
		p, err := r.pick(name, nil)
		if err != nil || !r.holds(p, nil) {
			t.Errorf("of %+v the ports %+v are chosen, %v", r, p, err)
		}
	})
}
