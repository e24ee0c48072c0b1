package apiserver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/schedule"
)

// rounds is three with more of the past: task a was edited after its third round, and round 2 of the second generation
// is not kept any more.
func rounds() *memory {
	m := three()
	for _, kept := range []struct{ generation, round int64 }{{1, 1}, {1, 2}, {1, 3}, {2, 1}, {2, 3}} {
		m.keepOf("u-a", kept.generation, kept.round)
	}
	return m
}

func TestKeptRoundsByName(t *testing.T) {
	c := client(t, open(t, rounds()))
	cases := map[string]struct {
		name, want string
		number     int64
	}{
		"a number alone is of the newest generation":            {"netreach-a:1", "netreach-a:2.1", 1},
		"a number that only an older generation has":            {"netreach-a:2", "netreach-a:1.2", 2},
		"a generation and a number":                             {"netreach-a:1.3", "netreach-a:1.3", 3},
		"the task's own report is that of the latest round":     {"netreach-a", "netreach-a", 3},
		"the latest round has a name of its own beside the one": {"netreach-a:3", "netreach-a:2.3", 3},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := get(c, test.name)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != test.want || got.Spec.ReportRoundNumber != test.number || len(got.Spec.Report) != 1 {
				t.Errorf("got %s with round %d of %d agents", got.Name, got.Spec.ReportRoundNumber,
					len(got.Spec.Report))
			}
		})
	}
	missing := map[string]string{
		"netreach-a:9":     "stored rounds of NetReach a: 1-3 of generation 1, 1 of generation 2, 3 of generation 2",
		"netreach-a:2.2":   "stored rounds of NetReach a:",
		"netreach-b:1":     "stored rounds of NetReach b: 2",
		"netreach-new:1":   "stored rounds of NetReach new: none",
		"netreach-a:x":     "<report>:<round>",
		"netreach-a:1.2.3": "<report>:<round>",
		"nobody:1":         "not found",
	}
	for name, sentence := range missing {
		if _, err := get(c, name); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), sentence) {
			t.Errorf("%s: got %v, want NotFound with %q", name, err, sentence)
		}
	}
}

func TestKeptRoundsBySelector(t *testing.T) {
	c := client(t, open(t, rounds()))
	all := []string{"netreach-a:2.3", "netreach-a:2.1", "netreach-a:1.3", "netreach-a:1.2", "netreach-a:1.1"}
	cases := map[string]struct {
		selector string
		want     []string
	}{
		"all of a task, newest first": {"spec.TaskName=a", all},
		"letters of any case":         {"spec.taskName=a", all},
		"one number, of each generation": {"spec.TaskName=a,spec.ReportRoundNumber=3",
			[]string{"netreach-a:2.3", "netreach-a:1.3"}},
		"a number of all tasks": {"spec.ReportRoundNumber=2",
			[]string{"netreach-a:1.2", "netreach-b:1.2"}},
		"a report and a number": {"metadata.name=netreach-a,spec.ReportRoundNumber=1",
			[]string{"netreach-a:2.1", "netreach-a:1.1"}},
		"one by its name":                           {"metadata.name=netreach-a:1.3", []string{"netreach-a:1.3"}},
		"a kind that the task is not":               {"spec.TaskName=a,spec.TaskType=NetDNS", nil},
		"a task that is not there":                  {"spec.TaskName=nobody", nil},
		"the kind alone finds the report of a task": {"spec.TaskType=NetReach", []string{"netreach-a", "netreach-b"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want,
				names(list(t, c, map[string]string{"fieldSelector": test.selector}))); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
	if err := c.Get().Resource("kdoctorreports").Param("fieldSelector",
		"spec.Status=x").Do(t.Context()).Error(); !apierrors.IsBadRequest(err) {
		t.Errorf("a field that there is no selecting by: got %v, want BadRequest", err)
	}
	if err := c.Get().Resource("kdoctorreports").Param("fieldSelector", "spec.TaskName=a").Param("watch",
		"true").Do(t.Context()).Error(); !apierrors.IsBadRequest(err) {
		t.Errorf("a watch of stored rounds: got %v, want BadRequest", err)
	}
}

// paged reads all pages of at most the limit, and returns the names and how many pages there were.
func paged(t *testing.T, c *rest.RESTClient, limit string) (all []string, pages int) {
	t.Helper()
	parameters := map[string]string{"fieldSelector": "spec.TaskName=b", "limit": limit}
	for {
		page := list(t, c, parameters)
		all = append(all, names(page)...)
		pages++
		if page.Continue == "" {
			return all, pages
		}
		parameters["continue"] = page.Continue
	}
}

func TestManyKeptRoundsComeInPages(t *testing.T) {
	m := three()
	var want []string
	for n := range int64(250) {
		m.keep("u-b", n+1)
		want = append([]string{fmt.Sprintf("netreach-b:1.%d", n+1)}, want...)
	}
	config := open(t, m)
	c := client(t, config)
	for limit, pages := range map[string]int{"7": 36, "500": 13} {
		got, n := paged(t, c, limit)
		if diff := cmp.Diff(want, got); diff != "" || n != pages {
			t.Errorf("limit %s: %d pages, want %d; names (-want +got):\n%s", limit, n, pages, diff)
		}
	}
	if err := c.Get().Resource("kdoctorreports").Param("fieldSelector",
		"spec.TaskName=b").Do(t.Context()).Error(); !apierrors.IsBadRequest(err) ||
		!strings.Contains(err.Error(), "250 rounds are stored") {
		t.Errorf("all at once: got %v, want BadRequest", err)
	}
	tables := tableClient(t, config)
	before := m.read()
	first := table(t, tables, map[string]string{"fieldSelector": "spec.TaskName=b", "limit": "500"})
	if read := m.read() - before; len(first.Rows) != 100 || first.Continue == "" || read != 100 {
		t.Errorf("the first page of a table has %d lines, continue %q, and read %d rounds", len(first.Rows),
			first.Continue, read)
	}
	before = m.read()
	table(t, tables, map[string]string{"fieldSelector": "spec.TaskName=b", "limit": "500"})
	if read := m.read() - before; read != 0 {
		t.Errorf("the same page once more read %d rounds", read)
	}
}

func TestTableOfKeptRounds(t *testing.T) {
	m := rounds()
	m.unreadable = map[schedule.Key]error{{UID: "u-a", Generation: 1, Round: 2}: errors.New("corrupt")}
	config := open(t, m)
	got := table(t, tableClient(t, config), map[string]string{"fieldSelector": "spec.TaskName=a", "limit": "500"})
	const silent = "agent b on node m did not report: no answer on either way"
	want := [][]any{
		{"netreach-a:2.3", "3/3", "fail", "1/2", "0/0", "<none>", "", silent},
		{"netreach-a:2.1", "1/3", "fail", "1/2", "0/0", "<none>", "", silent},
		{"netreach-a:1.3", "3/3", "fail", "1/2", "0/0", "<none>", "", silent},
		{"netreach-a:1.2", "2", "unreadable", "0/0", "0/0", "<none>", "", "corrupt"},
		{"netreach-a:1.1", "1/3", "fail", "1/2", "0/0", "<none>", "", silent},
	}
	var lines [][]any
	for _, row := range got.Rows {
		lines = append(lines, row.Cells)
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	c := client(t, config)
	if _, err := get(c, "netreach-a:1.2"); !apierrors.IsInternalError(err) {
		t.Errorf("the unreadable round: got %v, want an internal error", err)
	}
	if got := names(list(t, c, map[string]string{"fieldSelector": "spec.TaskName=a"})); len(got) != 4 {
		t.Errorf("beside the unreadable round there are %v", got)
	}
}

func TestRanges(t *testing.T) {
	var scattered []schedule.Key
	for n := range int64(20) {
		scattered = append(scattered, schedule.Key{Generation: 1, Round: 2 * n})
	}
	for want, keys := range map[string][]schedule.Key{
		"none":   nil,
		"4":      {{Generation: 1, Round: 4}},
		"1-2, 5": {{Generation: 1, Round: 1}, {Generation: 1, Round: 2}, {Generation: 1, Round: 5}},
		"12 ranges of older ones, 24, 26, 28, 30, 32, 34, 36, 38": scattered,
	} {
		if got := ranges(keys); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzNamedRound(f *testing.F) {
	for _, seed := range []string{"netreach-a:1.2", "a:3", "a:", ":1", "a:b:1", "a:99999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		report, generation, number, ok := namedRound(name)
		if !ok || generation == 0 {
			return
		}
		again, g, n, ok := namedRound(render.RoundName(report, schedule.Key{Generation: generation, Round: number}))
		if !ok || again != report || g != generation || n != number {
			t.Errorf("%q reads as %q, %d, %d, and again as %q, %d, %d", name, report, generation, number, again, g, n)
		}
	})
}

// The line of a stored round is read from the blob once; a round that is kept anew is read anew.
func TestLinesForgetTheNewestRoundOfATask(t *testing.T) {
	m := rounds()
	h := newHub(memoryTasks{m}, memoryReports{m}, time.Time{})
	l := &h.lines
	newest, older := schedule.Key{UID: "u-a", Generation: 2, Round: 3},
		schedule.Key{UID: "u-a", Generation: 1, Round: 1}
	reads := func(key schedule.Key) int {
		before := m.read()
		if _, err := l.of(t.Context(), h, render.ReportedTask{Kind: "NetReach", Name: "a"},
			key); err != nil {
			t.Fatal(err)
		}
		return m.read() - before
	}
	if got := []int{reads(newest), reads(older), reads(newest), reads(older)}; !cmp.Equal(got, []int{1, 1, 0, 0}) {
		t.Errorf("reads are %v", got)
	}
	l.forget([]string{"u-a", "u-b"})
	if got := []int{reads(newest), reads(older)}; !cmp.Equal(got, []int{1, 0}) {
		t.Errorf("after a change reads are %v", got)
	}
}
