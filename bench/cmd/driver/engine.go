package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"kdoctor.io/kdoctor/bench/internal/message"
	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/internal/engine"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

func engineLoad(o options) (message.Load, error) {
	e := engine.New(engine.Config{
		Round: "bench/1/1", Source: "bench", Installation: rig.Installation, Targets: targets(o),
		Load: mesh.Load{PerSecond: o.rate, Duration: o.duration, Timeout: o.timeout,
			Connection: mesh.Connection(o.connection)},
		InFlight: o.inFlight,
		Saturate: o.saturate, Plain: o.plain, Wake: wake(o),
	})
	if !e.Run(context.Background()) {
		return message.Load{}, errors.New("the load did not come to its end")
	}
	memory, err := resident()
	if err != nil {
		return message.Load{}, err
	}
	said := summary(e.Paths())
	said.Resident, said.Grid = memory, e.Grid()
	return said, nil
}

func wake(o options) engine.Wake {
	switch {
	case o.grid:
		return engine.WakeGrid
	case o.precise:
		return engine.WakePrecise
	}
	return engine.WakeByLoad
}

func targets(o options) []target.Target {
	made := make([]target.Target, o.targets)
	for i := range made {
		port := strconv.Itoa(o.port + i)
		made[i] = target.Target{ID: port, Kind: target.Endpoint, Family: topology.IPv4, Protocol: target.HTTP,
			Address: "http://" + net.JoinHostPort(o.host, port) + "/"}
	}
	return made
}

// summary adds all paths.
func summary(paths []report.Path) message.Load {
	said := message.Load{Failures: map[string]uint64{}}
	var latency, response, lag stats.Histogram
	pods := map[string]bool{}
	for _, p := range paths {
		said.Scheduled += p.Scheduled
		said.Sent += p.Sent
		said.Missed += p.Missed
		said.OK += p.OK
		said.Kernel += p.Kernel
		said.Retransmits += p.Retransmits
		if p.Sent == p.Scheduled {
			said.Whole++
			if p.OK < p.Sent {
				said.Blamed++
			}
		}
		for pod := range p.Peers {
			pods[pod] = true
		}
		for _, f := range p.Failures {
			said.Failures[f.Outcome.String()] += f.Count
		}
		latency.Merge(p.Latency)
		response.Merge(p.Response)
		lag.Merge(p.Lag)
	}
	said.Pods = len(pods)
	said.Latency, said.Response, said.Lag = quantiles(latency), quantiles(response), quantiles(lag)
	return said
}

func quantiles(h stats.Histogram) message.Quantiles {
	at := func(q float64) float64 { return h.Quantile(q).Seconds() }
	return message.Quantiles{P50: at(0.5), P90: at(0.9), P95: at(0.95), P99: at(0.99), Max: h.Max().Seconds()}
}

// resident is the memory of this process in bytes after garbage was given back.
func resident() (uint64, error) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("read own memory: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read own memory: %q", text)
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read own memory: %w", err)
	}
	return pages * uint64(os.Getpagesize()), nil // #nosec G115 -- a page is 4 KB or more
}

//
