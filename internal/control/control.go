// Package control is the controller's side of the control channel: it hands agents their plans and fetches what they
// measured. It dials an agent's pod directly and, where that fails, through the API server and the kubelet of the
// agent's node, which works while the node's pod network does not. Which way was used is part of the report: it is
// evidence.
package control

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

var (
	// ErrUnknownRound says that the agent does not have the round, for example because it restarted.
	ErrUnknownRound = errors.New("the agent does not know the round")
	// ErrUnreachable says that the agent gave no answer on any way; the error that wraps it tells why for each.
	ErrUnreachable = errors.New("no answer")
	// ErrNoProbes says that the agent's release knows no probes of the ladder.
	ErrNoProbes = errors.New("the agent's release cannot send such probes")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("the control client is closed")
)

const (
	// maxMessage bounds a plan and a report, in bytes.
	maxMessage = 64 << 20
	// forgetAfter is how long an agent's connection is kept without use.
	forgetAfter = 10 * time.Minute
	// bufferBytes is the size of a connection's read buffer and write buffer. A client has a connection to each agent,
	// and gRPC's own sizes make 64 KiB of each. Larger reads and writes pass the buffers by.
	bufferBytes = 4 << 10
)

// Forwarder opens a connection to a port of a pod by another way than the pod network.
type Forwarder interface {
	Dial(ctx context.Context, namespace, pod string, port uint16) (net.Conn, error)
}

// Config says how agents are reached.
type Config struct {
	// TLS gives the client's configuration; it is asked for each connection, so that renewed certificates are taken up.
	TLS func() (*tls.Config, error)
	// Forward is the second way; nil is no second way.
	Forward Forwarder
	// DirectTimeout bounds the connection to a pod's addresses, all of them together; 0 is 2 s.
	DirectTimeout time.Duration
	// ForwardTimeout bounds the connection by the second way; 0 is 15 s.
	ForwardTimeout time.Duration
	// CallTimeout bounds a call on a connection that stands, on each way; 0 is 20 s. A network may break, or lose large
	// packets only, while the connection looks well.
	CallTimeout time.Duration
	// DirectRetry is how long the direct way is not tried again after it failed; 0 is a minute.
	DirectRetry time.Duration
}

// Client talks to agents. It keeps a connection to each until Release or Close is called, or the connection was idle
// for minutes.
type Client struct {
	config Config

	mu     sync.Mutex
	closed bool
	swept  time.Time
	peers  map[peerKey]*peer
}

// New returns a client that has no connections yet.
func New(config Config) *Client {
	config.DirectTimeout = cmp.Or(config.DirectTimeout, 2*time.Second)
	config.ForwardTimeout = cmp.Or(config.ForwardTimeout, 15*time.Second)
	config.CallTimeout = cmp.Or(config.CallTimeout, 20*time.Second)
	config.DirectRetry = cmp.Or(config.DirectRetry, time.Minute)
	return &Client{config: config, peers: map[peerKey]*peer{}}
}

// Close ends all connections and the calls on them. Calls made afterwards return ErrClosed.
func (c *Client) Close() error {
	c.mu.Lock()
	peers := c.peers
	c.closed, c.peers = true, nil
	c.mu.Unlock()
	for _, p := range peers {
		p.close()
	}
	return nil
}

// Release closes the connections to the agent, unless a call is under way: a round of another task may use them. What
// the client knows of the ways to the agent stays, and the next call connects again, with certificates checked as ever.
func (c *Client) Release(agent topology.Agent) {
	c.mu.Lock()
	p := c.peers[keyOf(agent)]
	c.mu.Unlock()
	if p != nil {
		p.release()
	}
}

// Start hands the agent its plan. An agent that has the round already changes nothing.
func (c *Client) Start(ctx context.Context, agent topology.Agent, plan mesh.Plan) error {
	request := &agentv1.StartRoundRequest{Plan: wire.Plan(plan)}
	_, err := c.call(ctx, agent, func(ctx context.Context, service agentv1.AgentServiceClient) error {
		_, err := service.StartRound(ctx, request)
		return err
	})
	return describe("start round", plan.Key, agent, err)
}

// Fetch returns what the agent measured so far; Ended is zero while the round runs. A report that does not add up, or
// is another agent's, is an error.
func (c *Client) Fetch(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	return c.fetch(ctx, agent, key, false)
}

// State returns what Fetch returns, without paths and sums. An agent of the release before sends both all the same;
// they are left out.
func (c *Client) State(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	state, err := c.fetch(ctx, agent, key, true)
	state.Paths, state.Sums, state.NotListed = nil, nil, nil
	return state, err
}

func (c *Client) fetch(ctx context.Context, agent topology.Agent, key schedule.Key,
	stateOnly bool) (report.AgentReport, error) {
	var response *agentv1.GetReportResponse
	via, err := c.call(ctx, agent, func(ctx context.Context, service agentv1.AgentServiceClient) (err error) {
		response, err = service.GetReport(ctx, &agentv1.GetReportRequest{Key: wire.Key(key), StateOnly: stateOnly})
		return err
	})
	if err != nil {
		return report.AgentReport{}, describe("fetch the report of round", key, agent, err)
	}
	fetched, err := parse(response.GetReport(), agent, key)
	if err != nil {
		return report.AgentReport{}, describe("read the report of round", key, agent, err)
	}
	fetched.Via = via
	return fetched, nil
}

// Stop ends the agent's part in the round. An agent that does not know the round has nothing to end.
func (c *Client) Stop(ctx context.Context, agent topology.Agent, key schedule.Key) error {
	_, err := c.call(ctx, agent, func(ctx context.Context, service agentv1.AgentServiceClient) error {
		_, err := service.StopRound(ctx, &agentv1.StopRoundRequest{Key: wire.Key(key)})
		return err
	})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return describe("stop round", key, agent, err)
}

// Probe asks the agent to send probes at once, and returns what became of each, in the same order. An agent of a
// release before them cannot; that is ErrNoProbes.
func (c *Client) Probe(ctx context.Context, agent topology.Agent, specs []ladder.Spec) ([]ladder.Result, error) {
	request := wire.Probes(agent.Pod, specs)
	var response *agentv1.ProbeResponse
	// Probes take seconds where they fail. Time that the caller does not give is no sign that the way is broken, so the
	// call ends with the caller's time and is not shared out by it between the ways.
	calling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	_, err := c.call(calling, agent, func(ctx context.Context, service agentv1.AgentServiceClient) (err error) {
		response, err = service.Probe(ctx, request)
		return err
	})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, fmt.Errorf("probe from agent %s: %w", agent.Pod, ErrNoProbes)
	case err != nil:
		return nil, fmt.Errorf("probe from agent %s: %w", agent.Pod, err)
	}
	results, err := wire.ParseProbeResults(response, specs)
	if err != nil {
		return nil, fmt.Errorf("read what agent %s probed: %w", agent.Pod, err)
	}
	return results, nil
}

func parse(message *agentv1.AgentReport, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	fetched, err := wire.ParseReport(message)
	if err != nil {
		return report.AgentReport{}, err
	}
	got, err := wire.ParseKey(message.GetKey())
	if err != nil {
		return report.AgentReport{}, err
	}
	if got != key || fetched.Pod != agent.Pod {
		return report.AgentReport{}, fmt.Errorf("it is of round %s and pod %s", got, fetched.Pod)
	}
	return fetched, nil
}

// describe says what was being done, and turns the agent's NotFound into ErrUnknownRound.
func describe(what string, key schedule.Key, agent topology.Agent, err error) error {
	if err == nil {
		return nil
	}
	if status.Code(err) == codes.NotFound {
		err = fmt.Errorf("%w: %s", ErrUnknownRound, wire.Printable(status.Convert(err).Message()))
	}
	return fmt.Errorf("%s %s on agent %s: %w", what, key, agent.Pod, err)
}

// options are those of every connection.
func (c *Client) options(timeout time.Duration, dial func(context.Context) (net.Conn, error)) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithTransportCredentials(fresh{c.config.TLS}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: timeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithReadBufferSize(bufferBytes), grpc.WithWriteBufferSize(bufferBytes),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
	}
}
