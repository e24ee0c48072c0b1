package scale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/bench/internal/fleet"
	"kdoctor.io/kdoctor/internal/kind"
)

// Heartbeat is what was measured of many rounds, one right after the other.
type Heartbeat struct {
	Rounds int `json:"Rounds"`
	// Seconds is how long all rounds took together.
	Seconds float64 `json:"Seconds"`
	// Memory is the peak of the controller's resident memory in each round, in bytes.
	Memory []uint64 `json:"Memory"`
	// StoredAfter is how many bytes all stored rounds take after each round, Stored is that of the end, MostStored the
	// bound that the chart sets.
	StoredAfter []uint64 `json:"StoredAfter"`
	Stored      uint64   `json:"Stored"`
	MostStored  uint64   `json:"MostStored"`
	// Kept is how many rounds the controller is told to keep.
	Kept int `json:"Kept"`
}

// Growth is by which factor the memory grew from the second tenth of the rounds to the last: the first tenth is the
// controller's start.
func (h Heartbeat) Growth() float64 {
	tenth := len(h.Memory) / 10
	if tenth == 0 {
		return 1
	}
	return float64(median(h.Memory[len(h.Memory)-tenth:])) / float64(max(1, median(h.Memory[tenth:2*tenth])))
}

func median(of []uint64) uint64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// Slope is how many bytes the memory grows in a round, by the line that fits all rounds but the first tenth best.
func (h Heartbeat) Slope() float64 {
	of := h.Memory[len(h.Memory)/10:]
	middle, mean := float64(len(of)-1)/2, 0.0
	for _, bytes := range of {
		mean += float64(bytes) / float64(len(of))
	}
	var both, square float64
	for i, bytes := range of {
		both += (float64(i) - middle) * (float64(bytes) - mean)
		square += (float64(i) - middle) * (float64(i) - middle)
	}
	if square == 0 {
		return 0
	}
	return both / square
}

// StoreGrowth is by which factor the store grew since as many rounds were stored as are kept, and a tenth more.
func (h Heartbeat) StoreGrowth() float64 {
	full := h.Kept + h.Kept/10
	if full >= len(h.StoredAfter) {
		return 1
	}
	return float64(h.Stored) / float64(max(1, h.StoredAfter[full]))
}

// keptOf is how many of so many rounds of a heartbeat are to be kept: half of them, so that the other half shows what
// the store does when it is full.
func keptOf(rounds int) int { return max(1, rounds/2) }

// heartbeatTask is a task of the least load, whose rounds are asked for one by one.
func heartbeatTask() *v1beta1.NetReach {
	return &v1beta1.NetReach{ObjectMeta: metav1.ObjectMeta{Name: "scale-heartbeat"},
		Spec: v1beta1.NetReachSpec{Schedule: &v1beta1.Schedule{RoundTimeoutMinute: 1},
			Request: &v1beta1.HTTPRequest{DurationInSecond: 1, QPS: 1}}}
}

// heartbeat runs the rounds.
func (b *bed) heartbeat(ctx context.Context, rounds int) (Result, error) {
	r := Result{Nodes: b.options.Nodes, Fault: fleet.Healthy,
		Heartbeat: &Heartbeat{MostStored: b.chart.mostStored(), Kept: keptOf(rounds)}}
	task, began := heartbeatTask(), time.Now()
	if err := b.cluster.api.Create(ctx, task); err != nil {
		return r, fmt.Errorf("make the task: %w", err)
	}
	defer func() { _ = b.cluster.api.Delete(context.WithoutCancel(ctx), task) }()
	for done := range rounds {
		err := b.ask(ctx, task, done)
		if err == nil {
			err = b.beat(ctx, task, int64(done)+1)
		}
		if err != nil {
			r.Lost, r.Killed = errors.Join(err, b.lastWords()).Error(), b.group.kills()
			return r, ctx.Err()
		}
		if err := b.note(&r, string(task.UID)); err != nil {
			return r, err
		}
		if newest := task.Status.History[0]; newest.Status != v1beta1.RecordSucceed {
			r.Outcome = cmp.Or(r.Outcome, fmt.Sprintf("round %d: %s", newest.RoundNumber, newest.Status))
			r.FirstReason = cmp.Or(r.FirstReason, newest.FailureReason)
			r.Reasons++
		}
	}
	r.Heartbeat.Seconds = since(began, time.Now())
	r.Outcome = cmp.Or(r.Outcome, string(v1beta1.RecordSucceed))
	return r, nil
}

// ask asks for one more round; the first one comes by itself.
func (b *bed) ask(ctx context.Context, task *v1beta1.NetReach, done int) error {
	if done == 0 {
		return nil
	}
	patch := client.MergeFrom(task.DeepCopy())
	task.Annotations = map[string]string{kind.RunNow: strconv.Itoa(done + 1)}
	if err := b.cluster.api.Patch(ctx, task, patch); err != nil {
		return fmt.Errorf("ask for round %d: %w", done+1, err)
	}
	return nil
}

// note notes what one more round took.
func (b *bed) note(r *Result, uid string) error {
	h := r.Heartbeat
	peak, err := b.controller.memory("VmHWM")
	if err != nil {
		return err
	}
	if h.Stored, err = stored(filepath.Join(b.reports, uid)); err != nil {
		return err
	}
	h.Memory, h.StoredAfter = append(h.Memory, peak), append(h.StoredAfter, h.Stored)
	h.Rounds, r.Peak = len(h.Memory), max(r.Peak, peak)
	if h.Rounds%10 == 0 {
		b.say("round %d: peak %s, stored %s", h.Rounds, mega(peak), mega(h.Stored))
	}
	return b.controller.resetPeak()
}

// beat waits until so many rounds are over.
func (b *bed) beat(ctx context.Context, task *v1beta1.NetReach, rounds int64) error {
	ctx, cancel := context.WithTimeout(ctx, b.options.Limit)
	defer cancel()
	return until(ctx, func() error {
		if err := b.alive(); err != nil {
			cancel()
			return err
		}
		if err := b.cluster.api.Get(ctx, client.ObjectKeyFromObject(task), task); err != nil {
			return err
		}
		if task.Status.DoneRound == nil || *task.Status.DoneRound < rounds {
			return errOngoing
		}
		return nil
	})
}

// mostStored is how many bytes all reports together may take by the chart's flags; 0 without a bound.
func (d deployment) mostStored() uint64 {
	for _, arg := range d.args {
		if text, ok := strings.CutPrefix(arg, "--report-max-size="); ok {
			if size, err := resource.ParseQuantity(cmp.Or(text, "0")); err == nil {
				return uint64(size.Value()) // #nosec G115 -- the controller refuses less than nothing
			}
		}
	}
	return 0
}
