package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"kdoctor.io/kdoctor/bench/internal/message"
	"kdoctor.io/kdoctor/internal/mesh"
)

// netHTTP keeps o.saturate requests under way with the standard library's client: what a program without an engine of
// its own would do.
func netHTTP(o options) message.Load {
	ctx, cancel := context.WithTimeout(context.Background(), o.duration)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: o.saturate,
		DisableKeepAlives: o.connection == string(mesh.NewConnection)}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: o.timeout}
	var sent, ok atomic.Uint64
	var running sync.WaitGroup
	for range max(1, o.saturate) {
		running.Go(func() {
			for ctx.Err() == nil {
				sent.Add(1)
				if get(client, "http://127.0.0.1:"+strconv.Itoa(o.port)+"/") {
					ok.Add(1)
				}
			}
		})
	}
	running.Wait()
	return message.Load{Scheduled: sent.Load(), Sent: sent.Load(), OK: ok.Load()}
}

// get makes one request, outside the load's context: those under way at its end are made whole.
func get(client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url,
		http.NoBody) // #nosec G704 -- an address of this machine
	if err != nil {
		return false
	}
	answer, err := client.Do(request) // #nosec G704 -- see above
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return err == nil && answer.StatusCode == http.StatusOK
}

// sleepUntil waits as most programs do.
func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }
