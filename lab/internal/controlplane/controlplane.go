// Package controlplane says how etcd, kube-apiserver, kube-controller-manager and kube-scheduler are started for a lab.
package controlplane

import (
	"fmt"
	"net/netip"
	"strings"

	"kdoctor.io/kdoctor/lab/internal/pki"
	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/process"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// etcdURL is in the first node's namespace, whose loopback interface nothing else of the machine shares.
const etcdURL = "http://127.0.0.1:2379"

// ControlPlane is the control plane of one lab.
type ControlPlane struct {
	Settings plan.Settings
	State    state.Folder
	// Kube is the path of the multi-call binary.
	Kube string
	Etcd string
}

// Store returns etcd.
func (c ControlPlane) Store() process.Spec {
	return c.spec("etcd", c.Etcd, "--data-dir="+c.State.Etcd(), "--listen-client-urls="+etcdURL,
		"--advertise-client-urls="+etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380", "--auto-compaction-mode=revision",
		"--auto-compaction-retention=1000")
}

// APIServer returns kube-apiserver.
func (c ControlPlane) APIServer() process.Spec {
	keys := c.State.PKI()
	args := []string{
		"kube-apiserver",
		"--etcd-servers=" + etcdURL,
		"--advertise-address=" + c.Settings.APIServer().Addr().String(),
		fmt.Sprintf("--secure-port=%d", plan.APIPort),
		"--service-cluster-ip-range=" + plan.Join(c.Settings.Services()),
		"--tls-cert-file=" + keys.Cert(pki.APIServer), "--tls-private-key-file=" + keys.Key(pki.APIServer),
		"--client-ca-file=" + keys.CA(),
		"--service-account-key-file=" + keys.Cert(pki.ServiceAccounts), "--service-account-signing-key-file=" +
			keys.Key(pki.ServiceAccounts),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false",
		// The aggregation layer, whose requests go to a Service's pods directly.
		"--requestheader-client-ca-file=" + keys.Cert(pki.FrontProxyCA), "--requestheader-allowed-names=" +
			pki.FrontProxyClient,
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + keys.Cert(pki.FrontProxyClient), "--proxy-client-key-file=" +
			keys.Key(pki.FrontProxyClient),
		"--enable-aggregator-routing=true",
		// Nodes' names are in no DNS.
		"--kubelet-preferred-address-types=InternalIP", "--kubelet-certificate-authority=" + keys.CA(),
		"--kubelet-client-certificate=" + keys.Cert(pki.KubeletClient), "--kubelet-client-key=" +
			keys.Key(pki.KubeletClient),
	}
	if c.Settings.Nodes == 0 {
		// Without a controller manager nobody makes the service accounts that this admission plugin asks for.
		args = append(args, "--disable-admission-plugins=ServiceAccount", "--enable-admission-plugins=NodeRestriction")
	} else {
		args = append(args, "--enable-admission-plugins=NodeRestriction")
	}
	return c.spec("kube-apiserver", c.Kube, args...)
}

// Workers returns what acts on the API: kube-controller-manager and kube-scheduler.
func (c ControlPlane) Workers() []process.Spec {
	keys := c.State.PKI()
	manager := c.spec("kube-controller-manager", c.Kube, "kube-controller-manager",
		"--kubeconfig="+c.State.UserKubeconfig(pki.ControllerManager), "--leader-elect=false", "--profiling=false",
		// Pod subnets follow from the plan, so that routes can be made before a node has registered.
		"--allocate-node-cidrs=false",
		"--service-account-private-key-file="+keys.Key(pki.ServiceAccounts), "--root-ca-file="+keys.CA(),
		"--use-service-account-credentials=true",
		"--cluster-signing-cert-file="+keys.CA(), "--cluster-signing-key-file="+keys.Key("ca"),
		"--node-monitor-period=2s", "--node-monitor-grace-period=16s")
	scheduler := c.spec("kube-scheduler", c.Kube, "kube-scheduler",
		"--kubeconfig="+c.State.UserKubeconfig(pki.Scheduler), "--leader-elect=false", "--profiling=false")
	return []process.Spec{manager, scheduler}
}

func (c ControlPlane) spec(name, program string, args ...string) process.Spec {
	return process.Spec{Name: name, Namespace: c.Settings.Namespace(plan.NodeName(0)),
		Command: append([]string{program}, args...)}
}

// Kubeconfigs writes the administrator's kubeconfig for the machine, and everyone's for the lab's own namespaces.
func (c ControlPlane) Kubeconfigs(machine netip.AddrPort) error {
	keys, lab := c.State.PKI(), c.Settings.Name
	if err := keys.Kubeconfig(c.State.Kubeconfig(), pki.Admin, lab, "https://"+machine.String()); err != nil {
		return err
	}
	users := []string{pki.Admin, pki.ControllerManager, pki.Scheduler, pki.Proxy}
	for _, n := range c.Settings.ClusterNodes() {
		users = append(users, n.Name)
	}
	for _, user := range users {
		if err := keys.Kubeconfig(c.State.UserKubeconfig(user), user, lab, "https://"+
			c.Settings.APIServer().String()); err != nil {
			return fmt.Errorf("kubeconfigs (%s): %w", strings.Join(users, ", "), err)
		}
	}
	return nil
}
