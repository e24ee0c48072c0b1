package cluster

import (
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/lab/internal/plan"
	"kdoctor.io/kdoctor/lab/internal/state"
)

// Status is how a lab is.
type Status struct {
	Settings   plan.Settings  `json:"settings"`
	Healthy    bool           `json:"healthy"`
	Problem    string         `json:"problem,omitempty"`
	Kubeconfig string         `json:"kubeconfig"`
	Server     string         `json:"server"`
	Nodes      []NodeStatus   `json:"nodes"`
	Daemons    []DaemonStatus `json:"daemons"`
}

// NodeStatus is how a node, or another host on the fabric, is.
type NodeStatus struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Addresses []string `json:"addresses"`
	Pods      []string `json:"pods,omitempty"`
	Zone      string   `json:"zone,omitempty"`
	// Ready is "yes", "no" or, for what is no node, empty.
	Ready string `json:"ready,omitempty"`
}

// DaemonStatus is how a daemon is.
type DaemonStatus struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Alive bool   `json:"alive"`
	Log   string `json:"log"`
}

// Status looks at the lab.
func (l *Lab) Status(ctx context.Context, record state.Record) (Status, error) {
	s := Status{Settings: record.Settings, Kubeconfig: l.State.Kubeconfig(), Server: record.Server}
	daemons, err := l.table.Daemons()
	if err != nil {
		return Status{}, err
	}
	for _, d := range daemons {
		s.Daemons = append(s.Daemons, DaemonStatus{Name: d.Name, PID: d.PID, Alive: d.Alive(), Log: d.Log})
	}
	switch problem := l.unwell(ctx, record); {
	case !record.Complete:
		s.Problem = "it was left half made; lab up starts it anew"
	case problem != nil:
		s.Problem = problem.Error()
	default:
		s.Healthy = true
	}
	readiness := l.readiness(ctx)
	for _, n := range record.Settings.ClusterNodes()[:record.Settings.Nodes] {
		s.Nodes = append(s.Nodes, NodeStatus{
			Name: n.Name, Namespace: n.Namespace, Addresses: addresses(n.Host), Zone: n.Zone, Ready: readiness[n.Name],
			Pods: strings.Split(plan.Join(n.Pods), ","),
		})
		if readiness[n.Name] == "" {
			s.Nodes[len(s.Nodes)-1].Ready = "no"
		}
	}
	for _, h := range record.Settings.Others() {
		s.Nodes = append(s.Nodes, NodeStatus{Name: h.Name, Namespace: h.Namespace, Addresses: addresses(h)})
	}
	return s, nil
}

func addresses(h plan.Host) []string {
	var out []string
	for _, a := range h.Addresses {
		out = append(out, a.Addr().String())
	}
	return out
}

// readiness asks the API server for the nodes. No answer is none of them ready.
func (l *Lab) readiness(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := map[string]string{}
	client, err := l.Client()
	if err != nil {
		return out
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return out
	}
	for i := range list.Items {
		out[list.Items[i].Name] = "no"
		if nodeReady(&list.Items[i]) {
			out[list.Items[i].Name] = "yes"
		}
	}
	return out
}
