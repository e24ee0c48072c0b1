package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"kdoctor.io/kdoctor/internal/stats"
)

// nativeSchema is the resolution of native histograms: eight buckets for each power of two, as fine as ours are.
const nativeSchema = 3

// bounds are the upper bounds of the classic buckets in seconds.
func bounds() []float64 {
	return []float64{0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10}
}

// latencies is a histogram with classic buckets and native ones.
type latencies struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	of     stats.Histogram
}

func (l latencies) Desc() *prometheus.Desc { return l.desc }

// Write fills in both forms. The middle of one of our buckets stands for all its values: each is off by 3.2 % at most.
func (l latencies) Write(out *dto.Metric) error {
	out.Label = l.labels
	h := &dto.Histogram{SampleCount: new(l.of.Count()), SampleSum: new(l.of.Sum().Seconds()),
		Schema: new(int32(nativeSchema)), ZeroThreshold: new(0.5e-6), ZeroCount: new(uint64(0))}
	var native nativeBuckets
	upper := bounds()
	classic := make([]uint64, len(upper)+1)
	for middle, n := range l.of.All() {
		seconds := middle.Seconds()
		at := 0
		for at < len(upper) && seconds > upper[at] {
			at++
		}
		classic[at] += n
		if middle < time.Microsecond {
			*h.ZeroCount += n
			continue
		}
		native.add(int32(math.Ceil(math.Log2(seconds)*(1<<nativeSchema))), n)
	}
	var sum uint64
	for i, bound := range upper {
		sum += classic[i]
		h.Bucket = append(h.Bucket, &dto.Bucket{CumulativeCount: new(sum), UpperBound: new(bound)})
	}
	h.PositiveSpan, h.PositiveDelta = native.spans, native.deltas
	if len(h.PositiveSpan) == 0 {
		// A span marks a histogram without observations as a native one.
		h.PositiveSpan = []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(0))}}
	}
	out.Histogram = h
	return nil
}

// nativeBuckets are native buckets in the form of the exposition: runs of buckets, and the difference of each count
// from the count before. Buckets are added in ascending order.
type nativeBuckets struct {
	spans  []*dto.BucketSpan
	deltas []int64
	// next is the index behind the last bucket, before the count of the last bucket.
	next   int32
	before int64
}

func (b *nativeBuckets) add(index int32, n uint64) {
	count := int64(n) // #nosec G115 -- requests of all rounds
	switch last := len(b.deltas) - 1; {
	case last >= 0 && index == b.next-1:
		b.deltas[last] += count
		b.before += count
		return
	case last < 0 || index > b.next:
		b.spans = append(b.spans, &dto.BucketSpan{Offset: new(index - b.next), Length: new(uint32(0))})
	}
	*b.spans[len(b.spans)-1].Length++
	b.deltas = append(b.deltas, count-b.before)
	b.next, b.before = index+1, count
}
