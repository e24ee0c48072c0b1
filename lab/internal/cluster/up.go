package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"kdoctor.io/kdoctor/lab/internal/controlplane"
	"kdoctor.io/kdoctor/lab/internal/fabric"
	"kdoctor.io/kdoctor/lab/internal/node"
	"kdoctor.io/kdoctor/lab/internal/packages"
	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/podnet"
	"kdoctor.io/kdoctor/lab/internal/process"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// upLimit is far more than a slow machine needs.
const upLimit = 5 * time.Minute

// start makes the lab, where nothing of it is.
func (l *Lab) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	began := time.Now()
	step := func(format string, args ...any) {
		fmt.Fprintf(l.Progress, "%5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := l.State.Prepare(); err != nil {
		return err
	}
	if err := l.State.Write(state.Record{Settings: l.Settings}); err != nil {
		return err
	}
	raiseLimits(step)
	control, nodes, err := l.parts()
	if err != nil {
		return err
	}
	server, err := l.ground(control, nodes)
	if err != nil {
		return err
	}
	step("networks, certificates and settings made")
	client, err := l.Client()
	if err != nil {
		return err
	}
	if err := l.run(ctx, control, nodes, client, step); err != nil {
		return fmt.Errorf("%w\nwhat there is of the lab is left for a look (logs: %s); lab up starts anew, lab down "+
			"--name %s takes it away",
			err, l.State.Logs(), l.Settings.Name)
	}
	if err := l.State.Write(state.Record{Settings: l.Settings, Complete: true, Server: server}); err != nil {
		return err
	}
	step("the lab %q is up", l.Settings.Name)
	return nil
}

// parts finds the programs and returns what is to be started with them.
func (l *Lab) parts() (controlplane.ControlPlane, []node.Node, error) {
	etcd, err := packages.Program("etcd")
	if err != nil {
		return controlplane.ControlPlane{}, nil, err
	}
	containerd, err := packages.Program("containerd")
	if err != nil {
		return controlplane.ControlPlane{}, nil, err
	}
	kube := l.Cache.Program("kube")
	return controlplane.ControlPlane{Settings: l.Settings, State: l.State, Kube: kube, Etcd: etcd},
		node.All(node.Node{Settings: l.Settings, State: l.State, Kube: kube, Containerd: containerd}), nil
}

// ground makes everything that the daemons stand on, and starts those that need nothing else.
func (l *Lab) ground(control controlplane.ControlPlane, nodes []node.Node) (server string, err error) {
	var group errgroup.Group
	group.Go(func() error { return fabric.Build(l.Settings) })
	group.Go(func() error { return l.State.PKI().Make(l.Settings) })
	group.Go(func() error { return l.linkPlugins() })
	for _, n := range nodes {
		group.Go(n.Prepare)
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", fmt.Errorf("listen for the machine's programs: %w", err)
	}
	defer func() { _ = listener.Close() }()
	address := netip.MustParseAddrPort(listener.Addr().String())
	if err := control.Kubeconfigs(address); err != nil {
		return "", err
	}
	file, err := listener.File()
	if err != nil {
		return "", fmt.Errorf("hand the listener down: %w", err)
	}
	defer file.Close()
	first := []process.Spec{control.Store(), control.APIServer(), l.gate(file)}
	for _, n := range nodes {
		first = append(first, n.Runtime())
	}
	return address.String(), l.launch(first...)
}

// linkPlugins gathers Debian's CNI plugins and the lab's own in one folder.
func (l *Lab) linkPlugins() error {
	plugins, err := filepath.Glob(filepath.Join(packages.CNI, "*"))
	if err != nil {
		return fmt.Errorf("list CNI plugins: %w", err)
	}
	for _, p := range plugins {
		if err := os.Symlink(p, filepath.Join(l.State.Plugins(), filepath.Base(p))); err != nil {
			return fmt.Errorf("gather CNI plugins: %w", err)
		}
	}
	if err := os.Symlink(l.Cache.Program("podnet"), filepath.Join(l.State.Plugins(), podnet.Type)); err != nil {
		return fmt.Errorf("gather CNI plugins: %w", err)
	}
	return nil
}

// run starts the rest, each as soon as what it needs is there, and returns when the cluster works.
func (l *Lab) run(ctx context.Context, control controlplane.ControlPlane, nodes []node.Node,
	client kubernetes.Interface, step func(string, ...any)) error {
	group, groupCtx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		group.Go(func() error { return l.fill(groupCtx, n) })
	}
	group.Go(func() error { return l.awaitAPI(groupCtx, client) })
	if err := group.Wait(); err != nil {
		return err
	}
	step("API server ready, images loaded")
	if len(nodes) == 0 {
		return nil
	}
	specs := control.Workers()
	for _, n := range nodes {
		specs = append(specs, n.Agents()...)
	}
	if err := l.launch(append(specs, l.addons()...)...); err != nil {
		return err
	}
	if err := l.applyDNS(ctx); err != nil {
		return err
	}
	if err := l.awaitNodes(ctx, client, nodes); err != nil {
		return err
	}
	step("%d nodes ready", len(nodes))
	if err := l.awaitDNS(ctx, client); err != nil {
		return err
	}
	step("CoreDNS answers")
	return nil
}

// fill loads the lab's own images into a node. Only the first one runs CoreDNS.
func (l *Lab) fill(ctx context.Context, n node.Node) error {
	if err := n.AwaitRuntime(ctx); err != nil {
		return err
	}
	archives := []string{l.Cache.Image("pause")}
	if n.Index == 0 {
		archives = append(archives, l.Cache.Image("coredns"))
	}
	return n.Load(ctx, archives...)
}

func (l *Lab) launch(specs ...process.Spec) error {
	for _, spec := range specs {
		if err := l.table.Start(spec); err != nil {
			return err
		}
	}
	return nil
}

// gate is the way from the machine to the API server: it listens in the machine's namespace, on a socket it was given,
// and dials in the first node's, where it runs.
func (l *Lab) gate(listener *os.File) process.Spec {
	return process.Spec{
		Name: "gate", Namespace: l.Settings.Namespace(plan.NodeName(0)), Files: []*os.File{listener},
		Command: []string{l.Self, "serve", "--name=" + l.Settings.Name},
	}
}

// addons are the daemons that make what a cloud would offer, each in the namespace of its data path.
func (l *Lab) addons() []process.Spec {
	var specs []process.Spec
	for _, a := range []struct{ name, host string }{
		{"cloud", plan.LoadBalancer},
		{"ingress", plan.Ingress},
		{"multus", plan.NodeName(0)},
	} {
		specs = append(specs, process.Spec{
			Name: a.name, Namespace: l.Settings.Namespace(a.host), Env: []string{"PATH=" + packages.SearchPath},
			Command: []string{l.Self, "run-" + a.name, "--name=" + l.Settings.Name},
		})
	}
	return specs
}

// daemonNames are those of all daemons that a complete lab has.
func (l *Lab) daemonNames() []string {
	control := controlplane.ControlPlane{Settings: l.Settings, State: l.State}
	specs := []process.Spec{control.Store(), control.APIServer(), l.gate(nil)}
	if l.Settings.Nodes > 0 {
		specs = append(append(specs, control.Workers()...), l.addons()...)
	}
	for _, n := range node.All(node.Node{Settings: l.Settings, State: l.State}) {
		specs = append(append(specs, n.Runtime()), n.Agents()...)
	}
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return names
}
