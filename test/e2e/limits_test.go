package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"kdoctor.io/kdoctor/internal/controller"
)

// limits applies the same task under a limit of a chart that reduces, and of one that refuses.
func limits(t *testing.T, l life) {
	set := func(excess string) {
		t.Helper()
		if err := l.Install(t.Context(), "--set", "limits.requestsPerSecondPerAgent=20", "--set", "limits.onExcess="+
			excess); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if err := l.Install(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	// Ten requests a second to each of three pods are 30, and with the kept stream some more.
	const much = "request: {durationInSecond: 2, qps: 10, perRequestTimeoutInMS: 2000}\n  target: {clusterIP: false, " +
		"nodePort: false}"
	set("Reduce")
	l.apply(t, "much", much)
	done := l.finished(t, "much", time.Minute)
	c := meta.FindStatusCondition(done.Status.Conditions, controller.LoadReduced)
	if c == nil || c.Reason != controller.LoadAboveLimit || c.Status != "True" {
		t.Errorf("the condition is %+v; want that the load was reduced", c)
	}
	r := l.report(t, "netreach-much")
	if total := sent(r); total.counted == 0 || total.counted+total.kept > 2*20*nodes || r.Spec.ReducedLoad == "" {
		t.Errorf("%+v requests were sent, and the report says %q; want at most %d and a reason", total,
			r.Spec.ReducedLoad, 2*20*nodes)
	}
	set("Refuse")
	// How many agents and targets there are is written by the controller, and until then nothing is too much.
	eventually(t, time.Minute, "the task is refused", func() error {
		_, err := l.Apply(t.Context(), fmt.Sprintf("apiVersion: kdoctor.io/v1beta1\nkind: NetReach\nmetadata: {name: "+
			"too-much}\nspec:\n  %s\n", much))
		if err == nil {
			kubectl(t, l.Cluster, "delete", "netreach", "too-much")
			return errors.New("it was taken")
		}
		if !strings.Contains(err.Error(), "spec.request.qps is 10") ||
			!strings.Contains(err.Error(), "the limit is 20") {
			return fmt.Errorf("it is not the sentence that says what would do: %w", err)
		}
		return nil
	})
	l.apply(t, "enough", strings.Replace(much, "qps: 10", "qps: 4", 1))
	l.finished(t, "enough", time.Minute)
	wantPassed(t, l.report(t, "netreach-enough"), nodes, 8)
}
