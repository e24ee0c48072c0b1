package controller

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind/netreach"
	"kdoctor.io/kdoctor/internal/schedule"
)

// FuzzTask reads specs as users write them, with those numbers alone that the API server lets through, and decides
// about them: each decision ends, and begins no round but the task's first.
func FuzzTask(f *testing.F) {
	for _, seed := range []string{`{}`,
		`{"schedule":{"schedule":"0 1","roundNumber":-1,"roundTimeoutMinute":1},"request":{"qps":1000,"durationInSecond":10,"connection":"both","answerSizeInByte":8000}}`,
		`{"schedule":{"schedule":"*/5 * * * *","timeZone":"Europe/Berlin","roundNumber":3,"roundTimeoutMinute":2},"suspend":true}`, `{"agentSpec":{"kind":"Deployment","deploymentReplicas":2},"target":{"ipv6":true,"nodePortNodes":"Local"}}`,
		`{"schedule":{"schedule":"x y"}}`, `{"schedule":{"schedule":"0 0 31 2 *"}}`,
		`{"target":{"ipv4":null},"expect":{"successRate":2}}`} {
		f.Add([]byte(seed), int64(0))
	}
	f.Fuzz(func(t *testing.T, spec []byte, seconds int64) {
		n := &v1beta1.NetReach{ObjectMeta: metav1.ObjectMeta{Name: "task", UID: "u", Generation: 1,
			CreationTimestamp: at(0)}}
		if json.Unmarshal(spec, &n.Spec) != nil {
			return
		}
		if s := n.Spec.Schedule; s != nil &&
			(s.RoundTimeoutMinute < 1 || s.RoundTimeoutMinute > 1440 || s.RoundNumber < -1 || s.RoundNumber == 0 ||
				s.RoundNumber > 1_000_000) {
			return
		}
		if r := n.Spec.Request; r != nil &&
			(r.QPS < 1 || r.QPS > 1000 || r.DurationInSecond < 1 || r.DurationInSecond > 86400 ||
				r.PerRequestTimeoutInMS < 1 || r.PerRequestTimeoutInMS > 600_000) {
			return
		}
		task, err := netreach.Kind().Read(n)
		if err != nil {
			return
		}
		d := decide(state{task: task, workload: standard(),
			now: created().Add(time.Duration(seconds%1e8) * time.Second)})
		if d.begin != (schedule.Key{}) && d.begin != key(1) {
			t.Errorf("round %s begins", d.begin)
		}
		if len(d.status.History) > 1 || len(d.status.Conditions) == 0 {
			t.Errorf("a task that nobody has looked at before has %d rounds and %d conditions", len(d.status.History),
				len(d.status.Conditions))
		}
	})
}
