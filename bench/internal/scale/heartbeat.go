package scale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/bench/internal/fleet"
)

// Heartbeat is what was measured of many rounds, one a minute.
type Heartbeat struct {
	Rounds int `json:"Rounds"`
	// Memory is the peak of the controller's resident memory in each round, in bytes.
	Memory []uint64 `json:"Memory"`
	// Stored is how many bytes all stored rounds take at the end, MostStored the bound that the chart sets.
	Stored     uint64 `json:"Stored"`
	MostStored uint64 `json:"MostStored"`
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

// heartbeat runs the rounds.
func (b *bed) heartbeat(ctx context.Context, rounds int) (Result, error) {
	r := Result{Nodes: b.options.Nodes, Fault: fleet.Healthy, Heartbeat: &Heartbeat{MostStored: b.chart.mostStored()}}
	every := "0 1"
	task := taskOf(b.options.Nodes, fleet.Healthy)
	task.ObjectMeta = metav1.ObjectMeta{Name: "scale-heartbeat"}
	task.Spec.Schedule = &v1beta1.Schedule{Schedule: &every, RoundNumber: int64(rounds), RoundTimeoutMinute: 1}
	if err := b.cluster.api.Create(ctx, task); err != nil {
		return r, fmt.Errorf("make the task: %w", err)
	}
	defer func() { _ = b.cluster.api.Delete(context.WithoutCancel(ctx), task) }()
	for done := range rounds {
		if err := b.beat(ctx, task, int64(done)+1); err != nil {
			r.Lost, r.Killed = errors.Join(err, b.lastWords()).Error(), b.group.kills()
			return r, ctx.Err()
		}
		peak, err := b.controller.memory("VmHWM")
		if err != nil {
			return r, err
		}
		r.Heartbeat.Rounds, r.Heartbeat.Memory = done+1, append(r.Heartbeat.Memory, peak)
		r.Peak = max(r.Peak, peak)
		b.say("round %d of %d: peak %s", done+1, rounds, mega(peak))
		if err := b.controller.resetPeak(); err != nil {
			return r, err
		}
	}
	r.Outcome = string(task.Status.History[len(task.Status.History)-1].Status)
	var err error
	r.Heartbeat.Stored, err = stored(filepath.Join(b.reports, string(task.UID)))
	return r, err
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
