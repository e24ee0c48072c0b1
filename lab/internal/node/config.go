// Package node turns a network namespace into a Kubernetes node: containerd, kubelet and kube-proxy with their
// settings, cgroups, and the images that are loaded into it.
package node

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	componentbase "k8s.io/component-base/config/v1alpha1"
	proxyconfig "k8s.io/kube-proxy/config/v1alpha1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/lab/internal/image"
	"kdoctor.io/kdoctor/lab/internal/pki"
	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/podnet"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// Node is one node of a lab.
type Node struct {
	plan.Node
	Settings plan.Settings
	State    state.Folder
	// Kube and Containerd are programs.
	Kube, Containerd string
}

func (n Node) file(parts ...string) string {
	return filepath.Join(append([]string{n.State.Node(n.Name)}, parts...)...)
}

// containerd keeps everything below the node's folder: also what it would share with other containerds of the machine
// by default, the namespaces of pods and runc's state, so that "down" finds it there and nowhere else.
func (n Node) containerd() string {
	return fmt.Sprintf(`version = 2
root = %q
state = %q
oom_score = 0
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # Where CAP_SYS_RESOURCE is missing, a lower score than one's own is refused, and with it every pod.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = %q
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
`, n.file("containerd"), n.file("run"), n.State.Containerd(n.Name), image.Pause, n.file("runc"), n.State.Plugins(), n.file("net.d"))
}

func (n Node) kubelet() ([]byte, error) {
	yes, no, everything := true, false, int32(100)
	keys := n.State.PKI()
	cfg := kubeletconfig.KubeletConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: kubeletconfig.SchemeGroupVersion.String(),
			Kind: "KubeletConfiguration"},
		FailCgroupV1:             &no,
		FailSwapOn:               &no,
		CgroupDriver:             "cgroupfs",
		CgroupRoot:               "/" + state.Cgroup(n.Settings.Name, n.Name),
		ContainerRuntimeEndpoint: "unix://" + n.State.Containerd(n.Name),
		PodLogsDir:               n.file("podlogs"),
		VolumePluginDir:          n.file("volume-plugins"),
		TLSCertFile:              keys.Cert(n.Name),
		TLSPrivateKeyFile:        keys.Key(n.Name),
		ClusterDomain:            "cluster.local",
		ResolverConfig:           ptr(n.file("resolv.conf")),
		RegisterNode:             &yes,
		// The lab shares its disk with everything else on the machine; a full one is no reason to evict its pods.
		ImageGCHighThresholdPercent: &everything,
		EvictionHard: map[string]string{"nodefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.available": "0%"},
		RuntimeRequestTimeout: metav1.Duration{Duration: 2 * time.Minute},
	}
	cfg.Authentication.Anonymous.Enabled = &no
	cfg.Authentication.Webhook.Enabled = &yes
	cfg.Authentication.X509.ClientCAFile = keys.CA()
	cfg.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	for _, a := range n.Settings.DNS() {
		cfg.ClusterDNS = append(cfg.ClusterDNS, a.String())
	}
	return marshal(cfg)
}

func (n Node) proxy() ([]byte, error) {
	none := int32(0)
	cfg := proxyconfig.KubeProxyConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: proxyconfig.SchemeGroupVersion.String(),
			Kind: "KubeProxyConfiguration"},
		Mode:             proxyconfig.ProxyMode(n.Settings.ProxyMode),
		HostnameOverride: n.Name,
		ClusterCIDR:      plan.Join(n.Settings.PodNetwork()),
		ClientConnection: componentbase.ClientConnectionConfiguration{Kubeconfig: n.State.UserKubeconfig(pki.Proxy)},
	}
	// A namespace cannot change the machine's limit.
	cfg.Conntrack.MaxPerCore, cfg.Conntrack.Min = &none, &none
	return marshal(cfg)
}

func marshal(cfg any) ([]byte, error) {
	data, err := yaml.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("write a configuration: %w", err)
	}
	return data, nil
}

// network is the node's CNI configuration: one plugin that makes both interfaces of a pod, then host ports.
func (n Node) network() ([]byte, error) {
	primary := map[string]any{"type": "ptp", "mtu": n.Settings.PodMTU(), "ipam": n.ipam(podRanges(n.Pods), true)}
	second := map[string]any{"type": "macvlan", "master": "eth0", "mode": "bridge",
		"ipam": n.ipam(secondRanges(n.Second), false)}
	data, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "pod",
		"plugins": []any{
			map[string]any{
				"type": podnet.Type, "statusDir": n.State.NetStatus(n.Name),
				"networks": []any{
					map[string]any{"name": "pod", "interface": "eth0", "default": true, "plugin": primary},
					map[string]any{"name": "kube-system/net1", "interface": "net1", "plugin": second},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the CNI configuration: %w", err)
	}
	return data, nil
}

// ipam gives out addresses from the ranges, one of each.
func (n Node) ipam(ranges [][]map[string]string, gateway bool) map[string]any {
	out := map[string]any{"type": "host-local", "dataDir": n.file("ipam"), "ranges": ranges}
	if gateway {
		var routes []map[string]string
		for _, p := range n.Pods {
			routes = append(routes, map[string]string{"dst": netip.PrefixFrom(unspecified(p.Addr()), 0).String()})
		}
		out["routes"] = routes
	}
	return out
}

func podRanges(subnets []netip.Prefix) [][]map[string]string {
	var out [][]map[string]string
	for _, p := range subnets {
		out = append(out, []map[string]string{{"subnet": p.String()}})
	}
	return out
}

func secondRanges(ranges []plan.Range) [][]map[string]string {
	var out [][]map[string]string
	for _, r := range ranges {
		out = append(out, []map[string]string{{"subnet": r.Subnet.String(), "rangeStart": r.Start.String(),
			"rangeEnd": r.End.String()}})
	}
	return out
}

func unspecified(sample netip.Addr) netip.Addr {
	if sample.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func ptr[T any](v T) *T { return &v }
