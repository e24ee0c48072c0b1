package wire

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Plan returns the message for a plan. The message names the agent by its pod alone: an agent knows everything else
// about itself.
func Plan(p mesh.Plan) *agentv1.Plan {
	m := &agentv1.Plan{
		Key:      Key(p.Key),
		TaskKind: p.Task.Kind,
		TaskName: p.Task.Name,
		Pod:      p.Agent.Pod,
		Targets:  make([]*agentv1.Target, p.Len()),
		Load: &agentv1.Load{
			PerSecond: uint32(max(p.Load.PerSecond, 0)), // #nosec G115 -- ParsePlan bounds it
			Duration:  durationpb.New(p.Load.Duration),
			Timeout:   durationpb.New(p.Load.Timeout),

			Connection: string(p.Load.Connection),
			Every:      uint32(max(p.Load.Every, 0)), // #nosec G115 -- ParsePlan bounds it
		},
		Limit:          durationpb.New(p.Limit),
		ExpectedStatus: uint32(max(p.Status, 0)), // #nosec G115 -- ParsePlan bounds it
	}
	for i := range m.Targets {
		m.Targets[i] = targetMessage(p.At(i))
	}
	if p.Answer != (mesh.Answer{}) {
		m.Answer = &agentv1.Answer{Bytes: uint32(max(p.Answer.Bytes, 0)), Delay: durationpb.New(p.Answer.Delay),
			Status: uint32(max(p.Answer.Status, 0))} // #nosec G115 -- ParsePlan bounds both
	}
	m.Detail = detail(p.Detail)
	for _, name := range slices.Sorted(maps.Keys(p.Authorities)) {
		m.Authorities = append(m.Authorities, &agentv1.Authority{Name: name, Certificates: p.Authorities[name]})
	}
	return m
}

// ParsePlan reads a plan and refuses one that this release cannot carry out. A plan has 1 to MaxTargets targets with
// different IDs, URLs that fit their protocols, and all authorities that its targets trust. The rate is 1 to
// MaxPerSecond requests in a number of seconds that is no more than the load's duration. The load lasts 1 s to
// MaxDuration, the timeout is 1 ms to MaxTimeout, the limit 1 ms to MaxLimit. The HTTP status is 100 to 599, or 0. The
// plan's Agent has only its Pod, and its targets have only what agents need.
func ParsePlan(m *agentv1.Plan) (mesh.Plan, error) {
	if m == nil {
		return mesh.Plan{}, errors.New("plan is missing")
	}
	p := mesh.Plan{
		Task:  report.TaskRef{Kind: m.GetTaskKind(), Name: m.GetTaskName()},
		Agent: topology.Agent{Pod: m.GetPod()},
		HTTP:  mesh.HTTP{Status: int(m.GetExpectedStatus())},
	}
	var err error
	if p.Key, err = ParseKey(m.GetKey()); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	if err := errors.Join(text("task kind", p.Task.Kind, 0, maxNameBytes),
		text("task name", p.Task.Name, 0, maxNameBytes),
		text("pod", p.Agent.Pod, 1, maxNameBytes)); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	if p.Status != 0 && (p.Status < 100 || p.Status > 599) {
		return mesh.Plan{}, fmt.Errorf("plan: expected status %d is none of HTTP", p.Status)
	}
	if p.Load, err = parseLoad(m.GetLoad()); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	if p.Limit, err = duration("limit", m.GetLimit(), time.Millisecond, MaxLimit); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	if p.Authorities, err = parseAuthorities(m.GetAuthorities()); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	if p.Answer, err = parseAnswer(m.GetAnswer()); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	if p.Targets, err = parseTargets(m.GetTargets()); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	if p.Detail, err = parseDetail(m.GetDetail(), len(p.Targets)); err != nil {
		return mesh.Plan{}, fmt.Errorf("plan: %w", err)
	}
	for i, t := range p.Targets {
		if _, ok := p.Authorities[t.Trust]; t.Trust != "" && !ok {
			return mesh.Plan{}, fmt.Errorf("plan: target %d: there is no authority %q", i, t.Trust)
		}
	}
	return p, nil
}

// detail returns the message for a detail, nil where every path is reported one by one.
func detail(d mesh.Detail) *agentv1.Detail {
	if d.Groups == nil {
		return nil
	}
	return &agentv1.Detail{
		Listed: uint32(max(d.Listed, 0)), // #nosec G115 -- parseDetail bounds it
		Rows:   uint32(max(d.Rows, 0)),   // #nosec G115 -- parseDetail bounds it
		Groups: d.Groups, SuccessRate: d.SuccessRate, MeanDelay: durationpb.New(d.MeanDelay), Pods: d.Pods,
	}
}

// parseDetail reads which paths of a number of targets are reported one by one.
func parseDetail(m *agentv1.Detail, targets int) (mesh.Detail, error) {
	if m == nil {
		return mesh.Detail{}, nil
	}
	d := mesh.Detail{Listed: int(m.GetListed()), Rows: int(m.GetRows()), Groups: m.GetGroups(),
		SuccessRate: m.GetSuccessRate(), Pods: m.GetPods()}
	if d.Listed > targets || d.Rows > MaxTargets || len(d.Groups) != targets {
		return mesh.Detail{}, fmt.Errorf("detail: %d listed targets, %d rows and groups of %d targets do not fit %d targets",
			d.Listed, d.Rows, len(d.Groups), targets)
	}
	for _, group := range d.Groups {
		if group >= MaxTargets {
			return mesh.Detail{}, fmt.Errorf("detail: group %d is not below %d", group, MaxTargets)
		}
	}
	if math.IsNaN(d.SuccessRate) || d.SuccessRate < 0 || d.SuccessRate > 1 {
		return mesh.Detail{}, fmt.Errorf("detail: a success rate of %v is not between 0 and 1", d.SuccessRate)
	}
	var err error
	d.MeanDelay, err = duration("mean delay of the detail", m.GetMeanDelay(), 0, MaxTimeout)
	return d, err
}

func parseAnswer(m *agentv1.Answer) (mesh.Answer, error) {
	if m == nil {
		return mesh.Answer{}, nil
	}
	delay, err := duration("delay of answers", m.GetDelay(), 0, echo.MaxDelay)
	if err != nil {
		return mesh.Answer{}, err
	}
	a := mesh.Answer{Bytes: int(m.GetBytes()), Delay: delay, Status: int(m.GetStatus())}
	return a, echo.Options{Bytes: a.Bytes, Delay: a.Delay, Status: a.Status}.Validate()
}

func parseAuthorities(messages []*agentv1.Authority) (map[string][]byte, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	if len(messages) > MaxAuthorities {
		return nil, fmt.Errorf("%d authorities, allowed are %d", len(messages), MaxAuthorities)
	}
	authorities := make(map[string][]byte, len(messages))
	for _, m := range messages {
		if err := text("authority", m.GetName(), 1, maxNameBytes); err != nil {
			return nil, err
		}
		if _, twice := authorities[m.GetName()]; twice {
			return nil, fmt.Errorf("authority %q stands twice", m.GetName())
		}
		if n := len(m.GetCertificates()); n > MaxAuthorityBytes ||
			!x509.NewCertPool().AppendCertsFromPEM(m.GetCertificates()) {
			return nil, fmt.Errorf("authority %q: its %d bytes hold no certificate, or are more than %d", m.GetName(),
				n, MaxAuthorityBytes)
		}
		authorities[m.GetName()] = m.GetCertificates()
	}
	return authorities, nil
}

func parseLoad(m *agentv1.Load) (mesh.Load, error) {
	if m.GetPerSecond() < 1 || m.GetPerSecond() > MaxPerSecond {
		return mesh.Load{}, fmt.Errorf("rate %d is outside 1 to %d a second", m.GetPerSecond(), MaxPerSecond)
	}
	lasts, err := duration("duration", m.GetDuration(), time.Second, MaxDuration)
	if err != nil {
		return mesh.Load{}, err
	}
	if most := int64(lasts / time.Second); int64(m.GetEvery()) > most {
		return mesh.Load{}, fmt.Errorf("requests every %d seconds are none in %v", m.GetEvery(), lasts)
	}
	timeout, err := duration("timeout", m.GetTimeout(), time.Millisecond, MaxTimeout)
	if err != nil {
		return mesh.Load{}, err
	}
	connection := mesh.Connection(m.GetConnection())
	if !slices.Contains([]mesh.Connection{"", mesh.NewConnection, mesh.KeepAlive, mesh.Both}, connection) {
		return mesh.Load{}, fmt.Errorf("there is no way %q to use connections", connection)
	}
	return mesh.Load{PerSecond: int(m.GetPerSecond()), Every: int(m.GetEvery()), Duration: lasts, Timeout: timeout,
		Connection: connection}, nil
}

func parseTargets(messages []*agentv1.Target) ([]target.Target, error) {
	if len(messages) < 1 || len(messages) > MaxTargets {
		return nil, fmt.Errorf("%d targets, allowed are 1 to %d", len(messages), MaxTargets)
	}
	targets := make([]target.Target, len(messages))
	seen := make(map[string]bool, len(messages))
	for i, m := range messages {
		t, err := parseTarget(m)
		if err != nil {
			return nil, fmt.Errorf("target %d: %w", i, err)
		}
		if seen[t.ID] {
			return nil, fmt.Errorf("target %d: name %q stands twice", i, t.ID)
		}
		seen[t.ID] = true
		targets[i] = t
	}
	return targets, nil
}

// targetMessage returns the message with what an agent needs to probe the target. Fields that only the judgement reads
// are not sent: see mesh.Plan.Attach. Agents do not need the kind, but those of the release before refuse a target
// without it.
func targetMessage(t *target.Target) *agentv1.Target {
	return &agentv1.Target{Id: t.ID, Kind: string(t.Kind), Family: string(t.Family), Protocol: string(t.Protocol),
		Address: t.Address, Pod: t.Pod, Dial: t.Dial, Trust: t.Trust, Answer: string(t.Answer)}
}

func parseTarget(m *agentv1.Target) (target.Target, error) {
	t := target.Target{ID: m.GetId(), Family: topology.Family(m.GetFamily()),
		Protocol: target.Protocol(m.GetProtocol()), Address: m.GetAddress(), Pod: m.GetPod(), Dial: m.GetDial(),
		Trust: m.GetTrust(), Answer: target.Answer(m.GetAnswer())}
	if err := errors.Join(text("trust", t.Trust, 0, maxNameBytes), text("name", t.ID, 1, maxIDBytes),
		text("address", t.Address, 1, maxAddressBytes), text("pod", t.Pod, 0, maxNameBytes)); err != nil {
		return target.Target{}, err
	}
	if err := checkAnswer(t); err != nil {
		return target.Target{}, err
	}
	if t.Family != topology.IPv4 && t.Family != topology.IPv6 {
		return target.Target{}, fmt.Errorf("there is no IP family %q", t.Family)
	}
	if err := checkDial(t); err != nil {
		return target.Target{}, err
	}
	speech, ok := t.Protocol.Speech()
	if !ok {
		return target.Target{}, fmt.Errorf("this release cannot speak %q", t.Protocol)
	}
	return t, checkURL(speech, t.Address)
}

// checkAnswer accepts a target that says who may answer, and a target of the first release, which does not say it.
func checkAnswer(t target.Target) error {
	switch t.Answer {
	case "", target.Backends, target.Anyone:
		return nil
	case target.OnePod:
		if t.Pod == "" {
			return errors.New("one pod alone may answer, and no pod is named")
		}
		return nil
	}
	return fmt.Errorf("nobody knows who %q is that may answer", t.Answer)
}

// checkDial accepts an address of the target's family and a port, or a name and a port.
func checkDial(t target.Target) error {
	if t.Dial == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(t.Dial)
	number, parse := strconv.ParseUint(port, 10, 16)
	if err != nil || parse != nil || number == 0 {
		return fmt.Errorf("%q is no host and port to connect to", t.Dial)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" || topology.FamilyOf(ip) != t.Family {
			return fmt.Errorf("%q is no address over %s to connect to", t.Dial, t.Family)
		}
		return nil
	}
	if host == "" || len(host) > maxNameBytes ||
		strings.ContainsFunc(host, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }) {
		return fmt.Errorf("%q is no name and port to connect to", t.Dial)
	}
	return nil
}

// nameCharacters are the characters of names that resolvers look up.
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

// isPlainURL reports whether the URL is valid and of the form that nearly all targets have: an IPv4 address with a
// port, and nothing else. An agent gets thousands of them in one plan, and url.Parse is slow.
func isPlainURL(speech target.Speech, address string) bool {
	rest, ok := strings.CutPrefix(address, speech.Scheme)
	if !ok {
		return false
	}
	if rest, ok = strings.CutPrefix(rest, "://"); !ok {
		return false
	}
	a, err := netip.ParseAddrPort(strings.TrimSuffix(rest, "/"))
	return err == nil && a.Addr().Is4() && a.Port() != 0
}

// checkURL accepts a URL to which a request can be sent, and refuses one with a user or a fragment.
func checkURL(speech target.Speech, address string) error {
	if isPlainURL(speech, address) {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	// An opaque URL has no host.
	if u.Scheme != speech.Scheme || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		speech.Port && u.Port() == "" {
		return fmt.Errorf("address %q is not a plain %s URL", address, speech.Scheme)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("address %q has no valid port", address)
		}
	}
	return nil
}
