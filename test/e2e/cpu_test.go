package e2e

import (
	"fmt"
	"os"
	"testing"
)

// cpu is how much time the machine's processors spent since it started, in ticks of the kernel; see proc_stat(5).
type cpu struct{ user, nice, system, idle, iowait, irq, softirq, steal float64 }

func readCPU(t *testing.T) (c cpu) {
	t.Helper()
	file, err := os.Open("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := fmt.Fscanf(file, "cpu %f %f %f %f %f %f %f %f", &c.user, &c.nice, &c.system, &c.idle, &c.iowait, &c.irq,
		&c.softirq, &c.steal); err != nil {
		t.Fatalf("read /proc/stat: %v", err)
	}
	return c
}

func (c cpu) all() float64 {
	return c.user + c.nice + c.system + c.idle + c.iowait + c.irq + c.softirq + c.steal
}

// until returns which share of the time between the two readings the processors were idle, and which share the
// machine's host took away.
func (c cpu) until(later cpu) (idle, stolen float64) {
	spent := max(1, later.all()-c.all())
	return (later.idle - c.idle) / spent, (later.steal - c.steal) / spent
}
