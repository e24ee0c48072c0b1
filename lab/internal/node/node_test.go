package node

import "testing"

func TestAKubeletStartsAgainOnlyWhereAnotherOneTookItsSocket(t *testing.T) {
	for log, want := range map[string]bool{
		`"Failed to start ContainerManager" err="listen unix /var/lib/kubelet/device-plugins/kubelet.sock: bind: address ` +
			`already in use"`: true,
		`"Failed to listen" err="listen tcp 198.18.0.11:10250: bind: address already in use"`: false,
		`"Failed to start cAdvisor" err="inotify_init: too many open files"`:                  false,
		"": false,
	} {
		if got := socketTaken(log); got != want {
			t.Errorf("%q: %t, want %t", log, got, want)
		}
	}
}
