package fault

import (
	"context"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/process"
)

var update = flag.Bool("update", false, "write the golden files")

// paper is a cluster that exists on paper only: an agent on each node, and one DNS pod.
type paper struct{ settings plan.Settings }

func (p paper) pod(node, name string, number int) Pod {
	for _, n := range p.settings.ClusterNodes() {
		if n.Name != node {
			continue
		}
		pod := Pod{Namespace: "kdoctor", Name: name + "-" + node, Node: node, Link: "veth" + node,
			Holder:    process.Identity{PID: 100 + number, Start: 1, Boot: "b"},
			Processes: []process.Identity{{PID: 200 + number, Start: 1, Boot: "b"}},
			Ports:     []int{8080},
			Cgroups:   []Cgroup{{Path: "/sys/fs/cgroup/cpu/" + name}, {Path: "/sys/fs/cgroup/" + name, Unified: true}}}
		for _, subnet := range n.Pods {
			pod.Addresses = append(pod.Addresses, subnet.Addr().Next().Next())
		}
		return pod
	}
	return Pod{}
}

func (p paper) Agents(_ context.Context, node string) ([]Pod, error) {
	return []Pod{p.pod(node, "agent", 1)}, nil
}

func (p paper) DNS(context.Context) ([]Pod, error) { return []Pod{p.pod("n0", "coredns", 2)}, nil }

func (p paper) Services(context.Context) ([]Service, error) {
	return []Service{{Namespace: "kdoctor", Name: "kdoctor-agent",
		ClusterIPs: []netip.Addr{netip.MustParseAddr("198.18.128.20"), netip.MustParseAddr("fd98:18:128::14")},
		Balancers:  []netip.Addr{netip.MustParseAddr("198.18.1.1"), netip.MustParseAddr("fd98:18:1::1")},
		Ports:      []int{80}}}, nil
}

func (p paper) Daemon(string) (process.Identity, error) {
	return process.Identity{PID: 300, Start: 1, Boot: "b"}, nil
}

func (p paper) Under(process.Identity) ([]process.Identity, error) {
	return []process.Identity{{PID: 301, Start: 1, Boot: "b"}}, nil
}

func scene(s plan.Settings, f Fault) *Scene {
	nodes := s.ClusterNodes()
	scene := &Scene{Settings: s, Port: 9081, Cluster: paper{s}}
	if f.NeedsNode() {
		scene.On = nodes[1]
	}
	if f.NeedsPeer() {
		scene.Peer = nodes[2]
	}
	return scene
}

func dual(mode string) plan.Settings {
	return plan.Settings{Name: "x", Nodes: 4, Families: plan.DualStack, Overlay: plan.OverlayVXLAN, ProxyMode: mode}
}

func TestEveryFaultIsDescribed(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	cause := regexp.MustCompile(`^([A-Z][A-Za-z0-9]+)+$`)
	seen := map[string]bool{}
	for _, f := range All() {
		if seen[f.Name] || !name.MatchString(f.Name) {
			t.Errorf("fault %q: the name is taken, or not words with dashes", f.Name)
		}
		seen[f.Name] = true
		if !strings.HasSuffix(f.Description, ".") || strings.Count(f.Description, ". ") > 0 {
			t.Errorf("%s: %q is not one sentence", f.Name, f.Description)
		}
		if len(f.Components) == 0 || !cause.MatchString(f.Cause) {
			t.Errorf("%s: components %q, cause %q", f.Name, f.Components, f.Cause)
		}
		if f.Row < 0 || f.Row > 68 || f.Place != OnNode && f.Place != OnPair && f.Place != OnLab {
			t.Errorf("%s: row %d, place %q", f.Name, f.Row, f.Place)
		}
	}
	if len(seen) < 45 {
		t.Errorf("%d faults; want 45 or more", len(seen))
	}
}

// components are the names by which the product calls parts of a cluster.
func components() []string {
	return []string{"agent", "CNI", "forwarding", "overlay", "node network", "network policy, into the pod",
		"network policy, out of the pod", "network policy between two pods", "firewall for the probe port",
		"overlay between two nodes",
		"network between two nodes", "network between two zones", "overlay between two zones", "kube-proxy",
		"route to Services", "node port", "Service endpoints", "Service", "load balancer", "way to the load balancer",
		"Ingress", "way to the Ingress", "DNS server", "DNS Service", "way to DNS", "API server",
		"way to the API server", "second interface",
		"second network"}
}

func TestComponentsAreTheProducts(t *testing.T) {
	known := map[string]bool{}
	for _, c := range components() {
		known[c] = true
	}
	for _, f := range All() {
		for _, c := range f.Components {
			if !known[c] {
				t.Errorf("%s: the product knows no component %q", f.Name, c)
			}
		}
	}
}

func TestPlans(t *testing.T) {
	for _, f := range All() {
		t.Run(f.Name, func(t *testing.T) {
			steps, err := f.Plan(t.Context(), scene(dual(plan.ProxyNFTables), f))
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) == 0 {
				t.Fatal("the fault does nothing")
			}
			got, err := json.MarshalIndent(steps, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", f.Name+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEveryStepIsUndone(t *testing.T) {
	for _, f := range All() {
		steps, err := f.Plan(t.Context(), scene(dual(plan.ProxyIPTables), f))
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		for i, s := range steps {
			if _, err := s.action(); err != nil {
				t.Errorf("%s: step %d: %v", f.Name, i+1, err)
			}
			if s.Table != nil && !strings.HasPrefix(s.Table.Name, tablePrefix) {
				t.Errorf("%s: table %s does not begin with %s", f.Name, s.Table.Name, tablePrefix)
			}
		}
	}
}

func TestFaultsWorkInLabsThatFulfilTheirNeeds(t *testing.T) {
	for _, families := range []string{plan.DualStack, plan.IPv4Only, plan.IPv6Only} {
		for _, between := range []string{plan.OverlayVXLAN, plan.OverlayNone} {
			s := plan.Settings{Name: "x", Nodes: 3, Families: families, Overlay: between, ProxyMode: plan.ProxyNFTables}
			suited := 0
			for _, f := range All() {
				if f.suits(s) != nil {
					continue
				}
				suited++
				if steps, err := f.Plan(t.Context(), scene(s, f)); err != nil || len(steps) == 0 {
					t.Errorf("%s with %s, %s: %d steps, %v", f.Name, families, between, len(steps), err)
				}
			}
			if suited < 30 {
				t.Errorf("only %d faults suit a lab with %s, %s", suited, families, between)
			}
		}
	}
}

func TestFaultsWithUnmetNeedsAreRefused(t *testing.T) {
	s := plan.Settings{Name: "x", Nodes: 3, Families: plan.IPv4Only, Overlay: plan.OverlayNone,
		ProxyMode: plan.ProxyNFTables}
	for _, name := range []string{"tunnel-entry-stale", "ipv6-forwarding-off"} {
		f, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if f.suits(s) == nil {
			t.Errorf("%s suits a lab of IPv4 without an overlay", name)
		}
	}
	if _, err := Find("no-such-fault"); err == nil {
		t.Error("an unknown name is found")
	}
}

func TestNodesOfOneZoneAreRefused(t *testing.T) {
	s := dual(plan.ProxyNFTables)
	nodes := s.ClusterNodes()
	if _, _, err := (&Scene{Settings: s, On: nodes[0], Peer: nodes[3]}).zones(); err == nil {
		t.Error("n0 and n3 are both in zone-a; want an error")
	}
	mine, theirs, err := (&Scene{Settings: s, On: nodes[0], Peer: nodes[1]}).zones()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"n0", "n3"}, {"n1"}}, [][]string{mine, theirs}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
