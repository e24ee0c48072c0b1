package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/test/cluster"
)

// Most memory that processes take on three nodes once the seed's task has run, in MB, by the kernel: the peak of a
// controller since its start, and an agent that is idle.
const (
	mostOfController = 65
	mostOfIdleAgent  = 12
)

// littleMemory holds the processes of a small cluster against the memory that they may take, right after the seed's
// task.
func littleMemory(t *testing.T, c *cluster.Cluster) {
	controllers := strings.Fields(kubectl(t, c, "get", "pods", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/component=kdoctor-controller", "-o", "jsonpath={.items[*].metadata.name}"))
	if len(controllers) == 0 {
		t.Fatal("there is no controller")
	}
	for _, pod := range controllers {
		peak := memoryOf(t, agentProcess(t, pod), "VmHWM")
		t.Logf("%s took %.1f MB at its peak", pod, peak)
		if peak > mostOfController {
			t.Errorf("%s took more than %d MB", pod, mostOfController)
		}
	}
	for i := range nodes {
		pod, _ := agentOn(t, c, fmt.Sprintf("n%d", i))
		pid := agentProcess(t, pod)
		var resident float64
		// An agent is idle some seconds after its last round or probes.
		deadline := time.Now().Add(30 * time.Second)
		for resident = memoryOf(t, pid, "VmRSS"); resident > mostOfIdleAgent && time.Now().Before(deadline); {
			time.Sleep(pollInterval)
			resident = memoryOf(t, pid, "VmRSS")
		}
		t.Logf("%s takes %.1f MB", pod, resident)
		if resident > mostOfIdleAgent {
			t.Errorf("%s takes more than %d MB, though it is idle", pod, mostOfIdleAgent)
		}
	}
}

// memoryOf is a figure of the process's status, in MB of a million bytes; see proc_pid_status(5).
func memoryOf(t *testing.T, pid int, figure string) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kB int
		if n, err := fmt.Sscanf(line, figure+": %d kB", &kB); n == 1 && err == nil {
			return float64(kB) * 1024 / 1e6
		}
	}
	t.Fatalf("no %s in the status of process %d", figure, pid)
	return 0
}
