package main

import (
	"testing"
	"testing/fstest"
)

func TestTheMemoryLimitIsTheLeastOfTheCgroups(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no cgroup: no limit": {nil, 0},
		"a container with a cgroup namespace: the limit at the root": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30},
		"max: no limit": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"a container without a namespace, whose path is not there: the limit at the root": {map[string]string{
			"proc/self/cgroup": "0::/kubepods/pod1/c1\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30},
		"a cgroup around is smaller: its limit": {map[string]string{
			"proc/self/cgroup":                       "0::/kubepods/pod1/c1\n",
			"sys/fs/cgroup/kubepods/memory.max":      "8589934592\n",
			"sys/fs/cgroup/kubepods/pod1/memory.max": "536870912\n", "sys/fs/cgroup/kubepods/pod1/c1/memory.max": "max\n",
		}, 1 << 29},
		"the first version of cgroups: the limit of the memory controller": {map[string]string{
			"proc/self/cgroup":                                         "12:cpu,cpuacct:/a\n7:memory:/kubepods/pod1\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":               "9223372036854771712\n",
			"sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes": "1073741824\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes":             "1024\n"}, 1 << 30},
		"nonsense: no limit": {map[string]string{"proc/self/cgroup": "nonsense\n0::/../..\n",
			"sys/fs/cgroup/memory.max": "-5\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for file, text := range c.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			got, ok := cgroupMemory(root)
			if ok != (c.want != 0) || (ok && got != c.want) {
				t.Errorf("got %d, %v; want %d", got, ok, c.want)
			}
		})
	}
}
