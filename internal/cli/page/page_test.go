package page_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/cli/page"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/verdict"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func made(shape roundtest.Shape) v1beta1.KdoctorReport {
	stored := roundtest.New("u", shape)
	stored.Spec = []byte(`{"expect":{"successRate":0.99,"meanAccessDelayInMs":20}}`)
	return *render.Report(render.ReportedTask{Kind: "NetReach", Name: "task", UID: "u", Generation: 1,
		ExpectedRounds: 3, DoneRounds: 1}, stored)
}

// recorded is the report of a round of a real cluster with the fault of the name.
func recorded(t *testing.T, name string) v1beta1.KdoctorReport {
	t.Helper()
	file, err := os.Open(filepath.FromSlash("../../diagnose/testdata/recorded/" + name + ".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := diagnose.ReadRecording(file)
	if err != nil {
		t.Fatal(err)
	}
	r.Round.Ladder, r.Round.Located = r.Locate()
	return *render.Whole(render.ReportedTask{Kind: "NetReach", Name: "task", Generation: 1, ExpectedRounds: 1,
		DoneRounds: 1}, verdict.StoredRound{Round: r.Round, Verdict: r.Verdict})
}

// told adds all that a report can say.
func told(r v1beta1.KdoctorReport) v1beta1.KdoctorReport {
	s := &r.Spec
	s.Findings = []v1beta1.Finding{{Reason: "OverlayFault", Component: "overlay", Where: "node " + roundtest.Node(2),
		Confidence: "high", Message: "overlay of node " + roundtest.Node(2) + ": nothing gets through between its pods and " +
			"other nodes (all 465 probes and requests across it failed); look at its tunnel",
		Evidence: []string{"pod to pod: 0 of 440 answered (440 no answer)", "clean: host to host 24 of 24"},
		Against:  []string{"host to pod: 2 of 20 answered"}, MoreEvidence: 7, Cause: "OverlayPortBlocked",
		Probability: 0.97, RunnerUp: "forwarding " + roundtest.Node(2) + ", 3 nats behind",
		Falsify: "host to host to this node fails as well: then it is the node's network",
		Command: "kubectl debug node/n0 -it --image=busybox -- ping -c 5 198.19.1.3"},
		{Reason: "ForwardingFault", Component: "forwarding or CNI", Where: "node " + roundtest.Node(1),
			Confidence: "medium", Message: "forwarding or CNI of node " + roundtest.Node(1) + ": all 12 probes and requests across it failed; the " +
				"probes cannot tell which of them it is; if it is the forwarding, look at the node's ip_forward sysctls; if it " +
				"is the CNI, look at the pod's interface", Probability: 0.7,
			Causes: []v1beta1.ComponentCause{{Component: "forwarding", Cause: "ForwardingOff"},
				{Component: "CNI", Cause: "InterfaceDown"}}}}
	s.Notes = []v1beta1.Note{{Code: "ShortCircuit", Message: "requests never left for the load balancer"}}
	s.Churn = []string{"pod kdoctor-agent-00001 was deleted"}
	s.Diagnosis = &v1beta1.Diagnosis{Agents: 8, HostAgents: 4, Probes: 204, Failed: 78,
		SmallestLoss: []v1beta1.SmallestLoss{{Path: "pod to pod", Probes: 440, Percent: 1.04},
			{Path: "host to host", Probes: 24, Percent: 11.8}}}
	s.ControllerRelease, s.AgentReleases = "0.2.0", []v1beta1.AgentRelease{{Release: "0.2.0", Agents: 2}, {Agents: 1}}
	return r
}

func write(t *testing.T, r v1beta1.KdoctorReport) string {
	t.Helper()
	var got bytes.Buffer
	if err := page.Write(&got, r, page.Options{}); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func TestGoldenPages(t *testing.T) {
	for name, r := range map[string]v1beta1.KdoctorReport{
		"pass":       made(roundtest.Shape{Agents: 3, Dead: -1}),
		"fail":       told(made(roundtest.Shape{Agents: 4, Dead: 2})),
		"large_fail": made(roundtest.Shape{Agents: 1000, Dead: 17, Troubled: true, Rotate: true}),
	} {
		t.Run(name, func(t *testing.T) {
			got, file := write(t, r), filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got (rewrite with -update):\n%s", diff)
			}
		})
	}
}

// reports are those that the tests of every page look at.
func reports(t *testing.T) map[string]v1beta1.KdoctorReport {
	t.Helper()
	all := map[string]v1beta1.KdoctorReport{
		"small and passed":      made(roundtest.Shape{Agents: 3, Dead: -1}),
		"small and failed":      told(made(roundtest.Shape{Agents: 4, Dead: 2})),
		"large and passed":      made(roundtest.Shape{Agents: 1000, Dead: -1, Rotate: true}),
		"large and failed":      made(roundtest.Shape{Agents: 1000, Dead: 17}),
		"large and in trouble":  made(roundtest.Shape{Agents: 1000, Dead: 17, Troubled: true, Rotate: true}),
		"nobody reported":       {Spec: v1beta1.KdoctorReportSpec{TaskType: "NetReach", TaskName: "task"}},
		"every text is hostile": hostile(t),
	}
	for _, name := range []string{"healthy-3", "forwarding-off-n2", "agent-starved-n1",
		"ingress-paused-beside-dns-server-frozen", "zone-overlay-blocked-8-nodes"} {
		all[name] = recorded(t, name)
	}
	return all
}

func TestThePageHasTheVerdictAndTheHeadlineOfTheSheet(t *testing.T) {
	for name, r := range reports(t) {
		if name == "every text is hostile" {
			// The page cuts texts, and the sheet does not.
			continue
		}
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := sheet.Write(&text, r, sheet.Options{}); err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(text.String(), "\n")
			doc := parse(t, write(t, r))
			h1 := words(find(doc, "h1")[0])
			_, h1, _ = strings.Cut(h1, " ") // the verdict's symbol
			if want := strings.Join(strings.Fields(first), " "); h1 != want {
				t.Errorf("the page says\n%s\nand the sheet\n%s", h1, want)
			}
			title, _, _ := strings.Cut(words(find(doc, "title")[0]), ":")
			if want := strings.Fields(first)[0]; title != want || (want == "SUCCEED") != sheet.Passed(r) {
				t.Errorf("the title says %s, the sheet %s, and the exit status is that of passed = %t", title, want,
					sheet.Passed(r))
			}
		})
	}
}

func TestThePageNamesEveryPartOfAFinding(t *testing.T) {
	r := told(made(roundtest.Shape{Agents: 4, Dead: 2}))
	got := words(find(parse(t, write(t, r)), "article")[0])
	for _, want := range []string{"Place node ip-10-0-2-7", "Component overlay", "Cause OverlayPortBlocked",
		"probability 0.97", "Evidence pod to pod: 0 of 440 answered", "and 7 more, not shown here",
		"Against it host to pod: 2 of 20 answered", "Next best explanation forwarding", "It is wrong if host to host",
		"Look at its tunnel", "Try kubectl debug node/n0 -it --image=busybox -- ping -c 5 198.19.1.3",
		"Rule OverlayFault"} {
		if !strings.Contains(got, want) {
			t.Errorf("the card lacks %q:\n%s", want, got)
		}
	}
}

func TestThePageSaysWhatTheTaskExpectsAndWhatTheRoundCouldHaveSeen(t *testing.T) {
	got := words(parse(t, write(t, told(made(roundtest.Shape{Agents: 4, Dead: 2})))))
	for _, want := range []string{"expected: at least 99 %", "expected: at most 20 ms", "1%", "requests never left for",
		"pod kdoctor-agent-00001 was deleted", "controller 0.2.0, 2 agents 0.2.0, 1 agent of an unknown release"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	r := made(roundtest.Shape{Agents: 4, Dead: 2})
	for i := range r.Spec.Report {
		r.Spec.Report[i].NetReachTaskSpec = nil
	}
	if got := words(parse(t, write(t, r))); !strings.Contains(got, "What the task expects is not in this report.") {
		t.Errorf("the page says nothing of an expectation that is not there:\n%s", got)
	}
}

// parse parses the page as a browser does.
func parse(t *testing.T, text string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// find returns all elements of the names.
func find(n *html.Node, names ...string) []*html.Node {
	var all []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && slices.Contains(names, d.Data) {
			all = append(all, d)
		}
	}
	return all
}

// words are the texts that a person reads, with single spaces.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "style" {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestWriteReturnsTheErrorOfTheWriter(t *testing.T) {
	err := page.Write(broken{}, made(roundtest.Shape{Agents: 2, Dead: -1}), page.Options{})
	if !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}

func TestCommandsOfAnEarlierRoundNameItsNumber(t *testing.T) {
	var got bytes.Buffer
	if err := page.Write(&got, made(roundtest.Shape{Agents: 4, Dead: 2}), page.Options{Round: 3}); err != nil {
		t.Fatal(err)
	}
	if want := "kubectl kdoctor report task --round 3 --failed"; !strings.Contains(got.String(), want) {
		t.Errorf("the page lacks %q", want)
	}
}

var errFull = errors.New("the disk is full")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errFull }

// fill sets every text below a value, and gives every list this number of entries.
func fill(v reflect.Value, text string, entries int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), entries, entries))
		for i := range entries {
			fill(v.Index(i), text, entries)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, entries)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && !slices.Contains([]string{"Time", "RawExtension"}, v.Type().Name()) {
				fill(v.Field(i), text, entries)
			}
		}
	default:
	}
}
