package scale

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/bench/internal/fleet"
	"kdoctor.io/kdoctor/internal/kube"
)

const (
	namespace  = "kdoctor"
	agents     = "kdoctor-agent"
	controller = "kdoctor-controller"
	// apiPort is the port of the aggregated API in the chart.
	apiPort = 8443
	// images is how many images each node lists: as many as a kubelet lists unless it is told otherwise, of which most
	// nodes have some.
	images = 40
	// parallel is how many calls to the API server are made at a time.
	parallel = 16
)

// cluster is a Kubernetes of which nothing but the API server exists, with the chart installed in it and objects in
// place of nodes and pods.
type cluster struct {
	config     *rest.Config
	api        client.Client
	kubeconfig string
	address    netip.Addr
}

// connect finds the API server, which listens on this network namespace's own address.
func connect(kubeconfig, folder string) (*cluster, error) {
	address, err := ownAddress()
	if err != nil {
		return nil, err
	}
	known, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the lab's kubeconfig: %w", err)
	}
	for _, c := range known.Clusters {
		c.Server = "https://" + netip.AddrPortFrom(address, 6443).String()
	}
	c := &cluster{kubeconfig: filepath.Join(folder, "kubeconfig"), address: address}
	if err := clientcmd.WriteToFile(*known, c.kubeconfig); err != nil {
		return nil, fmt.Errorf("write a kubeconfig: %w", err)
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	c.config.QPS = -1
	if c.api, err = kube.NewClient(c.config); err != nil {
		return nil, err
	}
	return c, nil
}

var errNoAddress = errors.New("this network namespace has no IPv4 address")

func ownAddress() (netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() && !fleet.Prefix().Contains(prefix.Addr()) {
			return prefix.Addr(), nil
		}
	}
	return netip.Addr{}, errNoAddress
}

// install installs the chart.
func (c *cluster) install(ctx context.Context, helm, chart string) error {
	out, err := exec.CommandContext(ctx, helm, "install", "kdoctor", chart, "--namespace", namespace,
		"--create-namespace", "--kubeconfig", c.kubeconfig).CombinedOutput() // #nosec G204 -- by the caller's flags
	if err != nil {
		return fmt.Errorf("install the chart: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return c.publish(ctx)
}

// publish leads the aggregated API's Service to this network namespace: there is nobody who would look for its pods.
func (c *cluster) publish(ctx context.Context) error {
	slice := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
		"metadata": map[string]any{"namespace": namespace, "name": controller,
			"labels": map[string]any{"kubernetes.io/service-name": controller}},
		"ports": []any{map[string]any{"name": "https", "port": int64(apiPort), "protocol": "TCP"}},
		"endpoints": []any{map[string]any{"addresses": []any{c.address.String()},
			"conditions": map[string]any{"ready": true}}},
	}}
	if err := c.api.Create(ctx, slice); err != nil {
		return fmt.Errorf("make the endpoints of the aggregated API: %w", err)
	}
	return nil
}

// fill makes the nodes, and the agents' pods as the DaemonSet would have them.
func (c *cluster) fill(ctx context.Context, nodes int) error {
	var set appsv1.DaemonSet
	if err := c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: agents}, &set); err != nil {
		return fmt.Errorf("get the agents' daemon set: %w", err)
	}
	err := each(ctx, nodes, func(ctx context.Context, i int) error {
		pod := podOf(&set, i)
		status := pod.Status
		if err := errors.Join(c.api.Create(ctx, nodeOf(i)), c.api.Create(ctx, pod)); err != nil {
			return fmt.Errorf("make node %d: %w", i, err)
		}
		pod.Status = status
		if err := c.api.Status().Update(ctx, pod); err != nil {
			return fmt.Errorf("run the pod of node %d: %w", i, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	n := int32(nodes) // #nosec G115 -- bounded by the flags
	set.Status = appsv1.DaemonSetStatus{ObservedGeneration: set.Generation, CurrentNumberScheduled: n,
		DesiredNumberScheduled: n, NumberAvailable: n, NumberReady: n, UpdatedNumberScheduled: n}
	if err := c.api.Status().Update(ctx, &set); err != nil {
		return fmt.Errorf("write the daemon set's status: %w", err)
	}
	return nil
}

// each calls do for 0 to n-1, several at a time, and returns the first error.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next, done := make(chan int), make(chan struct{})
	for range parallel {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		}()
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	for range parallel {
		<-done
	}
	return context.Cause(ctx)
}

func nodeOf(i int) *corev1.Node {
	now := metav1.Now()
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"),
		corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110")}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: fleet.Node(i), Labels: map[string]string{
			corev1.LabelHostname: fleet.Node(i), corev1.LabelTopologyZone: fleet.Zone(i),
			corev1.LabelTopologyRegion: "eu-central-1", corev1.LabelOSStable: "linux",
			corev1.LabelArchStable: "amd64", corev1.LabelInstanceTypeStable: "m6i.2xlarge"}},
		Status: corev1.NodeStatus{
			Capacity: size, Allocatable: size,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fleet.NodeAddress(i).String()},
				{Type: corev1.NodeHostName, Address: fleet.Node(i)}},
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.35.0", OperatingSystem: "linux",
				Architecture: "amd64", ContainerRuntimeVersion: "containerd://1.7.0", KernelVersion: "6.1.0",
				OSImage: "Linux"},
		},
	}
	for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure,
		corev1.NodePIDPressure, corev1.NodeReady} {
		c := corev1.NodeCondition{Type: kind, Status: corev1.ConditionFalse, LastHeartbeatTime: now,
			LastTransitionTime: now, Reason: "KubeletSays", Message: "kubelet says so"}
		if kind == corev1.NodeReady {
			c.Status = corev1.ConditionTrue
		}
		node.Status.Conditions = append(node.Status.Conditions, c)
	}
	for n := range images {
		name := fmt.Sprintf("registry.example/team-%d/service-%d", n%7, n)
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{SizeBytes: int64(n) << 20,
			Names: []string{fmt.Sprintf("%s@sha256:%064x", name, n*31), name + ":v1.2.3"}})
	}
	return node
}

// podOf is the pod that the DaemonSet has on the node, as the kubelet says that it runs.
func podOf(set *appsv1.DaemonSet, i int) *corev1.Pod {
	yes, now := true, metav1.Now()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fleet.Pod(i),
			Labels: set.Spec.Template.Labels, Annotations: set.Spec.Template.Annotations,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: set.Name,
				UID: set.UID, Controller: &yes, BlockOwnerDeletion: &yes}}},
		Spec: *set.Spec.Template.Spec.DeepCopy(),
	}
	pod.Spec.NodeName = fleet.Node(i)
	address := fleet.PodAddress(i).String()
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		HostIP: fleet.NodeAddress(i).String(), StartTime: &now,
		ContainerStatuses: []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, Ready: true, Started: &yes,
			Image: pod.Spec.Containers[0].Image,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}}}
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized,
		corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		pod.Status.Conditions = append(pod.Status.Conditions,
			corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	return pod
}

// deployment is how the chart starts the controller.
type deployment struct {
	args []string
	env  []string
	// limit is the limit of memory in bytes; 0 for none.
	limit int64
}

// replaced are the flags of the chart for which the measurement has its own values.
func replaced() []string {
	return []string{"--report-url=", "--max-requests-per-agent=", "--agent-manifests=", "--pod="}
}

func (c *cluster) deployment(ctx context.Context) (deployment, error) {
	var found appsv1.Deployment
	if err := c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: controller}, &found); err != nil {
		return deployment{}, fmt.Errorf("get the controller's deployment: %w", err)
	}
	container := found.Spec.Template.Spec.Containers[0]
	d := deployment{limit: container.Resources.Limits.Memory().Value()}
	for _, arg := range container.Args {
		if !slices.ContainsFunc(replaced(), func(flag string) bool { return strings.HasPrefix(arg, flag) }) {
			d.args = append(d.args, arg)
		}
	}
	for _, e := range container.Env {
		if e.ValueFrom == nil {
			d.env = append(d.env, e.Name+"="+e.Value)
		}
	}
	return d, nil
}

// manifests writes those of the agents into a folder, as a pod of the controller has them.
func (c *cluster) manifests(ctx context.Context, dir string) error {
	var files corev1.ConfigMap
	err := c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "kdoctor-agent-manifests"}, &files)
	if err != nil {
		return fmt.Errorf("get the agents' manifests: %w", err)
	}
	for name, text := range files.Data {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the agents' manifests: %w", err)
		}
	}
	return nil
}

// certificates writes the agents' certificate, as soon as the controller has made it, where agents read it.
func (c *cluster) certificates(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var secret corev1.Secret
	err := until(ctx, func() error {
		return c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "kdoctor-agent-tls"}, &secret)
	})
	if err != nil {
		return fmt.Errorf("wait for the agents' certificate: %w", err)
	}
	for name, content := range secret.Data {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o600); err != nil {
			return fmt.Errorf("write the agents' certificate: %w", err)
		}
	}
	return nil
}

// pollEvery is the time between two looks.
const pollEvery = 100 * time.Millisecond

// until calls try until it succeeds, or the context ends, and returns the last error then.
func until(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}
