package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/podnet"
	"kdoctor.io/kdoctor/lab/internal/process"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// AgentServices begins the names of the Services that are chosen if a user names none.
const AgentServices = "kdoctor-agent"

// live is the lab as it runs.
type live struct {
	client   kubernetes.Interface
	settings plan.Settings
	folder   state.Folder
	daemons  *process.Table
	// namespace and service choose the Services; an empty service is all whose names begin as the agents' do.
	namespace, service string
}

func (l *live) chosen(name string) bool {
	return name == l.service || l.service == "" && strings.HasPrefix(name, AgentServices)
}

// Services returns the chosen Services.
func (l *live) Services(ctx context.Context) ([]Service, error) {
	list, err := l.client.CoreV1().Services(l.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var found []Service
	for _, item := range list.Items {
		if !l.chosen(item.Name) || item.Spec.ClusterIP == corev1.ClusterIPNone {
			continue
		}
		service := Service{Namespace: item.Namespace, Name: item.Name, ClusterIPs: parsed(item.Spec.ClusterIPs)}
		for _, p := range item.Spec.Ports {
			service.Ports = append(service.Ports, int(p.Port))
		}
		for _, in := range item.Status.LoadBalancer.Ingress {
			service.Balancers = append(service.Balancers, parsed([]string{in.IP})...)
		}
		found = append(found, service)
	}
	return found, nil
}

func parsed(values []string) []netip.Addr {
	var out []netip.Addr
	for _, v := range values {
		if a, err := netip.ParseAddr(v); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// Agents returns the pods behind the chosen Services on a node.
func (l *live) Agents(ctx context.Context, node string) ([]Pod, error) {
	return l.behind(ctx, l.namespace, l.chosen, func(at string) bool { return at == node })
}

// DNS returns the DNS pods.
func (l *live) DNS(ctx context.Context) ([]Pod, error) {
	return l.behind(ctx, metav1.NamespaceSystem, func(name string) bool { return name == "kube-dns" },
		func(string) bool { return true })
}

// behind returns the pods behind Services, ready or not.
func (l *live) behind(ctx context.Context, namespace string, service, node func(string) bool) ([]Pod, error) {
	list, err := l.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	ports := map[string][]int{}
	at := map[string]string{}
	for _, slice := range list.Items {
		if !service(slice.Labels[discoveryv1.LabelServiceName]) {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.NodeName == nil || !node(*e.NodeName) {
				continue
			}
			at[e.TargetRef.Name] = *e.NodeName
			for _, p := range slice.Ports {
				if p.Port != nil && !slices.Contains(ports[e.TargetRef.Name], int(*p.Port)) {
					ports[e.TargetRef.Name] = append(ports[e.TargetRef.Name], int(*p.Port))
				}
			}
		}
	}
	var pods []Pod
	for name, node := range at {
		pod, err := l.pod(node, namespace, name)
		if err != nil {
			return nil, err
		}
		pod.Ports = ports[name]
		slices.Sort(pod.Ports)
		pods = append(pods, pod)
	}
	slices.SortFunc(pods, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// pod finds a pod by the note of the lab's CNI plugin, whose file has the name of the pod's sandbox.
func (l *live) pod(node, namespace, name string) (Pod, error) {
	files, err := filepath.Glob(filepath.Join(l.folder.NetStatus(node), "*.json"))
	if err != nil {
		return Pod{}, fmt.Errorf("look for pod %s/%s: %w", namespace, name, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // The pod has ended since the folder was listed.
		}
		var note podnet.Note
		if err := json.Unmarshal(content, &note); err != nil {
			return Pod{}, fmt.Errorf("read %s: %w", file, err)
		}
		if note.Namespace != namespace || note.Pod != name {
			continue
		}
		pod := Pod{Namespace: namespace, Name: name, Node: node}
		for _, n := range note.Networks {
			if n.Default {
				pod.Addresses = parsed(n.IPs)
				continue
			}
			pod.Second = parsed(n.IPs)
		}
		sandbox := strings.TrimSuffix(filepath.Base(file), ".json")
		err = l.contents(&pod, sandbox)
		return pod, err
	}
	return Pod{}, fmt.Errorf("pod %s/%s has no network of its own on node %s", namespace, name, node)
}

// contents fills in the pod's processes, cgroups and link.
func (l *live) contents(pod *Pod, sandbox string) error {
	tasks := filepath.Join(l.folder.Node(pod.Node), "run", "io.containerd.runtime.v2.task", "k8s.io")
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return fmt.Errorf("list the containers of %s: %w", pod.Node, err)
	}
	for _, e := range entries {
		task := filepath.Join(tasks, e.Name())
		if owner, err := sandboxOf(task); err != nil || owner != sandbox {
			continue // Another pod's, or one that has ended since the folder was listed.
		}
		id, err := firstProcess(task)
		if err != nil {
			continue
		}
		if e.Name() == sandbox {
			pod.Holder = id
			continue
		}
		cgroup, err := cgroupOf(id.PID)
		if err != nil {
			return err
		}
		members, err := membersOf(cgroup)
		if err != nil {
			return err
		}
		pod.Cgroups = append(pod.Cgroups, cgroup)
		pod.Processes = append(pod.Processes, members...)
	}
	if pod.Holder.PID == 0 {
		return fmt.Errorf("pod %s/%s does not run", pod.Namespace, pod.Name)
	}
	pod.Link, err = peerLink(pod.In(), podUplink, Namespace{Host: l.settings.Namespace(pod.Node)})
	return err
}

// sandboxOf reads from a container's settings to which pod sandbox it belongs.
func sandboxOf(task string) (string, error) {
	content, err := os.ReadFile(filepath.Join(task, "config.json"))
	if err != nil {
		return "", fmt.Errorf("read a container's settings: %w", err)
	}
	var settings struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(content, &settings); err != nil {
		return "", fmt.Errorf("read a container's settings: %w", err)
	}
	return settings.Annotations["io.kubernetes.cri.sandbox-id"], nil
}

func firstProcess(task string) (process.Identity, error) {
	content, err := os.ReadFile(filepath.Join(task, "init.pid"))
	if err != nil {
		return process.Identity{}, fmt.Errorf("read a container's process: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return process.Identity{}, fmt.Errorf("read a container's process: %w", err)
	}
	return process.Identify(pid)
}

// Daemon returns the process of a daemon of the lab.
func (l *live) Daemon(name string) (process.Identity, error) {
	daemons, err := l.daemons.Daemons()
	if err != nil {
		return process.Identity{}, err
	}
	for _, d := range daemons {
		if d.Name == name && d.Alive() {
			return d.Identity, nil
		}
	}
	return process.Identity{}, fmt.Errorf("the daemon %s does not run", name)
}

// Under returns the processes below a daemon, their children included.
func (l *live) Under(daemon process.Identity) ([]process.Identity, error) {
	return process.Below(daemon)
}
