package apiserver

import (
	lru "container/list"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
)

const (
	// maxObjects bounds the bytes, in JSON, of the rendered reports that are remembered.
	maxObjects = 8 << 20
	// atOnce is how many rounds are read and rendered at the same time: each may take much memory. mostHung is how many
	// more may be under way that took longer than hungAfter: a read that hangs must not keep others from reading.
	atOnce, mostHung = 2, 2
)

// rendered is a report as it was rendered. Nobody may change the object: all who asked for it share it.
type rendered struct {
	object *systemv1beta1.KdoctorReport
	facts  render.Facts
	bytes  int
}

func newRendered(object *systemv1beta1.KdoctorReport, facts render.Facts) rendered {
	r := rendered{object: object, facts: facts}
	if text, err := json.Marshal(r.object); err == nil {
		r.bytes = len(text)
	}
	return r
}

// objects remembers the reports that were rendered last, one per task.
type objects struct {
	slots, hung chan struct{}

	mu    sync.Mutex
	bytes int
	// order has the entries of byUID, the one that was used last in front.
	order *lru.List
	byUID map[string]*lru.Element
}

type remembered struct {
	uid string
	rendered
}

func newObjects() objects {
	return objects{slots: make(chan struct{}, atOnce), hung: make(chan struct{}, mostHung), order: lru.New(),
		byUID: map[string]*lru.Element{}}
}

// render runs a function that reads and renders a round, as soon as there is a slot for it.
func (o *objects) render(ctx context.Context, do func(context.Context) (rendered, error)) (rendered, error) {
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return rendered{}, fmt.Errorf("wait for other rounds to be read: %w", ctx.Err())
	}
	var mu sync.Mutex
	slot, over := o.slots, false
	late := time.AfterFunc(hungAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		select {
		case o.hung <- struct{}{}:
			<-o.slots
			slot = o.hung
		default:
		}
	})
	defer func() {
		late.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
		<-slot
	}()
	return do(ctx)
}

// get returns the task's report, if it is remembered.
func (o *objects) get(uid string) (rendered, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.byUID[uid]
	if !ok {
		return rendered{}, false
	}
	o.order.MoveToFront(at)
	return at.Value.(*remembered).rendered, true //nolint:forcetypeassert // the list holds nothing else
}

// put remembers the task's report, and forgets those that were not used for the longest time.
func (o *objects) put(uid string, r rendered) {
	o.drop(uid)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.byUID[uid] = o.order.PushFront(&remembered{uid: uid, rendered: r})
	o.bytes += r.bytes
	for o.bytes > maxObjects && o.order.Len() > 1 {
		o.remove(o.order.Back())
	}
}

// drop forgets the task's report.
func (o *objects) drop(uid string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at, ok := o.byUID[uid]; ok {
		o.remove(at)
	}
}

func (o *objects) remove(at *lru.Element) {
	old := o.order.Remove(at).(*remembered) //nolint:forcetypeassert // the list holds nothing else
	delete(o.byUID, old.uid)
	o.bytes -= old.bytes
}

// update puts what changed of the task into its report, if it is remembered.
func (o *objects) update(task render.ReportedTask, facts render.Facts) {
	if r, ok := o.get(task.UID); ok {
		r.object = render.Update(r.object, task, facts)
		o.put(task.UID, r)
	}
}
