package inventory_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

// paged answers lists of nodes page by page, and asks a reader for all else.
type paged struct {
	client.Reader
	nodes int
	// expires is at how many later pages the API server has forgotten the state of the first.
	expires int
	// takes is how long an answer takes.
	takes time.Duration

	mu sync.Mutex
	// asked has the limit and the token of each request.
	asked []string
}

func (p *paged) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	nodes, ok := list.(*corev1.NodeList)
	if !ok {
		return p.Reader.List(ctx, list, options...)
	}
	time.Sleep(p.takes)
	p.mu.Lock()
	defer p.mu.Unlock()
	var asked client.ListOptions
	asked.ApplyOptions(options)
	p.asked = append(p.asked, fmt.Sprintf("%d from %s", asked.Limit, asked.Continue))
	from, _ := strconv.Atoi(asked.Continue)
	if from > 0 && p.expires > 0 {
		p.expires--
		return apierrors.NewResourceExpired("the provided continue parameter is too old")
	}
	to := p.nodes
	if asked.Limit > 0 {
		to = min(to, from+int(asked.Limit))
	}
	for n := from; n < to; n++ {
		nodes.Items = append(nodes.Items, *node(fmt.Sprintf("n%04d", n)))
	}
	if to < p.nodes {
		nodes.Continue = strconv.Itoa(to)
	}
	return nil
}

func TestNodesAreReadPageByPage(t *testing.T) {
	three := []string{"500 from ", "500 from 500", "500 from 1000"}
	for _, c := range []struct {
		name           string
		nodes, expires int
		asked          []string
	}{
		{"no nodes are one page", 0, 0, three[:1]},
		{"a full page has no second one", 500, 0, three[:1]},
		{"1,200 nodes are three pages", 1200, 0, three},
		{"a list whose first page is too old begins again", 1200, 1, slices.Concat(three[:2], three)},
		{"a list that is always too old is read in one answer", 1200, 99,
			slices.Concat(three[:2], three[:2], three[:2], []string{"0 from "})},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &paged{Reader: reader(t, []client.Object{daemonSet(0)}), nodes: c.nodes, expires: c.expires}
			got, err := inventory.New(p, namespace).
				Snapshot(t.Context(), topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.asked, p.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			names := map[string]bool{}
			for _, n := range got.Nodes {
				names[n.Name] = true
			}
			if len(got.Nodes) != c.nodes || len(names) != c.nodes {
				t.Errorf("%d nodes of %d names, want %d", len(got.Nodes), len(names), c.nodes)
			}
		})
	}
}

func TestRoundsThatBeginTogetherShareWhatTheyRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &paged{Reader: reader(t, []client.Object{daemonSet(1), pod("a", "n0000", "workload")}), nodes: 1,
			takes: time.Second}
		shared := inventory.New(p, namespace)
		var rounds sync.WaitGroup
		for range 20 {
			rounds.Go(func() {
				got, err := shared.Snapshot(t.Context(), topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
				if err != nil || len(got.Agents) != 1 || len(got.Nodes) != 1 {
					t.Errorf("%d agents on %d nodes, %v; want one on one", len(got.Agents), len(got.Nodes), err)
				}
			})
		}
		rounds.Wait()
		if n := len(p.asked); n != 2 {
			t.Errorf("20 rounds read the nodes %d times, want 2", n)
		}
	})
}

func TestAPodThatIsReplacedShowsInTheNextSnapshot(t *testing.T) {
	objects := []client.Object{daemonSet(1), node("n1"), pod("old", "n1", "workload")}
	cluster := reader(t, objects)
	taken := inventory.New(cluster, namespace)
	of := topology.Workload{Kind: topology.DaemonSet, Name: "agents"}
	for _, step := range []struct {
		change func() error
		pod    string
		nodes  int
	}{
		{func() error { return nil }, "old", 1},
		{func() error { return cluster.Delete(t.Context(), objects[2]) }, "(none on n1)", 1},
		{func() error { return cluster.Create(t.Context(), pod("new", "n1", "workload")) }, "new", 1},
		{func() error { return cluster.Delete(t.Context(), objects[1]) }, "new", 0},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		got, err := taken.Snapshot(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Agents) != 1 || got.Agents[0].Pod != step.pod || len(got.Nodes) != step.nodes {
			t.Errorf("agents %+v on %d nodes, want %s on %d", got.Agents, len(got.Nodes), step.pod, step.nodes)
		}
	}
}
