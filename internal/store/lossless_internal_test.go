package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/verdict"
)

func bufferedFrom(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

func appendBytes(b, body []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// shaper gives every field that is stored a value that its type can have: none, few or many, small or as large as can
// be.
type shaper struct{ *rand.Rand }

func (s shaper) shape(v reflect.Value, depth int) {
	switch into := v.Addr().Interface().(type) {
	case *time.Time:
		*into = s.time()
		return
	case *stats.Histogram:
		for range s.few() * s.few() {
			into.Record(time.Duration(s.number()) % time.Hour)
		}
		return
	case *json.RawMessage:
		*into = json.RawMessage(`{"a":1}`)
		return
	case *probe.Outcome:
		*into = probe.Outcome(s.IntN(int(probe.Outcomes)))
		return
	case *probe.Phase:
		*into = probe.Phase(s.IntN(int(probe.Phases)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(s.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(s.number()))
	case reflect.Uint64:
		v.SetUint(s.number())
	case reflect.Float64:
		v.SetFloat([]float64{0, 1, -0.5, s.Float64(), math.MaxFloat64}[s.IntN(5)])
	case reflect.String:
		v.SetString([]string{"", "a", "kdoctor-agent-x7", "\u2028 <é>", strconv.FormatUint(s.Uint64(), 10)}[s.IntN(5)])
	case reflect.Pointer:
		if depth < 12 && s.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			s.shape(v.Elem(), depth+3)
		}
	case reflect.Slice:
		if s.IntN(3) > 0 {
			v.Set(reflect.MakeSlice(v.Type(), s.few(), 4))
		}
		for i := range v.Len() {
			s.shape(v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			s.shape(v.Index(i), depth+1)
		}
	case reflect.Map:
		if s.IntN(3) > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range s.few() {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				s.shape(key, depth+1)
				s.shape(value, depth+1)
				v.SetMapIndex(key, value)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				s.shape(v.Field(i), depth+1)
			}
		}
	default:
		panic(fmt.Sprintf("a %s is stored, and this test cannot make one", v.Type()))
	}
}

func (s shaper) few() int { return s.IntN(4) }

// number is small, or a multiple of 1000, or of any size.
func (s shaper) number() uint64 {
	switch s.IntN(4) {
	case 0:
		return 0
	case 1:
		return uint64(s.IntN(200))
	case 2:
		return uint64(s.IntN(1e6)) * 1000
	}
	return s.Uint64() >> s.IntN(64)
}

func (s shaper) time() time.Time {
	t := time.Date(2026, 3, 1, 10, 0, 0, s.IntN(1e9), time.FixedZone("", 3600*(s.IntN(25)-12)))
	switch s.IntN(4) {
	case 0:
		return time.Time{}
	case 1:
		return t.AddDate(s.IntN(8000)-2000, 0, 0)
	}
	return t
}

func TestRoundsOfAnyShapeAreReadAsTheyWereWritten(t *testing.T) {
	for seed := range uint64(100) {
		var want verdict.StoredRound
		shaper{rand.New(rand.NewPCG(seed, 1))}.shape(reflect.ValueOf(&want).Elem(), 0)
		body := encoded(t, encodeRound(want))
		got, err := decodeRound(want.Round.Key, body)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		exact := cmp.Options{cmp.AllowUnexported(stats.Histogram{}), cmp.FilterPath(func(p cmp.Path) bool {
			return p.Last().Type() == reflect.TypeFor[stats.Histogram]()
		}, cmp.Comparer(stats.Histogram.Equal))}
		if diff := cmp.Diff(want.Round.Agents, got.Round.Agents, exact); diff != "" {
			t.Fatalf("seed %d: reports (-written +read):\n%s", seed, diff)
		}
		if diff := cmp.Diff(want.Verdict.Agents, got.Verdict.Agents, exact); diff != "" {
			t.Fatalf("seed %d: judgements (-written +read):\n%s", seed, diff)
		}
		// JSON leaves out empty lists of some fields of the head.
		if diff := cmp.Diff(want, got, exact, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d: (-written +read):\n%s", seed, diff)
		}
		if again := encoded(t, encodeRound(want)); !bytes.Equal(body, again) {
			t.Fatalf("seed %d: written again, the blob is another one", seed)
		}
	}
}

func TestRealisticRoundsTakeNoMoreThanOneHundredBytesAPath(t *testing.T) {
	want := realisticRound(25)
	body := encoded(t, encodeRound(want))
	got, err := decodeRound(want.Round.Key, body)
	if diff := cmp.Diff(want, got, exported()); diff != "" || err != nil {
		t.Errorf("%v, (-written +read):\n%s", err, diff)
	}
	if paths := pathsOf(want); len(body) > 100*paths {
		t.Errorf("%d paths take %d bytes, %d each", paths, len(body), len(body)/paths)
	}
}

func TestPathsWithNothingInThemAreStored(t *testing.T) {
	want := verdict.StoredRound{Round: report.Round{Agents: []report.AgentReport{
		{Pod: "a", Paths: make([]report.Path, 20_000)}, {Pod: "b"}}}}
	for i := range want.Round.Agents[0].Paths {
		want.Round.Agents[0].Paths[i].Persistent = &report.Path{}
	}
	got, err := decodeRound(schedule.Key{}, encoded(t, encodeRound(want)))
	if err != nil || !reflect.DeepEqual(want.Round.Agents, got.Round.Agents) {
		t.Errorf("%v; %d agents are read, and not as they were written", err, len(got.Round.Agents))
	}
}

// damaged returns a round without agents whose frames behind the head are replaced.
func damaged(t *testing.T, replace func(w *bytes.Buffer)) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(preamble)
	if err := writeFrame(&out, headFrame, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	replace(&out)
	return gzipped(t, out.Bytes())
}

func frame(kind byte, body []byte) []byte {
	var out bytes.Buffer
	_ = writeFrame(&out, kind, body) // memory takes everything
	return out.Bytes()
}

func TestDamagedFramesAreCorruptAndCostLittle(t *testing.T) {
	names := appendBytes(appendBytes(appendBytes(nil, []byte("report")), []byte("report.Paths")), []byte("report.Pod"))
	agent := func(paths uint64) []byte {
		b := agentHead("", "", time.Time{})
		b = appendColumn(b, 1, constant, binary.AppendUvarint(nil, 1))
		return appendColumn(b, 2, constant, binary.AppendUvarint(nil, paths))
	}
	for name, replace := range map[string]func(w *bytes.Buffer){
		"no end":                  func(*bytes.Buffer) {},
		"more behind the end":     func(w *bytes.Buffer) { w.Write(append(frame(endFrame, nil), 1)) },
		"a frame longer than any": func(w *bytes.Buffer) { w.Write(binary.AppendUvarint([]byte{agentFrame}, 1<<40)) },
		"a frame that is cut off": func(w *bytes.Buffer) { w.Write(frame(restFrame, make([]byte, 1000))[:500]) },
		"a checksum that is wrong": func(w *bytes.Buffer) {
			b := frame(stringsFrame, names)
			b[len(b)-1]++
			w.Write(b)
		},
		"a string that is cut off": func(w *bytes.Buffer) { w.Write(frame(stringsFrame, []byte{200, 1, 'x'})) },
		"a string that there is not": func(w *bytes.Buffer) {
			w.Write(frame(stringsFrame, names))
			body := appendColumn(agent(1), 3, constant, []byte{9})
			w.Write(frame(agentFrame, body))
		},
		"more paths than bytes": func(w *bytes.Buffer) {
			w.Write(frame(stringsFrame, names))
			w.Write(frame(agentFrame, agent(1<<19)))
		},
		"more paths than any frame has": func(w *bytes.Buffer) {
			w.Write(frame(stringsFrame, names))
			w.Write(frame(agentFrame, agent(1<<62)))
		},
		"an agent of another name": func(w *bytes.Buffer) {
			w.Write(frame(stringsFrame, names))
			body := appendColumn(agent(1), 3, constant, []byte{1})
			w.Write(frame(agentFrame, appendColumn(body, 0, 0, make([]byte, 99))))
		},
		"an agent without anything": func(w *bytes.Buffer) {
			w.Write(frame(agentFrame, agentHead("a", "", time.Time{})))
		},
		"a column that is too long": func(w *bytes.Buffer) {
			w.Write(frame(stringsFrame, names))
			body := appendColumn(agentHead("", "", time.Time{}), 1, 0, []byte{1, 0})
			w.Write(frame(agentFrame, appendColumn(body, 0, 0, make([]byte, 99))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := damaged(t, func(w *bytes.Buffer) {
				replace(w)
				if name != "no end" && name != "more behind the end" {
					w.Write(frame(endFrame, nil))
				}
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := decodeRound(schedule.Key{}, body)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
				t.Errorf("it took %d bytes of memory", took)
			}
		})
	}
}

func TestFramesOfKindsThatComeLaterArePassedOver(t *testing.T) {
	body := damaged(t, func(w *bytes.Buffer) {
		w.Write(frame('z', []byte("later")))
		w.Write(frame(endFrame, nil))
	})
	if _, err := decodeRound(schedule.Key{}, body); err != nil {
		t.Error(err)
	}
}

// TestRoundsOfWhichAFewBytesChangedAreReadOrCorrupt changes bytes below the checksums, as only a wrong writer could.
func TestRoundsOfWhichAFewBytesChangedAreReadOrCorrupt(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	refused := 0
	var whole []byte
	for i := range 300 {
		if i%10 == 0 {
			// Rounds of many shapes: in a small one nearly every byte matters, in a large one some do.
			var of verdict.StoredRound
			shaper{rand.New(rand.NewPCG(3, uint64(i)))}.shape(reflect.ValueOf(&of).Elem(), 0)
			whole = framesOf(t, of)
		}
		content := bytes.Clone(whole)
		for range 1 + random.IntN(4) {
			i := random.IntN(len(content))
			content[i] = []byte{content[i] ^ 1<<random.IntN(8), 0xff, byte(random.IntN(256))}[random.IntN(3)]
		}
		body := damaged(t, func(w *bytes.Buffer) {
			w.Write(framed(content))
			w.Write(frame(endFrame, nil))
		})
		if !readAndWrite(t, schedule.Key{}, body) {
			refused++
		}
	}
	if refused < 30 || refused > 270 {
		t.Errorf("%d of 300 were refused, so one of the two was hardly tested", refused)
	}
}
