// Package behind puts three agents behind a Service of a real Kubernetes, in the project's lab, and makes faults on the
// way to them.
package behind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kdoctor.io/kdoctor/bench/internal/rig"
)

const (
	// name is that of the lab; others of the machine are left alone.
	name = "bench-faults"
	// clientNode is where requests start, podNode where all pods are: what is sent to them passes its forward hook.
	clientNode, podNode = "n0", "n1"
	// agentPort is where agents answer.
	agentPort = 8080
	// downWithin bounds how long it may take to take the lab down.
	downWithin = time.Minute
)

// Pods is how many are behind the Service.
const Pods = 3

// Ports is how many ports the Service has: each is a target of its own, since kube-proxy chooses for every connection
// to every port.
const Ports = 200

// FirstPort is the first of them.
const FirstPort = 20000

// Cluster is the lab with the Service.
type Cluster struct {
	lab, kubectl, kubeconfig string
	// Service is its address, pods are those of the pods behind it.
	Service string
	pods    []string
}

// Up brings the lab up, with the agents' image from the archive. What it began is taken down again when it fails.
func Up(ctx context.Context, program, archive string) (*Cluster, error) {
	for what, path := range map[string]string{"the lab program": program, "the image of the agents": archive} {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%s is not built (%s); run \"make images\"", what, path)
		}
	}
	image, err := imageOf(archive)
	if err != nil {
		return nil, err
	}
	c, err := open(ctx, program)
	if err != nil {
		return nil, err
	}
	if err := c.begin(ctx, archive, image); err != nil {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), downWithin)
		defer cancel()
		return nil, errors.Join(err, c.Down(detached))
	}
	return c, nil
}

// forgetAfter is after how many seconds the clients' node forgets a connection that nobody answered. By default it
// remembers for two minutes which pod was chosen, and a new connection from the same port would be led to the same
// silent pod: trials would not be independent of those before.
const forgetAfter = "1"

func (c *Cluster) begin(ctx context.Context, archive, image string) error {
	// One that was left behind may have faults.
	for _, args := range [][]string{{"down"}, {"up", "--nodes", "2"}, {"load", archive}} {
		if err := c.run(ctx, args...); err != nil {
			return err
		}
	}
	if err := c.run(ctx, "exec", clientNode, "--", "sysctl", "-w", "net.netfilter.nf_conntrack_tcp_timeout_syn_sent="+
		forgetAfter); err != nil {
		return err
	}
	return c.apply(ctx, image)
}

// open finds the programs of the cluster. One whose Kubernetes is not built yet would take ten minutes to come up.
func open(ctx context.Context, program string) (*Cluster, error) {
	path, err := filepath.Abs(program)
	if err != nil {
		return nil, fmt.Errorf("find the lab program: %w", err)
	}
	c := &Cluster{lab: path}
	out, err := rig.Outside(ctx, rig.Command{Path: c.lab, Args: []string{"env", "--bin"}})
	if err != nil {
		return nil, err
	}
	c.kubectl = filepath.Join(strings.TrimSpace(out), "kubectl")
	if _, err := os.Stat(c.kubectl); err != nil {
		return nil, errors.New("the lab's Kubernetes is not built; run \".build/bin/lab build\"")
	}
	return c, nil
}

// Down takes the lab down.
func (c *Cluster) Down(ctx context.Context) error { return c.run(ctx, "down") }

func (c *Cluster) run(ctx context.Context, args ...string) error {
	_, err := rig.Outside(ctx, rig.Command{Path: c.lab, Args: append([]string{args[0], "--name", name}, args[1:]...)})
	return err
}

func (c *Cluster) apply(ctx context.Context, image string) error {
	out, err := rig.Outside(ctx, rig.Command{Path: c.lab, Args: []string{"kubeconfig", "--name", name}})
	if err != nil {
		return err
	}
	c.kubeconfig = strings.TrimSpace(out)
	if _, err := c.kube(ctx, manifests(image), "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := c.kube(ctx, "", "wait", "--for=condition=Ready", "pod", "-l", "app="+name,
		"--timeout=60s"); err != nil {
		return err
	}
	if c.Service, err = c.kube(ctx, "", "get", "service", name, "-o", "jsonpath={.spec.clusterIP}"); err != nil {
		return err
	}
	addresses, err := c.kube(ctx, "", "get", "pods", "-l", "app="+name, "-o", "jsonpath={.items[*].status.podIP}")
	if err != nil {
		return err
	}
	if c.pods = strings.Fields(addresses); len(c.pods) != Pods {
		return fmt.Errorf("pods behind the Service have the addresses %q, want %d", addresses, Pods)
	}
	return nil
}

func (c *Cluster) kube(ctx context.Context, in string, args ...string) (string, error) {
	return rig.Outside(ctx,
		rig.Command{Path: c.kubectl, Args: append([]string{"--kubeconfig", c.kubeconfig}, args...), Stdin: in})
}

// manifests are the pods and the Service. Nothing but the agent's responder is used of the image.
func manifests(image string) string {
	var b strings.Builder
	for i := range Pods {
		fmt.Fprintf(&b, `apiVersion: v1
kind: Pod
metadata: {name: %[1]s-%[2]d, labels: {app: %[1]s}}
spec:
  nodeName: %[3]s
  terminationGracePeriodSeconds: 0
  containers:
    - name: agent
      image: %[4]s
      imagePullPolicy: Never
      args: ["--installation=%[5]s", "--http-port=%[6]d", "--log-level=error"]
      env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
---
`, name, i, podNode, image, rig.Installation, agentPort)
	}
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: %[1]s}\nspec:\n  selector: {app: %[1]s}\n  "+
		"ipFamilies: [IPv4]\n  ports:\n", name)
	for port := range Ports {
		fmt.Fprintf(&b, "    - {name: p%d, port: %d, targetPort: %d}\n", port, FirstPort+port, agentPort)
	}
	return b.String()
}

// Drive is the command that runs a program where requests start.
func (c *Cluster) Drive(program string, args ...string) rig.Command {
	return rig.Command{Path: c.lab, Args: append([]string{"exec", "--name", name, clientNode, "--", program}, args...),
		CPU: rig.ClientCPU}
}

// Silence drops all that is sent to one of the pods, until Heal.
func (c *Cluster) Silence(ctx context.Context) error {
	return c.rule(ctx, fmt.Sprintf("ip daddr %s tcp dport %d counter name dropped drop", c.pods[0], agentPort))
}

// Lose drops, at random, one of so many segments that clients would have to send again: those that open a connection,
// and those with data. Both are longer than 59 bytes; acknowledgements, resets and ends of connections without data are
// shorter.
func (c *Cluster) Lose(ctx context.Context, oneOf int) error {
	return c.rule(ctx, fmt.Sprintf("ip daddr { %s } tcp dport %d ip length >= 60 counter name seen numgen random mod "+
		"%d == 0 counter name dropped drop",
		strings.Join(c.pods, ", "), agentPort, oneOf))
}

// Heal takes the fault away, and leaves the counters as they are.
func (c *Cluster) Heal(ctx context.Context) error {
	return c.nft(ctx, "flush chain inet fault forward")
}

// rule makes the table anew, with the rule and counters at 0. It stands before all else on the pods' node.
func (c *Cluster) rule(ctx context.Context, text string) error {
	return c.nft(ctx, "add table inet fault; delete table inet fault; add table inet fault; add counter inet fault "+
		"seen; add counter inet fault dropped; "+
		"add chain inet fault forward { type filter hook forward priority -300; }; add rule inet fault forward "+text)
}

func (c *Cluster) nft(ctx context.Context, commands string) error {
	return c.run(ctx, "exec", podNode, "--", "nft", commands)
}

// Counted is how many segments the fault's rule saw and dropped.
func (c *Cluster) Counted(ctx context.Context) (seen, dropped uint64, err error) {
	out, err := rig.Outside(ctx,
		rig.Command{Path: c.lab,
			Args: []string{"exec", "--name", name, podNode, "--", "nft", "--json", "list counters table inet fault"}})
	if err != nil {
		return 0, 0, err
	}
	counts, err := counters(out)
	return counts["seen"], counts["dropped"], err
}

// counters reads what nft prints of counters.
func counters(text string) (map[string]uint64, error) {
	var said struct {
		Nftables []struct {
			Counter *struct {
				Name    string `json:"name"`
				Packets uint64 `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return nil, fmt.Errorf("read the counters: %w", err)
	}
	counts := map[string]uint64{}
	for _, entry := range said.Nftables {
		if entry.Counter != nil {
			counts[entry.Counter.Name] = entry.Counter.Packets
		}
	}
	for _, want := range []string{"seen", "dropped"} {
		if _, ok := counts[want]; !ok {
			return nil, fmt.Errorf("the counter %s is missing in %s", strconv.Quote(want), text)
		}
	}
	return counts, nil
}
