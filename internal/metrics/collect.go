package metrics

import (
	"context"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kdoctor.io/kdoctor/internal/probe"
)

// listWithin is how long a scrape waits for the lists of tasks and of nodes, which are read from memory.
const listWithin = 5 * time.Second

// Describe sends the families.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.families {
		out <- f.desc
	}
}

// Collect sends all series.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	leading := c.config.Leading()
	var tasks []Task
	var nodes map[string]bool
	known := false
	if leading {
		tasks, nodes, known = c.lists()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := sink{c.families, out}
	c.own(s, leading)
	for _, t := range tasks {
		c.collectTask(s, t, nodes)
	}
	if known {
		c.forgetOthers(tasks)
	}
}

// lists returns the tasks and the nodes that exist, and whether they are known.
func (c *Collector) lists() (tasks []Task, nodes map[string]bool, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), listWithin)
	defer cancel()
	tasks, err := c.config.Tasks(ctx)
	if err != nil {
		return nil, nil, false
	}
	if nodes, err = c.config.Nodes(ctx); err != nil {
		return nil, nil, false
	}
	return tasks, nodes, true
}

// forgetOthers drops what is kept of tasks that do not exist any more; c.mu is held. A round that runs may be of a task
// that the list does not have yet.
func (c *Collector) forgetOthers(tasks []Task) {
	keep := map[string]bool{}
	for _, t := range tasks {
		keep[t.UID] = true
	}
	for key := range c.running {
		keep[key.UID] = true
	}
	maps.DeleteFunc(c.tasks, func(uid string, _ *taskState) bool { return !keep[uid] })
}

// own sends what is about the controller.
func (c *Collector) own(s sink, leading bool) {
	s.send(leader, number(leading))
	s.send(running, float64(len(c.running)))
	for what, n := range c.errors {
		s.send(storeErrors, float64(n), string(what))
	}
	for name, ends := range c.config.Certificates() {
		s.send(certificates, seconds(ends), name)
	}
	b := c.config.Build
	s.send(buildInfo, 1, b.Version, b.Revision, b.GoVersion)
}

// collectTask sends what is about a task.
func (c *Collector) collectTask(s sink, t Task, nodes map[string]bool) {
	send := func(name string, value float64, labels ...string) {
		s.send(name, value, append([]string{t.Kind, t.Name}, labels...)...)
	}
	send(taskCreated, seconds(t.Created))
	send(taskTimeout, t.Timeout.Seconds())
	if t.Interval > 0 {
		send(taskInterval, t.Interval.Seconds())
	}
	if !t.Due.IsZero() {
		send(roundDue, seconds(t.Due))
	}
	send(startMissed, number(t.Missed))
	state := c.tasks[t.UID]
	if state == nil {
		if !t.Finished.IsZero() {
			send(lastFinished, seconds(t.Finished))
		}
		return
	}
	send(lastFinished, seconds(state.finished))
	if !state.passed.IsZero() {
		send(lastSuccess, seconds(state.passed))
	}
	for _, result := range results() {
		send(roundResult, number(result == state.result), string(result))
		send(rounds, float64(state.rounds[result]), string(result))
	}
	for of, g := range state.total {
		path, family := string(of.kind), string(of.family)
		for outcome, n := range g.outcomes {
			send(requests, float64(n), path, family, probe.Outcome(outcome).String()) // #nosec G115 -- a dozen
		}
		send(excused, float64(g.excused), path, family)
		send(missed, float64(g.missed), path, family)
		send(retransmits, float64(g.retransmits), path, family)
		desc := s.families[duration].desc
		s.out <- latencies{desc, prometheus.MakeLabelPairs(desc, []string{t.Kind, t.Name, path, family}), g.latency}
	}
	if state.last != nil {
		state.last.collect(send, nodes)
	}
}

// collect sends what is about the last round.
func (f *figures) collect(send func(name string, value float64, labels ...string), nodes map[string]bool) {
	send(roundDuration, max(f.ended.Sub(f.started), 0).Seconds())
	send(expected, float64(f.expected))
	send(reported, float64(f.reported))
	for _, node := range f.silent {
		if nodes[node] {
			send(silent, 1, node)
		}
	}
	for of, n := range f.findings {
		send(findings, float64(n), of.reason, string(of.component), string(of.confidence))
	}
	for of, g := range f.groups {
		for _, result := range pathResults() {
			send(roundPaths, float64(g.paths[result]), string(of.kind), string(of.family), string(result))
		}
	}
	for at, n := range f.nodes {
		if nodes[at.node] {
			send(nodePaths, float64(n.paths), at.node, at.direction, string(at.kind))
			send(nodeFailed, float64(n.failed), at.node, at.direction, string(at.kind))
		}
	}
	for _, w := range f.worst {
		if nodes[w.from] && (w.to == "" || nodes[w.to]) {
			send(worstPaths, w.ratio, w.from, w.to, string(w.group.kind), string(w.group.family))
		}
	}
}

// sink sends series of the families.
type sink struct {
	families map[string]described
	out      chan<- prometheus.Metric
}

func (s sink) send(name string, value float64, labels ...string) {
	f := s.families[name]
	s.out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func seconds(at time.Time) float64 { return float64(at.UnixNano()) / 1e9 }

var _ prometheus.Collector = (*Collector)(nil)
var _ prometheus.Metric = latencies{}
