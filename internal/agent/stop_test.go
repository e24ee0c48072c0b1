package agent

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/echo"
)

func TestServersThatAreStoppedBeforeTheyServeHaveNotFailed(t *testing.T) {
	control := controlServer(newCertificates(t.TempDir(), slog.New(slog.DiscardHandler)),
		newRounds(echo.Identity{}, nil, slog.New(slog.DiscardHandler)), nil)
	health := webServer(http.NotFoundHandler())
	stop(t.Context(), control, health)
	for name, serve := range map[string]func(net.Listener) error{"control": control.Serve, "health": health.Serve} {
		l := listenOn(t, "127.0.0.1:0")
		if err := serve(l); !stopped(err) {
			t.Errorf("%s server: it was stopped before it served, and ended with %v", name, err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s server: the listener was left open: closing it again says %v", name, err)
		}
	}
	for _, err := range []error{nil, net.ErrClosed, errors.New("other")} {
		if stopped(err) {
			t.Errorf("%v is taken for the agent's own doing", err)
		}
	}
}

func TestAgentWhoseListenerFailsSaysSo(t *testing.T) {
	for name, spoil := range map[string]func(Listeners) net.Listener{
		"echo responder": func(l Listeners) net.Listener { return l.HTTP },
		"control server": func(l Listeners) net.Listener { return l.Control },
		"health server":  func(l Listeners) net.Listener { return l.Health },
	} {
		t.Run(name, func(t *testing.T) {
			l := Listeners{HTTP: listenOn(t, "127.0.0.1:0"), Control: listenOn(t, "127.0.0.1:0"), Health: listenOn(t,
				"127.0.0.1:0")}
			_ = spoil(l).Close()
			err := Run(t.Context(), Config{Identity: echo.Identity{Pod: "a"}, TLSDir: t.TempDir(),
				Log: slog.New(slog.DiscardHandler)}, l)
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("an agent whose %s cannot serve ended with %v", name, err)
			}
		})
	}
}
