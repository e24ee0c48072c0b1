package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/test/cluster"
	"kdoctor.io/kdoctor/test/objectstore"
)

// storePort is where the object store of TestInstallation listens, at the address of the node n0.
const storePort = "7070"

// TestInstallation is about what surrounds the controller: an object store, a quota, and the end of its namespace.
func TestInstallation(t *testing.T) {
	c := rise(t, "e2e-install", nodes)
	address := addressOf(t, c, "n0") + ":" + storePort
	store := objectstore.Start(t, "../..", address, "ip", "netns", "exec", "e2e-install-n0")
	kubectl(t, c, "create", "namespace", cluster.Namespace)
	kubectl(t, c, "create", "secret", "generic", "reports", "--namespace", cluster.Namespace,
		"--from-literal=AWS_ACCESS_KEY_ID="+objectstore.Key,
		"--from-literal=AWS_SECRET_ACCESS_KEY="+objectstore.Secret)
	if err := c.Install(t.Context(), "--set", "controller.replicas=2", "--set", "controller.reports.existingSecret=reports",
		"--set", "controller.reports.url=s3://"+objectstore.Bucket+"/lab?endpoint=http://"+address+
			"&region=us-east-1&use_path_style=true"); err != nil {
		t.Fatal(err)
	}
	defer explained(t, c)
	for _, s := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"reports in an object store outlive the leader that wrote them", func(t *testing.T) {
			outlived(t, c, store.Folder)
		}},
		{"a store that stands still costs no round, and readers are told in time", func(t *testing.T) {
			stalled(t, c, store)
		}},
		{"a real Prometheus scrapes the controllers, and every query of dashboard and alerts is answered",
			func(t *testing.T) { watched(t, c) }},
		{"what a quota refuses is told in its own words", func(t *testing.T) { refusedByQuota(t, c) }},
		{"a namespace that is deleted with the controller in it blocks no other", func(t *testing.T) { deleted(t, c) }},
	} {
		if !t.Run(s.name, s.run) {
			return
		}
	}
}

// outlived kills the leader, node and all as far as others can see, and reads what it wrote from the other one.
func outlived(t *testing.T, c *cluster.Cluster, bucket string) {
	first := leader(t, c)
	apply(t, c, "kept", small("kept"))
	finished(t, c, "kept")
	before := reportOf(t, c, "kept")
	t.Logf("the bucket has %v", objects(t, bucket))
	kubectl(t, c, "delete", "pod", "--namespace", cluster.Namespace, first.Name, "--grace-period=0", "--force")
	began := time.Now()
	eventually(t, time.Minute, "another one leads", func() error {
		if now := leadersOf(t, c); len(now) != 1 || now[0].Name == first.Name {
			return fmt.Errorf("%d leaders", len(now))
		}
		return nil
	})
	eventually(t, takeover, "the report is read from the other one", func() error {
		_, err := c.Kubectl(t.Context(), "get", "kdoctorreport", "netreach-kept", "--request-timeout=3s")
		return err
	})
	t.Logf("the report was read %.1f s after the leader was killed", time.Since(began).Seconds())
	after := reportOf(t, c, "kept")
	if len(before.Spec.Report) != nodes || len(after.Spec.Report) != nodes ||
		after.Spec.Report[0].NetReachTask.TargetNumber != before.Spec.Report[0].NetReachTask.TargetNumber {
		t.Errorf("the report has %d agents, before the leader was killed it had %d", len(after.Spec.Report),
			len(before.Spec.Report))
	}
}

// objects are the names of the files below the bucket's folder.
func objects(t *testing.T, bucket string) []string {
	t.Helper()
	var names []string
	if err := filepath.WalkDir(bucket, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, bucket))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// stalled stops the object store while a round ends. Readers must not wait for it longer than they said, and the round
// is written once the store goes on.
func stalled(t *testing.T, c *cluster.Cluster, store objectstore.Server) {
	leader(t, c)
	apply(t, c, "before", small("before"))
	finished(t, c, "before")
	apply(t, c, "stalled", small("stalled"))
	ongoing(t, c, "stalled")
	if err := store.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stored := objects(t, store.Folder)
	goOn := func() {
		if err := store.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
	}
	defer goOn()
	time.Sleep(10 * time.Second) // the round's end falls into it
	began := time.Now()
	out, err := c.Kubectl(t.Context(), "get", "kdoctorreport", "netreach-before", "--request-timeout=5s")
	t.Logf("after %.1f s: %s (%v)", time.Since(began).Seconds(), strings.TrimSpace(out), err)
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("a reader who gave the request 5 s waited for %v", took)
	}
	kubectl(t, c, "get", "netreach", "stalled", "--request-timeout=5s")
	if now := objects(t, store.Folder); !slices.Equal(now, stored) {
		t.Errorf("the store stood still, and has %v; before it had %v", now, stored)
	}
	goOn()
	finished(t, c, "stalled")
	if found := reportOf(t, c, "stalled"); len(found.Spec.Report) != nodes {
		t.Errorf("the report of the round that ended meanwhile has %d agents, want %d", len(found.Spec.Report), nodes)
	}
}

// refusedByQuota has the API server refuse a task's own agents.
func refusedByQuota(t *testing.T, c *cluster.Cluster) {
	if _, err := c.Apply(t.Context(), fmt.Sprintf(`
apiVersion: v1
kind: ResourceQuota
metadata: {name: narrow, namespace: %s}
spec: {hard: {count/daemonsets.apps: "1"}}
`, cluster.Namespace)); err != nil {
		t.Fatal(err)
	}
	defer kubectl(t, c, "delete", "resourcequota", "--namespace", cluster.Namespace, "narrow")
	eventually(t, 30*time.Second, "the quota counts", func() error {
		used := kubectl(t, c, "get", "resourcequota", "--namespace", cluster.Namespace, "narrow", "-o",
			"jsonpath={.status.used}")
		if !strings.Contains(used, "daemonsets") {
			return errors.New("nothing is counted: " + used)
		}
		return nil
	})
	apply(t, c, "refused", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: refused}
spec: {agentSpec: {}}
`)
	eventually(t, time.Minute, "the condition has the quota's words", func() error {
		for _, condition := range task(t, c, "refused").Status.Conditions {
			if condition.Reason == "AgentsNotMade" && strings.Contains(condition.Message, "exceeded quota: narrow") {
				t.Log(condition.Message)
				return nil
			}
		}
		return fmt.Errorf("conditions %+v", task(t, c, "refused").Status.Conditions)
	})
}

// deleted deletes the namespace without uninstalling. Kubernetes deletes no namespace at all while an API does not
// answer.
func deleted(t *testing.T, c *cluster.Cluster) {
	kubectl(t, c, "create", "namespace", "other")
	began := time.Now()
	kubectl(t, c, "delete", "namespace", cluster.Namespace, "--timeout=120s")
	t.Logf("the namespace was gone after %.1f s", time.Since(began).Seconds())
	began = time.Now()
	kubectl(t, c, "delete", "namespace", "other", "--timeout=60s")
	t.Logf("another one was gone after %.1f s", time.Since(began).Seconds())
	left := kubectl(t, c, "get", "apiservices", "-o", "name")
	if strings.Contains(left, "system.kdoctor.io") {
		t.Errorf("the API is still registered: %s", left)
	}
}

// addressOf returns the address of a node.
func addressOf(t *testing.T, c *cluster.Cluster, node string) string {
	t.Helper()
	return kubectl(t, c, "get", "node", node, "-o", "jsonpath={.status.addresses[0].address}")
}

// leader returns the pod that leads, once one does and another one is ready.
func leader(t *testing.T, c *cluster.Cluster) (pod corev1.Pod) {
	t.Helper()
	eventually(t, time.Minute, "one of two controllers leads", func() error {
		now, all := leadersOf(t, c), controllers(t, c, "")
		ready := 0
		for _, p := range all {
			if podReady(p) && p.DeletionTimestamp == nil {
				ready++
			}
		}
		if len(now) != 1 || ready != 2 {
			return fmt.Errorf("%d leaders, %d of %d ready", len(now), ready, len(all))
		}
		pod = now[0]
		return nil
	})
	return pod
}

// small is a task of one short round.
func small(name string) string {
	return fmt.Sprintf(`
apiVersion: %s
kind: NetReach
metadata: {name: %s}
spec:
  schedule: {schedule: "0 1", roundTimeoutMinute: 1}
  request: {durationInSecond: 5, qps: 5, perRequestTimeoutInMS: 1000}
`, v1beta1.GroupVersion().String(), name)
}
