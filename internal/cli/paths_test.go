package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/cli"
)

const paths = api + "/kdoctorpaths"

// pages is a cluster with a report whose paths are omitted. It lists those of one node, so many at a time, and notes
// the selectors that it was asked for.
type pages struct {
	report systemv1beta1.KdoctorReport
	paths  []systemv1beta1.KdoctorPath
	size   int
	// refused is what it answers instead of the second page.
	refused *metav1.Status

	mu        sync.Mutex
	selectors []string
}

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == report {
		_ = json.NewEncoder(w).Encode(p.report)
		return
	}
	if r.URL.Path != paths {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	query := r.URL.Query()
	p.mu.Lock()
	p.selectors = append(p.selectors, query.Get("fieldSelector")+" limit "+query.Get("limit"))
	p.mu.Unlock()
	from, _ := strconv.Atoi(query.Get("continue"))
	if from > 0 && p.refused != nil {
		w.WriteHeader(int(p.refused.Code))
		_ = json.NewEncoder(w).Encode(p.refused)
		return
	}
	var list systemv1beta1.KdoctorPathList
	if strings.Contains(query.Get("fieldSelector"), "node=nobody") {
		_ = json.NewEncoder(w).Encode(list)
		return
	}
	end := min(from+p.size, len(p.paths))
	list.Items = p.paths[from:end]
	if end < len(p.paths) {
		list.Continue = strconv.Itoa(end)
	}
	_ = json.NewEncoder(w).Encode(list)
}

func largeCluster() *pages {
	stored := roundtest.New("u", roundtest.Shape{Agents: 40, Dead: 17})
	task := render.ReportedTask{Kind: "NetReach", Name: "task", UID: "u", Generation: 1, ExpectedRounds: -1}
	p := &pages{report: *render.Report(task, stored), size: 10}
	a := stored.Round.Agents[5]
	p.paths = render.NewSingle("netreach-task", stored.Round).Paths(a,
		new(render.JudgedAgents(stored.Verdict)(a.Pod)), nil)
	return p
}

func (p *pages) run(t *testing.T, args ...string) outcome {
	t.Helper()
	server := httptest.NewServer(p)
	defer server.Close()
	return runAt(t, server.URL, args...)
}

func TestSinglePathsAreAskedForPageByPage(t *testing.T) {
	node := roundtest.Node(5)
	for name, c := range map[string]struct {
		args     []string
		selector string
	}{
		"what failed": {[]string{"--failed"}, "report=netreach-task:1,result!=pass,result!=void"},
		"of a node":   {[]string{"--node", node}, "report=netreach-task:1,node=" + node},
		"to a node by kind": {[]string{"--target", node, "--path", "pod ip"},
			"report=netreach-task:1,target=" + node + ",kind=Endpoint"},
		"by kind alone": {[]string{"--path", "NodePort"}, "report=netreach-task:1,kind=NodePort"},
		"everything at once": {[]string{"--node", node, "--target", "x", "--path", "clusterip", "--failed"},
			"report=netreach-task:1,node=" + node + ",target=x,kind=ClusterIP,result!=pass,result!=void"},
	} {
		t.Run(name, func(t *testing.T) {
			p := largeCluster()
			got := p.run(t, append([]string{"report", "task", "--no-color"}, c.args...)...)
			if got.code != cli.ExitFailed || got.err != "" {
				t.Errorf("exit status %d, stderr %q", got.code, got.err)
			}
			want := slices.Repeat([]string{c.selector + " limit 500"}, 9)
			if diff := cmp.Diff(want, p.selectors); diff != "" {
				t.Errorf("selectors (-want +got):\n%s", diff)
			}
			for i := range 40 {
				if address := "10.10.0." + strconv.Itoa(i) + ":32713"; !strings.Contains(got.out, address) {
					t.Errorf("%s is not there", address)
				}
			}
			if n := strings.Count(got.out, "REQUESTS"); n != 1 {
				t.Errorf("there are %d lines of headings", n)
			}
		})
	}
}

func TestTheSheetAndTheObjectAskForNoSinglePaths(t *testing.T) {
	for _, args := range [][]string{{}, {"-o", "json"}, {"-o", "yaml", "--failed"}} {
		p := largeCluster()
		got := p.run(t, append([]string{"report", "task"}, args...)...)
		if got.code != cli.ExitFailed || len(p.selectors) != 0 || got.out == "" {
			t.Errorf("%v: exit status %d, %d lists of paths", args, got.code, len(p.selectors))
		}
	}
}

func TestSinglePathsThatThereAreNot(t *testing.T) {
	p := largeCluster()
	if got := p.run(t, "report", "task", "--node", "nobody", "--failed"); got.code != cli.ExitError ||
		!strings.Contains(got.err, "no agent of this round ran on node nobody") || got.out != "" {
		t.Errorf("a node that is not there: %+v", got)
	}
	if got := p.run(t, "report", "task", "--path", "tunnel"); got.code != cli.ExitError ||
		!strings.Contains(got.err, "use one of Endpoint, ") {
		t.Errorf("a kind that there is not: %+v", got)
	}
	kind := metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	p.refused = &metav1.Status{TypeMeta: kind, Status: metav1.StatusFailure,
		Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "the round is no longer stored; list again"}
	if got := p.run(t, "report", "task", "--failed"); got.code != cli.ExitError ||
		got.err != "error: the round is no longer stored; list again\n" {
		t.Errorf("a round that went: %+v", got.err)
	}
	p.refused = &metav1.Status{TypeMeta: kind, Status: metav1.StatusFailure,
		Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "no"}
	if got := p.run(t, "report", "task", "--failed"); got.code != cli.ExitError ||
		!strings.Contains(got.err, "ask for list on kdoctorpaths.system.kdoctor.io") {
		t.Errorf("without the right: %+v", got.err)
	}
}
