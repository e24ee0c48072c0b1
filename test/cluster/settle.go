package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"golang.org/x/sys/unix"
)

const (
	// steady is how many times in a row every way must answer, sweepEvery the time between two tries.
	steady     = 10
	sweepEvery = 100 * time.Millisecond
)

// Settle waits until every way to the agents answers from every node, many times in a row: Kubernetes gives a Service
// or an Ingress its address before kube-proxy, load balancers and Ingress controllers have heard of its pods, and what
// fails until then is no fault. It fails, with the last error, when the context ends first.
func (c *Cluster) Settle(ctx context.Context, nodes int) error {
	ways, err := c.ways(ctx)
	if err != nil {
		return err
	}
	if len(ways) == 0 {
		return fmt.Errorf("the agents in namespace %s have no Service", Namespace)
	}
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	var last error
	for good := 0; good < steady; {
		err := c.sweep(ctx, nodes, ways)
		if good++; err != nil {
			good = 0
		}
		// What fails once the time is over says nothing of the cluster.
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster has not settled: %w", errors.Join(ctx.Err(), last))
		case <-ticker.C:
		}
	}
	return nil
}

// sweep asks all ways once from all nodes.
func (c *Cluster) sweep(ctx context.Context, nodes int, ways []string) error {
	for n := range nodes {
		node := fmt.Sprintf("n%d", n)
		for _, way := range ways {
			if err := c.get(ctx, node, way); err != nil {
				return fmt.Errorf("from node %s: %w", node, err)
			}
		}
	}
	return nil
}

// get makes one request over a connection of its own, from the node.
func (c *Cluster) get(ctx context.Context, node, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.Dial(ctx, node, network, address)
		}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers with status %d", url, response.StatusCode)
	}
	return nil
}

// Dial connects to a literal address from the network of a node.
func (c *Cluster) Dial(ctx context.Context, node, network, address string) (net.Conn, error) {
	return dialFrom(ctx, "/run/netns/"+c.config.Name+"-"+node, network, address)
}

// dialFrom connects in another network namespace. The thread that entered it ends with the goroutine, so that nobody
// else is led there.
func dialFrom(ctx context.Context, namespace, network, address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The process's first thread never ends, and where it is the whole process seems to be. As long as it is
			// held here, another goroutine has another thread.
			defer runtime.UnlockOSThread()
			conn, err = dialFrom(ctx, namespace, network, address)
			return
		}
		var file *os.File
		if file, err = os.Open(filepath.Clean(namespace)); err != nil {
			return
		}
		defer file.Close()
		if err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil { // #nosec G115 -- a descriptor
			return
		}
		// A literal address and one network leave the dialer no reason to hand the work to another goroutine.
		conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address)
	}()
	<-done
	return conn, err
}

// ways are the URLs of everything that leads to the default agents, as Kubernetes has it now.
func (c *Cluster) ways(ctx context.Context) ([]string, error) {
	var services corev1.ServiceList
	var ingresses networkingv1.IngressList
	var nodes corev1.NodeList
	for _, read := range []struct {
		into any
		args []string
	}{
		{&services, []string{"get", "services", "--namespace", Namespace, "-l",
			"app.kubernetes.io/name=kdoctor-agent"}},
		{&ingresses, []string{"get", "ingresses", "--namespace", Namespace, "-l",
			"app.kubernetes.io/name=kdoctor-agent"}},
		{&nodes, []string{"get", "nodes"}},
	} {
		text, err := c.Kubectl(ctx, append(read.args, "-o", "json")...)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), read.into); err != nil {
			return nil, fmt.Errorf("read what kubectl printed: %w", err)
		}
	}
	var ways []string
	for _, s := range services.Items {
		ways = append(ways, waysTo(s, nodes.Items)...)
	}
	for _, in := range ingresses.Items {
		for _, entry := range in.Status.LoadBalancer.Ingress {
			ways = append(ways, "http://"+net.JoinHostPort(entry.IP, "80")+in.Spec.Rules[0].HTTP.Paths[0].Path)
		}
	}
	return ways, nil
}

func waysTo(s corev1.Service, nodes []corev1.Node) []string {
	var ways []string
	port := s.Spec.Ports[0]
	add := func(address string, port int32) {
		ways = append(ways, "http://"+net.JoinHostPort(address, strconv.Itoa(int(port))))
	}
	for _, address := range s.Spec.ClusterIPs {
		add(address, port.Port)
	}
	for _, entry := range s.Status.LoadBalancer.Ingress {
		add(entry.IP, port.Port)
	}
	if port.NodePort == 0 {
		return ways
	}
	six := s.Spec.IPFamilies[0] == corev1.IPv6Protocol
	for _, node := range nodes {
		for _, a := range node.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && (net.ParseIP(a.Address).To4() == nil) == six {
				add(a.Address, port.NodePort)
			}
		}
	}
	return ways
}
