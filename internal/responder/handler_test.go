package responder

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/echo"
)

func TestHandlerSaysWhoItIs(t *testing.T) {
	identity := echo.Identity{Installation: "k/agent", Pod: "a", PodUID: "u", Node: "n"}
	request := httptest.NewRequest(http.MethodGet, "http://h.example/some/path", nil)
	recorder := httptest.NewRecorder()
	NewHandler(identity).ServeHTTP(recorder, request)
	var got map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"kdoctor": map[string]any{"installation": "k/agent", "pod": "a", "podUID": "u", "node": "n"},
		"clientAddress": request.RemoteAddr, "method": "GET", "path": "/some/path", "host": "h.example"}
	if diff := cmp.Diff(want, got); diff != "" || recorder.Code != 200 {
		t.Errorf("status %d, answer (-want +got):\n%s", recorder.Code, diff)
	}
}

func TestAnswerStaysSmallWhateverIsAsked(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "http://h/"+strings.Repeat("%00", 100_000), nil)
	recorder := httptest.NewRecorder()
	NewHandler(echo.Identity{}).ServeHTTP(recorder, request)
	if n := recorder.Body.Len(); n > 8<<10 {
		t.Errorf("the answer has %d bytes", n)
	}
}

func TestHandlerCountsByRound(t *testing.T) {
	h := NewHandler(echo.Identity{})
	send := func(round string) {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set(echo.RoundHeader, round)
		h.ServeHTTP(httptest.NewRecorder(), request)
	}
	send("a/1/1")
	send("a/1/1")
	send("a/1/2")
	for _, foreign := range []string{"", "a", "a/1", "a/1/1/1", "/1/1", "a/x/1", "a/1/-1", "a b/1/1", "a/1/kept",
		"/kept", "a/1/1/", "a/1/1/Kept", "a/1/1/kept/kept", strings.Repeat("a",
			120) + "/1/1/kept", strings.Repeat("a", 200) + "/1/1"} {
		send(foreign)
		if n := h.Served(foreign); n != 0 {
			t.Errorf("round %q counts %d", foreign, n)
		}
	}
	if a, b := h.Served("a/1/1"), h.Served("a/1/2"); a != 2 || b != 1 {
		t.Errorf("rounds count %d and %d, want 2 and 1", a, b)
	}
	send("a/1/1" + echo.PersistentSuffix)
	if counted, kept := h.Served("a/1/1"), h.Served("a/1/1/kept"); counted != 2 || kept != 1 {
		t.Errorf("the round counts %d and its kept stream %d, want 2 and 1", counted, kept)
	}
	send("a/1/1")
	for i := range MaxRounds - 1 {
		send(fmt.Sprintf("flood/1/%d", i))
	}
	if a, b := h.Served("a/1/1"), h.Served("a/1/2"); a != 3 || b != 0 {
		t.Errorf("after a flood the rounds count %d and %d, want 3 and 0: the quietest makes room", a, b)
	}
	if len(h.rounds) != MaxRounds {
		t.Errorf("%d rounds are counted, want at most %d", len(h.rounds), MaxRounds)
	}
}
