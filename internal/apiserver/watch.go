package apiserver

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/watch"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
)

// stream is one watch.
type stream struct {
	rest    *reportREST
	options metainternalversion.ListOptions
	events  chan watch.Event
	cancel  context.CancelFunc
}

// ResultChan is where events come; it is closed when the watch is over.
func (s *stream) ResultChan() <-chan watch.Event { return s.events }

// Stop ends the watch.
func (s *stream) Stop() { s.cancel() }

// Watch follows the reports that the selectors match. A report whose round cannot be read in time is not among the
// first ones; it comes as an event as soon as its round is read. Without a resource version it begins with all there
// are; from one that the server no longer knows it fails with Expired, upon which clients list again.
func (r *reportREST) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	if wantsRounds(options.FieldSelector) {
		return nil, apierrors.NewBadRequest("stored rounds do not change; watch the reports of tasks, without a " +
			"selector of " + fieldTask + " or " + fieldNumber)
	}
	from, err := parseVersion(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	wantInitial := from == 0
	if options.SendInitialEvents != nil {
		wantInitial = *options.SendInitialEvents
	}
	if wantInitial || from == 0 {
		// What is there is waited for, within bounds. Later changes come as events anyway.
		refreshed := r.hub.refresh(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := r.hub.checkTasks(ctx, refreshed); err != nil {
			return nil, err
		}
	}
	initial, now := r.hub.reported()
	switch {
	case wantInitial || from == 0:
		from = now
	default:
		if _, _, ok := r.hub.since(from); !ok {
			return nil, expired(from)
		}
	}
	if !wantInitial {
		initial = nil
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{rest: r, options: *options, events: make(chan watch.Event), cancel: cancel}
	started := r.hub.start(func() {
		defer close(s.events)
		defer cancel()
		s.pump(ctx, initial, from)
	})
	if !started {
		cancel()
		return nil, apierrors.NewServiceUnavailable("the server is shutting down")
	}
	return s, nil
}

func expired(version uint64) *apierrors.StatusError {
	return apierrors.NewResourceExpired(fmt.Sprintf("this server does not know resourceVersion %d", version))
}

// pump sends what is there, then what changes.
func (s *stream) pump(ctx context.Context, initial []entry, from uint64) {
	for _, e := range initial {
		if matches(e, &s.options) && !s.sendReport(ctx, watch.Added, e) {
			return
		}
	}
	if s.options.SendInitialEvents != nil && *s.options.SendInitialEvents && s.options.AllowWatchBookmarks {
		mark := &systemv1beta1.KdoctorReport{TypeMeta: render.Bare(render.ReportedTask{}).TypeMeta,
			ObjectMeta: bookmark(from, true)}
		if !s.send(ctx, watch.Event{Type: watch.Bookmark, Object: mark}) {
			return
		}
	}
	for {
		events, more, ok := s.rest.hub.since(from)
		if !ok {
			status := expired(from).Status()
			s.send(ctx, watch.Event{Type: watch.Error, Object: &status})
			return
		}
		for _, ev := range events {
			from = ev.version
			e := entry{wanted: ev.task, task: ev.task, version: ev.version}
			if matches(e, &s.options) && !s.sendReport(ctx, ev.kind, e) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.rest.hub.stopped:
			return
		case <-more:
		}
	}
}

// sendReport sends one report as it is now; it is false when the watch is over.
// One whose round is gone meanwhile is passed over: the event that says so is on its way.
func (s *stream) sendReport(ctx context.Context, kind watch.EventType, e entry) bool {
	if kind == watch.Deleted {
		report := render.Bare(e.task)
		report.ResourceVersion = text(e.version)
		return s.send(ctx, watch.Event{Type: kind, Object: report})
	}
	// A watch outlives many requests: what it waited for at one event does not count at the next one.
	report, _, err := s.rest.object(withAllowance(ctx), e)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		var told apierrors.APIStatus
		if !errors.As(err, &told) {
			told = apierrors.NewInternalError(err)
		}
		status := told.Status()
		s.send(ctx, watch.Event{Type: watch.Error, Object: &status})
		return false
	}
	if report == nil {
		return true
	}
	return s.send(ctx, watch.Event{Type: kind, Object: report})
}

func (s *stream) send(ctx context.Context, e watch.Event) bool {
	select {
	case s.events <- e:
		return true
	case <-ctx.Done():
		return false
	case <-s.rest.hub.stopped:
		return false
	}
}
