package agent

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
)

func TestPlansOfAddressesAndNamesAreMeasuredTogetherInTheirOrder(t *testing.T) {
	identity := echo.Identity{Installation: "k/a", Pod: "a"}
	handler := responder.NewHandler(identity)
	server := httptest.NewServer(handler)
	defer server.Close()
	byName := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for _, c := range []struct{ name, kinds string }{{"both", "anan"}, {"addresses", "aaa"}, {"names", "nn"},
		{"nothing", ""}} {
		t.Run(c.name, func(t *testing.T) {
			plan := mesh.Plan{Key: schedule.Key{UID: c.name, Generation: 1, Round: 1},
				Load: mesh.Load{PerSecond: 10, Duration: time.Second, Timeout: 10 * time.Second}}
			for i, kind := range c.kinds {
				to := target.Target{ID: fmt.Sprintf("t%d", i), Family: "IPv4", Address: server.URL}
				if kind == 'n' {
					to.Address = byName
				}
				plan.Targets = append(plan.Targets, to)
			}
			m := measure(plan, identity, 0)
			if !m.Run(t.Context()) {
				t.Error("the load says that it was cut short")
			}
			paths, sent := m.Paths(), uint64(0)
			if len(paths) != len(plan.Targets) {
				t.Fatalf("%d paths of %d targets", len(paths), len(plan.Targets))
			}
			for i, p := range paths {
				if p.Target != plan.Targets[i] || p.Scheduled != 10 || p.OK != p.Sent || p.Started.IsZero() ||
					p.Ended.IsZero() {
					t.Errorf("path %d is of %s: %d scheduled, %d sent, %d ok, %v", i, p.Target.ID, p.Scheduled, p.Sent,
						p.OK, p.Failures)
				}
				sent += p.Sent
			}
			if served := handler.Served(plan.Key.String()); served != sent {
				t.Errorf("%d requests were sent and %d answered", sent, served)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if measure(plan, identity, 0).Run(ctx) {
				t.Error("a stopped load says that it came to its end")
			}
		})
	}
}
