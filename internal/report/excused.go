package report

import "kdoctor.io/kdoctor/internal/probe"

// Excused is how many attempts on the path changes explain.
func (p Path) Excused() uint64 {
	var n uint64
	for _, f := range p.Failures {
		n += f.Excused
	}
	return n
}

// WithoutExcused returns the path as if the excused attempts had never been made. The counts add up as Path promises.
// The distributions stay as they are: failed attempts add too little to them to matter.
func (p Path) WithoutExcused() Path {
	if p.Persistent != nil {
		persistent := p.Persistent.WithoutExcused()
		p.Persistent = &persistent
	}
	excused := p.Excused()
	if excused == 0 {
		return p
	}
	p.Sent -= excused
	p.Scheduled -= excused
	var failures []Failure
	for _, f := range p.Failures {
		if f.Phase == probe.FirstByte && (f.Outcome == probe.Reset || f.Outcome == probe.BadAnswer) {
			// Reports do not say which of these attempts failed on a closed connection. All excused ones are taken to
			// be among them: that leaves the fewest closes to excuse other failures.
			p.Closed -= min(p.Closed, f.Excused)
		}
		if f.Count -= f.Excused; f.Count > 0 {
			f.Excused = 0
			failures = append(failures, f)
		}
	}
	p.Failures = failures
	return p
}
