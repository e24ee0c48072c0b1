package packets

import (
	"math/rand/v2"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// table plays the row of a name at nodes x and y of a small cluster.
func table(t *testing.T, name string, seed uint64) (*world.World, *scene, *round.Trial) {
	t.Helper()
	w := world.New(world.Config{Nodes: 9, Zones: 3, Seed: 1})
	for _, r := range rows() {
		if r.name == name {
			random := rand.New(rand.NewPCG(seed, 1))
			s := newScene(w, 0.3, random)
			f := s.fault(r, round.Hard)
			conditions := round.Conditions{Noise: 1e-9, Burst: 1, GentleTCP: true}
			return w, s, round.Play(w, []round.Fault{f}, conditions, 0, random)
		}
	}
	t.Fatalf("there is no row %q", name)
	return nil, nil, nil
}

// all of an observation failed in one way.
func lostAs(o *ladder.Observation, how ladder.Failure) bool {
	return o.Answered == 0 && o.Failures[how] == o.Sent
}

func TestRowsFailWhereTheTableSays(t *testing.T) {
	// Each function says how an observation of a path to one pod or host must fail, or "" for not at all.
	type want func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure
	from := func(s *scene, w *world.World, o *ladder.Observation) bool { return o.From == w.Nodes[s.x] }
	to := func(s *scene, w *world.World, o *ladder.Observation) bool { return o.To == w.Nodes[s.x] }
	either := func(s *scene, w *world.World, o *ladder.Observation) bool { return from(s, w, o) || to(s, w, o) }
	local := func(o *ladder.Observation) bool { return o.From == o.To }
	for name, expected := range map[string]want{
		"1 node or its NIC down": func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure {
			switch {
			case local(o) || o.Rung == ladder.SecondInterface:
				return ""
			case from(s, w, o):
				return ladder.Unreachable
			case to(s, w, o):
				return ladder.NoAnswer
			}
			return ""
		},
		"12 MTU too small at a node's port": func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure {
			if o.Large && either(s, w, o) && !local(o) {
				return ladder.NoAnswer
			}
			return ""
		},
		"14 firewall for the probe port": func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure {
			switch o.Rung {
			case ladder.HostToHost, ladder.PodToHost, ladder.PodToOwnHost:
				if to(s, w, o) {
					return ladder.NoAnswer
				}
			default:
			}
			return ""
		},
		"15/17/21 tunnel of a node broken": func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure {
			switch o.Rung {
			case ladder.PodToPod, ladder.HostToPod, ladder.DNSPod:
				if either(s, w, o) && !local(o) {
					return ladder.NoAnswer
				}
			default:
			}
			return ""
		},
		"23/24 no forwarding of IPv4": func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure {
			switch o.Rung {
			case ladder.PodToPod, ladder.DNSPod:
				if either(s, w, o) && !local(o) && o.Family == "IPv4" {
					return ladder.NoAnswer
				}
			case ladder.HostToPod:
				if to(s, w, o) && o.Family == "IPv4" {
					return ladder.NoAnswer
				}
			case ladder.PodToHost, ladder.APIServer:
				if from(s, w, o) && o.Family == "IPv4" {
					return ladder.NoAnswer
				}
			default:
			}
			return ""
		},
		"63/64 second interface down": func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure {
			if o.Rung == ladder.SecondInterface && either(s, w, o) {
				return ladder.NoAnswer
			}
			return ""
		},
		"32 the agent's listener closed": func(s *scene, w *world.World, o *ladder.Observation) ladder.Failure {
			if o.Method == ladder.HTTP && to(s, w, o) {
				return ladder.Refused
			}
			return ""
		},
		"37 host has no route to Services": func(*scene, *world.World, *ladder.Observation) ladder.Failure {
			return ""
		},
	} {
		for seed := range uint64(4) {
			w, s, trial := table(t, name, seed)
			for i := range trial.Input.Observations {
				o := &trial.Input.Observations[i]
				if len(o.Backends) > 0 {
					continue
				}
				how := expected(s, w, o)
				if how == "" && o.Failed() != 0 || how != "" && !lostAs(o, how) {
					t.Errorf("%s at %s: expected %q of %+v", name, w.Nodes[s.x], how, o)
				}
			}
		}
	}
}

func TestADeadNodeMayBeSilent(t *testing.T) {
	silent, reporting := 0, 0
	for seed := range uint64(20) {
		w, s, trial := table(t, "1 node or its NIC down", seed)
		says := 0
		for _, o := range trial.Input.Observations {
			if o.From == w.Nodes[s.x] {
				says++
			}
		}
		if says == 0 {
			silent++
			continue
		}
		reporting++
	}
	if silent == 0 || reporting == 0 {
		t.Errorf("of 20 dead nodes %d were silent and %d reported later; expected some of both", silent, reporting)
	}
}

func TestAFrozenAgentTakesConnectionsAndDoesNotReply(t *testing.T) {
	w, s, trial := table(t, "66 agent frozen", 1)
	name := w.Nodes[s.x]
	hosts := 0
	for i := range trial.Input.Observations {
		o := &trial.Input.Observations[i]
		switch {
		case o.From == name && o.Rung == ladder.PodToPod:
			t.Errorf("a frozen agent reported: %+v", o)
		case o.Rung == ladder.HostToHost:
			hosts++
			if o.Failed() != 0 {
				t.Errorf("another process failed: %+v", o)
			}
		case o.To == name && o.Rung == ladder.PodToPod && o.Method == ladder.HTTP && !lostAs(o, ladder.NoReply),
			o.To == name && o.Rung == ladder.PodToPod && o.Method == ladder.UDP && !lostAs(o, ladder.NoAnswer):
			t.Errorf("a frozen agent answered: %+v", o)
		}
	}
	if hosts != 9*8*2*2 {
		t.Errorf("there are %d observations between host networks", hosts)
	}
}

func TestPoliciesGoByTheInitiator(t *testing.T) {
	w, s, trial := table(t, "55 policy keeps traffic from a pod", 1)
	name := w.Nodes[s.x]
	for i := range trial.Input.Observations {
		o := &trial.Input.Observations[i]
		if o.Rung != ladder.PodToPod {
			continue
		}
		if o.To == name && !lostAs(o, ladder.NoAnswer) || o.To != name && o.Failed() != 0 {
			t.Errorf("%+v", o)
		}
	}
	refused, silent := uint64(0), uint64(0)
	for seed := range uint64(10) {
		w, s, trial = table(t, "56 policy keeps a pod's traffic", seed)
		for _, o := range trial.Input.Observations {
			if o.Rung == ladder.PodToPod && o.From != w.Nodes[s.x] && o.Failed() != 0 {
				t.Errorf("%+v", o)
			}
			if o.Rung == ladder.PodToPod && o.Method == ladder.UDP {
				refused, silent = refused+o.Failures[ladder.Refused], silent+o.Failures[ladder.NoAnswer]
			}
		}
	}
	if refused == 0 || silent < refused {
		t.Errorf("of datagrams %d were refused and %d got no answer; expected a mix with few refusals", refused, silent)
	}
}

func TestTheNodeItselfRefusesWhatItsTunnelCannotCarry(t *testing.T) {
	for seed := range uint64(4) {
		w, s, trial := table(t, "19 MTU of the tunnel too small", seed)
		for i := range trial.Input.Observations {
			o := &trial.Input.Observations[i]
			if o.Failures[ladder.TooLarge] > 0 != (o.Rung == ladder.PodToPod && o.Large && o.From == w.Nodes[s.x]) {
				t.Errorf("%+v", o)
			}
			if !o.Large && o.Failed() != 0 {
				t.Errorf("small packets failed: %+v", o)
			}
		}
	}
}

func TestHairpinFailsForTheOwnPodAlone(t *testing.T) {
	w, s, trial := table(t, "36 hairpin off", 1)
	for _, o := range trial.Input.Observations {
		own := o.From == w.Nodes[s.x] && (o.Rung == ladder.ClusterIP || o.Rung == ladder.LoadBalancer)
		if o.Failed() != 0 && !own || own && o.Peers[w.Nodes[s.x]] != 0 {
			t.Errorf("%+v", o)
		}
	}
	if trial.Lost[0] == 0 {
		t.Error("nothing was lost")
	}
}

func TestMasqueradeIsMissedByRemoteBackendsAlone(t *testing.T) {
	w, s, trial := table(t, "35 masquerade missing", 1)
	name := w.Nodes[s.x]
	for _, o := range trial.Input.Observations {
		hit := o.Rung == ladder.NodePort && o.At == name && o.From != name
		if o.Failed() != 0 && !hit || hit && o.Answered != o.Peers[name] {
			t.Errorf("%+v", o)
		}
	}
}

func TestADuplicateAddressHasAnotherPeer(t *testing.T) {
	wrong, right := 0, 0
	for seed := range uint64(5) {
		w, s, trial := table(t, "27 duplicate pod address", seed)
		for i := range trial.Input.Observations {
			o := &trial.Input.Observations[i]
			if o.Rung != ladder.PodToPod || o.To != w.Nodes[s.x] {
				continue
			}
			switch {
			case lostAs(o, ladder.WrongPeer):
				wrong++
			case o.Failed() == 0:
				right++
			default:
				t.Errorf("%+v", o)
			}
		}
	}
	if wrong == 0 || right == 0 {
		t.Errorf("%d paths met the stranger and %d the pod; expected some of both", wrong, right)
	}
}

func TestABondMemberTakesTheSamePortsAlways(t *testing.T) {
	w := world.New(world.Config{Nodes: 9, Zones: 1, Seed: 1})
	s := newScene(w, 0.25, rand.New(rand.NewPCG(3, 1)))
	e := bondMember(s)
	lost := 0
	const tries = 4000
	for i := range tries {
		at := &round.Attempt{Probe: &world.Probe{Rung: ladder.HostToHost, From: s.y, To: s.x, Method: ladder.UDP},
			Number: i}
		first, second := e(leg{hostHost, s.y, s.x}, at), e(leg{hostHost, s.y, s.x}, at)
		if first != second || first.Share != 0 && first.Share != 1 {
			t.Fatalf("the same port has %+v and then %+v", first, second)
		}
		if first.Share == 1 {
			lost++
		}
	}
	if lost < tries/5 || lost > tries*3/10 {
		t.Errorf("%d of %d ports are lost, expected about a quarter", lost, tries)
	}
}

func TestConnectionsOutliveLossThatDatagramsDoNot(t *testing.T) {
	datagram := lossy(&round.Attempt{Probe: &world.Probe{Method: ladder.UDP}}, 0.2)
	request := lossy(&round.Attempt{Probe: &world.Probe{Method: ladder.HTTP}}, 0.2)
	counted := lossy(&round.Attempt{Probe: &world.Probe{Method: ladder.HTTP, Counted: true}}, 0.2)
	if datagram.Share != 0.2 || request.Share >= 0.05 || counted.Share >= request.Share || request.Retried < 0.15 {
		t.Errorf("datagram %+v, request %+v, counted request %+v", datagram, request, counted)
	}
}

func TestEveryRowCanBeSeen(t *testing.T) {
	w := world.New(world.Config{Nodes: 9, Zones: 3, Seed: 1})
	for _, r := range rows() {
		for _, severity := range []round.Severity{round.Hard, round.Gray} {
			if !r.fits(w, severity) {
				continue
			}
			seen := false
			for seed := range uint64(20) {
				random := rand.New(rand.NewPCG(seed, 1))
				f := newScene(w, 0.4, random).fault(r, severity)
				conditions := round.Conditions{Noise: 1, Burst: 1, GentleTCP: true}
				trial := round.Play(w, []round.Fault{f}, conditions, 0, random)
				seen = seen || trial.Seen(false)
			}
			if !seen {
				t.Errorf("%s, %s: never left enough evidence", r.name, severity)
			}
		}
	}
}

func TestADNSServerIsNotANode(t *testing.T) {
	_, s, trial := table(t, "50 DNS server rejects", 1)
	want := infer.Component{Part: infer.DNSServer, Node: s.world.DNSNodes[s.k], Service: s.world.DNSServers[s.k]}
	if got := trial.Faults[0].Truth.Accept[0]; got != want {
		t.Errorf("%+v, expected %+v", got, want)
	}
	for _, o := range trial.Input.Observations {
		broken := o.Service == want.Service
		if broken && (o.Answered != 0 || o.Failures[ladder.Refused]+o.Failures[ladder.NoAnswer] != o.Sent) ||
			o.Failed() != 0 && !broken && o.Rung != ladder.DNSService {
			t.Errorf("%+v", o)
		}
	}
}
