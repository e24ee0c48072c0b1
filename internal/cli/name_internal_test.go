package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"

	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kind/kinds"
)

// twoKinds are the kinds of today and others: one of a further name, one whose name begins as the first one's does.
func twoKinds() []kind.Kind {
	all := kinds.All()
	other, longer := all[0], all[0]
	other.Name, other.Plural, other.Short = "AppHTTP", "apphttps", []string{"ah"}
	longer.Name, longer.Plural, longer.Short = "NetReach-Deep", "netreach-deeps", nil
	return append(all, other, longer)
}

// tasksAt is a cluster that has the tasks, each as <plural>/<name>; reading any of refused is forbidden.
func tasksAt(t *testing.T, refused bool, tasks ...string) *client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := http.StatusNotFound
		path, ok := strings.CutPrefix(r.URL.Path, taskAPI+"/")
		switch {
		case refused:
			code = http.StatusForbidden
		case ok && slices.Contains(tasks, path):
			code = http.StatusOK
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		var items []map[string]any
		for _, task := range tasks {
			if plural, name, ok := strings.Cut(task, "/"); ok && plural == path {
				items = append(items, map[string]any{"metadata": map[string]string{"name": name}})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items})
	}))
	t.Cleanup(server.Close)
	flags := genericclioptions.NewConfigFlags(false)
	flags.APIServer = &server.URL
	api, err := newClient(flags, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestWhichTaskIsMeant(t *testing.T) {
	one, two := kinds.All(), twoKinds()
	cases := []struct {
		name  string
		kinds []kind.Kind
		tasks []string
		arg   string
		want  string
		// byReport is the name of the task's report; err is what the refusal says.
		byReport bool
		err      string
	}{
		{"a name is that of the task", one, nil, "web", "NetReach web", false, ""},
		{"a name with a prefix is that of the task, if it is there", one, []string{"netreaches/netreach-web",
			"netreaches/web"}, "netreach-web", "NetReach netreach-web", false, ""},
		{"it is the name of a report only otherwise", one, []string{"netreaches/web"}, "netreach-web", "NetReach web",
			true, ""},
		{"a prefix twice is a prefix once", one, []string{"netreaches/netreach-web"}, "netreach-netreach-web",
			"NetReach netreach-web", true, ""},
		{"a prefix alone is a task's name", one, nil, "netreach-", "NetReach netreach-", false, ""},
		{"a kind is understood", one, nil, "netreach/web", "NetReach web", false, ""},
		{"a kind in its own letters is understood", one, nil, "NetReach/web", "NetReach web", false, ""},
		{"a plural is understood", one, nil, "netreaches/web", "NetReach web", false, ""},
		{"a short name is understood", one, nil, "nr/web", "NetReach web", false, ""},
		{"what kubectl get -o name prints is understood", one, nil, "netreach.kdoctor.io/web", "NetReach web", false, ""},
		{"with a kind, a prefix is a part of the name", one, []string{"netreaches/web"}, "netreach/netreach-web",
			"NetReach netreach-web", false, ""},
		{"a report's full name is that of the report", one, []string{"netreaches/netreach-web"},
			"kdoctorreport.system.kdoctor.io/netreach-web", "NetReach web", true, ""},
		{"another kind is refused", one, nil, "pod/web", "", false, "use TASK or netreach/TASK"},
		{"no name is refused", one, nil, "netreach/", "", false, "names no task"},
		{"two slashes are refused", one, nil, "netreach/a/b", "", false, "names no task"},
		{"a round's name is refused with the flag for it", one, nil, "netreach-web:3", "", false, "--round"},

		{"of two kinds the one that is there is meant", two, []string{"apphttps/web"}, "web", "AppHTTP web", false, ""},
		{"two of one name are refused with the words for both", two, []string{"apphttps/web", "netreaches/web"}, "web",
			"", false, "netreach/web or apphttp/web"},
		{"a kind decides between two", two, []string{"apphttps/web", "netreaches/web"}, "ah/web", "AppHTTP web",
			false, ""},
		{"another kind's task of that very name goes before a report", two, []string{"apphttps/netreach-web",
			"netreaches/web"}, "netreach-web", "AppHTTP netreach-web", false, ""},
		{"the report of another kind is understood", two, []string{"apphttps/web"}, "apphttp-web", "AppHTTP web", true, ""},
		{"a name that may be two reports is the one of a task that is there", two, []string{"netreach-deeps/web"},
			"netreach-deep-web", "NetReach-Deep web", true, ""},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			found, err := parseTask(test.arg, test.kinds)
			var chosen choice
			byReport := false
			if err == nil {
				chosen, byReport, err = found.resolve(t.Context(), tasksAt(t, false, test.tasks...))
			}
			switch {
			case test.err != "":
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
			case err != nil || chosen.String() != test.want || byReport != test.byReport:
				t.Errorf("got %q, by its report %t, %v; want %q, %t", chosen, byReport, err, test.want, test.byReport)
			}
		})
	}
}

func TestNoTaskIsGuessedWhereTasksMayNotBeRead(t *testing.T) {
	found, err := parseTask("netreach-web", kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := found.resolve(t.Context(), tasksAt(t, true)); err == nil ||
		!strings.Contains(err.Error(), "use netreach/TASK") {
		t.Errorf("got %v", err)
	}
}

func TestNamesOfTasksAreCompleted(t *testing.T) {
	got := taskNames(t.Context(), tasksAt(t, false, "netreaches", "netreaches/a", "netreaches/b"), kinds.All())
	if want := []string{"a", "netreach/a", "b", "netreach/b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
