package part

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"kdoctor.io/kdoctor/bench/internal/arrival"
	"kdoctor.io/kdoctor/bench/internal/fidelity"
	"kdoctor.io/kdoctor/bench/internal/peer"
	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/bench/internal/study"
)

const (
	// atOnce is how many connections the contestants have in comparisons of speed, pacedAtOnce those that keep a rate.
	atOnce      = 64
	pacedAtOnce = 10
	// stall and stallLength are the load of the comparison of what a stall looks like.
	stall       = time.Second
	stallLength = 8 * time.Second
)

// All are the parts in the order in which they run. Runs take the given length, which is whole seconds.
func All(length time.Duration) []Part {
	parts := []Part{speed(length, false), speed(length, true)}
	for _, rate := range []int{1000, 5000} {
		parts = append(parts, cost(length, rate))
	}
	for _, rate := range []int{100, 1000, 5000} {
		parts = append(parts, punctuality(max(length, 2*time.Second), rate))
	}
	return append(parts, starts(length), delivery(length), stalled(), clocks(length), memory(), many(), histogram(),
		answering(length, false), answering(length, true), faults())
}

func url(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) + "/" }

func whole(d time.Duration) string { return "-duration=" + d.String() }

// speed asks how many requests a CPU second of the client carries: goals G1, G2 and G14.
func speed(length time.Duration, fresh bool) Part {
	p := Part{Name: "speed-kept", Title: "requests per client CPU second over kept connections", Ports: 1}
	connection, goal := "keepalive", "G1"
	peers := []string{"wrk", "ab", "hey", "fortio", "bombardier", "vegeta"}
	if fresh {
		p.Name, p.Title, connection, goal = "speed-new", "requests per client CPU second, a new connection for each",
			"new", "G2"
		peers = []string{"wrk", "ab", "hey", "fortio"}
	}
	saturated := []string{"-port=" + strconv.Itoa(nginxPort), "-saturate=" + strconv.Itoa(atOnce), "-connection=" +
		connection, whole(length)}
	p.Contestants = []Contestant{driver("engine", saturated...), driver("engine-plain", append(saturated, "-plain")...)}
	if fresh {
		p.Contestants = append(p.Contestants, driver("net/http", append(saturated, "-mode=nethttp")...))
	}
	for _, name := range peers {
		p.Contestants = append(p.Contestants,
			competitor(name, peer.Load{URL: url(nginxPort), Connections: atOnce, Duration: length, New: fresh}))
	}
	against := func(goal, of, to string, bound float64) {
		p.Goals = append(p.Goals,
			study.Goal{Name: goal, What: fmt.Sprintf("%s: %s to %s", connection, of, to), Part: p.Name,
				Value: "requests/client CPU s", Of: of, To: []string{to}, More: true, Bound: bound})
	}
	against(goal, "engine", "wrk", 1)
	if fresh {
		against(goal, "engine", "ab", 1)
		against(goal, "engine", "net/http", 2)
		against("", "engine", "hey", 0)
		against("", "engine", "fortio", 0)
	} else {
		against(goal, "engine", "fortio", 1.2)
		against(goal, "engine", "hey", 4)
		for _, name := range []string{"ab", "bombardier", "vegeta"} {
			against("", "engine", name, 0)
		}
	}
	against("", "engine-plain", "wrk", 0)
	against("G14", "engine", "engine-plain", 0.88)
	return p
}

// cost asks what a request costs at a fixed rate. Goal G5 is against wrk2, which no package offers, so these rows
// inform only.
func cost(length time.Duration, rate int) Part {
	p := Part{Name: "cost-" + strconv.Itoa(rate), Title: fmt.Sprintf("client CPU per request at %d a second", rate),
		Ports: 1}
	load := []string{"-port=" + strconv.Itoa(nginxPort), "-rate=" + strconv.Itoa(rate), "-connection=keepalive",
		whole(length)}
	p.Contestants = []Contestant{driver("engine", load...)}
	for _, name := range []string{"hey", "fortio", "bombardier"} {
		p.Contestants = append(p.Contestants,
			competitor(name, peer.Load{URL: url(nginxPort), Connections: pacedAtOnce, Duration: length, Rate: rate}))
		p.Goals = append(p.Goals,
			study.Goal{What: fmt.Sprintf("CPU per request at %d/s: engine to %s", rate, name), Part: p.Name,
				Value: "client CPU us/request", Of: "engine", To: []string{name}})
	}
	return p
}

// punctuality asks how evenly requests arrive: goal G6.
func punctuality(length time.Duration, rate int) Part {
	p := Part{Name: "arrivals-" + strconv.Itoa(rate), Title: fmt.Sprintf("distance of arrivals from an even grid at "+
		"%d a second", rate), Length: length}
	seen := func(c Contestant) Contestant {
		c.Serve, c.Asked, c.Heard = stamping("-rate="+strconv.Itoa(rate)), true, heardArrivals
		return c
	}
	load := []string{"-port=" + strconv.Itoa(ownPort), "-rate=" + strconv.Itoa(rate), "-connection=keepalive",
		whole(length)}
	p.Contestants = []Contestant{seen(driver("engine", load...)),
		seen(driver("engine-precise", append(load, "-precise")...))}
	names := []string{"hey", "fortio", "bombardier", "vegeta"}
	for _, name := range names {
		p.Contestants = append(p.Contestants,
			seen(competitor(name,
				peer.Load{URL: url(ownPort), Connections: pacedAtOnce, Duration: length, Rate: rate})))
	}
	// The goal is about the precise mode; what the engine chooses by itself stands beside it.
	judged, other, bound := "engine-precise", "engine", 0.3
	if rate >= 5000 {
		bound = 0.1
	}
	what := fmt.Sprintf("arrival error p50 at %d/s", rate)
	p.Goals = []study.Goal{{Name: "G6", What: what + ": " + judged + " to the best peer", Part: p.Name,
		Value: "grid error p50 us", Of: judged, To: names, Bound: bound,
		Note: "the grid is laid where it fits each contestant best; a request that was left out shifts all that follow"}}
	if rate < 5000 {
		p.Goals = append(p.Goals,
			study.Goal{Name: "G6", What: what + ": " + judged, Part: p.Name, Value: "grid error p50 us", Of: judged,
				Bound: 200, Unit: "us"})
	}
	shown := append([]string{other}, names...)
	if rate >= 5000 {
		shown = append(shown, judged)
	}
	for _, name := range shown {
		p.Goals = append(p.Goals,
			study.Goal{What: what + ": " + name, Part: p.Name, Value: "grid error p50 us", Of: name, Unit: "us"})
	}
	return p
}

// starts asks how late attempts start, seen from within the process: goal G7. Without stamps the engine's lag is just
// that.
func starts(length time.Duration) Part {
	p := Part{Name: "starts", Title: "lateness of starts at 1000 a second, in the process", Ports: 1}
	rate := "-rate=1000"
	p.Contestants = []Contestant{
		driver("engine", "-port="+strconv.Itoa(nginxPort), rate, "-connection=keepalive", "-plain", whole(length)),
		driver("sleep", "-mode=sleep", rate, whole(length)),
		driver("nanosleep", "-mode=nanosleep", rate, whole(length)),
	}
	p.Goals = []study.Goal{
		{Name: "G7", What: "start error p50", Part: p.Name, Value: "lag p50 us", Of: "engine", Bound: 100, Unit: "us",
			Note: "the engine sends requests meanwhile, the two pacers do nothing"},
		{Name: "G7", What: "start error p50: engine to time.Sleep", Part: p.Name, Value: "lag p50 us", Of: "engine",
			To: []string{"sleep"}, Bound: 0.2},
		{Name: "G7", What: "start error p99: engine to a bare thread", Part: p.Name, Value: "lag p99 us", Of: "engine",
			To: []string{"nanosleep"}, Bound: 3},
	}
	return p
}

// delivery asks whether what was due was sent: goal G8.
func delivery(length time.Duration) Part {
	p := Part{Name: "delivery", Title: "requests sent of those that were due, on 100 targets", Ports: 100}
	for _, c := range []struct {
		connection string
		rate       int
	}{{"keepalive", 100}, {"new", 50}} {
		name := "engine-" + c.connection
		p.Contestants = append(p.Contestants,
			driver(name, "-port="+strconv.Itoa(manyPort), "-targets=100", "-rate="+strconv.Itoa(c.rate), "-connection="+
				c.connection, whole(length)))
		at := fmt.Sprintf(" at %d/s, %s", 100*c.rate, c.connection)
		p.Goals = append(p.Goals,
			study.Goal{Name: "G8", What: "sent of due" + at, Part: p.Name, Value: "delivered %", Of: name, More: true,
				Bound: 99.9, Unit: "%"},
			study.Goal{Name: "G8", What: "due, but neither sent nor missed" + at, Part: p.Name, Value: "unaccounted",
				Of: name, Bound: 0})
	}
	return p
}

// stalled asks what contestants report of a server that stalls once: goal G9. The truth follows from the load alone.
func stalled() Part {
	p := Part{Name: "stall", Title: "what is reported of a stall of 1 s in 8 s at 1000 a second", MostRounds: 3,
		Length: stallLength}
	held := func(c Contestant) Contestant {
		c.Serve, c.Asked, c.Heard = stamping("-stall="+stall.String()), true, heardArrivals
		run := c.Run
		c.Run = func(ctx context.Context, programs Programs) (rig.Finished, Values, error) {
			finished, v, err := run(ctx, programs)
			if err == nil {
				truths(v)
			}
			return finished, v, err
		}
		return c
	}
	p.Contestants = []Contestant{held(driver("engine", "-port="+strconv.Itoa(ownPort), "-rate=1000",
		"-connection=keepalive", whole(stallLength)))}
	for _, name := range []string{"wrk", "hey", "fortio", "bombardier", "vegeta"} {
		load := peer.Load{URL: url(ownPort), Connections: pacedAtOnce, Duration: stallLength, Rate: 1000}
		p.Contestants = append(p.Contestants, held(competitor(name, load)))
	}
	for _, g := range []struct {
		q     string
		bound float64
	}{{"90", 15}, {"95", 5}, {"99", 5}} {
		p.Goals = append(p.Goals,
			study.Goal{Name: "G9", What: "stall: error of p" + g.q, Part: p.Name, Value: "p" + g.q + " off by %",
				Of: "engine", Bound: g.bound, Unit: "%"})
	}
	p.Goals = append(p.Goals,
		study.Goal{Name: "G9", What: "stall: requests sent of 8000", Part: p.Name, Value: "sent", Of: "engine",
			More: true, Bound: 8000})
	for _, name := range []string{"engine", "wrk", "hey", "fortio", "bombardier", "vegeta"} {
		p.Goals = append(p.Goals,
			study.Goal{What: "stall: p99 of " + name + ", truth 920 ms", Part: p.Name, Value: "p99 ms", Of: name,
				Unit: "ms"})
	}
	return p
}

// truths adds how far reported quantiles are from what is true.
func truths(v Values) {
	for name, q := range map[string]float64{"p90": 0.9, "p95": 0.95, "p99": 0.99} {
		us, ok := v["response "+name+" us"]
		if !ok {
			continue
		}
		truth := arrival.Stalled(q, stall, stallLength) * 1e6
		v[name+" off by %"] = 100 * max(us-truth, truth-us) / truth
		v[name+" ms"] = us / 1000
	}
}

// clocks asks whether latency is the same when the engine wakes at fixed moments only: goal G10.
func clocks(length time.Duration) Part {
	p := Part{Name: "clocks", Title: "latency by the kernel's clock, waking at fixed moments and for each event",
		Ports: 100}
	load := []string{"-port=" + strconv.Itoa(manyPort), "-targets=100", "-rate=10", "-connection=keepalive",
		whole(length)}
	p.Contestants = []Contestant{driver("precise", append(load, "-precise")...),
		driver("grid", append(load, "-grid")...)}
	row := study.Goal{Name: "G10", Part: p.Name, Value: "latency p50 us", Of: "grid", To: []string{"precise"}}
	above, below := row, row
	above.What, above.Bound = "latency p50: grid to precise, not above", 1.2
	below.What, below.Bound, below.More = "latency p50: grid to precise, not below", 0.8, true
	p.Goals = []study.Goal{above, below,
		{What: "latency p50, precise", Part: p.Name, Value: "latency p50 us", Of: "precise", Unit: "us"},
		{What: "answers timed by the kernel, grid", Part: p.Name, Value: "timed by kernel %", Of: "grid", Unit: "%"}}
	return p
}

// memory asks what a target costs that is probed once a second: goal G11.
func memory() Part {
	const targets, length = 5000, 2 * time.Second
	p := Part{Name: "memory", Title: "memory per target, 5000 targets against one", Ports: targets, MostRounds: 5,
		Length: 2 * length}
	for _, connection := range []string{"keepalive", "new"} {
		c := Contestant{Name: "engine-" + connection,
			Run: func(ctx context.Context, programs Programs) (rig.Finished, Values, error) {
				load := []string{"-port=" + strconv.Itoa(manyPort), "-rate=1", "-connection=" + connection,
					whole(length)}
				one, alone, err := drive(ctx, programs, append(load, "-targets=1")...)
				if err != nil {
					return rig.Finished{}, nil, err
				}
				all, said, err := drive(ctx, programs, append(load, "-targets="+strconv.Itoa(targets))...)
				if err != nil {
					return rig.Finished{}, nil, err
				}
				all.CPU += one.CPU
				v, err := loadValues(said)
				if err != nil {
					return rig.Finished{}, nil, err
				}
				v["KB per target"] = (float64(said.Resident) - float64(alone.Resident)) / (targets - 1) / 1000
				return all, v, nil
			}}
		p.Contestants = append(p.Contestants, c)
		p.Goals = append(p.Goals,
			study.Goal{Name: "G11", What: "memory per target, " + connection, Part: p.Name, Value: "KB per target",
				Of: c.Name, Bound: 4, Unit: "KB"})
	}
	return p
}

// many asks for the response time on many targets at once: goal G12.
func many() Part {
	const targets, length = 5000, 5 * time.Second
	p := Part{Name: "many", Title: "response times of 5000 targets at one request a second each", Ports: targets,
		MostRounds: 5, Length: length}
	for _, connection := range []string{"new", "keepalive"} {
		name := "engine-" + connection
		p.Contestants = append(p.Contestants,
			driver(name, "-port="+strconv.Itoa(manyPort), "-targets="+strconv.Itoa(targets), "-rate=1", "-connection="+
				connection, whole(length)))
		goal := ""
		if connection == "new" {
			goal = "G12"
		}
		p.Goals = append(p.Goals,
			study.Goal{Name: goal, What: "response p99, 5000 targets, " + connection, Part: p.Name,
				Value: "response p99 ms", Of: name, Bound: 10, Unit: "ms"},
			study.Goal{What: "response p50, 5000 targets, " + connection, Part: p.Name, Value: "response p50 ms",
				Of: name, Unit: "ms"})
	}
	return p
}

// histogram asks for the size, error and cost of the histogram: goal G13.
func histogram() Part {
	p := Part{Name: "histogram", Title: "size, error and merging of the histogram"}
	p.Contestants = []Contestant{{Name: "ours", Run: func(context.Context, Programs) (rig.Finished, Values, error) {
		f, err := fidelity.Measure(1)
		return rig.Finished{},
			Values{"bytes": f.Raw, "deflated bytes": f.Deflated, "error of p50 %": 100 * f.Error50,
				"error of p99 %": 100 * f.Error99, "merge CPU s": f.MergeMillion}, err
	}}}
	for _, g := range []struct {
		what, value string
		bound       float64
		unit        string
	}{
		{"histogram on the wire, 600 samples", "bytes", 150, "B"},
		{"the same, deflated", "deflated bytes", 70, "B"},
		{"largest error of p50", "error of p50 %", 3.2, "%"},
		{"largest error of p99", "error of p99 %", 3.2, "%"},
		{"merging a million pairs", "merge CPU s", 1, "CPU s"},
	} {
		p.Goals = append(p.Goals,
			study.Goal{Name: "G13", What: g.what, Part: p.Name, Value: g.value, Of: "ours", Bound: g.bound,
				Unit: g.unit})
	}
	return p
}

// answering holds the agents' responder against nginx, both loaded by wrk.
func answering(length time.Duration, fresh bool) Part {
	p := Part{Name: "responder-kept", Title: "requests per server CPU second over kept connections"}
	what := "answers over kept connections: responder to nginx"
	if fresh {
		p.Name, p.Title, what = "responder-new", "requests per server CPU second, a new connection for each",
			"answers over new connections: responder to nginx"
	}
	ours := competitor("wrk", peer.Load{URL: url(ownPort), Connections: atOnce, Duration: length, New: fresh})
	ours.Name, ours.Serve, ours.Asked = "responder", stamping("-responder"), true
	nginx := competitor("wrk", peer.Load{URL: url(nginxPort), Connections: atOnce, Duration: length, New: fresh})
	nginx.Name = "nginx"
	nginx.Serve = func(ctx context.Context, programs Programs, dir string) (*rig.Server, error) {
		return rig.Nginx(ctx, programs.Nginx, dir, nginxPort, 1)
	}
	p.Contestants = []Contestant{ours, nginx}
	p.Goals = []study.Goal{{Name: "responder", What: what, Part: p.Name, Value: "requests/server CPU s",
		Of: "responder", To: []string{"nginx"}, More: true, Bound: 1}}
	return p
}
