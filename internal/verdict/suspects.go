package verdict

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// suspects are the limits of agents that may be why requests on a path are slow or time out.
type suspects struct {
	// agent is the limit that the asking agent met on all of its paths, asker the first limit of the asking agent that
	// affects this path: the agent's, if set. Both make it doubtful what passes.
	agent, asker *Reason
	// answerer is the limit of an agent that may answer. What it answers in time all the same is not made doubtful.
	answerer *Reason
	proxy
	// path is the path itself; same ranks the asker's paths of the same protocol, others those of all who reach the
	// same pod.
	path         *report.Path
	same, others func(stream, measure) []ranked
}

// proxy is what stands between an agent and those that answer it.
type proxy struct {
	// proxied reports that something on the path ends connections itself and speaks for the agents behind it, and
	// gateway that all unexpected statuses are such as it gives when it hears nothing from them.
	proxied, gateway bool
}

// proxyOf is what stands on the path, whose excused requests must still be in it.
func proxyOf(p *report.Path) proxy {
	return proxy{proxied: p.Target.Proxied(), gateway: p.Gateway() && (p.Persistent == nil || p.Persistent.Gateway())}
}

// suspects finds out which limits may be why the i-th path of the agent is as it is.
func (j judge) suspects(r *reported, i int) suspects {
	p := r.left[i]
	s := suspects{agent: r.limit, asker: first(r.limit, pathLimit(r.whole[i])), proxy: proxyOf(r.whole[i]), path: p}
	s.answerer = j.slow.on(r.Pod, p, s.proxy, s.asker != nil)
	s.same = func(of stream, by measure) []ranked {
		return r.rankings.of(rankingKey{way{protocol: p.Target.Protocol}, of, by}, func() []like {
			// With what is excused: a change of somebody else must not make this path look worse.
			var all []like
			for k, q := range r.left {
				if q.Target.Protocol == p.Target.Protocol {
					all = append(all, like{q, r.whole[k]})
				}
			}
			return all
		})
	}
	s.others = func(of stream, by measure) []ranked {
		key := rankingKey{wayOf(&p.Target), of, by}
		return j.slow.rankings.of(key, func() []like {
			var all []like
			for _, q := range j.slow.asked[key.way] {
				all = append(all, like{q, q})
			}
			return all
		})
	}
	return s
}

// ofTimeouts are the suspects that nothing clears of the path's timeouts.
func (s suspects) ofTimeouts(of stream) (asker, answerer *Reason) {
	asker, answerer = s.asker, s.answerer
	if answerer != nil && standsOut(s.path, of, answerTimeouts, s.others(of, answerTimeouts)) {
		answerer = nil
	}
	by := timeouts
	if answerer != nil {
		// What the answerer can cause is no evidence against the path.
		by = ownTimeouts
	}
	if asker != nil && standsOut(s.path, of, by, s.same(of, by)) {
		asker = nil
	}
	return asker, answerer
}

// ofDelay are the suspects that nothing clears of the path's long delay.
func (s suspects) ofDelay(of stream) (asker, answerer *Reason) {
	asker, answerer = s.asker, s.answerer
	if asker != nil && standsOut(s.path, of, delays, s.same(of, delays)) {
		asker = nil
	}
	if answerer != nil && standsOut(s.path, of, delays, s.others(of, delays)) {
		answerer = nil
	}
	return asker, answerer
}

// failed is the result of requests of which too few succeeded. Where an agent met a limit, they fail only when enough
// of them failed in ways that no slow agent can cause.
func (s suspects) failed(reason Reason, failures []report.Failure, of stream) (Result, Reason) {
	asker, answerer := s.ofTimeouts(of)
	certain := reason.Lost
	for _, f := range failures {
		if (asker == nil || !byAsker(f)) && (answerer == nil || !s.byAnswerer(f)) {
			certain += f.Count
		}
	}
	made := reason.Of + reason.Lost
	limit := first(asker, answerer)
	if limit == nil || short(made-min(made, certain), made, reason.Rate) {
		return Fail, reason
	}
	return ToolLimited, reason.but(limit)
}

// slow is the result of requests that took too long.
func (s suspects) slow(reason Reason, of stream) (Result, Reason) {
	if limit := first(s.ofDelay(of)); limit != nil {
		return ToolLimited, reason.but(limit)
	}
	return Fail, reason
}

func first(a, b *Reason) *Reason {
	if a != nil {
		return a
	}
	return b
}

// byAsker reports whether requests can have failed so because the agent that asked was slow. All else somebody else
// answered, or refused to.
func byAsker(f report.Failure) bool { return f.Outcome == probe.Timeout }

// byAnswerer reports whether requests can have failed so because an agent was slow that may answer them. Its kernel
// takes connections, however slow it is. Load balancers and Ingresses do not wait as long as the asker: they close the
// connection without a byte, or answer for the agent.
func (b proxy) byAnswerer(f report.Failure) bool {
	if f.Outcome == probe.Timeout {
		return f.Phase > probe.Connect
	}
	closed := f.Phase == probe.FirstByte && (f.Outcome == probe.Reset || f.Outcome == probe.BadAnswer)
	return b.proxied && (closed || (f.Outcome == probe.BadStatus && b.gateway))
}

// slow is what is known of agents that answer slowly.
type slow struct {
	// byPod are the limits that they met.
	byPod  map[string]*Reason
	behind report.BackendSets
	// asked are the paths to these agents, by the way that they take.
	asked map[way][]*report.Path
	// rankings hold these against each other.
	rankings rankings
}

// slowAnswers finds the agents whose answers were slow.
func slowAnswers(round report.Round, agents []reported) slow {
	s := slow{byPod: map[string]*Reason{}, behind: round.BackendSets(), asked: map[way][]*report.Path{},
		rankings: rankings{}}
	for _, a := range agents {
		if limit := throttled(a.Observer); limit != nil {
			named := limit.of(a.Pod, a.Node)
			s.byPod[a.Pod] = &named
		}
	}
	for _, a := range agents {
		for _, p := range a.left {
			if s.byPod[p.Target.Pod] != nil {
				s.asked[wayOf(&p.Target)] = append(s.asked[wayOf(&p.Target)], p)
			}
		}
	}
	return s
}

// on is the limit that made answers on the path slow, nil for none. Where any of several pods may answer, those that
// are slow explain no more than their share of the requests, up to three standard deviations of a uniform choice and
// one more: what is beyond that has another reason. Where pods answered that may do so although nothing leads to them,
// they are counted in. What timed out is not counted where the asker met a limit too, which may be why.
func (s slow) on(agent string, p *report.Path, stands proxy, limited bool) *Reason {
	if !p.Target.Answers() {
		// A kernel answers, not the agent.
		return nil
	}
	if p.Target.MayAnswer() == target.OnePod {
		return s.byPod[p.Target.Pod]
	}
	set, _ := s.behind.Of(agent, p.Target.ID)
	pods := set.Pods
	if slices.ContainsFunc(set.MayAlsoAnswer, func(pod string) bool { return p.Peers[pod] > 0 }) {
		pods = slices.Concat(set.Pods, set.MayAlsoAnswer)
	}
	var limit *Reason
	hit := 0
	for _, pod := range pods {
		if reason := s.byPod[pod]; reason != nil {
			limit, hit = first(limit, reason), hit+1
		}
	}
	if hit == 0 {
		return nil
	}
	var explained float64
	for _, f := range p.Failures {
		if stands.byAnswerer(f) && (!limited || !byAsker(f)) {
			explained += float64(f.Count)
		}
	}
	share, made := s.share(p, stands, set.UnevenWhy != "", hit, len(pods)), float64(p.Sent)
	if explained > made*share+3*math.Sqrt(made*share*(1-share))+1 {
		return nil
	}
	return limit
}

// share is which part of the requests slow agents can be why they fail, where so many of those that may answer are
// slow. A proxy may lead all requests of one client to the same agent: if slow ones alone answered, all went to them.
// Where a Service's spec leads clients to some pods alone, those that answered are these.
func (s slow) share(p *report.Path, stands proxy, uneven bool, slow, of int) float64 {
	even := float64(slow) / float64(of)
	if len(p.Peers) == 0 || (!stands.proxied && !uneven) {
		return even
	}
	answered := 0
	for pod := range p.Peers {
		if s.byPod[pod] != nil {
			answered++
		}
	}
	switch {
	case answered == len(p.Peers):
		return 1
	case uneven:
		return max(even, float64(answered)/float64(len(p.Peers)))
	}
	return even
}
