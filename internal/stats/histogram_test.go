package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exact compares what a histogram is made of, where its own Equal would only say that there is a difference.
func exact() cmp.Option {
	type plain Histogram
	return cmp.Options{cmp.AllowUnexported(plain{}, counts{}),
		cmp.Transformer("plain", func(h Histogram) plain { return plain(h) })}
}

// samples are durations of every size, from nothing to beyond the last bucket.
func samples(r *rand.Rand, n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(r.Int64N(int64(1)<<r.IntN(38))) * time.Nanosecond
	}
	return all
}

func of(all []time.Duration) Histogram {
	var h Histogram
	for _, d := range all {
		h.Record(d)
	}
	return h
}

func TestEmptyHistogramHasNothing(t *testing.T) {
	var h Histogram
	if h.Count() != 0 || h.Sum() != 0 || h.Min() != 0 || h.Max() != 0 || h.Mean() != 0 || h.Quantile(0.5) != 0 {
		t.Errorf("the zero histogram is not empty: %+v", h)
	}
}

func TestCountsSumsAndExtremesAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		all := samples(r, 1+r.IntN(500))
		h := of(all)
		var sum time.Duration
		least, most := time.Duration(math.MaxInt64), time.Duration(0)
		for _, d := range all {
			us := d.Truncate(time.Microsecond)
			sum, least, most = sum+us, min(least, us), max(most, us)
		}
		if h.Count() != uint64(len(all)) || h.Sum() != sum || h.Min() != least || h.Max() != most {
			t.Fatalf("count %d, sum %v, min %v, max %v, want %d, %v, %v, %v", h.Count(), h.Sum(), h.Min(), h.Max(),
				len(all), sum, least, most)
		}
		if mean := float64(sum) / float64(len(all)); math.Abs(float64(h.Mean())-mean) > 1 {
			t.Fatalf("mean %v, want %v", h.Mean(), time.Duration(mean))
		}
	}
}

func TestQuantilesAreWithinOneThirtySecond(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		all := samples(r, 1+r.IntN(500))
		for i, d := range all {
			all[i] = min(d, 60*time.Second)
		}
		h := of(all)
		slices.Sort(all)
		for _, q := range []float64{0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1} {
			rank := max(int(math.Ceil(q*float64(len(all))-1e-9)), 1)
			want := all[rank-1].Truncate(time.Microsecond)
			got := h.Quantile(q)
			// Half a bucket, and the microsecond that integers cost.
			if diff := (got - want).Abs(); float64(diff) > float64(want)/32+float64(time.Microsecond) {
				t.Fatalf("quantile %v of %d samples is %v, want %v", q, len(all), got, want)
			}
		}
	}
}

func TestEveryValueFallsIntoABucketAroundIt(t *testing.T) {
	last := -1
	for us := uint64(0); us < 1<<27; us += 1 + us/64 {
		i := bucket(us)
		if i < last || i >= Buckets {
			t.Fatalf("%d us falls into bucket %d after bucket %d", us, i, last)
		}
		last = i
		if us >= 1<<highestBits {
			continue
		}
		if m := middle(i); max(m, us)-min(m, us) > us/32+1 {
			t.Fatalf("%d us is reported as %d us", us, m)
		}
	}
	if last != Buckets-1 {
		t.Errorf("the largest values fall into bucket %d of %d", last, Buckets)
	}
}

func TestNegativeDurationsCountAsZeroAndHugeOnesInTheLastBucket(t *testing.T) {
	h := of([]time.Duration{-time.Second, math.MaxInt64})
	if h.Count() != 2 || h.Min() != 0 || h.Max() != time.Duration(math.MaxInt64).Truncate(time.Microsecond) ||
		h.counts.count(0) != 1 || h.counts.count(Buckets-1) != 1 {
		t.Errorf("count %d, min %v, max %v", h.Count(), h.Min(), h.Max())
	}
}

func TestMergingIsRecordingTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 40 {
		a, b := samples(r, r.IntN(50)), samples(r, r.IntN(50))
		want := of(append(slices.Clone(a), b...))
		left, right := of(a), of(b)
		left.Merge(of(b))
		right.Merge(of(a))
		if diff := cmp.Diff(want, left, exact()); diff != "" {
			t.Fatalf("a with b (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, right, exact()); diff != "" {
			t.Fatalf("b with a (-want +got):\n%s", diff)
		}
	}
}

func TestMergedHistogramIsACopy(t *testing.T) {
	source := of([]time.Duration{time.Millisecond})
	var h Histogram
	h.Merge(source)
	h.Record(time.Second)
	if source.Count() != 1 || source.Quantile(1) != time.Millisecond || source.counts.count(bucket(1_000_000)) != 0 {
		t.Error("recording in a merged histogram changes its source")
	}
}

func TestMergingTheWireFormIsMerging(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 60 {
		a, b := of(samples(r, r.IntN(50))), of(samples(r, r.IntN(50)))
		wire, err := b.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var want, got Histogram
		want.Merge(a)
		want.Merge(b)
		got.Merge(a)
		if err := got.MergeBinary(wire); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, exact()); diff != "" {
			t.Fatalf("a with b (-want +got):\n%s", diff)
		}
	}
}

func TestMergingIsAssociativeAndCommutative(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	merge := func(all ...Histogram) (h Histogram) {
		for _, other := range all {
			h.Merge(other)
		}
		return h
	}
	for range 60 {
		a, b, c := of(samples(r, r.IntN(30))), of(samples(r, r.IntN(30))), of(samples(r, r.IntN(30)))
		want := merge(a, b, c)
		for name, got := range map[string]Histogram{"(ab)c": merge(merge(a, b), c), "a(bc)": merge(a, merge(b, c)),
			"cba": merge(c, b, a)} {
			if diff := cmp.Diff(want, got, exact()); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestCountsBeyond32BitsAreExact(t *testing.T) {
	half := of([]time.Duration{time.Millisecond, time.Second})
	half.counts.add(bucket(1000), math.MaxUint32-1)
	half.n += math.MaxUint32 - 1
	half.sum += 1000 * (math.MaxUint32 - 1)
	var h Histogram
	h.Merge(half)
	h.Merge(half)
	wire, err := h.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var got Histogram
	if err := got.UnmarshalBinary(wire); err != nil {
		t.Fatal(err)
	}
	got.Record(time.Microsecond)
	if n := got.counts.count(bucket(1000)); n != 2*math.MaxUint32 || got.Count() != 2*math.MaxUint32+3 ||
		got.Quantile(0.5).Round(100*time.Microsecond) != time.Millisecond {
		t.Errorf("%d of %d with median %v, want %d of %d", n, got.Count(), got.Quantile(0.5), uint64(2*math.MaxUint32),
			uint64(2*math.MaxUint32+3))
	}
}

func TestFewValuesCloseTogetherTakeLittleRoom(t *testing.T) {
	h := of([]time.Duration{90 * time.Microsecond, 300 * time.Microsecond})
	if n := h.counts.len(); n != 3*perOctave {
		t.Errorf("%d counters for values of three octaves, want %d", n, 3*perOctave)
	}
}

func TestHistogramSurvivesTheWire(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 60 {
		want := of(samples(r, i))
		b, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Histogram
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatalf("%d samples: %v", i, err)
		}
		if diff := cmp.Diff(want, got, exact()); diff != "" {
			t.Fatalf("%d samples as bytes (-want +got):\n%s", i, diff)
		}
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var read Histogram
		if err := read.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, read, exact()); diff != "" {
			t.Fatalf("%d samples as text (-want +got):\n%s", i, diff)
		}
	}
}

func TestForgedHistogramIsRefused(t *testing.T) {
	// version, n, sum, min, max, then gap and count of each bucket.
	cases := map[string][]byte{
		"nothing":                              {},
		"an unknown version":                   {2, 0},
		"a version alone":                      {1},
		"bytes after the end":                  {1, 0, 0},
		"a count without buckets":              {1, 1, 5, 5, 5},
		"a bucket without a count":             {1, 1, 5, 5, 5, 5},
		"an empty bucket":                      {1, 1, 5, 5, 5, 4, 0, 1, 1},
		"a bucket twice":                       {1, 2, 10, 5, 5, 5, 1, 0, 1},
		"a bucket beyond the last":             {1, 1, 5, 5, 5, 0xff, 0x7f, 1},
		"fewer samples than counted":           {1, 2, 10, 5, 5, 5, 1},
		"more samples than counted":            {1, 1, 5, 5, 5, 5, 2},
		"a minimum above the maximum":          {1, 2, 11, 6, 5, 5, 1, 1, 1},
		"a minimum that no bucket has":         {1, 1, 5, 4, 5, 5, 1},
		"a maximum that no bucket has":         {1, 1, 5, 5, 6, 5, 1},
		"a sum below the least possible":       {1, 2, 9, 5, 5, 5, 2},
		"a sum above the largest possible":     {1, 2, 11, 5, 5, 5, 2},
		"a number that is longer than 64 bits": {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"a number that is cut short":           {1, 0x80},
		"a maximum beyond the longest duration": {1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 5,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 5, 1},
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			h := of([]time.Duration{time.Second})
			if err := h.UnmarshalBinary(b); err == nil {
				t.Errorf("accepted as %d samples", h.Count())
			}
			if h.Count() != 1 || h.Max() != time.Second {
				t.Error("the refused bytes have changed the histogram")
			}
		})
	}
	var h Histogram
	if err := h.UnmarshalBinary([]byte{1, 1, 5, 5, 5, 5, 1}); err != nil {
		t.Errorf("the form that the cases spoil is itself refused: %v", err)
	}
	if err := h.UnmarshalText([]byte("no base64!")); err == nil {
		t.Error("text that is not base64 is accepted")
	}
}

func FuzzUnmarshalBinary(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, n := range []int{0, 1, 2, 100} {
		b, err := of(samples(r, n)).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Histogram
		if h.UnmarshalBinary(b) != nil {
			return
		}
		if h.Count() > 0 && (h.Mean() < h.Min() || h.Quantile(0.5) < h.Min() || h.Quantile(0.5) > h.Max()) {
			t.Errorf("accepted bytes %x give mean %v and median %v outside %v to %v", b, h.Mean(), h.Quantile(0.5),
				h.Min(), h.Max())
		}
		written, err := h.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again Histogram
		if err := again.UnmarshalBinary(written); err != nil {
			t.Fatalf("what was accepted once is refused: %v", err)
		}
		if diff := cmp.Diff(h, again, exact()); diff != "" {
			t.Errorf("histogram changed on the way (-first +second):\n%s", diff)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	all := samples(rand.New(rand.NewPCG(15, 16)), 1024)
	h := of(all)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Record(all[i%len(all)])
	}
}

func BenchmarkMergeBinary(b *testing.B) {
	wire, err := of(samples(rand.New(rand.NewPCG(17, 18)), 600)).MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	var h Histogram
	b.ReportAllocs()
	for b.Loop() {
		if err := h.MergeBinary(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAllYieldsTheMiddlesOfTheBucketsWithinMinAndMax(t *testing.T) {
	var h Histogram
	for _, us := range []int{5, 100, 101, 5000} {
		h.Record(time.Duration(us) * time.Microsecond)
	}
	type bucket struct {
		Middle time.Duration
		N      uint64
	}
	var got []bucket
	for middle, n := range h.All() {
		got = append(got, bucket{middle, n})
	}
	want := []bucket{{5 * time.Microsecond, 1}, {102 * time.Microsecond, 2}, {4992 * time.Microsecond, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range h.All() {
		return
	}
	t.Error("a histogram with values yields nothing")
}
