package store

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"
	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/verdict"
)

// BenchmarkStore says what a round of 20,100 paths costs: the time for each path, the bytes stored for each path, and
// the peak of the heap above the round itself.
func BenchmarkStore(b *testing.B) {
	of := realisticRound(100)
	paths := pathsOf(of)
	s := New(memblob.OpenBucket(nil))
	defer func() { _ = s.Close() }()
	put := func(ctx context.Context) error { return s.PutRound(ctx, of) }
	if err := put(b.Context()); err != nil {
		b.Fatal(err)
	}
	body, err := s.get(b.Context(), of.Round.Key, roundSuffix)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"put", put},
		{"round", func(ctx context.Context) error { _, err := s.Round(ctx, of.Round.Key); return err }},
		{"head", func(ctx context.Context) error { _, err := s.Head(ctx, of.Round.Key); return err }},
		{"agent", func(ctx context.Context) error {
			_, err := s.Agent(ctx, of.Round.Key, of.Round.Agents[len(of.Round.Agents)/2].Pod)
			return err
		}},
		{"agents", func(ctx context.Context) error {
			for _, err := range s.Agents(ctx, of.Round.Key, nil) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			peak, before := watchHeap(), used(b)
			for b.Loop() {
				if err := c.do(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((used(b)-before)/float64(b.N)/float64(paths), "cpu-us/path")
			b.ReportMetric(peak(), "peak-MiB")
			b.ReportMetric(float64(len(body))/float64(paths), "B/path")
		})
	}
}

func pathsOf(of verdict.StoredRound) int {
	n := 0
	for _, a := range of.Round.Agents {
		n += len(a.Paths)
	}
	return n
}

// watchHeap watches the heap until peak is called, which returns by how many MiB it was larger than at the beginning.
func watchHeap() (peak func() float64) {
	runtime.GC()
	before, most := heap(), uint64(0)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			most = max(most, heap())
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return func() float64 {
		close(done)
		watcher.Wait()
		return float64(most-min(most, before)) / (1 << 20)
	}
}

// used returns how many microseconds of CPU the process has used.
func used(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
}

func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
