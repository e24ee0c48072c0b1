package hold

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigIsValidated(t *testing.T) {
	good := Config{Queue: 1, Delay: time.Second, Share: 1}
	if err := good.Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	for name, change := range map[string]func(*Config){
		"a queue below 0":               func(c *Config) { c.Queue = -1 },
		"a queue above 65535":           func(c *Config) { c.Queue = 65536 },
		"a negative delay":              func(c *Config) { c.Delay = -1 },
		"more than a minute in all":     func(c *Config) { c.Delay, c.Jitter = 40*time.Second, 30*time.Second },
		"no share of packets":           func(c *Config) { c.Share = 0 },
		"a share above all the packets": func(c *Config) { c.Share = 1.1 },
	} {
		c := good
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestDue(t *testing.T) {
	now := time.Unix(1000, 0)
	c := Config{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Share: 0.5}
	for name, test := range map[string]struct {
		last           time.Time
		choice, jitter float64
		after          time.Duration
		held           bool
	}{
		"a packet that is not chosen goes on at once": {now, 0.5, 0.9, 0, false},
		"a chosen packet waits for the delay":         {time.Time{}, 0.49, 0, 50 * time.Millisecond, true},
		"a chosen packet waits for the jitter too":    {time.Time{}, 0, 0.5, 60 * time.Millisecond, true},
		"a chosen packet does not overtake the one before": {now.Add(65 * time.Millisecond), 0, 0,
			65 * time.Millisecond, true},
		"a packet that is not chosen overtakes held packets": {now.Add(65 * time.Millisecond), 0.7, 0, 0, false},
	} {
		at, held := c.due(now, test.last, test.choice, test.jitter)
		if held != test.held || at.Sub(now) != test.after {
			t.Errorf("%s: due after %v, held %v; want %v, %v", name, at.Sub(now), held, test.after, test.held)
		}
	}
}

// memory is a source whose packets come from a test.
type memory struct {
	come     chan []uint32
	err      error
	released []uint32
	at       []time.Duration
	began    time.Time
	closed   bool
}

func (m *memory) next() ([]uint32, error) {
	select {
	case ids, ok := <-m.come:
		if !ok {
			return nil, m.err
		}
		return ids, nil
	case <-time.After(200 * time.Millisecond):
		return nil, nil
	}
}

func (m *memory) release(id uint32) error {
	m.released = append(m.released, id)
	m.at = append(m.at, time.Since(m.began))
	return nil
}

func (m *memory) close() error {
	m.closed = true
	return nil
}

func TestPacketsGoOnAfterTheDelayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		m := &memory{come: make(chan []uint32), began: time.Now()}
		done := make(chan error)
		go func() { done <- Config{Delay: 50 * time.Millisecond, Share: 1}.serve(ctx, m) }()
		m.come <- []uint32{1, 2}
		time.Sleep(10 * time.Millisecond)
		m.come <- []uint32{3}
		time.Sleep(time.Second)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]uint32{1, 2, 3}, m.released); diff != "" {
			t.Errorf("released, -want +got:\n%s", diff)
		}
		want := []time.Duration{50 * time.Millisecond, 50 * time.Millisecond, 60 * time.Millisecond}
		if diff := cmp.Diff(want, m.at); diff != "" {
			t.Errorf("times, -want +got:\n%s", diff)
		}
	})
}

func TestHeldPacketsGoOnAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		m := &memory{come: make(chan []uint32), began: time.Now()}
		done := make(chan error)
		go func() { done <- Config{Delay: 10 * time.Second, Share: 1}.serve(ctx, m) }()
		m.come <- []uint32{4, 5, 6}
		time.Sleep(time.Second)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.released, []uint32{4, 5, 6}) || !m.closed {
			t.Errorf("released %v, closed %v; want all three, and closed", m.released, m.closed)
		}
	})
}

func TestAQueueThatFailsEndsTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{come: make(chan []uint32), err: errors.New("broken"), began: time.Now()}
		done := make(chan error)
		go func() { done <- Config{Delay: time.Second, Share: 1}.serve(t.Context(), m) }()
		m.come <- []uint32{7}
		close(m.come)
		if err := <-done; !errors.Is(err, m.err) {
			t.Errorf("serve = %v, want %v", err, m.err)
		}
		if !slices.Equal(m.released, []uint32{7}) {
			t.Errorf("released %v, want [7]", m.released)
		}
	})
}

func TestPacketIDIsFoundAmongAttributes(t *testing.T) {
	packet := attribute(attributePacket, []byte{0, 0, 1, 2, 8, 0, 4})
	for name, c := range map[string]struct {
		attributes []byte
		id         uint32
		ok         bool
	}{
		"alone":                         {packet, 0x102, true},
		"after another attribute":       {append(attribute(3, []byte{1}), packet...), 0x102, true},
		"none":                          {attribute(3, []byte{1}), 0, false},
		"a message that ends too early": {packet[:6], 0, false},
		"a length below the header":     {[]byte{1, 0, 1, 0, 0, 0, 0, 0}, 0, false},
	} {
		if id, ok := packetID(c.attributes); id != c.id || ok != c.ok {
			t.Errorf("%s: id %d, %v; want %d, %v", name, id, ok, c.id, c.ok)
		}
	}
}
