package apiserver

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
)

// rawReport returns a report as it is sent.
func rawReport(t *testing.T, c *rest.RESTClient, name string) []byte {
	t.Helper()
	raw, err := c.Get().Resource("kdoctorreports").Name(name).Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestALargeReportIsRenderedOnceAndServedAtOnce(t *testing.T) {
	m := three()
	m.store("u-a", roundtest.Shape{Agents: 5000, Dead: 17, Troubled: true})
	c := client(t, open(t, m))
	rawReport(t, c, "netreach-a")
	before := m.read()
	began := time.Now()
	raw := rawReport(t, c, "netreach-a")
	took := time.Since(began)
	t.Logf("%d bytes in %s", len(raw), took)
	if took > 500*time.Millisecond || len(raw) > render.MaxBytes || m.read() != before {
		t.Errorf("a report of %d bytes took %s, and %d rounds were read", len(raw), took, m.read()-before)
	}
}

func TestARoundThatIsStillBeingReadKeepsNobodyElseWaiting(t *testing.T) {
	m := three()
	config := open(t, m)
	c := client(t, config)
	rawReport(t, c, "netreach-a")
	release := m.hold("u-a")
	defer release()
	m.keep("u-a", 2)
	m.awaitHeld(t)
	began := time.Now()
	if r, err := get(c, "netreach-b"); err != nil || r.Spec.ReportRoundNumber != 2 {
		t.Errorf("the other report: round %d, %v", r.Spec.ReportRoundNumber, err)
	}
	m.keep("u-new", 1)
	if _, err := get(c, "netreach-new"); err != nil {
		t.Errorf("a new report: %v", err)
	}
	if took := time.Since(began); took > waitWithin/2 {
		t.Errorf("two other reports took %s", took)
	}
	release()
	if r, err := get(c, "netreach-a"); err != nil || r.Spec.ReportRoundNumber != 2 {
		t.Errorf("the report itself, when it could be read: round %d, %v", r.Spec.ReportRoundNumber, err)
	}
}

func TestWatchesShareWhatIsRenderedOnce(t *testing.T) {
	m := three()
	c := client(t, open(t, m))
	version := list(t, c, nil).ResourceVersion
	var watches []watch.Interface
	for range 20 {
		watches = append(watches, follow(t, c, map[string]string{"resourceVersion": version}))
	}
	before := m.read()
	m.keep("u-b", 3)
	for _, w := range watches {
		select {
		case e := <-w.ResultChan():
			if r, ok := e.Object.(*systemv1beta1.KdoctorReport); !ok || r.Spec.ReportRoundNumber != 3 {
				t.Errorf("got %+v", e)
			}
		case <-time.After(patience):
			t.Fatal("no event came")
		}
	}
	if read := m.read() - before; read != 1 {
		t.Errorf("20 watches read %d rounds, want 1", read)
	}
}

func TestAChangeOfTheTaskAloneReadsNoRound(t *testing.T) {
	m := three()
	c := client(t, open(t, m))
	rawReport(t, c, "netreach-b")
	list(t, c, nil)
	before := m.read()
	changed := netReach("b", "u-b")
	changed.DoneRounds, changed.ExpectedRounds, changed.FailedRounds = 2, 7, []int64{2}
	m.set(changed, netReach("a", "u-a"))
	got, err := get(c, "netreach-b")
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.RoundNumber != 7 || got.Spec.FinishedRoundNumber != 2 || len(got.Spec.FailedRoundNumber) != 1 {
		t.Errorf("got spec %+v", got.Spec)
	}
	rows := table(t, tableClient(t, open(t, m)), nil).Rows
	if round := rows[1].Cells[1]; round != "2/7" {
		t.Errorf("the line has round %v", round)
	}
	if read := m.read() - before; read > 2 {
		t.Errorf("%d rounds were read, and only the second server may read two", read)
	}
}

// many has so many reports of some 270 kB each that they are more than one answer holds.
func many(n int) *memory {
	m := &memory{}
	var tasks []render.ReportedTask
	for i := range n {
		uid := fmt.Sprintf("u-%03d", i)
		tasks = append(tasks, netReach(fmt.Sprintf("t%03d", i), uid))
		m.store(uid, roundtest.Shape{Agents: 12, Dead: -1})
	}
	m.set(tasks...)
	return m
}

func TestAListOfManyWholeReportsIsBounded(t *testing.T) {
	const n = 60
	c := client(t, open(t, many(n)))
	raw, err := c.Get().Resource("kdoctorreports").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var all systemv1beta1.KdoctorReportList
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	whole, light := 0, 0
	for _, r := range all.Items {
		switch {
		case len(r.Spec.Report) == 12 && r.Spec.ReportOmitted == "":
			whole++
		case len(r.Spec.Report) == 0 && r.Spec.ReportOmitted != "" && r.Spec.Summary != nil:
			light++
		}
	}
	if whole+light != n || whole < 20 || light < 10 || len(raw) > maxAnswer+n*5_000+render.MaxBytes {
		t.Errorf("of %d reports %d are whole and %d are light, in %d bytes", len(all.Items), whole, light, len(raw))
	}
	var seen []string
	parameters := map[string]string{"limit": "500"}
	for pages := 1; ; pages++ {
		page := list(t, c, parameters)
		seen = append(seen, names(page)...)
		for _, r := range page.Items {
			if len(r.Spec.Report) != 12 {
				t.Errorf("%s is not whole", r.Name)
			}
		}
		if parameters["continue"] = page.Continue; page.Continue == "" {
			if pages < 2 || len(seen) != n {
				t.Errorf("%d pages have %d reports", pages, len(seen))
			}
			return
		}
	}
}

func TestRenderedReportsAreForgottenInTheEnd(t *testing.T) {
	o := newObjects()
	r := rendered{object: &systemv1beta1.KdoctorReport{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, bytes: maxObjects / 4}
	for i := range 10 {
		o.put(strconv.Itoa(i), r)
		o.get("0")
	}
	for uid, want := range map[string]bool{"0": true, "1": false, "6": false, "7": true, "9": true} {
		if _, ok := o.get(uid); ok != want {
			t.Errorf("report %s is remembered: %t, want %t", uid, ok, want)
		}
	}
	o.drop("0")
	o.put("9", r)
	if o.bytes != 3*r.bytes || o.order.Len() != 3 || len(o.byUID) != 3 {
		t.Errorf("%d bytes of %d reports are remembered", o.bytes, o.order.Len())
	}
}

// What is shared among answers must stay as it was.
func TestAnswersDoNotChangeWhatTheyShare(t *testing.T) {
	m := three()
	m.store("u-a", roundtest.Shape{Agents: 30, Dead: 3, Troubled: true})
	c := client(t, open(t, m))
	before := rawReport(t, c, "netreach-a")
	r := render.Report(netReach("a", "u-a"), roundtest.New("u-a", roundtest.Shape{Agents: 30, Dead: 3, Troubled: true}))
	light := *r
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	render.Lighten(&light)
	render.Update(r, netReach("other", "u-a"), render.Facts{})
	again, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(again) {
		t.Error("a light copy or an update changed the report that it was made of")
	}
	list(t, c, nil)
	runtime.GC()
	if after := rawReport(t, c, "netreach-a"); string(after) != string(before) {
		t.Error("the same report is another one after a list")
	}
}
