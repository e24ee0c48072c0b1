package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/cli"
	"kdoctor.io/kdoctor/internal/version"
)

const (
	api    = "/apis/system.kdoctor.io/v1beta1"
	report = api + "/kdoctorreports/netreach-task"
	task   = "/apis/kdoctor.io/v1beta1/netreaches/task"
)

// cluster answers each path with a status and a body; 404 to all others.
type cluster map[string]answer

type answer struct {
	code int
	body any
}

func (c cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := c[r.URL.Path]
	if !ok {
		a = answer{http.StatusNotFound,
			metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.code)
	_ = json.NewEncoder(w).Encode(a.body)
}

// kubeconfig writes one for the address and returns its file.
func kubeconfig(t *testing.T, address string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: " +
		"u}}]\nusers: [{name: u}]\nclusters: [{name: c, cluster: {server: \"" + address + "\"}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type outcome struct {
	code     int
	out, err string
}

func run(t *testing.T, c cluster, args ...string) outcome {
	t.Helper()
	server := httptest.NewServer(c)
	defer server.Close()
	return runAt(t, server.URL, args...)
}

func runAt(t *testing.T, address string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Run(context.Background(), append(args, "--kubeconfig", kubeconfig(t, address)),
		cli.Screen{Out: &out, Err: &errs, Width: 120, Color: true})
	return outcome{code, out.String(), errs.String()}
}

func oneNode(result string) systemv1beta1.KdoctorReport {
	passed := result == "succeed"
	return systemv1beta1.KdoctorReport{
		TypeMeta:   metav1.TypeMeta{APIVersion: "system.kdoctor.io/v1beta1", Kind: "KdoctorReport"},
		ObjectMeta: metav1.ObjectMeta{Name: "netreach-task"},
		Spec: systemv1beta1.KdoctorReportSpec{TaskName: "task", TaskType: "NetReach", RoundNumber: 1,
			ReportRoundNumber: 1, FinishedRoundNumber: 1,
			Report: []systemv1beta1.Report{{NodeName: "node-1", PodName: "p", RoundResult: result,
				NetReachTask: &systemv1beta1.TaskReport{
					Detail: []systemv1beta1.TargetDetail{{TargetName: "AgentClusterV4IP_10.96.0.9:80",
						TargetUrl: "http://10.96.0.9:80", Succeed: passed,
						Metrics: systemv1beta1.HTTPMetrics{RequestCounts: 2, SuccessCounts: 2}}}}}}},
	}
}

func TestReportExitStatusAndMessage(t *testing.T) {
	good, bad := cluster{report: {200, oneNode("succeed")}}, cluster{report: {200, oneNode("fail")}}
	withTask := func(history ...v1beta1.Record) cluster {
		return cluster{api: {200, metav1.APIResourceList{}},
			task: {200, v1beta1.NetReach{Status: v1beta1.TaskStatus{History: history}}}}
	}
	refused := func(code int, reason metav1.StatusReason) cluster {
		return cluster{report: {code,
			metav1.Status{Status: metav1.StatusFailure, Reason: reason, Code: int32(code),
				Message: "the server's own words"}}}
	}
	cases := []struct {
		name    string
		cluster cluster
		args    []string
		code    int
		// out and err are what must stand on the two streams.
		out, err string
	}{
		{"a round that succeeded is 0", good, []string{"report", "task"}, 0, "\x1b[32mSUCCEED\x1b[0m", ""},
		{"a round that failed is 1, and stderr stays empty", bad, []string{"report", "task"}, 1, "FAIL", ""},
		{"the object does not change the status", bad, []string{"report", "task", "-o", "json"}, 1,
			`"kind": "KdoctorReport"`, ""},
		{"netreach/TASK is understood", good, []string{"report", "netreach/task"}, 0, "SUCCEED", ""},
		{"nr/TASK is understood", good, []string{"report", "nr/task"}, 0, "SUCCEED", ""},
		{"the report's own name is understood", good, []string{"report", "netreach-task"}, 0, "SUCCEED", ""},
		{"a task of that very name goes before a report of the name",
			cluster{"/apis/kdoctor.io/v1beta1/netreaches/netreach-task": {200, v1beta1.NetReach{}},
				api + "/kdoctorreports/netreach-netreach-task": {200, oneNode("fail")},
				report: {200, oneNode("succeed")}},
			[]string{"report", "netreach-task"}, 1, "FAIL", ""},
		{"a task of that very name without a round is no other task's report",
			cluster{"/apis/kdoctor.io/v1beta1/netreaches/netreach-task": {200, v1beta1.NetReach{}},
				api: {200, metav1.APIResourceList{}}, report: {200, oneNode("succeed")}},
			[]string{"report", "netreach-task"}, 2, "", `"netreach-task" has no report yet`},
		{"the report's own name is said to be one", good, []string{"report", "netreach-task", "--no-color"}, 0,
			`No task is named "netreach-task"; this is NetReach task`, ""},
		{"kubectl's flags are understood", good, []string{"report", "task", "-n", "default", "--token", "t",
			"--request-timeout", "20s", "--as", "somebody"}, 0, "SUCCEED", ""},
		{"a name is an output", good, []string{"report", "task", "-o", "name"}, 0,
			"kdoctorreport.system.kdoctor.io/netreach-task\n", ""},
		{"wide is an output", good, []string{"report", "task", "-o", "wide"}, 0, "SUCCEED", ""},
		{"a page is an output", good, []string{"report", "task", "-o", "html"}, 0, "<!doctype html>", ""},
		{"a page of a round that failed is 1", bad, []string{"report", "task", "-o", "html"}, 1, "<!doctype html>", ""},
		{"a page of an earlier round names its number", cluster{report + ":3": {200, oneNode("fail")}},
			[]string{"report", "task", "--round", "3", "-o", "html"}, 1, "kubectl kdoctor report task --round 3", ""},
		{"before the first round there is no page", withTask(), []string{"report", "task", "-o", "html"}, 2, "",
			"no round has begun"},
		{"a page takes no --node", good, []string{"report", "task", "-o", "html", "--node", "node-1"}, 2, "",
			"leave out --node, or leave out -o html"},
		{"a page takes no --target", good, []string{"report", "task", "-o", "html", "--target", "node-1"}, 2, "",
			"leave out --target, or leave out -o html"},
		{"a page takes no --path", good, []string{"report", "task", "-o", "html", "--path", "NodePort"}, 2, "",
			"leave out --path, or leave out -o html"},
		{"a page takes no --failed", good, []string{"report", "task", "-o", "html", "--failed"}, 2, "",
			"leave out --failed, or leave out -o html"},
		{"a store that does not answer is told", refused(504, metav1.StatusReasonTimeout), []string{"report", "task"}, 2,
			"", "store of rounds does not answer"},
		{"the version needs no cluster", cluster{}, []string{"--version"}, 0,
			"kubectl-kdoctor " + version.Release(), ""},
		{"the plugin's release alone needs no cluster", cluster{}, []string{"version", "--client"}, 0,
			"plugin      " + version.Release() + "\n", ""},
		{"the controller's release is that of its API", cluster{"/openapi/v3" + api: {200,
			map[string]any{"info": map[string]string{"version": "1.2.3"}}}}, []string{"version"}, 0,
			"controller  1.2.3\n", ""},
		{"releases are an object too", cluster{"/openapi/v3" + api: {200,
			map[string]any{"info": map[string]string{"version": "1.2.3"}}}}, []string{"version", "-o", "json"}, 0,
			`"controller": "1.2.3"`, ""},
		{"a controller that does not answer is an error behind the plugin's release", cluster{}, []string{"version"}, 2,
			"plugin      ", "controller's release is not known"},
		{"an earlier round is asked for by its number", cluster{report + ":3": {200, oneNode("fail")}},
			[]string{"report", "task", "--round", "3"}, 1, "FAIL", ""},
		{"what is to be asked next is about that round", cluster{report + ":3": {200, oneNode("fail")}},
			[]string{"report", "task", "--round", "3", "--no-color"}, 1,
			"kubectl kdoctor report task --round 3 --failed", ""},
		{"a round that is not kept is told in the API's words",
			cluster{report + ":3": {404,
				metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: 404,
					Message: "round 3 is not kept"}}},
			[]string{"report", "task", "--round", "3"}, 2, "", "round 3 is not kept"},
		{"a round below 1 is refused", good, []string{"report", "task", "--round", "-1"}, 2, "", "--round is -1"},
		{"--no-color paints nothing", good, []string{"report", "task", "--no-color"}, 0,
			"SUCCEED  NetReach task, round 1 of 1: 1 of 1 target passed.\n", ""},
		{"help tells the statuses", good, []string{"report", "--help"}, 0, "Exit status:", ""},
		{"another kind is refused", good, []string{"report", "pod/task"}, 2, "", "use TASK or netreach/TASK"},
		{"no task is refused", good, []string{"report"}, 2, "", "kubectl get netreach"},
		{"an unknown output is refused", good, []string{"report", "task", "-o", "xml"}, 2, "",
			"use html, json or yaml"},
		{"an unknown node is refused, with those there are", good, []string{"report", "task", "--node", "nod"}, 2, "",
			"node-1"},
		{"an unknown command is refused", good, []string{"frobnicate"}, 2, "", "frobnicate"},
		{"without the API, the chart is missing", cluster{}, []string{"report", "task"}, 2, "", "install the chart"},
		{"without the task, the list helps", cluster{api: {200, metav1.APIResourceList{}}}, []string{"report", "task"},
			2, "", `there is no NetReach "task"`},
		{"before the first round", withTask(), []string{"report", "task"}, 2, "", "no round has begun"},
		{"during the first round", withTask(v1beta1.Record{Status: v1beta1.RecordOngoing, RoundNumber: 1}),
			[]string{"report", "task"}, 2, "", "round 1 is under way"},
		{"with a round whose report is gone", withTask(v1beta1.Record{Status: v1beta1.RecordFail, RoundNumber: 3}),
			[]string{"report", "task"}, 2, "", "round 3 is fail"},
		{"with the controller down", refused(503, metav1.StatusReasonServiceUnavailable), []string{"report", "task"}, 2,
			"", "kubectl get apiservice"},
		{"without the right to read", refused(403, metav1.StatusReasonForbidden), []string{"report", "task"}, 2, "",
			"kdoctorreports.system.kdoctor.io"},
		{"with credentials that expired", refused(401, metav1.StatusReasonUnauthorized), []string{"report", "task"}, 2,
			"", "--user"},
		{"with a server of another release", cluster{report: {200, map[string]any{"spec": "text"}}},
			[]string{"report", "task"}, 2, "", "same release"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := run(t, c.cluster, c.args...)
			if got.code != c.code {
				t.Errorf("exit status %d, want %d; stderr: %s", got.code, c.code, got.err)
			}
			if !strings.Contains(got.out, c.out) || (c.out == "" && got.out != "") {
				t.Errorf("stdout lacks %q:\n%s", c.out, got.out)
			}
			if !strings.Contains(got.err, c.err) || (c.err == "" && got.err != "") {
				t.Errorf("stderr lacks %q:\n%s", c.err, got.err)
			}
		})
	}
}

func TestUnreachableClusterIsAnErrorWithACure(t *testing.T) {
	server := httptest.NewServer(cluster{})
	server.Close()
	got := runAt(t, server.URL, "report", "task")
	if got.code != cli.ExitError || !strings.Contains(got.err, "--context") {
		t.Errorf("got %+v", got)
	}
}

func TestTheServerMayBeNamedByFlags(t *testing.T) {
	server := httptest.NewServer(cluster{report: {200, oneNode("succeed")}})
	defer server.Close()
	var out, errs bytes.Buffer
	code := cli.Run(t.Context(), []string{"report", "task", "--server", server.URL, "--kubeconfig", os.DevNull},
		cli.Screen{Out: &out, Err: &errs, Width: 120})
	if code != cli.ExitOK || errs.Len() > 0 {
		t.Errorf("exit status %d: %s", code, errs.String())
	}
}

func TestWarningsOfTheServerAreShown(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Warning", `299 - "it is as it was seen last"`)
		cluster{report: {200, oneNode("succeed")}}.ServeHTTP(w, r)
	}))
	defer server.Close()
	got := runAt(t, server.URL, "report", "task")
	if got.code != cli.ExitOK || !strings.Contains(got.err, "Warning: it is as it was seen last") {
		t.Errorf("got %+v", got)
	}
}

func TestNamesOfTasksAndOutputsAreCompleted(t *testing.T) {
	tasks := cluster{"/apis/kdoctor.io/v1beta1/netreaches": {200, v1beta1.NetReachList{Items: []v1beta1.NetReach{
		{ObjectMeta: metav1.ObjectMeta{Name: "heartbeat"}}}}}}
	server := httptest.NewServer(tasks)
	defer server.Close()
	for want, args := range map[string][]string{"heartbeat\n": {"report", ""}, "wide\n": {"report", "-o", ""},
		"html\n":     {"report", "-o", ""},
		"NodePort\n": {"report", "--path", ""}, "report\t": {""}} {
		var out, errs bytes.Buffer
		flags := []string{"__complete", "--kubeconfig", kubeconfig(t, server.URL)}
		cli.Run(t.Context(), append(flags, args...), cli.Screen{Out: &out, Err: &errs})
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q: got %q, which lacks %q", args, out.String(), want)
		}
	}
}

func TestObjectIsWhatTheServerSent(t *testing.T) {
	for _, format := range []string{"json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			want := map[string]any{"kind": "KdoctorReport", "fieldOfALaterRelease": "kept",
				"spec": map[string]any{"FinishedRoundNumber": 1.0, "FailedRoundNumber": nil,
					"Report": []any{map[string]any{"RoundResult": "succeed"}}}}
			got := run(t, cluster{report: {200, want}}, "report", "task", "-o", format)
			var read map[string]any
			if err := yaml.Unmarshal([]byte(got.out), &read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, read); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScreenOfAFileIsPlain(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := cli.NewScreen(file, os.Stderr, func(string) string { return "" })
	if got.Color || got.Width != 120 {
		t.Errorf("got %+v", got)
	}
}
