package render

import (
	"math"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
)

// The values of ClockSource and of Observer.Mode.
const (
	clockKernel = "kernel"
	clockUser   = "user"
	clockMixed  = "mixed"
	modePrecise = "precise"
	modeGrid    = "grid"
)

func metrics(p report.Path) systemv1beta1.HTTPMetrics {
	took := p.Ended.Sub(p.Started)
	m := systemv1beta1.HTTPMetrics{
		StartTime: metav1.NewTime(p.Started), EndTime: metav1.NewTime(p.Ended), Duration: took.String(),
		DurationInMs:  milliseconds(took),
		RequestCounts: count(p.Sent), SuccessCounts: count(p.OK), VoidRequests: count(p.Excused()),
		Excuses:       excuses(p.Excuses),
		TotalDataSize: strconv.FormatUint(p.Bytes, 10) + " byte", TotalDataSizeInByte: count(p.Bytes),
		StatusCodes: make(map[string]int64, len(p.Statuses)),
		Errors:      failures(p),
		Latencies:   latencies(p.Latency),
		LagInMs:     spread(p.Lag),
		PhasesInMs:  phases(p),
		ClockSource: clock(p),
		Retransmits: count(p.Retransmits), RetransmittedRequests: count(p.Retransmitted),
		Reused: count(p.Reused), KeptConnection: kept(p.Persistent),
	}
	if took > 0 {
		m.TPS = float64(p.Sent) / took.Seconds()
	}
	for status, n := range p.Statuses {
		m.StatusCodes[strconv.Itoa(status)] = count(n)
	}
	if p.Response.Count() > 0 {
		response := latencies(p.Response)
		m.Response = &response
	}
	return m
}

func failures(p report.Path) map[string]int64 {
	errors := make(map[string]int64, len(p.Failures))
	for _, f := range p.Failures {
		name := f.Outcome.String()
		if phase := f.Phase.String(); phase != "" {
			name += " at " + phase
		}
		errors[name] += count(f.Count)
	}
	return errors
}

func latencies(h stats.Histogram) systemv1beta1.Latencies {
	return systemv1beta1.Latencies{
		MaxInMs: milliseconds(h.Max()), MeanInMs: milliseconds(h.Mean()), MinInMs: milliseconds(h.Min()),
		P50InMs: milliseconds(h.Quantile(0.50)), P90InMs: milliseconds(h.Quantile(0.90)),
		P95InMs: milliseconds(h.Quantile(0.95)), P99InMs: milliseconds(h.Quantile(0.99)),
	}
}

// spread is nil where nothing was recorded.
func spread(h stats.Histogram) *systemv1beta1.Spread {
	if h.Count() == 0 {
		return nil
	}
	return &systemv1beta1.Spread{Mean: milliseconds(h.Mean()), P99: milliseconds(h.Quantile(0.99)),
		Max: milliseconds(h.Max())}
}

// tooShort is the length below which nobody measures a phase: a body that came together with the headers has one of a
// nanosecond.
const tooShort = time.Microsecond

// load is nil where nothing is known of it.
func load(l report.RequestBudget) *systemv1beta1.Load {
	if l == (report.RequestBudget{}) {
		return nil
	}
	rate := l.Granted
	if l.Every > 1 {
		rate = 0
	}
	return &systemv1beta1.Load{
		RequestsPerSecond: int64(rate), SecondsPerRequest: int64(l.Every), AskedRequestsPerSecond: int64(l.Asked),
		TargetsPerAgent:      int64(l.Targets),
		ConnectionsPerSecond: int64(l.Connections), TrackedConnections: int64(l.Tracked),
		PortsPerTarget:   int64(l.Ports),
		AnswerSizeInByte: int64(l.AnswerBytes), AnswerBytesPerSecond: int64(l.AnswerBytes) * int64(l.Sends),
	}
}

// phases leaves out those that no request had, or none for long enough.
func phases(p report.Path) map[string]systemv1beta1.Phase {
	all := map[string]systemv1beta1.Phase{}
	for i, phase := range p.Phases {
		if phase.Count > 0 && phase.Max >= tooShort {
			all[probe.Phase(i).String()] = systemv1beta1.Phase{Mean: milliseconds(phase.Mean()),
				Max: milliseconds(phase.Max)}
		}
	}
	return all
}

// clock is empty where no request succeeded.
func clock(p report.Path) string {
	switch {
	case p.OK == 0:
		return ""
	case p.Kernel == 0:
		return clockUser
	case p.Kernel >= p.OK:
		return clockKernel
	default:
		return clockMixed
	}
}

func kept(p *report.Path) *systemv1beta1.KeptConnection {
	if p == nil {
		return nil
	}
	k := &systemv1beta1.KeptConnection{
		RequestCounts: count(p.Sent), SuccessCounts: count(p.OK), VoidRequests: count(p.Excused()),
		Reused: count(p.Reused), ClosedByOtherSide: count(p.Closed),
		ResetWhileIdle: count(p.IdleResets), ClosedWhileIdle: count(p.IdleCloses), Errors: failures(*p),
	}
	if p.Latency.Count() > 0 {
		l := latencies(p.Latency)
		k.Latencies = &l
	}
	return k
}

func excuses(all []report.Excuse) []systemv1beta1.Excuse {
	var told []systemv1beta1.Excuse
	for _, e := range all {
		told = append(told, systemv1beta1.Excuse{Explained: count(e.Explained), Of: count(e.Of), Away: int64(e.Away),
			Backends: int64(e.Backends),
			Message:  phrases.Excuse(e)})
	}
	return told
}

// observer is nil for an agent that tells nothing.
func observer(o report.Observer) *systemv1beta1.Observer {
	if o == (report.Observer{}) {
		return nil
	}
	told := &systemv1beta1.Observer{
		Mode: modePrecise, CPULimit: finite(o.Quota), ThrottledInMs: milliseconds(o.Throttled),
		LongestPauseInMs: milliseconds(o.LongestPause),
		Files:            count(o.Files), FileLimit: count(o.FileLimit), Ports: count(o.Ports),
		Conntrack: count(o.Conntrack), ConntrackLimit: count(o.ConntrackLimit),
	}
	if o.FixedWakeups {
		told.Mode = modeGrid
	}
	if o.Periods > 0 {
		told.ThrottledShare = float64(o.ThrottledPeriods) / float64(o.Periods)
	}
	return told
}

// finite is 0 for what is no number: an agent's nonsense must not make a report that JSON cannot hold.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// count fits a number into the report's form.
func count(n uint64) int64 {
	if n > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(n)
}

// milliseconds keeps whole nanoseconds: what a histogram tells is no finer.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
