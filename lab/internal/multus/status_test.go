package multus

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const note = `{"namespace":"shop","pod":"web","uid":"u1","networks":[
	{"name":"pod","interface":"eth0","ips":["198.19.0.5","fd98:19::5"],"mac":"aa:bb:cc:dd:ee:01","default":true},
	{"name":"net1","interface":"net1","ips":["198.18.64.10","fd98:64::1:10"],"mac":"aa:bb:cc:dd:ee:02"}]}`

func TestStatusTextGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c1.json")
	if err := os.WriteFile(path, []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := statusText(s.Networks)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "status.json")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefusesWhatIsNoNote(t *testing.T) {
	tests := []struct {
		name, content string
		want          func(error) bool
	}{
		{"a file that is gone", "", func(err error) bool { return errors.Is(err, errGone) }},
		{"half a file", note[:40], func(err error) bool { return err != nil }},
		{"a note without a pod", `{"namespace":"shop"}`, func(err error) bool { return err != nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c1.json")
			if tt.content != "" {
				if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := read(path); !tt.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFollowAnnotatesPodsOfFoldersThatAppearLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n0")
	client := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1"}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	changes, err := client.CoreV1().Pods("shop").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	ended := make(chan error, 1)
	go func() { ended <- follow(ctx, client, []string{dir}) }()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c1.json"), []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case event := <-changes.ResultChan():
		pod, ok := event.Object.(*corev1.Pod)
		if !ok || event.Type != watch.Modified {
			t.Fatalf("got %+v", event)
		}
		if diff := cmp.Diff(string(want), pod.Annotations[annotation]); diff != "" {
			t.Error(diff)
		}
	case <-ctx.Done():
		t.Error("the pod was not annotated")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
