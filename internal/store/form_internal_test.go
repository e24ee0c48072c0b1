package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/verdict"
)

var update = flag.Bool("update", false, "rewrite the golden files of the stored form")

// untagged walks the types of what is stored and returns the fields whose names in the stored form are the names in Go.
func untagged(t reflect.Type, seen map[reflect.Type]bool) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return untagged(t.Elem(), seen)
	case reflect.Map:
		return append(untagged(t.Key(), seen), untagged(t.Elem(), seen)...)
	case reflect.Struct:
	default:
		return nil
	}
	// Types that encode themselves have no field names in the stored form. Reason has: it decodes itself alone.
	if seen[t] || t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil
	}
	seen[t] = true
	var found []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if field.IsExported() && !field.Anonymous && name == "" {
			found = append(found, fmt.Sprintf("%s.%s", t, field.Name))
		}
		found = append(found, untagged(field.Type, seen)...)
	}
	return found
}

// TestWhatIsStoredHasNamesOfItsOwn: a field that is renamed in the code keeps its name in the rounds that are stored.
func TestWhatIsStoredHasNamesOfItsOwn(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var found []string
	for _, of := range []reflect.Type{reflect.TypeFor[headBlob](), reflect.TypeFor[restBlob](),
		reflect.TypeFor[agentBlob](), reflect.TypeFor[planBlob]()} {
		found = append(found, untagged(of, seen)...)
	}
	slices.Sort(found)
	for _, field := range found {
		t.Errorf("%s has no tag for JSON: give it the name under which it is stored", field)
	}
	if len(seen) < 20 {
		t.Errorf("%d types were looked at; want all that are stored", len(seen))
	}
}

// filler gives every field that is stored a value of its own that is not zero.
type filler struct{ n int64 }

func (f *filler) fill(v reflect.Value, depth int) {
	f.n++
	switch into := v.Addr().Interface().(type) {
	case *time.Time:
		*into = time.Date(2026, 3, 1, 10, 0, 0, int(f.n), time.UTC)
		return
	case *netip.Addr:
		*into = netip.AddrFrom4([4]byte{10, 0, byte(f.n >> 8), byte(f.n)})
		return
	case *stats.Histogram:
		into.Record(time.Duration(f.n) * time.Microsecond)
		return
	case *json.RawMessage:
		*into = fmt.Appendf(nil, `{"a":%d}`, f.n)
		return
	case *probe.Outcome:
		*into = probe.Outcome(1 + f.n%int64(probe.Outcomes-1))
		return
	case *probe.Phase:
		*into = probe.Phase(1 + f.n%int64(probe.Phases-1))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(f.n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.n) + 0.5)
	case reflect.String:
		v.SetString(fmt.Sprint("s", f.n))
	case reflect.Pointer:
		// A path has a path for its persistent stream, and that has none.
		if depth < 10 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth+4)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(v.Index(0), depth+1)
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key, depth+1)
		f.fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				f.fill(v.Field(i), depth+1)
			}
		}
	default:
		panic(fmt.Sprintf("a %s is stored, and this test cannot make one", v.Type()))
	}
}

// TestTheStoredFormIsTheGoldenOne: what this release writes is what later ones will have to read. A golden file changes
// with a new field alone; a name or a meaning that changes needs a new format, and the old one stays readable.
func TestTheStoredFormIsTheGoldenOne(t *testing.T) {
	key := schedule.Key{UID: "u1", Generation: 3, Round: 2}
	var round verdict.StoredRound
	var plan StoredPlan
	(&filler{}).fill(reflect.ValueOf(&round).Elem(), 0)
	(&filler{}).fill(reflect.ValueOf(&plan).Elem(), 0)
	round.Round.Key = key
	t.Run("round", func(t *testing.T) {
		packed := encoded(t, encodeRound(round))
		golden(t, "round-2.txt", dump(t, unpacked(t, packed)))
		got, err := decodeRound(key, packed)
		if diff := cmp.Diff(round, got, exported()); diff != "" || err != nil {
			t.Errorf("%v, (-stored +read):\n%s", err, diff)
		}
	})
	t.Run("plan", func(t *testing.T) {
		var text bytes.Buffer
		if err := json.Indent(&text, unpacked(t, encoded(t, encodePlan(key, plan))), "", "  "); err != nil {
			t.Fatal(err)
		}
		body := gzipped(t, golden(t, "plan.json", bytes.TrimSpace(text.Bytes())))
		got, err := decodePlan(key, body)
		if diff := cmp.Diff(plan, got, exported()); diff != "" || err != nil {
			t.Errorf("%v, (-stored +read):\n%s", err, diff)
		}
	})
}

// TestRoundsOfEarlierReleasesAreRead reads a round of format 1 in which no field is zero. The file is what the last
// release of that format wrote, and never changes: fields that came later are zero.
func TestRoundsOfEarlierReleasesAreRead(t *testing.T) {
	key := schedule.Key{UID: "u1", Generation: 3, Round: 2}
	var compact bytes.Buffer
	if err := json.Compact(&compact, read(t, "round.json")); err != nil {
		t.Fatal(err)
	}
	text := compact.Bytes()
	got, err := decodeRound(key, gzipped(t, text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(wholeRound{Format: 1, Round: got.Round, Verdict: got.Verdict, Spec: got.Spec})
	if err != nil {
		t.Fatal(err)
	}
	var stored, kept any
	if err := errors.Join(json.Unmarshal(text, &stored), json.Unmarshal(again, &kept)); err != nil {
		t.Fatal(err)
	}
	if n := lost(t, "", stored, kept); n < 300 {
		t.Errorf("only %d values were compared", n)
	}
	// This file never changes either: it is what the first release of format 2 makes of the same round.
	moved, err := decodeRound(key, read(t, "round-2.json.gz"))
	if diff := cmp.Diff(got, moved, exported()); diff != "" || err != nil {
		t.Errorf("%v, (-format 1 +format 2):\n%s", err, diff)
	}
}

// lost holds all that was stored against what was read, and returns how many values it compared.
func lost(t *testing.T, at string, stored, kept any) (compared int) {
	t.Helper()
	switch of := stored.(type) {
	case map[string]any:
		into, _ := kept.(map[string]any)
		for name, value := range of {
			compared += lost(t, at+"."+name, value, into[name])
		}
		return compared
	case []any:
		into, _ := kept.([]any)
		for i, value := range of {
			if i >= len(into) {
				t.Errorf("%s: %d elements were stored, %d are left", at, len(of), len(into))
				break
			}
			compared += lost(t, fmt.Sprintf("%s[%d]", at, i), value, into[i])
		}
		return compared
	}
	if diff := cmp.Diff(stored, kept); diff != "" {
		t.Errorf("%s (-stored +read):\n%s", at, diff)
	}
	return 1
}

func exported() cmp.Option {
	return cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmp.AllowUnexported(stats.Histogram{}),
		cmpopts.EquateEmpty()}
}

// golden holds what is written against the golden file, and returns the golden file.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := read(t, name)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the stored form has changed; run with -update after reading this (-golden +got):\n%s", diff)
	}
	return want
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func encoded(t testing.TB, encode func(io.Writer) error) []byte {
	t.Helper()
	var packed bytes.Buffer
	if err := encode(&packed); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// gzipped returns the content as a blob.
func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	return encoded(t, pack(func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}))
}

func unpacked(t testing.TB, body []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// dump returns the content of a blob of format 2 for people.
func dump(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	from := bufio.NewReader(bytes.NewReader(content))
	line, err := from.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	out.WriteString(line)
	f, d := frames{from: from}, newDictionary()
	for {
		kind, body, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "\nframe %c\n", kind)
		switch kind {
		case headFrame:
			err = json.Indent(&out, body, "", "  ")
		case stringsFrame:
			before := len(d.strings)
			err = d.addStrings(body)
			for i, s := range d.strings[before:] {
				fmt.Fprintf(&out, "%d %q\n", before+i, s)
			}
		case agentFrame:
			pod, node, base, columns, headErr := cutAgentHead(body)
			fmt.Fprintf(&out, "%q on %q from %s\n", pod, node, base.UTC().Format(time.RFC3339Nano))
			err = errors.Join(headErr, dumpColumns(&out, d, columns))
		case endFrame:
			return out.Bytes()
		default:
			err = dumpColumns(&out, d, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func dumpColumns(out io.Writer, d *dictionary, columns []byte) error {
	r := rows{dictionary: d, unread: map[string]unread{}}
	if err := r.cut(columns); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.unread)) {
		c := r.unread[name]
		fmt.Fprintf(out, "%q form %d:", name, c.form)
		for rest := c.numbers; len(rest) > 0; {
			n, size := binary.Uvarint(rest)
			if size <= 0 {
				return fmt.Errorf("column %q is cut short", name)
			}
			fmt.Fprintf(out, " %d", n)
			rest = rest[size:]
		}
		fmt.Fprintln(out)
	}
	return nil
}

// TestWhatTheFirstReleaseStoredIsRead reads blobs that the first release wrote.
func TestWhatTheFirstReleaseStoredIsRead(t *testing.T) {
	key := schedule.Key{UID: "u1", Generation: 3, Round: 2}
	round, err := decodeRound(key, read(t, "first-release.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	agent := round.Round.Agents[0]
	path := agent.Paths[0]
	if agent.Pod != "a" || agent.Via != report.PortForward || agent.Resources.MaxMemory != 101<<20 || path.Sent != 55 ||
		path.Missed != 5 || path.OK != 50 || path.Failures[0].Count != 5 || path.Failures[0].Phase != probe.Connect ||
		path.Latency.Count() != 50 || path.Peers["a"] != 50 || path.Bytes != 1<<63+1 {
		t.Errorf("the agent is %+v", agent)
	}
	var reasons []string
	for _, reason := range round.Verdict.Reasons {
		reasons = append(reasons, reason.String())
	}
	if round.Verdict.Result != verdict.Fail || len(reasons) != 3 ||
		!strings.Contains(strings.Join(reasons, "; "), "pod is Pending") {
		t.Errorf("the verdict is %s for %q", round.Verdict.Result, reasons)
	}
	if string(round.Spec) != `{"target":{"ipv4":true}}` || len(round.Round.Expected) != 2 ||
		len(round.Round.Gaps) != 1 {
		t.Errorf("the spec is %s, the round %+v", round.Spec, round.Round)
	}
	plan, err := decodePlan(key, read(t, "first-release.plan.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	p := plan.Mesh.Plans[0]
	want := mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Timeout: time.Second}
	if p.Agent.Pod != "a" || p.Targets[0].Address != "http://10.0.0.9/kdoctoragent" || p.Load != want ||
		plan.Deadline.Sub(plan.Started) != time.Minute {
		t.Errorf("the plan is %+v", plan)
	}
}
