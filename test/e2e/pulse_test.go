package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// pulseWithin is how soon the loss of a path has to be told of, wherever in a round it begins.
const pulseWithin = 20 * time.Second

// cutHeartbeat cuts a node off at the worst moment, just after the load of a round, and measures how long it takes
// until the status, the metrics and the events of the task say so.
func cutHeartbeat(t *testing.T, c *cluster.Cluster) {
	node := workerWithoutController(t, c)
	nft := func(args ...string) {
		if _, err := c.Exec(t.Context(), node, append([]string{"nft"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	reading := scraping(t, c)
	apply(t, c, "pulse", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: pulse}
spec:
  schedule: {intervalInSecond: 10, roundNumber: -1}
  request: {durationInSecond: 2, qps: 5, perRequestTimeoutInMS: 500}
  target: {ipv6: true, nodePortNodes: Local}
`)
	passes := func() bool { return shownBy(t, c, "pulse", metav1.ConditionTrue) }
	within(t, time.Minute, map[string]func() bool{"a success": passes})
	over := *task(t, c, "pulse").Status.DoneRound
	eventually(t, 30*time.Second, "one more round is over", func() error {
		if done := *task(t, c, "pulse").Status.DoneRound; done <= over {
			return fmt.Errorf("%d rounds are over", done)
		}
		return nil
	})

	nft("add table inet fault_pulse")
	healed := false
	heal := func() {
		if !healed {
			healed = true
			nft("delete table inet fault_pulse")
		}
	}
	defer heal()
	nft("add chain inet fault_pulse forward { type filter hook forward priority -300; policy drop; }")
	cut := time.Now()
	took := within(t, time.Minute, map[string]func() bool{
		"status": func() bool { return shownBy(t, c, "pulse", metav1.ConditionFalse) },
		"metric": func() bool {
			return strings.Contains(reading(), `kdoctor_round_result{kind="NetReach",result="fail",task="pulse"} 1`)
		},
		"event": func() bool { return toldSince(t, c, "pulse", "RoundFailed", cut) },
	})
	for where, after := range took {
		t.Logf("%s: %.1f s after the cut", where, after.Seconds())
		if after > pulseWithin {
			t.Errorf("%s: %.1f s after the cut, want at most %v", where, after.Seconds(), pulseWithin)
		}
	}
	heal()
	for where, after := range within(t, time.Minute, map[string]func() bool{"status": passes}) {
		t.Logf("%s: well again %.1f s after the end of the cut", where, after.Seconds())
	}
	wantQuiet(t, c)
}

// within waits until everything is true, and returns after how long each was.
func within(t *testing.T, most time.Duration, all map[string]func() bool) map[string]time.Duration {
	t.Helper()
	began, took := time.Now(), map[string]time.Duration{}
	eventually(t, most, "all is told", func() error {
		for what, is := range all {
			if _, known := took[what]; !known && is() {
				took[what] = time.Since(began)
			}
		}
		if len(took) < len(all) {
			return fmt.Errorf("so far: %v", took)
		}
		return nil
	})
	return took
}

// shownBy reports whether the condition Succeeded of the task has the status, and the last round that is over too.
func shownBy(t *testing.T, c *cluster.Cluster, name string, want metav1.ConditionStatus) bool {
	t.Helper()
	ended := v1beta1.Succeed
	if want == metav1.ConditionFalse {
		ended = v1beta1.Failed
	}
	status := task(t, c, name).Status
	for _, condition := range status.Conditions {
		if condition.Type == "Succeeded" {
			return condition.Status == want && status.LastRoundStatus != nil && *status.LastRoundStatus == ended
		}
	}
	return false
}

// toldSince reports whether there is an event of the reason on the task since the moment.
func toldSince(t *testing.T, c *cluster.Cluster, name, reason string, since time.Time) bool {
	t.Helper()
	for _, e := range eventsOn(t, c, name) {
		if e.Reason == reason && !e.EventTime.Time.Before(since) {
			return true
		}
	}
	return false
}

func eventsOn(t *testing.T, c *cluster.Cluster, name string) (found []eventsv1.Event) {
	t.Helper()
	var all eventsv1.EventList
	if err := c.Get(t.Context(), &all, "events.events.k8s.io", "--namespace", metav1.NamespaceDefault); err != nil {
		t.Fatal(err)
	}
	for _, e := range all.Items {
		if e.Regarding.Name == name {
			found = append(found, e)
		}
	}
	return found
}

// wantQuiet checks that the rounds themselves made no events, and that all of them were in time.
func wantQuiet(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for _, e := range eventsOn(t, c, "pulse") {
		if e.Reason == "RoundStarted" || e.Reason == "RoundMissed" {
			t.Errorf("there is an event %s: %s", e.Reason, e.Note)
		}
	}
	history := task(t, c, "pulse").Status.History
	for i := 1; i < len(history); i++ {
		if apart := history[i-1].StartTimeStamp.Sub(history[i].StartTimeStamp.Time); apart != 10*time.Second {
			t.Errorf("rounds %d and %d are %v apart, want 10 s", history[i].RoundNumber, history[i-1].RoundNumber, apart)
		}
	}
}

// scraping returns a way to read the metrics of the controller that leads.
func scraping(t *testing.T, c *cluster.Cluster) func() string {
	t.Helper()
	kubectl(t, c, "create", "serviceaccount", "--namespace", "default", "pulse-scraper")
	kubectl(t, c, "create", "clusterrolebinding", "pulse-scraper", "--clusterrole=kdoctor-metrics-reader",
		"--serviceaccount=default:pulse-scraper")
	token := strings.TrimSpace(kubectl(t, c, "create", "token", "--namespace", "default", "pulse-scraper"))
	return func() string {
		pods, ask := metricsOf(t, c)
		for _, pod := range pods.Items {
			if pod.Status.Phase != corev1.PodRunning {
				continue
			}
			if code, text := ask(pod, token); code == http.StatusOK && strings.Contains(text, "kdoctor_leader 1") {
				return text
			}
		}
		return ""
	}
}
