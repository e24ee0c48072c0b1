package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// realistic makes rounds as agents' engines report them: 10 counted requests and 3 persistent ones on each path, with
// delays spread as a busy machine spreads them. Samples go through the same account as those of an engine.
type realistic struct {
	random *rand.Rand
	began  time.Time
	pods   []string
}

// realisticRound returns a round of so many agents: each probes each agent and its node port, and one Service.
func realisticRound(agents int) verdict.StoredRound {
	r := realistic{random: rand.New(rand.NewPCG(1, 2)), began: time.Date(2026, 3, 1, 10, 0, 0, 123456789, time.UTC)}
	var targets []target.Target
	service := target.Target{ID: "AgentClusterV4IP_10.96.7.7", Kind: target.ClusterIP, Address: "http://10.96.7.7:80",
		Answer: target.Backends}
	targets = append(targets, service)
	for i := range agents {
		pod, ip, host := fmt.Sprintf("kdoctor-agent-%05x", r.random.IntN(1<<20)),
			fmt.Sprintf("10.244.%d.%d", i, 2+r.random.IntN(100)), fmt.Sprintf("192.168.%d.%d", i/250, i%250)
		r.pods = append(r.pods, pod)
		targets = append(targets,
			target.Target{ID: "AgentPodV4IP_" + pod + "_" + ip, Kind: target.Endpoint, Answer: target.OnePod, Pod: pod,
				Node: nodeName(i), Address: "http://" + ip + ":5711/"},
			target.Target{ID: "AgentNodePortV4IP_" + host + "_31234", Kind: target.NodePort, Answer: target.Backends,
				AtNode: nodeName(i), Address: "http://" + host + ":31234/"})
	}
	round := report.Round{Key: schedule.Key{UID: "u", Generation: 1, Round: 1}, Started: r.began,
		Ended: r.began.Add(12 * time.Second), Deadline: r.began.Add(time.Minute)}
	var ids []string
	for i := range targets {
		targets[i].Family, targets[i].Protocol = topology.IPv4, target.HTTP
		ids = append(ids, targets[i].ID)
	}
	for i, pod := range r.pods {
		round.Expected = append(round.Expected,
			report.Expected{Pod: pod, Node: nodeName(i), Targets: ids, Requests: 10, Persistent: 3})
		round.Agents = append(round.Agents, r.agent(pod, nodeName(i), targets))
	}
	round.Backends = []report.BackendSet{{Targets: ids, Pods: r.pods}}
	judged := verdict.Judge(round, verdict.Expect{SuccessRate: 1, MeanDelay: 10 * time.Second})
	return verdict.StoredRound{Round: round, Verdict: judged, Spec: []byte(`{"target":{"ipv4":true}}`)}
}

func nodeName(i int) string { return fmt.Sprintf("worker-%03d.example.internal", i) }

func (r *realistic) agent(pod, node string, targets []target.Target) report.AgentReport {
	began := r.began.Add(r.spread(time.Millisecond, 1))
	a := report.AgentReport{Pod: pod, Node: node, Via: report.Direct, Finished: true, Started: began,
		Ended:    began.Add(10*time.Second + r.spread(50*time.Millisecond, 1)),
		Earliest: r.began, Latest: r.began.Add(r.spread(10*time.Millisecond, 1)),
		Resources: report.Resources{MaxCPU: 20 * r.random.Float64(), MeanCPU: 5 * r.random.Float64(),
			MaxMemory: 18<<20 + uint64(r.random.IntN(1<<20)), Known: true},
		Observer: report.Observer{Files: 240, FileLimit: 1 << 20, Ports: 28232, Conntrack: 900,
			ConntrackLimit: 1 << 17},
		Served: 2010 + uint64(r.random.IntN(20)), ServedPersistent: 603}
	ended := began.Add(10*time.Second - 294_835)
	for _, t := range targets {
		p := r.stream(t, began, ended, 10, false)
		persistent := r.stream(t, began, ended, 3, true)
		p.Persistent = &persistent
		a.Paths = append(a.Paths, p)
	}
	return a
}

// stream makes the requests of one stream. Times to connect are whole microseconds, because the kernel tells them so.
func (r *realistic) stream(t target.Target, began, ended time.Time, requests int, persistent bool) report.Path {
	account := load.NewAccount(t)
	account.Begin(began)
	peer := t.Pod
	for i := range requests {
		s := probe.Sample{Due: began, Start: began, Outcome: probe.OK, Status: 200, Bytes: 169, Kernel: true}
		if s.Reused = persistent && i > 0; !s.Reused {
			s.Phases[probe.Connect] = r.spread(200*time.Microsecond, 0.5).Truncate(time.Microsecond)
			if t.Pod == "" {
				peer = r.pods[r.random.IntN(len(r.pods))]
			}
		}
		s.Peer = peer
		s.Phases[probe.FirstByte], s.Phases[probe.Body] = r.spread(400*time.Microsecond, 0.8), 1
		for _, d := range s.Phases {
			s.Latency += d
		}
		s.Own = r.spread(time.Millisecond, 1.2)
		account.Record(&s)
	}
	account.End(began, ended)
	return account.Report()
}

// spread draws a time, log-normal around the median.
func (r *realistic) spread(median time.Duration, by float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(by*r.random.NormFloat64()))
}
