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
	// agent is the limit that affects all paths of the asking agent. asker is the first limit of the asking agent that
	// affects this path (agent, if set). Both make a success doubtful.
	agent, asker *Reason
	// answerer is the limit of an agent that may answer. Answers that came in time are not doubtful because of this
	// limit.
	answerer *Reason
	proxy
	// path is the path itself, reported its agent.
	path      *report.Path
	reported  *reported
	answerers *slowAnswerers
}

// proxy describes what is between an agent and the agents that answer it.
type proxy struct {
	// proxied reports that something on the path ends connections itself and answers for the agents behind it. gateway
	// reports that all unexpected statuses are those that a proxy gives if its backends do not answer.
	proxied, gateway bool
}

// proxyOf describes the proxy on the path. The path must still include its excused requests.
func proxyOf(p *report.Path) proxy {
	if !p.Target.Proxied() {
		return proxy{}
	}
	return proxy{proxied: true, gateway: p.Gateway() && (p.Persistent == nil || p.Persistent.Gateway())}
}

// suspects returns the limits that may explain the i-th path of the agent.
func (j *judge) suspects(r *reported, i int) suspects {
	p := r.judged[i]
	s := suspects{agent: r.limit, asker: firstOf(r.limit, pathLimit(r.reported[i])), proxy: proxyOf(r.reported[i]),
		path: p, reported: r, answerers: &j.slow}
	s.answerer = j.slow.limitOn(r.Pod, p, s.proxy, s.asker != nil)
	return s
}

// likeOfAsker ranks the asker's paths of the same protocol.
func (s suspects) likeOfAsker(of stream, by measure) []ranked {
	protocol := s.path.Target.Protocol
	return s.reported.rankings.ranking(rankingKey{route{protocol: protocol}, of, by}, func() []comparedPath {
		// Excused requests are included: a change elsewhere must not make this path look worse.
		var all []comparedPath
		for k, q := range s.reported.judged {
			if q.Target.Protocol == protocol {
				all = append(all, comparedPath{q, s.reported.reported[k]})
			}
		}
		return all
	})
}

// likeOfAnswerer ranks the paths of all who reach the same pod.
func (s suspects) likeOfAnswerer(of stream, by measure) []ranked {
	key := rankingKey{routeOf(&s.path.Target), of, by}
	return s.answerers.rankings.ranking(key, func() []comparedPath {
		var all []comparedPath
		for _, q := range s.answerers.pathsTo[key.route] {
			all = append(all, comparedPath{q, q})
		}
		return all
	})
}

// suspectedOfTimeouts returns the limits that may explain the path's timeouts, without the limits that like paths
// clear.
func (s suspects) suspectedOfTimeouts(of stream) (asker, answerer *Reason) {
	asker, answerer = s.asker, s.answerer
	if answerer != nil && standsOut(s.path, of, answerTimeouts, s.likeOfAnswerer(of, answerTimeouts)) {
		answerer = nil
	}
	by := timeouts
	if answerer != nil {
		// Timeouts that the answerer can cause are no evidence against the path.
		by = ownTimeouts
	}
	if asker != nil && standsOut(s.path, of, by, s.likeOfAsker(of, by)) {
		asker = nil
	}
	return asker, answerer
}

// suspectedOfDelay returns the limits that may explain the path's long delay, without the limits that like paths clear.
func (s suspects) suspectedOfDelay(of stream) (asker, answerer *Reason) {
	asker, answerer = s.asker, s.answerer
	if asker != nil && standsOut(s.path, of, delays, s.likeOfAsker(of, delays)) {
		asker = nil
	}
	if answerer != nil && standsOut(s.path, of, delays, s.likeOfAnswerer(of, delays)) {
		answerer = nil
	}
	return asker, answerer
}

// failed returns the result if too few requests succeeded. If an agent met a limit, the requests fail only if enough of
// them failed in ways that no slow agent can cause.
func (s suspects) failed(reason Reason, failures []report.Failure, of stream) (Result, Reason) {
	asker, answerer := s.suspectedOfTimeouts(of)
	certain := reason.Lost
	for _, f := range failures {
		if (asker == nil || !mayBeAsker(f)) && (answerer == nil || !s.mayBeAnswerer(f)) {
			certain += f.Count
		}
	}
	made := reason.Of + reason.Lost
	limit := firstOf(asker, answerer)
	if limit == nil || missesRate(made-min(made, certain), made, reason.Rate) {
		return Fail, reason
	}
	return ToolLimited, reason.withLimit(limit)
}

// slow returns the result if requests took too long.
func (s suspects) slow(reason Reason, of stream) (Result, Reason) {
	if limit := firstOf(s.suspectedOfDelay(of)); limit != nil {
		return ToolLimited, reason.withLimit(limit)
	}
	return Fail, reason
}

func firstOf(a, b *Reason) *Reason {
	if a != nil {
		return a
	}
	return b
}

// mayBeAsker reports whether requests can have failed in this way because the asking agent was slow. Every other
// failure is an answer of someone else, or a refusal.
func mayBeAsker(f report.Failure) bool { return f.Outcome == probe.Timeout }

// mayBeAnswerer reports whether requests can have failed in this way because an agent that may answer them was slow.
// The agent's kernel accepts connections, however slow the agent is. Load balancers and Ingresses do not wait as long
// as the asker: they close the connection without a byte, or answer for the agent.
func (b proxy) mayBeAnswerer(f report.Failure) bool {
	if f.Outcome == probe.Timeout {
		return f.Phase > probe.Connect
	}
	closed := f.Phase == probe.FirstByte && (f.Outcome == probe.Reset || f.Outcome == probe.BadAnswer)
	return b.proxied && (closed || (f.Outcome == probe.BadStatus && b.gateway))
}

// slowAnswerers has the agents that answer slowly.
type slowAnswerers struct {
	// limits are, by pod, the limits that the agents met.
	limits      map[string]*Reason
	backendSets report.BackendSets
	// pathsTo are the paths to these agents, by route.
	pathsTo map[route][]*report.Path
	// rankings compare these paths.
	rankings rankings
}

// slowAnswers finds the agents whose answers were slow.
func slowAnswers(round report.Round, agents []reported) slowAnswerers {
	s := slowAnswerers{limits: map[string]*Reason{}, backendSets: round.BackendSets(),
		pathsTo:  map[route][]*report.Path{},
		rankings: rankings{}}
	for _, a := range agents {
		if limit := throttled(a.Observer); limit != nil {
			named := limit.ofAgent(a.Pod, a.Node)
			s.limits[a.Pod] = &named
		}
	}
	for _, a := range agents {
		for _, p := range a.judged {
			if s.limits[p.Target.Pod] != nil {
				s.pathsTo[routeOf(&p.Target)] = append(s.pathsTo[routeOf(&p.Target)], p)
			}
		}
	}
	return s
}

// limitOn returns the limit that made answers on the path slow, nil for none. If several pods may answer, the slow ones
// explain no more than their share of the requests, up to three standard deviations of a uniform choice and one more
// request; anything beyond has another reason. Pods of MayAlsoAnswer count if one of them answered. Timeouts do not
// count if the asker met a limit too, which may be the reason.
func (s slowAnswerers) limitOn(agent string, p *report.Path, via proxy, limited bool) *Reason {
	if len(s.limits) == 0 || !p.Target.Answers() {
		// A kernel answers, not the agent.
		return nil
	}
	if p.Target.MayAnswer() == target.OnePod {
		return s.limits[p.Target.Pod]
	}
	set, _ := s.backendSets.Of(agent, p.Target.ID)
	pods := set.Pods
	if slices.ContainsFunc(set.MayAlsoAnswer, func(pod string) bool { return p.Peers[pod] > 0 }) {
		pods = slices.Concat(set.Pods, set.MayAlsoAnswer)
	}
	var limit *Reason
	slow := 0
	for _, pod := range pods {
		if reason := s.limits[pod]; reason != nil {
			limit, slow = firstOf(limit, reason), slow+1
		}
	}
	if slow == 0 {
		return nil
	}
	var explained float64
	for _, f := range p.Failures {
		if via.mayBeAnswerer(f) && (!limited || !mayBeAsker(f)) {
			explained += float64(f.Count)
		}
	}
	share, made := s.slowShare(p, via, set.UnevenWhy != "", slow, len(pods)), float64(p.Sent)
	if explained > made*share+3*math.Sqrt(made*share*(1-share))+1 {
		return nil
	}
	return limit
}

// slowShare returns which share of the requests, 0 to 1, may fail because of slow agents. slow is how many of the total
// agents that may answer are slow. A proxy may lead all requests of one client to the same agent: if only slow agents
// answered, all requests went to them. If a Service's spec leads clients to some pods only, the pods that answered are
// these.
func (s slowAnswerers) slowShare(p *report.Path, via proxy, uneven bool, slow, total int) float64 {
	even := float64(slow) / float64(total)
	if len(p.Peers) == 0 || (!via.proxied && !uneven) {
		return even
	}
	answered := 0
	for pod := range p.Peers {
		if s.limits[pod] != nil {
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
