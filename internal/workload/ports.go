package workload

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// The names of the ports of an agent's container.
const (
	httpPort    = "http"
	controlPort = "control"
	healthPort  = "health"
)

// Ports are where an agent listens.
type Ports struct {
	HTTP, Control, Health int32
}

// Range is a range of ports, both ends included.
type Range struct {
	First, Last int32
}

// errNoPorts is returned when all ports of the range are taken.
var errNoPorts = errors.New("no three host ports are free; give the controller a larger range (--host-ports) or run " +
	"fewer tasks with hostNetwork")

// ParseRange reads "21000-21999". Ports are 1024 or more, since agents have no privileges, and there are at least three
// of them.
func ParseRange(text string) (Range, error) {
	from, to, _ := strings.Cut(text, "-")
	first, err1 := strconv.ParseInt(from, 10, 32)
	last, err2 := strconv.ParseInt(to, 10, 32)
	if err1 != nil || err2 != nil || first < 1024 || last > 65535 || last-first < 2 {
		return Range{}, fmt.Errorf("%q is no range of three ports or more between 1024 and 65535, such as 21000-21999",
			text)
	}
	return Range{First: int32(first), Last: int32(last)}, nil
}

// pick chooses three ports that follow each other and that nobody has taken. The name decides where it begins to look,
// so that a workload that is made again has the same ports if it can.
func (r Range) pick(name string, taken map[int32]bool) (Ports, error) {
	slots := (r.Last - r.First + 1) / 3
	if slots < 1 {
		return Ports{}, errNoPorts
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	from := int32(hash.Sum32() % uint32(slots)) //nolint:gosec // The remainder is below slots, which is an int32.
	for n := range slots {
		port := r.First + (from+n)%slots*3
		if !taken[port] && !taken[port+1] && !taken[port+2] {
			return Ports{HTTP: port, Control: port + 1, Health: port + 2}, nil
		}
	}
	return Ports{}, errNoPorts
}

// holds reports whether the ports lie within the range and nobody else has taken one.
func (r Range) holds(p Ports, taken map[int32]bool) bool {
	return !slices.ContainsFunc([]int32{p.HTTP, p.Control, p.Health}, func(port int32) bool {
		return port < r.First || port > r.Last || taken[port]
	})
}

// portsOf reads the ports of a template of agents; a port that it does not name is 0.
func portsOf(spec corev1.PodSpec) (p Ports) {
	for _, container := range spec.Containers {
		for _, port := range container.Ports {
			switch port.Name {
			case httpPort:
				p.HTTP = port.ContainerPort
			case controlPort:
				p.Control = port.ContainerPort
			case healthPort:
				p.Health = port.ContainerPort
			}
		}
	}
	return p
}

// takenBy are the ports of the nodes that the workloads use, but for the one of the name given.
func takenBy(sets []appsv1.DaemonSet, deployments []appsv1.Deployment, but string) map[int32]bool {
	taken := map[int32]bool{}
	take := func(name string, spec corev1.PodSpec) {
		if name == but {
			return
		}
		for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
			for _, port := range container.Ports {
				taken[port.HostPort] = true
				if spec.HostNetwork {
					taken[port.ContainerPort] = true
				}
			}
		}
	}
	for i := range sets {
		take(sets[i].Name, sets[i].Spec.Template.Spec)
	}
	for i := range deployments {
		take(deployments[i].Name, deployments[i].Spec.Template.Spec)
	}
	delete(taken, 0)
	return taken
}
