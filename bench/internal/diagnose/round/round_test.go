package round

import (
	"math"
	"math/rand/v2"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// quiet is a network that loses nothing.
func quiet() Conditions { return Conditions{Noise: 1e-9, Burst: 1} }

// toNode loses a share of the datagrams between pods that go to a node.
func toNode(node int, share float64) Fault {
	is := func(p *world.Probe) bool { return p.Rung == ladder.PodToPod && p.To == node && p.Method == ladder.UDP }
	return Fault{Truth: Truth{Kind: "to a node", Accept: []infer.Component{{Part: infer.PolicyIn}}}, Touches: is,
		Lose: func(a *Attempt) Loss {
			if is(a.Probe) {
				return Loss{Share: share, How: ladder.NoAnswer}
			}
			return Loss{}
		}}
}

func play(w *world.World, c Conditions, faults ...Fault) *Trial {
	return Play(w, faults, c, 0, rand.New(rand.NewPCG(1, 1)))
}

func TestARoundWithoutFaultsLosesNothing(t *testing.T) {
	w := world.New(world.Config{Nodes: 12, Zones: 3, Seed: 1})
	trial := play(w, quiet())
	answered := map[ladder.Rung]uint64{}
	for _, o := range trial.Input.Observations {
		if o.Answered != o.Sent || len(o.Failures) != 0 {
			t.Errorf("%+v", o)
		}
		answered[o.Rung] += o.Answered
		sum := uint64(0)
		for _, n := range o.Peers {
			sum += n
		}
		if len(o.Backends) > 0 && o.Rung != ladder.DNSService && sum != o.Answered {
			t.Errorf("%d of %d answers have a name: %+v", sum, o.Answered, o)
		}
	}
	if len(answered) != 16 {
		t.Errorf("there are %d rungs: %v", len(answered), answered)
	}
}

func TestAHardFaultLosesItsTrafficAlone(t *testing.T) {
	w := world.New(world.Config{Nodes: 12, Zones: 3, Seed: 1})
	trial := play(w, quiet(), toNode(5, 1))
	lost := uint64(0)
	for _, o := range trial.Input.Observations {
		hit := o.Rung == ladder.PodToPod && o.To == w.Nodes[5] && o.Method == ladder.UDP
		passes := world.Passes
		if o.Counted {
			passes = 0
		}
		if o.Passes != passes || hit && o.FailedPasses != passes || !hit && o.FailedPasses != 0 {
			t.Errorf("%d of %d passes failed: %+v", o.FailedPasses, o.Passes, o)
		}
		if hit && (o.Answered != 0 || o.Failures[ladder.NoAnswer] != o.Sent) || !hit && o.Failed() != 0 {
			t.Errorf("%+v", o)
		}
		lost += o.Failed()
	}
	if trial.Lost[0] != lost || lost != 2*8*4*world.Passes {
		t.Errorf("the fault lost %d probes and is said to have lost %d; expected 192", lost, trial.Lost[0])
	}
	if !trial.Seen(false) {
		t.Errorf("a fault with evidence of %v nats is not seen", trial.Evidence[0])
	}
}

func TestAFaultBehindAnotherIsNotSeen(t *testing.T) {
	w := world.New(world.Config{Nodes: 12, Zones: 3, Seed: 1})
	trial := play(w, quiet(), toNode(5, 1), toNode(5, 0.5))
	if trial.Lost[1] != 0 || trial.Seen(false) || trial.Seen(true) {
		t.Errorf("the fault behind another lost %d probes alone", trial.Lost[1])
	}
	if trial := play(w, quiet(), toNode(5, 1), toNode(6, 1)); !trial.Seen(false) {
		t.Errorf("of two faults apart one is not seen: %v", trial.Evidence)
	}
}

func TestWhatTwoFaultsLostIsNeithers(t *testing.T) {
	w := world.New(world.Config{Nodes: 12, Zones: 3, Seed: 1})
	trial := play(w, quiet(), toNode(5, 0.4), toNode(5, 0.4))
	failed := uint64(0)
	for _, o := range trial.Input.Observations {
		failed += o.Failed()
	}
	// Of each probe 0.64 is lost, and 0.48 by one of the faults alone.
	if alone := trial.Lost[0] + trial.Lost[1]; alone > failed*9/10 || alone < failed/2 {
		t.Errorf("of %d lost probes %d and %d are said to be lost by one fault alone", failed, trial.Lost[0],
			trial.Lost[1])
	}
}

// What is lost on the way does not reach a process that answers badly, in whatever order the faults were drawn.
func TestTheFaultThatIsMetFirstSaysHowAnAttemptFails(t *testing.T) {
	w := world.New(world.Config{Nodes: 12, Zones: 3, Seed: 1})
	bad := toNode(5, 1)
	is := bad.Touches
	bad.Lose = func(a *Attempt) Loss {
		if is(a.Probe) {
			return Loss{Share: 1, How: ladder.BadReply}
		}
		return Loss{}
	}
	for _, faults := range [][]Fault{{toNode(5, 1), bad}, {bad, toNode(5, 1)}} {
		lost := uint64(0)
		for _, o := range play(w, quiet(), faults...).Input.Observations {
			lost += o.Failures[ladder.NoAnswer]
			if n := o.Failures[ladder.BadReply]; n > 0 {
				t.Errorf("%d attempts got a bad reply from a pod that they cannot reach: %+v", n, o)
			}
		}
		if lost == 0 {
			t.Error("nothing was lost")
		}
	}
}

func TestEvidence(t *testing.T) {
	const background = 1e-4
	for _, c := range []struct {
		name       string
		sent, lost uint64
		want       float64
	}{
		{"nothing lost", 100, 0, 0},
		{"all of three lost", 3, 3, 3 * math.Log(1/background)},
		{"half of ten lost", 10, 5, 5*math.Log(0.5/background) + 5*math.Log(0.5/(1-background))},
		{"less than background lost", 1_000_000, 1, 0},
	} {
		var m marks
		m.classes[0] = tally{c.sent, c.lost}
		if got := m.evidence(background); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v nats, expected %v", c.name, got, c.want)
		}
	}
}

func TestPartialLossHasItsShareInBurstsToo(t *testing.T) {
	w := world.New(world.Config{Nodes: 200, Zones: 1, Seed: 1})
	var faults []Fault
	for i := range 100 {
		faults = append(faults, toNode(i, 0.1))
	}
	for _, burst := range []int{1, 3} {
		c := quiet()
		c.Burst = burst
		sent, lost, twice, once := 0.0, 0.0, 0.0, 0.0
		for _, o := range play(w, c, faults...).Input.Observations {
			if o.Rung != ladder.PodToPod || o.Method != ladder.UDP || o.To >= w.Nodes[100] || o.Large {
				continue
			}
			sent, lost = sent+float64(o.Sent), lost+float64(o.Failed())
			switch {
			case o.Failed() > 1:
				twice++
			case o.Failed() == 1:
				once++
			}
		}
		if share := lost / sent; share < 0.07 || share > 0.12 {
			t.Errorf("bursts of %d lose %v of the probes, expected about 0.1", burst, share)
		}
		if burst > 1 && twice < once || burst == 1 && twice > once {
			t.Errorf("with bursts of %d, %v observations lost several probes and %v lost one", burst, twice, once)
		}
	}
}

func TestConditions(t *testing.T) {
	w := world.New(world.Config{Nodes: 400, Zones: 4, Seed: 1})
	c := quiet()
	c.LostReports, c.WrongZones = 0.3, 0.1
	trial := play(w, c)
	pods, hosts, wrong := map[string]bool{}, map[string]bool{}, 0
	for _, o := range trial.Input.Observations {
		switch o.Rung {
		case ladder.Self:
			pods[o.From] = true
		case ladder.HostToOwnPod:
			hosts[o.From] = true
		default:
		}
	}
	for i, name := range w.Nodes {
		if trial.Input.Zones[name] != w.ZoneNames[w.Zone[i]] {
			wrong++
		}
	}
	if len(pods) < 240 || len(pods) > 320 || len(hosts) < 240 || len(hosts) > 320 {
		t.Errorf("%d and %d of 400 agents reported, expected about 280", len(pods), len(hosts))
	}
	if wrong < 20 || wrong > 60 {
		t.Errorf("%d of 400 nodes have a wrong zone, expected about 40", wrong)
	}
}

func TestDeletedNodesAreNotAsked(t *testing.T) {
	w := world.New(world.Config{Nodes: 100, Zones: 1, Seed: 1})
	c := quiet()
	c.Churn = 0.1
	reporting, refused := map[string]bool{}, uint64(0)
	trial := play(w, c)
	for _, o := range trial.Input.Observations {
		reporting[o.From] = true
		refused += o.Failures[ladder.Refused]
	}
	for _, o := range trial.Input.Observations {
		if o.To != "" && !reporting[o.To] {
			t.Errorf("%s asks %s, which was deleted", o.From, o.To)
		}
		if len(o.Backends) == 0 && o.Failed() > 0 {
			t.Errorf("%+v", o)
		}
	}
	if len(reporting) < 80 || len(reporting) > 97 || refused == 0 {
		t.Errorf("%d of 100 nodes report and %d requests met a deleted pod", len(reporting), refused)
	}
}

func TestBackgroundLoss(t *testing.T) {
	w := world.New(world.Config{Nodes: 200, Zones: 1, Seed: 1})
	c := Conditions{Noise: 50, Burst: 1}
	for _, gentle := range []bool{false, true} {
		c.GentleTCP = gentle
		sent, lost, requests, retried := 0.0, 0.0, 0.0, 0.0
		for _, o := range play(w, c).Input.Observations {
			if o.Rung == ladder.Self && o.Failed() > 0 {
				t.Errorf("the background took a probe of a pod to itself")
			}
			if o.Method == ladder.HTTP {
				requests += float64(o.Failed())
				retried += float64(o.Retried)
				continue
			}
			sent, lost = sent+float64(o.Sent), lost+float64(o.Failed())
		}
		if share := lost / sent; share < 0.0007 || share > 0.0013 {
			t.Errorf("the background took %v of the datagrams, expected about 0.001", share)
		}
		if gentle != (retried > 10*requests) {
			t.Errorf("with connections spared %v, %v requests failed and %v were sent again", gentle, requests, retried)
		}
	}
}

func TestSeverities(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for s, least := range map[Severity]float64{Hard: 1, Gray: 0.02, Faint: 0.005} {
		if parsed, err := ParseSeverity(string(s)); err != nil || parsed != s {
			t.Errorf("%s: %v", s, err)
		}
		for range 100 {
			if share := s.Draw(random); share < least || share > 1 || s != Hard && share > 0.5 {
				t.Errorf("%s: drew %v", s, share)
			}
		}
	}
	if _, err := ParseSeverity("dark"); err == nil {
		t.Error("an unknown severity is taken")
	}
}
