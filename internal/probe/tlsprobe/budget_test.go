package tlsprobe_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/probe/tlsprobe"
)

func TestBudget(t *testing.T) {
	for _, c := range []struct {
		name      string
		cores     float64
		perSecond int
		kept      bool
		fits      bool
	}{
		{"nothing fits always", 0, 0, false, true},
		{"without a core nothing else fits", 0, 1, true, false},
		{"less than no core is none", -1, 1, false, false},
		{"a core carries some 800 handshakes a second", 1, 833, false, true},
		{"and no more", 1, 834, false, false},
		{"two carry twice as many", 2, 1666, false, true},
		{"a tenth of a core carries a tenth", 0.1, 83, false, true},
		{"a tenth of a core carries no more", 0.1, 84, false, false},
		{"persistent connections carry several times as many", 1, 5555, true, true},
		{"and no more than that", 1, 5556, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tlsprobe.Fits(c.cores, c.perSecond, c.kept); got != c.fits {
				t.Errorf("%d a second on %v cores, kept %v: fits is %v", c.perSecond, c.cores, c.kept, got)
			}
			if !c.kept && (c.perSecond <= tlsprobe.Budget(c.cores)) != c.fits {
				t.Errorf("the budget of %v cores is %d", c.cores, tlsprobe.Budget(c.cores))
			}
		})
	}
}
