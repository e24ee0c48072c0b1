package leader_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/kube/leader"
)

func pod(namespace, name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}}
}

func cluster(t *testing.T, functions interceptor.Funcs, pods ...client.Object) client.Client {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(pods...).WithInterceptorFuncs(functions).Build()
}

// marked are the pods that have the mark, as namespace/name.
func marked(t *testing.T, c client.Client) []string {
	t.Helper()
	var pods corev1.PodList
	if err := c.List(context.Background(), &pods, client.MatchingLabels{leader.Label: leader.Marked}); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range pods.Items {
		names[p.Namespace+"/"+p.Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func TestSetLeavesOneMarkedPod(t *testing.T) {
	mark := map[string]string{leader.Label: leader.Marked}
	for _, test := range []struct {
		name   string
		pods   []client.Object
		want   []string
		writes int
		failed bool
	}{
		{name: "the first leader is marked", pods: []client.Object{pod("k", "a", nil), pod("k", "b", nil)},
			want: []string{"k/a"}, writes: 1},
		{name: "the leader before loses the mark", pods: []client.Object{pod("k", "a", nil), pod("k", "b", mark)},
			want: []string{"k/a"}, writes: 2},
		{name: "what is right is not written", pods: []client.Object{pod("k", "a", mark), pod("k", "b", nil)},
			want: []string{"k/a"}},
		{name: "pods of other namespaces are left alone",
			pods: []client.Object{pod("k", "a", mark), pod("x", "b", mark)}, want: []string{"k/a", "x/b"}},
		{name: "another value is no mark, and the leader's own is put right",
			pods: []client.Object{pod("k", "a", map[string]string{leader.Label: "false"})},
			want: []string{"k/a"}, writes: 1},
		{name: "a leader without a pod says so and leaves the one before marked",
			pods: []client.Object{pod("k", "b", mark)}, want: []string{"k/b"}, writes: 1, failed: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			writes := 0
			c := cluster(t, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object,
				p client.Patch, options ...client.PatchOption) error {
				writes++
				return c.Patch(ctx, o, p, options...)
			}}, test.pods...)
			err := (&leader.Mark{Client: c, Namespace: "k", Pod: "a"}).Set(t.Context())
			if (err != nil) != test.failed {
				t.Errorf("error %v, want one: %t", err, test.failed)
			}
			if diff := cmp.Diff(test.want, marked(t, c)); diff != "" {
				t.Errorf("marked pods (-want +got):\n%s", diff)
			}
			if writes != test.writes {
				t.Errorf("%d writes, want %d", writes, test.writes)
			}
		})
	}
}

func TestTheNewMarkIsThereBeforeTheOldOneGoes(t *testing.T) {
	var order []string
	c := cluster(t, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object,
		p client.Patch, options ...client.PatchOption) error {
		order = append(order, o.GetName())
		return c.Patch(ctx, o, p, options...)
	}}, pod("k", "a", map[string]string{leader.Label: leader.Marked}), pod("k", "b", nil))
	if err := (&leader.Mark{Client: c, Namespace: "k", Pod: "b"}).Set(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a"}, order); diff != "" {
		t.Errorf("pods in the order of writes (-want +got):\n%s", diff)
	}
}

func TestStartTriesAgainAndRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		down := true
		c := cluster(t, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object,
			p client.Patch, options ...client.PatchOption) error {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return errors.New("the API server is away")
			}
			return c.Patch(ctx, o, p, options...)
		}}, pod("k", "a", nil))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := (&leader.Mark{Client: c, Namespace: "k", Pod: "a"}).Start(ctx); err != nil {
				t.Errorf("Start ended with %v", err)
			}
		})
		time.Sleep(5 * time.Second)
		mu.Lock()
		down = false
		mu.Unlock()
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		want := []string{"k/a"}
		if diff := cmp.Diff(want, marked(t, c)); diff != "" {
			t.Errorf("a second after the API server was back (-want +got):\n%s", diff)
		}
		if err := c.Update(t.Context(), pod("k", "a", nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff(want, marked(t, c)); diff != "" {
			t.Errorf("after somebody removed the mark (-want +got):\n%s", diff)
		}
		cancel()
		running.Wait()
		if diff := cmp.Diff(want, marked(t, c)); diff != "" {
			t.Errorf("after the end of the leadership (-want +got):\n%s", diff)
		}
	})
}
