package apiserver

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/verdict"
)

// store puts a round of the shape.
func (m *memory) store(uid string, shape roundtest.Shape) verdict.StoredRound {
	stored := roundtest.New(uid, shape)
	m.put(stored)
	return stored
}

func pathsOf(c *rest.RESTClient, selector string, parameters map[string]string) (*systemv1beta1.KdoctorPathList,
	error) {
	var l systemv1beta1.KdoctorPathList
	request := c.Get().Resource("kdoctorpaths").Param("fieldSelector", selector)
	for name, value := range parameters {
		request = request.Param(name, value)
	}
	return &l, request.Do(context.Background()).Into(&l)
}

// allPaths reads all pages.
func allPaths(t *testing.T, c *rest.RESTClient, selector, limit string) (all []systemv1beta1.KdoctorPath, pages int) {
	t.Helper()
	parameters := map[string]string{}
	if limit != "" {
		parameters["limit"] = limit
	}
	for {
		page, err := pathsOf(c, selector, parameters)
		if err != nil {
			t.Fatal(err)
		}
		all, pages = append(all, page.Items...), pages+1
		if page.Continue == "" {
			return all, pages
		}
		parameters["continue"] = page.Continue
	}
}

func withRound(shape roundtest.Shape) *memory {
	m := three()
	m.store("u-a", shape)
	return m
}

func TestPathsAreThoseOfTheReport(t *testing.T) {
	c := client(t, open(t, withRound(roundtest.Shape{Agents: 4, Dead: 2})))
	r, err := get(c, "netreach-a")
	if err != nil {
		t.Fatal(err)
	}
	var want []systemv1beta1.TargetDetail
	for _, a := range r.Spec.Report {
		want = append(want, a.Task().Detail...)
	}
	for limit, pages := range map[string]int{"": 1, "1": 27, "5": 6, "9": 3, "27": 1, "9999": 1} {
		got, n := allPaths(t, c, "report=netreach-a", limit)
		var details []systemv1beta1.TargetDetail
		for _, p := range got {
			details = append(details, p.Spec.Detail)
		}
		if diff := cmp.Diff(want, details); diff != "" || n != pages {
			t.Errorf("limit %q: %d pages, want %d; paths (-want +got):\n%s", limit, n, pages, diff)
		}
	}
}

func TestPathsBySelector(t *testing.T) {
	c := client(t, open(t, withRound(roundtest.Shape{Agents: 4, Dead: 2})))
	dead := roundtest.Node(2)
	for name, test := range map[string]struct {
		selector string
		want     int
	}{
		"all":                           {"report=netreach-a", 27},
		"the stored round by its name":  {"report=netreach-a:1.1", 27},
		"of one agent":                  {"report=netreach-a,node=" + roundtest.Node(0), 9},
		"of an agent that is not there": {"report=netreach-a,node=nobody", 0},
		"of all but one agent":          {"report=netreach-a,node!=" + roundtest.Node(0), 18},
		"what failed":                   {"report=netreach-a,result=fail", 6},
		"letters of any case":           {"Report=netreach-a,RESULT=FAIL", 6},
		"what did not pass":             {"report=netreach-a,result!=pass,result!=void", 6},
		"of one kind":                   {"report=netreach-a,kind=ClusterIP", 3},
		"of one kind to a node":         {"report=netreach-a,kind=NodePort,target=" + dead, 3},
		"to a node":                     {"report=netreach-a,target=" + dead, 6},
		"to a pod":                      {"report=netreach-a,target=" + roundtest.Pod(2), 3},
		"to a target":                   {"report=netreach-a,target=AgentClusterV4IP_10.96.0.9:80", 3},
		"to all but a node":             {"report=netreach-a,target!=" + dead, 21},
		"everything at once": {"report=netreach-a,kind=Endpoint,result=fail,target=" + dead + ",node=" +
			roundtest.Node(1), 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := allPaths(t, c, test.selector, "")
			if len(got) != test.want {
				t.Errorf("got %d paths, want %d", len(got), test.want)
			}
			names := map[string]bool{}
			for _, p := range got {
				names[p.Name] = true
			}
			if len(names) != len(got) {
				t.Errorf("%d paths have %d names", len(got), len(names))
			}
		})
	}
}

func TestPathsThatCannotBeListed(t *testing.T) {
	m := withRound(roundtest.Shape{Agents: 4, Dead: 2})
	c := client(t, open(t, m))
	bad, missing := apierrors.IsBadRequest, apierrors.IsNotFound
	for name, test := range map[string]struct {
		selector, token, sentence string
		is                        func(error) bool
	}{
		"of no report":                  {"node=x", "", "one report at a time", bad},
		"by a field that there is not":  {"report=netreach-a,color=red", "", "not selected by", bad},
		"of a report that there is not": {"report=nobody", "", "not found", missing},
		"of a task without a round":     {"report=netreach-new", "", "no round of NetReach new is finished", missing},
		"of a round that is not kept":   {"report=netreach-a:7", "", "stored rounds of NetReach a: 1", missing},
		"from nowhere":                  {"report=netreach-a", "!", "continue token", bad},
		"from a place in another report": {"report=netreach-a", place{Report: "netreach-b"}.token(), "another report",
			bad},
		"from a place in a task of that name": {"report=netreach-a", place{Report: "netreach-a"}.token(),
			"another report", bad},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pathsOf(c, test.selector, map[string]string{"continue": test.token})
			if !test.is(err) || !strings.Contains(err.Error(), test.sentence) {
				t.Errorf("got %v, want an error with %q", err, test.sentence)
			}
		})
	}
	if _, err := pathsOf(c, "report=netreach-a", map[string]string{"watch": "true"}); err == nil {
		t.Error("paths can be watched")
	}
	if err := c.Get().Resource("kdoctorpaths").Name("x").Do(t.Context()).Error(); err == nil {
		t.Error("one path can be read")
	}
}

// A page of an older round goes on in that round, and ends in words when the round is gone.
func TestPagesStayInTheirRound(t *testing.T) {
	m := withRound(roundtest.Shape{Agents: 4, Dead: 2})
	c := client(t, open(t, m))
	first, err := pathsOf(c, "report=netreach-a", map[string]string{"limit": "20"})
	if err != nil {
		t.Fatal(err)
	}
	m.keep("u-a", 2)
	second, err := pathsOf(c, "report=netreach-a", map[string]string{"limit": "20", "continue": first.Continue})
	if err != nil || len(second.Items) != 7 || second.Items[0].Spec.ReportName != "netreach-a:1.1" {
		t.Errorf("got %d paths and %v", len(second.Items), err)
	}
	m.mu.Lock()
	for key := range m.kept {
		if key.Round == 1 {
			delete(m.kept, key)
		}
	}
	m.mu.Unlock()
	_, err = pathsOf(c, "report=netreach-a", map[string]string{"limit": "20", "continue": first.Continue})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("after the round is gone: got %v, want Expired", err)
	}
}

func TestPathsThatWereNotTold(t *testing.T) {
	m := three()
	stored := roundtest.New("u-a", roundtest.Shape{Agents: 3, Dead: -1})
	for i := range stored.Round.Expected {
		stored.Round.Expected[i].Targets = append(stored.Round.Expected[i].Targets, "lost")
	}
	m.put(stored)
	c := client(t, open(t, m))
	got, _ := allPaths(t, c, "report=netreach-a,result=no data", "")
	if len(got) != 3 || got[0].Spec.Detail.TargetName != "lost" || got[0].Spec.Detail.FailureReason == nil {
		t.Errorf("got %d paths that nobody told: %+v", len(got), got)
	}
}

func TestSumsOfANodeComeWithItsPaths(t *testing.T) {
	c := client(t, open(t, withRound(roundtest.Shape{Agents: 200, Dead: 17})))
	node := roundtest.Node(5)
	counted := func(selector string) (listed int, summed int64) {
		page, err := pathsOf(c, selector, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Summed {
			summed += s.Paths
		}
		return len(page.Items), summed
	}
	for selector, want := range map[string][2]int64{
		"report=netreach-a,node=" + node:                  {9, 392},
		"report=netreach-a,kind=NodePort,node=" + node:    {4, 190},
		"report=netreach-a,result!=pass,node=" + node:     {2, 0},
		"report=netreach-a,target=" + node:                {6, 0},
		"report=netreach-a,kind=ClusterIP,result!=failed": {199, 0},
	} {
		listed, summed := counted(selector)
		if int64(listed) != want[0] || summed != want[1] {
			t.Errorf("%s: %d paths and sums of %d, want %d", selector, listed, summed, want)
		}
	}
}

func TestTableOfPaths(t *testing.T) {
	m := withRound(roundtest.Shape{Agents: 3, Dead: 1})
	got := tableOf(t, tableClient(t, open(t, m)), "kdoctorpaths",
		map[string]string{"fieldSelector": "report=netreach-a,result=fail,kind=NodePort"})
	const reason = "0 of 10 requests succeeded, expected a rate of at least 1 (10 Timeout at connect)"
	want := [][]any{
		{roundtest.Node(0), "NodePort", "AgentNodePortV4IP_10.10.0.1:32713", roundtest.Node(1), "0/10", "0.00", "fail",
			reason},
		{roundtest.Node(2), "NodePort", "AgentNodePortV4IP_10.10.0.1:32713", roundtest.Node(1), "0/10", "0.00", "fail",
			reason},
	}
	var rows [][]any
	for _, row := range got.Rows {
		rows = append(rows, row.Cells)
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// A round in which agents report sums is never read as a whole.
func TestARoundWithSumsIsReadAgentByAgent(t *testing.T) {
	m := withRound(roundtest.Shape{Agents: 200, Dead: 17})
	m.wholeIsTooMuch = true
	c := client(t, open(t, m))
	if _, err := get(c, "netreach-a"); err != nil {
		t.Error(err)
	}
	if _, err := get(c, "netreach-a:1"); err != nil {
		t.Error(err)
	}
	if all, _ := allPaths(t, c, "report=netreach-a,result=fail", ""); len(all) != 398 {
		t.Errorf("%d paths failed, want 398", len(all))
	}
}
