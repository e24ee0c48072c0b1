package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/observer"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/wire"
)

const (
	// maxCalls bounds the calls under way on one connection.
	maxCalls = 16
	// maxProbing bounds the calls of Probe that send at a time: several rounds may run.
	maxProbing = 2
	// bufferBytes is the size of a connection's read buffer and write buffer; gRPC's own sizes are 32 KiB each. It also
	// bounds the size of the TLS records that the controller must hold, for each of thousands of agents.
	bufferBytes = 4 << 10
)

// ladderProbes sends the ladder's probes and returns their results in the same order.
type ladderProbes func(ctx context.Context, specs []ladder.Spec) []ladder.Result

// controlServer serves the control channel to the controller alone. It offers no reflection. Without probe the agent
// sends no probes of the ladder.
func controlServer(certificates *certificates, rounds *rounds, probe ladderProbes) *grpc.Server {
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(certificates.server())),
		grpc.MaxRecvMsgSize(wire.MaxMessageBytes),
		grpc.MaxSendMsgSize(wire.MaxMessageBytes),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.ReadBufferSize(bufferBytes), grpc.WriteBufferSize(bufferBytes),
		grpc.ConnectionTimeout(5*time.Second),
		// A controller that is gone, or cut off, is noticed within half a minute.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 5 * time.Minute, Time: 20 * time.Second,
			Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second,
			PermitWithoutStream: true}),
	)
	agentv1.RegisterAgentServiceServer(server, &control{rounds: rounds, probe: probe,
		probing: make(chan struct{}, maxProbing)})
	return server
}

func newRounds(identity echo.Identity, answers answerer, log *slog.Logger) *rounds {
	return &rounds{
		identity: identity,
		answers:  answers,
		log:      log,
		idling:   sparing(log),
		known:    map[schedule.Key]*round{},
		measure:  func(plan mesh.Plan) measurement { return measure(plan, identity, inFlight()) },
		watch: func(ctx context.Context, update func(report.Resources, report.Observer)) {
			observer.Watch(ctx, observer.Open().Read, update)
		},
	}
}

// control passes calls on to rounds and turns its errors into codes.
type control struct {
	agentv1.UnimplementedAgentServiceServer
	rounds *rounds
	// probe sends the ladder's probes; nil in an agent that cannot.
	probe ladderProbes
	// probing bounds the calls of Probe that send at a time.
	probing chan struct{}
}

// StartRound implements agentv1.AgentServiceServer.
func (c *control) StartRound(_ context.Context, request *agentv1.StartRoundRequest) (*agentv1.StartRoundResponse,
	error) {
	plan, err := wire.ParsePlan(request.GetPlan())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if plan.Agent.Pod != c.rounds.identity.Pod {
		return nil, status.Errorf(codes.FailedPrecondition, "the plan is for pod %s, this is %s", plan.Agent.Pod,
			c.rounds.identity.Pod)
	}
	known, err := c.rounds.start(plan)
	switch {
	case errors.Is(err, errFull):
		return nil, status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, errEnding):
		return nil, status.Error(codes.Unavailable, err.Error())
	case err != nil:
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &agentv1.StartRoundResponse{Known: known}, nil
}

// GetReport implements agentv1.AgentServiceServer.
func (c *control) GetReport(_ context.Context, request *agentv1.GetReportRequest) (*agentv1.GetReportResponse, error) {
	key, err := wire.ParseKey(request.GetKey())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	report, ok, err := c.rounds.report(key, request.GetStateOnly())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if !ok {
		return nil, status.Errorf(codes.NotFound, "round %s is not known here", key)
	}
	return &agentv1.GetReportResponse{Report: report}, nil
}

// StopRound implements agentv1.AgentServiceServer.
func (c *control) StopRound(ctx context.Context, request *agentv1.StopRoundRequest) (*agentv1.StopRoundResponse,
	error) {
	key, err := wire.ParseKey(request.GetKey())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := c.rounds.stop(ctx, key); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return &agentv1.StopRoundResponse{}, nil
}

// Probe implements agentv1.AgentServiceServer.
func (c *control) Probe(ctx context.Context, request *agentv1.ProbeRequest) (*agentv1.ProbeResponse, error) {
	if c.probe == nil {
		return nil, status.Error(codes.Unimplemented, "this agent sends no such probes")
	}
	pod, specs, err := wire.ParseProbes(request)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if pod != c.rounds.identity.Pod {
		return nil, status.Errorf(codes.FailedPrecondition, "the probes are for pod %s, this is %s", pod,
			c.rounds.identity.Pod)
	}
	select {
	case c.probing <- struct{}{}:
		defer func() { <-c.probing }()
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	c.rounds.idling.begin()
	defer c.rounds.idling.end()
	return wire.ProbeResults(c.probe(ctx, specs)), nil
}
