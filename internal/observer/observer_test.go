package observer

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
)

// script hands out the readings in their order, the last one again and again.
func script(readings ...Reading) func() Reading {
	return func() Reading {
		next := readings[0]
		if len(readings) > 1 {
			readings = readings[1:]
		}
		return next
	}
}

// used is a reading of CPU and memory alone.
func used(cpu time.Duration, memory uint64) Reading {
	return Reading{Known: true, CPU: cpu, Memory: memory}
}

// stopped is a reading of throttling alone.
func stopped(periods, throttled uint64, by time.Duration) Reading {
	return Reading{Throttling: Throttling{Known: true, Periods: periods, Throttled: throttled, Stopped: by}}
}

// watched is what a watch of the given length came to, and how often it told.
func watched(t *testing.T, lasts time.Duration, readings ...Reading) (resources report.Resources,
	health report.Observer, updates int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		Watch(ctx, script(readings...), func(r report.Resources, o report.Observer) {
			resources, health = r, o
			updates++
		})
	})
	return resources, health, updates
}

func TestUseIsWatched(t *testing.T) {
	cases := []struct {
		name     string
		lasts    time.Duration
		readings []Reading
		want     report.Resources
		updates  int
	}{
		{"the rest of the last interval counts for the mean alone", 2*time.Second + sampleEvery/10,
			[]Reading{used(0, 10), used(200*time.Millisecond, 30), used(1200*time.Millisecond, 20),
				used(1350*time.Millisecond, 25)},
			report.Resources{Known: true, MaxCPU: 100, MeanCPU: 100 * 1.35 / 2.1, MaxMemory: 30}, 3},
		{"a watch shorter than an interval has one reading after its end", sampleEvery / 10,
			[]Reading{used(0, 10), used(50*time.Millisecond, 5)},
			report.Resources{Known: true, MaxCPU: 50, MeanCPU: 50, MaxMemory: 10}, 1},
		{"a reading that is not known is left out", 2*time.Second + sampleEvery/10,
			[]Reading{used(0, 10), {}, used(time.Second, 20), used(time.Second, 20)},
			report.Resources{Known: true, MaxCPU: 50, MeanCPU: 100 / 2.1, MaxMemory: 20}, 3},
		{"what cannot be read at the start is not known", sampleEvery / 10, []Reading{{}, used(time.Hour, 1)},
			report.Resources{}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, _, updates := watched(t, c.lasts, c.readings...)
			if got.Known != c.want.Known || math.Abs(got.MaxCPU-c.want.MaxCPU) > 1e-9 ||
				math.Abs(got.MeanCPU-c.want.MeanCPU) > 1e-9 || got.MaxMemory != c.want.MaxMemory {
				t.Errorf("resources are %+v, want %+v", got, c.want)
			}
			if updates != c.updates {
				t.Errorf("%d updates, want %d", updates, c.updates)
			}
		})
	}
}

func TestHealthIsWatched(t *testing.T) {
	cases := []struct {
		name     string
		readings []Reading
		want     report.Observer
	}{
		{"counters count from the start",
			[]Reading{stopped(100, 50, time.Minute), stopped(110, 56, time.Minute+time.Second)},
			report.Observer{Periods: 10, ThrottledPeriods: 6, Throttled: time.Second}},
		{"counters that could not be read at first count from when they could",
			[]Reading{{}, stopped(100, 50, time.Minute), stopped(110, 51, time.Minute+time.Second)},
			report.Observer{Periods: 10, ThrottledPeriods: 1, Throttled: time.Second}},
		{"counters that can no longer be read stay", []Reading{stopped(0, 0, 0), stopped(10, 5, time.Second), {}},
			report.Observer{Periods: 10, ThrottledPeriods: 5, Throttled: time.Second}},
		{"counters that were set back count nothing",
			[]Reading{stopped(100, 50, time.Minute), stopped(1, 1, time.Second)}, report.Observer{}},
		{"levels count with their highest",
			[]Reading{{Files: 5, FileLimit: 10, Conntrack: 7, ConntrackLimit: 9, Ports: 3}, {Files: 8, FileLimit: 10},
				{Files: 6, Conntrack: 2}},
			report.Observer{Files: 8, FileLimit: 10, Conntrack: 7, ConntrackLimit: 9, Ports: 3}},
		{"of changing quotas the tightest counts", []Reading{{Quota: 1}, {Quota: 0.5}, {Quota: 2}},
			report.Observer{Quota: 0.5}},
		{"a quota that can no longer be read stays", []Reading{{Quota: 1}, {}}, report.Observer{Quota: 1}},
		{"of pauses those since the start count", []Reading{pauses(1, 0, 3), pauses(2, 1, 3)},
			report.Observer{LongestPause: 20 * time.Millisecond}},
		{"a pause beyond the last edge counts as that edge", []Reading{pauses(0, 0, 0), pauses(0, 0, 1)},
			report.Observer{LongestPause: 20 * time.Millisecond}},
		{"pauses in another form count nothing",
			[]Reading{pauses(0, 0, 0), {Pauses: Pauses{edges: []float64{0, 1}, counts: []uint64{9}}}},
			report.Observer{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, got, _ := watched(t, time.Duration(len(c.readings))*time.Second, c.readings...)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
		})
	}
}

// pauses returns a reading with the numbers of stops below 10 ms, from 10 to 20 ms, and above.
func pauses(short, middle, long uint64) Reading {
	return Reading{Pauses: Pauses{edges: []float64{0, 0.01, 0.02, math.Inf(1)}, counts: []uint64{short, middle, long}}}
}

func TestCollectionIsSeenAsAPause(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	first := readPauses()
	if len(first.counts) == 0 {
		t.Fatalf("the runtime has no %s", pausesMetric)
	}
	if got := readPauses().longestSince(first); got != 0 {
		t.Errorf("without a collection there is a pause of %v", got)
	}
	runtime.GC()
	if got := readPauses().longestSince(first); got <= 0 || got > 10*time.Second {
		t.Errorf("the longest pause of a collection is %v", got)
	}
}

// machine is a file system of the given files.
func machine(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range files {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

// reading is what process 42 on the machine reads.
func reading(m fstest.MapFS) Reading {
	r := &Reader{root: m, groups: find(m, 42), self: process{
		cpu:       func() (time.Duration, bool) { return 7 * time.Second, true },
		fileLimit: func() uint64 { return 1024 },
		page:      4096,
	}}
	got := r.Read()
	got.Pauses = Pauses{}
	return got
}

func TestFiguresAreReadWhereverTheGroupIsMounted(t *testing.T) {
	const v2Line = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n"
	v2 := func(dir string) map[string]string {
		return map[string]string{
			dir + "/cgroup.type": "domain\n", dir + "/cgroup.procs": "1\n42\n",
			dir + "/cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_periods 100\nnr_throttled " +
				"61\nthrottled_usec 3200000\n",
			dir + "/cpu.max":        "10000 100000\n",
			dir + "/memory.current": "1000\n", dir + "/memory.stat": "anon 600\ninactive_file 400\n",
		}
	}
	v1 := func(cpu, memory string) map[string]string {
		return map[string]string{
			cpu + "/cgroup.procs": "42\n", memory + "/cgroup.procs": "42\n",
			cpu + "/cpuacct.usage": "2500000000\n", cpu + "/cpu.cfs_quota_us": "10000\n", cpu +
				"/cpu.cfs_period_us": "100000\n",
			cpu + "/cpu.stat": "nr_periods 100\nnr_throttled 61\nthrottled_time " +
				"3200000000\nnr_bursts 0\n",
			memory + "/memory.usage_in_bytes": "1000\n", memory +
				"/memory.stat": "inactive_file 1\ntotal_inactive_file 400\n",
		}
	}
	throttling := Throttling{Known: true, Periods: 100, Throttled: 61, Stopped: 3200 * time.Millisecond}
	want := Reading{Known: true, CPU: 2500 * time.Millisecond, Memory: 600, Quota: 0.1, Throttling: throttling,
		FileLimit: 1024}
	process := Reading{Known: true, CPU: 7 * time.Second, Memory: 20 * 4096, FileLimit: 1024}
	cases := []struct {
		name          string
		cgroup, mount string
		files         map[string]string
		want          Reading
	}{
		{"version 2 in a container with a namespace of its own", "0::/\n", v2Line, v2("sys/fs/cgroup"), want},
		{"version 2 in a service's group of the machine", "0::/system.slice/a.service\n", v2Line,
			v2("sys/fs/cgroup/system.slice/a.service"), want},
		{"version 2 in a container whose group is mounted from the machine's name on", "0::/kubepods/pod1/c1\n",
			"31 23 0:28 /kubepods/pod1/c1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n", v2("sys/fs/cgroup"), want},
		{"version 1 in a container whose groups are bind-mounted",
			"4:memory:/kubepods/pod1/c1\n2:cpu,cpuacct:/kubepods/pod1/c1\n",
			"32 31 0:29 /kubepods/pod1/c1 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 " +
				"/kubepods/pod1/c1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			v1("sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/memory"), want},
		{"version 1 in a container with a namespace of its own", "4:memory:/\n2:cpuacct,cpu:/\n",
			"32 31 0:29 /.. /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/cgroup/memory " +
				"ro - cgroup cgroup rw,memory\n",
			v1("sys/fs/cgroup/cpu", "sys/fs/cgroup/memory"), want},
		{"version 1 in a group of the machine, and a mount that does not show it first",
			"4:memory:/a b\n2:cpu,cpuacct:/a b\n",
			"30 31 0:29 /other /mnt/other rw - cgroup cgroup rw,cpu,cpuacct\n32 31 0:29 / /sys/fs/c\\040g rw " +
				"shared:1 - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/m rw - cgroup cgroup rw,memory\n",
			v1("sys/fs/c g/a b", "sys/fs/m/a b"), want},
		{"version 1 for memory and 2 for the rest", "4:memory:/c\n0::/c\n",
			v2Line + "35 31 0:32 / /sys/fs/m rw - cgroup cgroup rw,memory\n",
			joined(v1("ignored", "sys/fs/m/c"), v2("sys/fs/cgroup/c")), want},
		{"the roots of version 2, where the process is asked", "0::/\n", v2Line,
			without(v2("sys/fs/cgroup"), "sys/fs/cgroup/cgroup.type"), process},
		{"the roots of version 1, where the process is asked", "4:memory:/\n2:cpu,cpuacct:/\n",
			"32 31 0:29 / /c rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /m rw - cgroup cgroup rw,memory\n",
			joined(v1("c", "m"), map[string]string{"c/cgroup.sane_behavior": "0\n", "m/cgroup.sane_behavior": "0\n"}),
			process},
		{"another process's group, where the process is asked", "0::/\n", v2Line,
			joined(v2("sys/fs/cgroup"), map[string]string{"sys/fs/cgroup/cgroup.procs": "420\n4\n"}), process},
		{"no groups at all, where the process is asked", "", "", nil, process},
		{"a group without a limit", "0::/\n", v2Line,
			joined(v2("sys/fs/cgroup"), map[string]string{"sys/fs/cgroup/cpu.max": "max 100000\n"}),
			Reading{Known: true, CPU: want.CPU, Memory: 600, Throttling: throttling, FileLimit: 1024}},
		{"a group whose CPU use is garbage", "0::/\n", v2Line,
			joined(v2("sys/fs/cgroup"), map[string]string{"sys/fs/cgroup/cpu.stat": "usage_usec many\nnr_periods 1\n"}),
			Reading{Quota: 0.1, FileLimit: 1024}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := joined(c.files,
				map[string]string{"proc/self/cgroup": c.cgroup, "proc/self/mountinfo": c.mount,
					"proc/self/statm": "100 20 3 4 5 6 7\n"})
			if diff := cmp.Diff(c.want, reading(machine(files)), cmp.AllowUnexported(Pauses{})); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
		})
	}
}

func joined(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for name, content := range m {
			all[name] = content
		}
	}
	return all
}

func without(m map[string]string, name string) map[string]string {
	rest := joined(m)
	delete(rest, name)
	return rest
}

func TestLimitsOfTheMachineAreRead(t *testing.T) {
	got := reading(machine(map[string]string{
		"proc/self/fd/0": "", "proc/self/fd/1": "", "proc/self/fd/2": "", "proc/self/fd/9": "",
		"proc/sys/net/ipv4/ip_local_port_range":       "32768\t60999\n",
		"proc/sys/net/ipv4/ip_local_reserved_ports":   "8080,32768,33000-33009\n",
		"proc/sys/net/netfilter/nf_conntrack_count":   "12\n",
		"proc/sys/net/netfilter/nf_conntrack_max":     "262144\n",
		"proc/sys/net/netfilter/nf_conntrack_buckets": "1\n",
	}))
	// Process 42's own use is known by neither group nor statm. Of the four descriptors one is the open folder's own.
	want := Reading{Files: 3, FileLimit: 1024, Ports: 28232 - 11, Conntrack: 12, ConntrackLimit: 262144}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Pauses{})); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

func BenchmarkRead(b *testing.B) {
	reader := Open()
	for b.Loop() {
		reader.Read()
	}
}

func TestPortsAreCountedWithoutTheReservedOnes(t *testing.T) {
	cases := []struct {
		name, span, reserved string
		want                 uint64
	}{
		{"none are reserved", "32768 60999", "\n", 28232},
		{"reserved ones overlap and reach beyond the range", "100 199", "1-110,105-115,199-300,50", 83},
		{"all are reserved", "100 199", "1-65535", 0},
		{"a range of one", "7 7", "", 1},
		{"the whole range", "0 65535", "", 65536},
		{"a range upside down", "200 100", "", 0},
		{"a port above 65535", "100 70000", "", 0},
		{"half a range", "100", "", 0},
		{"garbage among the reserved ones", "100 199", "x,101,-,5-,-7,150-x", 99},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := parsePorts(c.span, c.reserved); got != c.want {
				t.Errorf("%d ports, want %d", got, c.want)
			}
		})
	}
}

func TestReaderWithoutASystemKnowsNothing(t *testing.T) {
	if diff := cmp.Diff(Reading{}, new(Reader).Read(), cmp.AllowUnexported(Pauses{})); diff != "" {
		t.Errorf("the zero reader reads (-want +got):\n%s", diff)
	}
}

func FuzzReader(f *testing.F) {
	const v2 = "31 23 0:28 / /g rw - cgroup2 cgroup rw\n"
	f.Add("0::/\n", v2, "10000 100000\n", "usage_usec 5\nnr_periods 1\nnr_throttled 1\nthrottled_usec 1\n",
		"32768 60999")
	f.Add("2:cpu,cpuacct:/a\n", "32 31 0:29 /a /g rw - cgroup cgroup rw,cpu,cpuacct\n", "-1",
		"throttled_time 18446744073709551615", "0 65535")
	f.Add("0::/../..\n", "1 2 3 /\\ \\777\\1 - cgroup2 a b\n", "1 0", "usage_usec 18446744073709551615\n", "1-2 3")
	f.Fuzz(func(t *testing.T, cgroup, mountinfo, number, stat, span string) {
		files := map[string]string{"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo,
			"proc/self/statm": number, "g/cgroup.procs": "42\n", "g/cgroup.type": number,
			"proc/sys/net/ipv4/ip_local_port_range": span, "proc/sys/net/ipv4/ip_local_reserved_ports": number,
			"proc/sys/net/netfilter/nf_conntrack_count": number}
		for _, name := range []string{"cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpuacct.usage",
			"memory.current", "memory.usage_in_bytes"} {
			files["g/"+name] = number
		}
		files["g/cpu.stat"], files["g/memory.stat"] = stat, stat
		got := reading(machine(files))
		if math.IsNaN(got.Quota) || math.IsInf(got.Quota, 0) || got.Quota < 0 || got.Ports > 65536 || got.CPU < 0 ||
			got.Throttling.Stopped < 0 {
			t.Errorf("reading %+v", got)
		}
		tally := begin(Reading{}, time.Time{})
		tally.add(got, time.Time{}.Add(time.Second))
		if o := tally.health; o.Throttled < 0 {
			t.Errorf("health %+v", o)
		}
	})
}
