package diagnose_test

import (
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/target"
)

// Nothing in the rounds of these tests fails, so that without a finding they would be as good as healthy.

func TestAServiceThatLeadsEveryoneToOnePodIsFound(t *testing.T) {
	for pods := 3; pods <= 20; pods++ {
		round := cluster{pods: pods, requests: 1000, kinds: []target.Kind{target.ClusterIP, target.NodePort},
			direct: always,
			silent: func(_, to string, _ target.Kind) bool { return to != "agent-a" }}.build()
		if found := patterns(round); len(found) != 1 || found[0].Reason != "OneBackendOnly" ||
			found[0].Confidence != diagnose.High {
			t.Errorf("%d pods: %+v", pods, found)
		}
	}
}

func TestAServiceAnsweredByTheLocalPodAloneIsFound(t *testing.T) {
	for pods := 2; pods <= 20; pods++ {
		round := cluster{pods: pods, requests: 1000, kinds: []target.Kind{target.ClusterIP}, direct: always,
			silent: func(agent, to string, _ target.Kind) bool { return to != agent }}.build()
		if found := patterns(round); len(found) != 1 || found[0].Reason != "LocalOnly" {
			t.Errorf("%d pods: %+v", pods, found)
		}
	}
}

func TestASilentBackendIsFoundWhereverItsTurnsWouldBe(t *testing.T) {
	for pods := 2; pods <= 20; pods++ {
		kinds := []target.Kind{target.ClusterIP}
		for range pods {
			kinds = append(kinds, target.Kind("NodePort"+string(rune('a'+len(kinds)))))
		}
		round := cluster{pods: pods, requests: 10, kinds: kinds, direct: always, silent: anywhere("agent-b")}.build()
		found := patterns(round)
		for _, f := range found {
			if f.Component != diagnose.ServicePath ||
				!strings.HasSuffix(f.Message, "look at the Service's endpoints and at kube-proxy") {
				t.Errorf("%d pods: %+v", pods, f)
			}
		}
		if len(found) == 0 {
			t.Errorf("%d pods: agent-b got none of %d requests, and there is no finding", pods, pods*len(kinds)*10)
		}
	}
	round := cluster{pods: 25, requests: 100, kinds: []target.Kind{target.ClusterIP}, direct: always,
		silent: anywhere("agent-b")}.build()
	if found := patterns(round); len(found) != 1 || found[0].Reason != "SilentBackend" ||
		found[0].Where != "pod agent-b on node node-2" {
		t.Errorf("agent-b got none of 2500 requests, where 100 were its turn: %+v", found)
	}
}
