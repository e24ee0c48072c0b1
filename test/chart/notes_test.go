package chart

import (
	"strings"
	"testing"
)

// notes returns what Helm prints after an installation; nothing is asked of a cluster.
func notes(t *testing.T, settings ...string) string {
	t.Helper()
	args := []string{"install", "kdoctor", folder, "--namespace", "kdoctor", "--dry-run=client"}
	for _, setting := range settings {
		args = append(args, "--set", setting)
	}
	text, err := helm(t, args...)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	_, text, _ = strings.Cut(text, "\nNOTES:\n")
	return text
}

func TestTheNotesNameATaskThatFits(t *testing.T) {
	const plain, only6, both = `"first"}}' |`, `{"target": {"ipv4": false, "ipv6": true}}}' |`,
		`{"target": {"ipv6": true}}}' |`
	for name, c := range map[string]struct{ settings, says, not []string }{
		"of any families": {nil, []string{plain, only6, both, "kubectl delete crd", "--take-ownership"}, nil},
		"IPv6 alone":      {[]string{"feature.enableIPv4=false"}, []string{only6}, []string{plain, both}},
		"IPv4 alone":      {[]string{"feature.enableIPv6=false"}, []string{plain}, []string{only6, both}},
		"without the API": {[]string{"apiService.enabled=false"}, []string{"are not served"},
			[]string{"kdoctorreport"}},
		"always public": {[]string{"agent.loadBalancer.mode=Always"}, []string{"may be reachable from everywhere"},
			nil},
		"never public": {[]string{"agent.loadBalancer.mode=Never", "ingress.mode=Never"}, []string{"Nothing public"},
			[]string{"balancer"}},
		"no kinds kept": {[]string{"crds.keep=false"}, []string{"all tasks with it"}, []string{"--take-ownership"}},
		"tasks":         {[]string{"tasks.heartbeat.spec.suspend=true"}, []string{"heartbeat"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := notes(t, c.settings...)
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not said:\n%s", want, text)
				}
			}
			for _, not := range c.not {
				if strings.Contains(text, not) {
					t.Errorf("%q is said:\n%s", not, text)
				}
			}
		})
	}
}
