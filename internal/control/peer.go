package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

// peerKey identifies an agent: a pod that was replaced under its old name is another agent.
type peerKey struct{ namespace, pod, uid string }

func keyOf(agent topology.Agent) peerKey { return peerKey{agent.Namespace, agent.Pod, agent.UID} }

// peer is what the client remembers of one agent.
type peer struct {
	mu     sync.Mutex
	closed bool
	// conns has the connection of each way that stands.
	conns map[report.Via]*grpc.ClientConn
	// skipDirect is until when the direct way is not tried, after it failed.
	skipDirect time.Time
	used       time.Time
	// calls is how many calls are under way.
	calls int
}

// invoke is one call to an agent.
type invoke func(context.Context, agentv1.AgentServiceClient) error

// call makes the call by the best way, then by the others, as long as it fails for want of a connection: every call may
// be repeated.
func (c *Client) call(ctx context.Context, agent topology.Agent, do invoke) (report.Via, error) {
	p, err := c.peer(agent)
	if err != nil {
		return "", err
	}
	var failures []error
	ways := c.ways(p)
	for n, via := range ways {
		err := c.callBy(ctx, route{via, len(ways) - n}, p, agent, do)
		if err == nil {
			p.worked(via)
			return via, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("%w; %s: %w", ctx.Err(), via, plain(err))
		}
		if !broken(err) {
			return via, err
		}
		if via == report.Direct {
			p.directFailed(time.Now().Add(c.config.DirectRetry))
		}
		failures = append(failures, fmt.Errorf("%s: %w", via, plain(err)))
	}
	return "", fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(failures...))
}

// route is a way to try, and how many are left with it: they share what time the caller gives.
type route struct {
	via  report.Via
	left int
}

// callBy makes the call by one way, within that way's bound, and gives the connection up when it is broken.
func (c *Client) callBy(ctx context.Context, r route, p *peer, agent topology.Agent, do invoke) error {
	via := r.via
	conn, err := p.begin(via, func() (*grpc.ClientConn, error) { return c.connect(via, agent) })
	if err != nil {
		return err
	}
	defer p.end()
	bound := c.config.CallTimeout + c.dialTimeout(via)
	if deadline, ok := ctx.Deadline(); ok && r.left > 1 {
		bound = min(bound, time.Until(deadline)/time.Duration(r.left))
	}
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err = do(bounded, agentv1.NewAgentServiceClient(conn))
	if err != nil && ctx.Err() == nil && broken(err) {
		p.drop(via, conn)
	}
	return err
}

// connect prepares a connection, which is dialled when it is first used.
func (c *Client) connect(via report.Via, agent topology.Agent) (*grpc.ClientConn, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		return dialDirect(ctx, agent.Addresses, agent.ControlPort)
	}
	if via == report.PortForward {
		dial = func(ctx context.Context) (net.Conn, error) {
			return c.config.Forward.Dial(ctx, agent.Namespace, agent.Pod, agent.ControlPort)
		}
	}
	timeout := c.dialTimeout(via)
	bounded := func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return dial(ctx)
	}
	conn, err := grpc.NewClient("passthrough:///"+agent.Pod, c.options(timeout, bounded)...)
	if err != nil {
		return nil, fmt.Errorf("prepare a connection: %w", err)
	}
	return conn, nil
}

func (c *Client) dialTimeout(via report.Via) time.Duration {
	if via == report.PortForward {
		return c.config.ForwardTimeout
	}
	return c.config.DirectTimeout
}

// ways are the ways to try, best first. The direct way stands last while it is believed broken: it may be the only one
// that has come back.
func (c *Client) ways(p *peer) []report.Via {
	switch {
	case c.config.Forward == nil:
		return []report.Via{report.Direct}
	case p.directBroken(time.Now()):
		return []report.Via{report.PortForward, report.Direct}
	default:
		return []report.Via{report.Direct, report.PortForward}
	}
}

// peer returns what is known of the agent, and now and then forgets those that were not used for long.
func (c *Client) peer(agent topology.Agent) (*peer, error) {
	key, now := keyOf(agent), time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	p, ok := c.peers[key]
	if !ok {
		p = &peer{conns: map[report.Via]*grpc.ClientConn{}}
		c.peers[key] = p
	}
	p.used = now
	if now.Sub(c.swept) > forgetAfter/10 {
		c.swept = now
		for other, q := range c.peers {
			if now.Sub(q.used) > forgetAfter {
				q.close()
				delete(c.peers, other)
			}
		}
	}
	return p, nil
}

// begin returns the connection that stands, or the one that is made, for a call until end.
func (p *peer) begin(via report.Via, make func() (*grpc.ClientConn, error)) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	conn, ok := p.conns[via]
	if !ok {
		var err error
		if conn, err = make(); err != nil {
			return nil, err
		}
		p.conns[via] = conn
	}
	p.calls++
	return conn, nil
}

// end says that a call is over.
func (p *peer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls--
}

// release gives all connections up when no call is under way.
func (p *peer) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls > 0 {
		return
	}
	for via, conn := range p.conns {
		delete(p.conns, via)
		_ = conn.Close()
	}
}

// drop gives the connection up, unless another call has already replaced it.
func (p *peer) drop(via report.Via, conn *grpc.ClientConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[via] == conn {
		delete(p.conns, via)
		_ = conn.Close()
	}
}

// worked gives up the way around when the direct one works.
func (p *peer) worked(via report.Via) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if via != report.Direct {
		return
	}
	p.skipDirect = time.Time{}
	if conn, ok := p.conns[report.PortForward]; ok {
		delete(p.conns, report.PortForward)
		_ = conn.Close()
	}
}

func (p *peer) directFailed(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipDirect = until
}

func (p *peer) directBroken(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.skipDirect)
}

func (p *peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

// broken reports whether the error is one of the connection, so that another way may do better.
func broken(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.Canceled:
		// Nobody cancelled the call: another one gave the connection up under it.
		return true
	default:
		return false
	}
}

// plain is the error as a person should read it, without gRPC's framing and without what a stranger may have put into
// it.
func plain(err error) error {
	if s, ok := status.FromError(err); ok {
		return errors.New(wire.Printable(s.Message()))
	}
	return err
}
