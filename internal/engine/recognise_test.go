package engine

import (
	"encoding/json"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/target"
)

func answerOf(t testing.TB, a echo.Answer) string {
	t.Helper()
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func usual() echo.Answer {
	return echo.Answer{Kdoctor: echo.Identity{Installation: "k/a", Pod: "b", PodUID: "u", Node: "n"},
		ClientAddress: "198.18.0.1:1", Method: "GET", Path: "/kdoctoragent", Host: "198.18.0.2"}
}

func TestUsualAnswersAreRecognised(t *testing.T) {
	r := newRecogniser("k/a")
	body := answerOf(t, usual())
	for _, c := range []struct {
		name, body string
		ok         bool
	}{
		{"an agent's answer", body, true},
		{"an answer that is filled up with blanks", body + strings.Repeat(" ", 1000), true},
		{"an answer with a line break behind it", body + "\n", true},
		{"half an answer", body[:len(body)/2], false},
		{"all but the end", body[:len(body)-1], false},
		{"something behind the answer", body + "x", false},
		{"another installation", strings.Replace(body, "k/a", "k/b", 1), false},
		{"an escape", strings.Replace(body, "GET", `\u0047ET`, 1), false},
		{"no pod", strings.Replace(body, `"pod":"b"`, `"pod":""`, 1), false},
		{"a pod with a blank", strings.Replace(body, `"pod":"b"`, `"pod":"b b"`, 1), false},
		{"a pod with a long name", strings.Replace(body, `"pod":"b"`, `"pod":"`+strings.Repeat("b", 254)+`"`, 1),
			false},
		{"nothing", "", false},
	} {
		pod, ok := r.pod([]byte(c.body))
		if ok != c.ok || (ok && string(pod) != "b") {
			t.Errorf("%s: pod %q, recognised %v, want %v", c.name, pod, ok, c.ok)
		}
	}
	for _, installation := range []string{`a"b`, "a<b", "ä"} {
		other := usual()
		other.Kdoctor.Installation = installation
		if _, ok := newRecogniser(installation).pod([]byte(answerOf(t, other))); ok && installation != "ä" {
			t.Errorf("an answer of installation %q needs escapes and was recognised", installation)
		}
	}
}

// FuzzRecogniser holds what is recognised against httpprobe: it must be a success there too, of the same pod.
func FuzzRecogniser(f *testing.F) {
	body := answerOf(f, usual())
	f.Add(body)
	f.Add(body + " ")
	f.Add(strings.Replace(body, `"b"`, `"c"`, 1))
	config := httpprobe.Config{Installation: "k/a"}
	r := newRecogniser("k/a")
	f.Fuzz(func(t *testing.T, body string) {
		pod, ok := r.pod([]byte(body))
		if !ok {
			return
		}
		var sample probe.Sample
		config.JudgeBody(target.Target{}, []byte(body), &sample)
		if sample.Outcome != probe.OK || sample.Peer != string(pod) {
			t.Errorf("%q is recognised as that of %q; httpprobe says %v of %q", body, pod, sample.Outcome, sample.Peer)
		}
	})
}
