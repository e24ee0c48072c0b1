package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kdoctor.io/kdoctor/lab/internal/process"
)

// Prepare writes the node's settings and makes its cgroups. It has to come before the node's daemons.
func (n Node) Prepare() error {
	for _, dir := range []string{n.file("net.d"), n.State.NetStatus(n.Name), n.file("certs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the folders of %s: %w", n.Name, err)
		}
	}
	kubelet, err := n.kubelet()
	if err != nil {
		return err
	}
	proxy, err := n.proxy()
	if err != nil {
		return err
	}
	network, err := n.network()
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		n.file("containerd.toml"): []byte(n.containerd()), n.file("kubelet.yaml"): kubelet,
		n.file("kube-proxy.yaml"):          proxy,
		n.file("net.d", "10-pod.conflist"): network,
		// Pods do not get the machine's name servers and search domains: nothing of the lab can reach them.
		n.file("resolv.conf"): nil,
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("write the settings of %s: %w", n.Name, err)
		}
	}
	return makeCgroups(n.Settings.Name, n.Name)
}

// Runtime returns the node's containerd.
func (n Node) Runtime() process.Spec {
	return n.spec("containerd", n.Containerd, "--config="+n.file("containerd.toml"))
}

// Agents returns the node's kubelet and kube-proxy. The runtime has to answer first.
func (n Node) Agents() []process.Spec {
	var addresses []string
	for _, a := range n.Addresses {
		addresses = append(addresses, a.Addr().String())
	}
	kubelet := n.spec("kubelet", n.Kube, "kubelet",
		"--config="+n.file("kubelet.yaml"), "--kubeconfig="+n.State.UserKubeconfig(n.Name),
		"--root-dir="+n.file("kubelet"), "--cert-dir="+n.file("certs"),
		"--hostname-override="+n.Name, "--node-ip="+strings.Join(addresses, ","),
		"--node-labels=topology.kubernetes.io/zone="+n.Zone)
	kubelet.Again = socketTaken
	return []process.Spec{kubelet, n.spec("kube-proxy", n.Kube, "kube-proxy", "--config="+n.file("kube-proxy.yaml"))}
}

// socketTaken reports whether a kubelet ended because another one made its socket for device plugins at the same
// moment: the path is the same for all kubelets, whatever their folders. The lab has no devices, so nobody needs it.
func socketTaken(log string) bool {
	return strings.Contains(log, "/device-plugins/kubelet.sock: bind: address already in use")
}

func (n Node) spec(name, program string, args ...string) process.Spec {
	return process.Spec{Name: name + "-" + n.Name, Namespace: n.Namespace, Command: append([]string{program}, args...)}
}

// AwaitRuntime returns when containerd answers.
func (n Node) AwaitRuntime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", n.State.Containerd(n.Name))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for containerd of %s: %w", n.Name, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Load imports image archives into the node.
func (n Node) Load(ctx context.Context, archives ...string) error {
	for _, archive := range archives {
		cmd := exec.CommandContext(ctx, "ctr", "--address="+n.State.Containerd(n.Name), "--namespace=k8s.io", "images",
			"import", archive)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("load %s into %s: %w: %s", filepath.Base(archive), n.Name, err,
				strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// All returns the lab's nodes; none for a lab that is an API server alone.
func All(template Node) []Node {
	var out []Node
	for _, p := range template.Settings.ClusterNodes()[:template.Settings.Nodes] {
		n := template
		n.Node = p
		out = append(out, n)
	}
	return out
}
