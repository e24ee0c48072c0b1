package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/test/cluster"
)

// schedules are lanes of about the same length: one or two minutes have to be waited for in most of them. Those with
// agents of their own, which are much work, begin with what takes longest.
func schedules() [][]scenario {
	return [][]scenario{
		{{"a DaemonSet of the task's own reaches itself every way and goes a minute after the end", ownDaemonSet}},
		{{"a Deployment of the task's own reaches itself every way and goes a minute after the end", ownDeployment}},
		{{"the default agents reach each other every way, when a minute begins too", everyWay}},
		{{"two rounds run a minute apart and both are kept", twoRounds}},
		{
			{"an edited task starts anew, and the old rounds stay apart", edited},
			{"tasks with dots and with long names have agents of their own", names},
		},
		{{"a task without an end runs until it is deleted, and its reports go with it", forever}},
		{{"a round is over at its deadline though an agent hangs", deadline}},
		{
			{"agents on some nodes only say that the others were not looked at", selected},
			{"cron is read in the task's time zone", timeZone},
		},
		{
			{"an annotation starts a round at once, once for each value", runNow},
			{"a task that is made again at once under its name shows nothing of the old one", madeAgain},
			{"all that may be said of own agents is obeyed, and they go at once where that is asked for", allSaid},
			{"a task's own agents go with the task", goWithTask},
		},
		{
			{"a suspended task waits, and runs when it is resumed", suspended},
			{"agents on the nodes' network work beside the default ones", hostNetwork},
			{"node ports are probed on every node, or on the agent's own where that is asked for", nodePorts},
			{"requests that are sent are those that are answered, whichever way connections are used", connections},
			{"second interfaces are probed and named", interfaces},
			{"the control port of an agent refuses everyone but the controller", strangers},
			{"a node port that answers on some nodes only fails for every agent, and nothing else does",
				brokenNodePort},
			{"names in the status of Services and Ingress are resolved, and that is timed apart", hostNames},
		},
	}
}

func twoRounds(t *testing.T, l life) {
	l.apply(t, "two", `schedule: {schedule: "0 1", roundNumber: 2}
  `+light)
	done := l.finished(t, "two", 150*time.Second)
	history := done.Status.History
	if len(history) != 2 || history[0].RoundNumber != 2 || history[1].RoundNumber != 1 || *done.Status.DoneRound != 2 ||
		*done.Status.ExpectedRound != 2 {
		t.Fatalf("status %+v; want the rounds 2 and 1", done.Status)
	}
	if apart := history[0].StartTimeStamp.Sub(history[1].StartTimeStamp.Time); apart != time.Minute {
		t.Errorf("the rounds started %v apart, want a minute", apart)
	}
	last := l.report(t, "netreach-two")
	if last.Spec.ReportRoundNumber != 2 || last.Spec.FinishedRoundNumber != 2 || last.Spec.RoundNumber != 2 {
		t.Errorf("the report is about round %d, %d of %d are over; want 2, 2 and 2", last.Spec.ReportRoundNumber,
			last.Spec.FinishedRoundNumber, last.Spec.RoundNumber)
	}
	for _, name := range []string{"netreach-two", "netreach-two:1", "netreach-two:1.2"} {
		wantPassed(t, l.report(t, name), nodes, lightly)
	}
	var list systemv1beta1.KdoctorReportList
	if err := l.api.List(t.Context(), &list, client.MatchingFields{"spec.TaskName": "two"}); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 || list.Items[0].Name != "netreach-two:1.2" || list.Items[1].Name != "netreach-two:1.1" {
		t.Errorf("the list holds %d rounds; want the second and the first", len(list.Items))
	}
	var none systemv1beta1.KdoctorReport
	if err := l.api.Get(t.Context(), client.ObjectKey{Name: "netreach-two:9"}, &none); !apierrors.IsNotFound(err) ||
		!strings.Contains(err.Error(), "stored rounds of NetReach two: 1-2") {
		t.Errorf("a round that never was is answered with %v; want that it is not found and which rounds are stored",
			err)
	}
}

func forever(t *testing.T, l life) {
	l.apply(t, "forever", `schedule: {schedule: "0 1", roundNumber: -1}
  `+light)
	found := l.until(t, "forever", 150*time.Second, "two rounds are over", func(n v1beta1.NetReach) bool {
		return n.Status.DoneRound != nil && *n.Status.DoneRound == 2
	})
	if found.Status.Finish || *found.Status.ExpectedRound != -1 ||
		found.Status.History[0].Status != v1beta1.RecordNotStarted || found.Status.History[0].RoundNumber != 3 {
		t.Errorf("status %+v; want a third round to come", found.Status)
	}
	kubectl(t, l.Cluster, "delete", "netreach", "forever")
	eventually(t, 10*time.Second, "the reports go", func() error {
		var list systemv1beta1.KdoctorReportList
		if err := l.api.List(t.Context(), &list, client.MatchingFields{"spec.TaskName": "forever"}); err != nil ||
			len(list.Items) != 0 {
			return fmt.Errorf("%d are left (%w)", len(list.Items), err)
		}
		return nil
	})
}

// timeZone asks for one minute of the day by the clock of a place where it is 5 hours and 45 minutes later than in UTC.
func timeZone(t *testing.T, l life) {
	const zone = "Asia/Kathmandu"
	place, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(20 * time.Second).Truncate(time.Minute).Add(time.Minute).In(place)
	l.apply(t, "zone", fmt.Sprintf("schedule: {schedule: \"%d %d * * *\", timeZone: %s}\n  %s", at.Minute(), at.Hour(),
		zone, light))
	done := l.finished(t, "zone", time.Until(at)+time.Minute)
	if start := done.Status.History[0].StartTimeStamp; !start.Time.Equal(at) {
		t.Errorf("the round was planned for %v, want %v", start, at)
	}
	wantPassed(t, l.report(t, "netreach-zone"), nodes, lightly)
}

func suspended(t *testing.T, l life) {
	l.apply(t, "paused", "suspend: true\n  "+light)
	waits := func(n v1beta1.NetReach) bool {
		c := meta.FindStatusCondition(n.Status.Conditions, controller.Progressing)
		return c != nil && c.Reason == controller.Suspended && len(n.Status.History) == 1 &&
			n.Status.History[0].Status == v1beta1.RecordNotStarted
	}
	l.until(t, "paused", 30*time.Second, "the task waits", waits)
	// The planned start was when the task was made, so that a round would be under way by now.
	until := time.Now().Add(8 * time.Second)
	eventually(t, 20*time.Second, "some time passes", func() error {
		if n := l.task(t, "paused"); !waits(n) {
			t.Fatalf("the suspended task does not wait: %+v", n.Status)
		}
		if time.Now().Before(until) {
			return fmt.Errorf("it is not yet %v", until)
		}
		return nil
	})
	resumed := time.Now().Truncate(time.Second)
	l.resume(t, "paused")
	done := l.finished(t, "paused", 90*time.Second)
	if len(done.Status.History) != 1 || done.Status.History[0].EndTimeStamp.Time.Before(resumed) ||
		!meta.IsStatusConditionTrue(done.Status.Conditions, controller.OnTime) {
		t.Errorf("status %+v; want one round that ended after %v, and no missed one", done.Status, resumed)
	}
	wantPassed(t, l.report(t, "netreach-paused"), nodes, lightly)
}

func runNow(t *testing.T, l life) {
	l.apply(t, "now", "schedule: {schedule: \"60 60\"}\n  "+light)
	ask := func(token string) {
		kubectl(t, l.Cluster, "annotate", "netreach", "now", "--overwrite", "kdoctor.io/run-now="+token)
	}
	round := func(token string, number int64) {
		l.until(t, "now", time.Minute, "round "+token+" is over", func(n v1beta1.NetReach) bool {
			return n.Status.Finish && n.Status.LastRunNow == token && *n.Status.DoneRound == number &&
				n.Status.History[0].RoundNumber == number
		})
	}
	l.until(t, "now", 30*time.Second, "the round is planned",
		func(n v1beta1.NetReach) bool { return len(n.Status.History) == 1 })
	ask("first")
	round("first", 1)
	ask("second")
	round("second", 2)
	// The same value again asks for nothing, whatever else changes.
	kubectl(t, l.Cluster, "label", "netreach", "now", "looked-at=again")
	ask("second")
	ask("third")
	round("third", 3)
	wantPassed(t, l.report(t, "netreach-now:3"), nodes, lightly)
}

func edited(t *testing.T, l life) {
	l.apply(t, "edited", light)
	l.finished(t, "edited", 90*time.Second)
	kubectl(t, l.Cluster, "patch", "netreach", "edited", "--type=merge", "-p", `{"spec":{"request":{"qps":6}}}`)
	done := l.until(t, "edited", 90*time.Second, "the edited task finishes", func(n v1beta1.NetReach) bool {
		return n.Status.Finish && n.Status.ObservedGeneration == 2
	})
	if len(done.Status.History) != 1 || done.Status.History[0].RoundNumber != 1 || *done.Status.DoneRound != 1 ||
		done.Status.RoundsGeneration != 2 {
		t.Errorf("status %+v; want round 1 of generation 2 alone", done.Status)
	}
	wantPassed(t, l.report(t, "netreach-edited"), nodes, 6)
	wantPassed(t, l.report(t, "netreach-edited:2.1"), nodes, 6)
	wantPassed(t, l.report(t, "netreach-edited:1.1"), nodes, lightly)
}

func madeAgain(t *testing.T, l life) {
	l.apply(t, "again", light)
	before := l.finished(t, "again", 90*time.Second)
	wantPassed(t, l.report(t, "netreach-again"), nodes, lightly)
	kubectl(t, l.Cluster, "delete", "netreach", "again")
	l.apply(t, "again", "schedule: {schedule: \"60 60\"}\n  "+strings.Replace(light, "qps: 4", "qps: 5", 1))
	after := l.until(t, "again", 30*time.Second, "the round is planned",
		func(n v1beta1.NetReach) bool { return len(n.Status.History) == 1 })
	if after.UID == before.UID || after.Status.Finish || *after.Status.DoneRound != 0 ||
		after.Status.LastRoundStatus != nil {
		t.Errorf("status %+v; want that of a new task", after.Status)
	}
	var old systemv1beta1.KdoctorReport
	if err := l.api.Get(t.Context(), client.ObjectKey{Name: "netreach-again"}, &old); !apierrors.IsNotFound(err) {
		t.Errorf("the task without a round has a report about round %d (%v)", old.Spec.ReportRoundNumber, err)
	}
	kubectl(t, l.Cluster, "annotate", "netreach", "again", "kdoctor.io/run-now=x")
	l.finished(t, "again", 90*time.Second)
	wantPassed(t, l.report(t, "netreach-again"), nodes, 5)
	var list systemv1beta1.KdoctorReportList
	if err := l.api.List(t.Context(), &list, client.MatchingFields{"spec.TaskName": "again"}); err != nil ||
		len(list.Items) != 1 {
		t.Errorf("%d rounds are stored (%v), want the one of the new task", len(list.Items), err)
	}
}

// deadline stops one of the task's own agents amid a load so long that the agent would be waited for until after the
// deadline. The kubelet kills it for its silence, but not before the round is over.
func deadline(t *testing.T, l life) {
	var before v1beta1.NetReach
	l.making(func() {
		l.apply(t, "hung", `agentSpec: {}
  request: {durationInSecond: 50, qps: 1, perRequestTimeoutInMS: 500}
  target: {clusterIP: false, nodePort: false}`)
		before = l.ongoing(t, "hung", 150*time.Second)
	})
	// An agent that had not begun would not be waited for.
	l.begun(t, before)
	const node = "n1"
	pod := strings.TrimSpace(kubectl(t, l.Cluster, "get", "pods", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/name=kdoctor-netreach-hung",
		"--field-selector", "spec.nodeName="+node, "-o", "jsonpath={.items[0].metadata.name}"))
	pid := agentProcess(t, pod)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// By the end the kubelet may have killed it already.
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	done := l.finished(t, "hung", 90*time.Second)
	record := done.Status.History[0]
	if late := record.EndTimeStamp.Sub(record.DeadLineTimeStamp.Time); late > time.Second || late < -5*time.Second {
		t.Errorf("the round ended %v after its deadline", late)
	}
	if record.DeadLineTimeStamp.Sub(before.Status.History[0].StartTimeStamp.Time) != time.Minute {
		t.Errorf("the deadline of %+v is not a minute after its start", record)
	}
	if record.Status != v1beta1.RecordFail || !slices.Equal(record.NotReportAgentNodeList, []string{node}) {
		t.Errorf("the record is %+v; want a failure with no report from %s", record, node)
	}
	if r := l.report(t, "netreach-hung"); len(r.Spec.Report) != nodes-1 || len(r.Spec.NotReported) != 1 ||
		r.Spec.NotReported[0].PodName != pod || r.Spec.NotReported[0].Reason == "" {
		t.Errorf("%d agents reported, without a report are %+v; want %s with a reason", len(r.Spec.Report),
			r.Spec.NotReported, pod)
	}
}
