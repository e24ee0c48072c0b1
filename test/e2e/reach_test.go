package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
)

// reportedWithin is how soon after the overlay of the leader's node broke the report of a later round has to be
// readable.
const reportedWithin = 30 * time.Second

// outOfReach breaks the overlay of the node on which the leading one of two controllers runs. The leader still renews
// its lease, by the node's network, and has to notice itself that the API server does not reach it.
func outOfReach(t *testing.T, c *cluster.Cluster) {
	defer masquerading(t, c)()
	if err := c.Install(t.Context(), "--set", "controller.replicas=2"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Install(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	defer explained(t, c)
	// Connections of before do not have the rule.
	kubectl(t, c, "rollout", "restart", "--namespace", cluster.Namespace, "deployment/kdoctor-controller")
	kubectl(t, c, "rollout", "status", "--namespace", cluster.Namespace, "--timeout=90s",
		"deployment/kdoctor-controller")
	first := leaderOnAWorker(t, c)
	apply(t, c, "reach", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: reach}
spec:
  schedule: {intervalInSecond: 10, roundNumber: -1}
  request: {durationInSecond: 2, qps: 5, perRequestTimeoutInMS: 500}
  target: {ipv6: true, nodePortNodes: Local}
`)
	eventually(t, time.Minute, "a round succeeds", func() error { return endedSince(t, c, "reach", time.Time{}, true) })
	awaitReached(t, c)
	defer watching(t, c)()
	nft := func(command string) {
		if _, err := c.Exec(context.WithoutCancel(t.Context()), first.Spec.NodeName, "nft", command); err != nil {
			t.Fatal(err)
		}
	}
	nft("table inet fault_reach { chain in { type filter hook input priority -300; udp dport 8472 drop; }; " +
		"chain out { type filter hook output priority -300; udp dport 8472 drop; }; }")
	cut, healed := time.Now(), false
	heal := func() {
		if !healed {
			healed = true
			nft("delete table inet fault_reach")
		}
	}
	defer heal()
	took := within(t, 90*time.Second, map[string]func() bool{
		"another replica is behind the Service": func() bool {
			now := leadersOf(t, c)
			return len(now) == 1 && now[0].Name != first.Name
		},
		"the report of a round that began after the cut is read": func() bool { return readSince(t, c, "reach", cut) },
	})
	for what, after := range took {
		t.Logf("%s: %.1f s after the cut", what, after.Seconds())
		if after > reportedWithin {
			t.Errorf("%s: %.1f s after the cut, want at most %v", what, after.Seconds(), reportedWithin)
		}
	}
	if err := endedSince(t, c, "reach", cut, false); err != nil {
		t.Errorf("the status: %v", err)
	}
	heal()
	eventually(t, time.Minute, "a round succeeds again", func() error {
		return endedSince(t, c, "reach", time.Now().Add(-12*time.Second), true)
	})
	wantOneChange(t, c, first.Name)
	wantEachRoundOnce(t, c, "reach")
}

// awaitReached waits until the API server has reached the leader for 3 s. The leader asks every second until it was
// reached once, so it has seen it then. One that was never reached waits longer than others until it gives up.
func awaitReached(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	const long = 3 * time.Second
	var since time.Time
	eventually(t, time.Minute, "the API server reaches the leader", func() error {
		if _, err := c.Kubectl(t.Context(), "get", "--raw", "/apis/system.kdoctor.io/v1beta1",
			"--request-timeout=2s"); err != nil {
			since = time.Time{}
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if lasted := time.Since(since); lasted < long {
			return fmt.Errorf("for %v until now", lasted)
		}
		return nil
	})
}

// masquerading has pods of workers reach the API server from the address of their node, as most networks of pods have
// it: the answers need no overlay. The lab's own network routes them back through it. The returned function ends it.
func masquerading(t *testing.T, c *cluster.Cluster) (end func()) {
	t.Helper()
	nft := func(command string) {
		for _, node := range []string{"n1", "n2"} {
			if _, err := c.Exec(context.WithoutCancel(t.Context()), node, "nft", command); err != nil {
				t.Fatal(err)
			}
		}
	}
	nft("table inet masquerade_reach { chain post { type nat hook postrouting priority 90; " +
		"ip daddr 198.18.0.10 tcp dport 6443 masquerade; }; }")
	return func() { nft("delete table inet masquerade_reach") }
}

// watching has somebody watch reports, until the returned function is called: a leader that nobody reaches must not
// wait for its readers.
func watching(t *testing.T, c *cluster.Cluster) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() { _, _ = c.Kubectl(ctx, "get", "kdoctorreports", "--watch") })
	return func() { cancel(); reader.Wait() }
}

// leadersOf are the pods with the mark of the leader.
func leadersOf(t *testing.T, c *cluster.Cluster) []corev1.Pod {
	t.Helper()
	return controllers(t, c, "kdoctor.io/leader=true,")
}

// controllers are the pods of the controllers that the selector chooses, which ends with a comma or is empty.
func controllers(t *testing.T, c *cluster.Cluster, selector string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := c.Get(t.Context(), &pods, "pods", "--namespace", cluster.Namespace, "-l",
		selector+"app.kubernetes.io/component=kdoctor-controller"); err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

// leaderOnAWorker has a controller lead that is not on the node of the API server, with another one beside it that is
// ready.
func leaderOnAWorker(t *testing.T, c *cluster.Cluster) (leader corev1.Pod) {
	t.Helper()
	eventually(t, 90*time.Second, "one of two controllers leads on a worker", func() error {
		all, ready := controllers(t, c, ""), 0
		for _, pod := range all {
			for _, condition := range pod.Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue &&
					pod.DeletionTimestamp == nil {
					ready++
				}
			}
		}
		now := leadersOf(t, c)
		if len(now) != 1 || ready != 2 || len(all) != 2 {
			return fmt.Errorf("%d leaders, %d pods, %d ready", len(now), len(all), ready)
		}
		holder := kubectl(t, c, "get", "lease", "--namespace", cluster.Namespace, "kdoctor-controller", "-o",
			"jsonpath={.spec.holderIdentity}")
		if !strings.HasPrefix(holder, now[0].Name) {
			return fmt.Errorf("%s has the mark and %q the lease", now[0].Name, holder)
		}
		leader = now[0]
		if leader.Spec.NodeName != "n0" {
			return nil
		}
		kubectl(t, c, "delete", "pod", "--namespace", cluster.Namespace, leader.Name)
		return errors.New("the leader was on the API server's node")
	})
	return leader
}

// endedSince returns nil when the newest round that is over began after the moment and ended as wanted.
func endedSince(t *testing.T, c *cluster.Cluster, name string, since time.Time, succeeded bool) error {
	t.Helper()
	want := v1beta1.RecordFail
	if succeeded {
		want = v1beta1.RecordSucceed
	}
	for _, record := range task(t, c, name).Status.History {
		if record.EndTimeStamp == nil {
			continue
		}
		if record.Status == want && record.StartTimeStamp.After(since.Truncate(time.Second)) {
			return nil
		}
		return fmt.Errorf("the last round is %+v, want one since %v: %s", record, since, want)
	}
	return errors.New("no round is over")
}

// readSince reports whether a report can be read of a round that began after the moment.
func readSince(t *testing.T, c *cluster.Cluster, name string, since time.Time) bool {
	t.Helper()
	var found systemv1beta1.KdoctorReport
	if err := c.Get(t.Context(), &found, "kdoctorreport", "netreach-"+name, "--request-timeout=2s"); err != nil {
		return false
	}
	for _, agent := range found.Spec.Report {
		if agent.StartTimeStamp.After(since) {
			return true
		}
	}
	return false
}

// wantOneChange checks that the leader gave up once, said why, started again and follows.
func wantOneChange(t *testing.T, c *cluster.Cluster, before string) {
	t.Helper()
	if now := leadersOf(t, c); len(now) != 1 || now[0].Name == before {
		t.Errorf("%d leaders after all is well; want one that is not %s", len(now), before)
	}
	for _, pod := range controllers(t, c, "") {
		want := int32(0)
		if pod.Name == before {
			want++
		}
		if s := pod.Status.ContainerStatuses; len(s) != 1 || s[0].RestartCount != want || !s[0].Ready {
			t.Errorf("%s: %+v; want it ready after %d restarts", pod.Name, s, want)
			out, err := c.Kubectl(t.Context(), "logs", "--namespace", cluster.Namespace, "--previous", "--tail=20",
				pod.Name)
			t.Logf("%s (%v)", out, err)
		}
	}
	var all eventsv1.EventList
	if err := c.Get(t.Context(), &all, "events.events.k8s.io", "--namespace", cluster.Namespace); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range all.Items {
		if e.Reason == "LeaderOutOfReach" && strings.Contains(e.Note, before) {
			t.Logf("event at %s: %s", e.EventTime.Format(time.RFC3339), e.Note)
			told++
		}
	}
	if told != 1 {
		t.Errorf("there are %d events LeaderOutOfReach about %s, want one", told, before)
	}
}

// wantEachRoundOnce checks that the records have each number once, ten seconds apart. While the leader changes one
// start may be missed, and the round under way may lack a result.
func wantEachRoundOnce(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	history := task(t, c, name).Status.History
	without, missed := 0, 0
	for i, record := range history {
		t.Logf("round %d: %s, began %s", record.RoundNumber, record.Status, record.StartTimeStamp.Format(time.TimeOnly))
		if record.EndTimeStamp != nil && record.Status != v1beta1.RecordSucceed && record.Status != v1beta1.RecordFail {
			without++
		}
		if i == 0 {
			continue
		}
		later := history[i-1]
		apart := later.StartTimeStamp.Sub(record.StartTimeStamp.Time)
		if later.RoundNumber != record.RoundNumber+1 || apart < 10*time.Second {
			t.Errorf("round %d began %v after round %d; want each number once, 10 s apart", later.RoundNumber, apart,
				record.RoundNumber)
		}
		missed += int(apart/(10*time.Second)) - 1
	}
	if without > 1 || missed > 1 {
		t.Errorf("%d rounds have no result and %d starts were missed, want one of each at most", without, missed)
	}
}
