package apiserver

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
)

// maxAnswer is the number of bytes, in JSON, beyond which no further report is added to a page of a list. In a list
// without a limit further reports come without their paths.
const maxAnswer = 8 << 20

// reportREST serves kdoctorreports. These are all the verbs there are; whatever else a caller tries is not allowed.
type reportREST struct{ hub *hub }

var _ interface {
	rest.Storage
	rest.Scoper
	rest.SingularNameProvider
	rest.CategoriesProvider
	rest.Getter
	rest.Lister
	rest.Watcher
} = (*reportREST)(nil)

// resources is the table of what is served.
func resources(state *hub) map[string]rest.Storage {
	return map[string]rest.Storage{"kdoctorreports": &reportREST{hub: state}, "kdoctorpaths": &pathREST{hub: state}}
}

func groupResource() schema.GroupResource {
	return systemv1beta1.GroupVersion().WithResource("kdoctorreports").GroupResource()
}

// New returns an empty report.
func (*reportREST) New() runtime.Object { return &systemv1beta1.KdoctorReport{} }

// NewList returns an empty list.
func (*reportREST) NewList() runtime.Object { return &systemv1beta1.KdoctorReportList{} }

// Destroy has nothing to give back.
func (*reportREST) Destroy() {}

// NamespaceScoped is false: tasks belong to the cluster and so do their reports.
func (*reportREST) NamespaceScoped() bool { return false }

// GetSingularName is the name of one.
func (*reportREST) GetSingularName() string { return "kdoctorreport" }

// Categories lets "kubectl get kdoctor" find reports.
func (*reportREST) Categories() []string { return []string{"kdoctor"} }

// Get returns the report of one task's latest round, or a stored round by its own name, or NotFound.
func (r *reportREST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	if strings.Contains(name, ":") {
		return r.getRound(ctx, name)
	}
	refreshed := r.hub.refreshOne(ctx, name)
	e, ok := r.hub.find(name)
	switch {
	case !ok && refreshed != nil:
		return nil, failure(refreshed)
	case !ok:
		return nil, apierrors.NewNotFound(groupResource(), name)
	case !e.visible && refreshed != nil, e.err != nil && !e.known():
		return nil, unreadable(name, cmp.Or(e.err, refreshed))
	case !e.visible:
		return nil, unfinished(name, e.task)
	case refreshed != nil:
		warn(ctx, "%s is as it was seen last, and a newer round may be stored: %v", name, refreshed)
	}
	report, _, err := r.object(ctx, e)
	if err == nil && report == nil {
		return nil, unfinished(name, e.task)
	}
	if err != nil {
		return nil, err
	}
	return report, nil
}

func unreadable(name string, err error) error {
	return failure(fmt.Errorf("the latest round of %s cannot be read: %w", name, err))
}

// unfinished is NotFound with the reason: the task is there, its first round is not over.
func unfinished(name string, task render.ReportedTask) error {
	err := apierrors.NewNotFound(groupResource(), name)
	err.ErrStatus.Message += fmt.Sprintf(": no round of %s %s is finished yet", task.Kind, task.Name)
	return err
}

// full returns the whole report and its size in JSON; nil when its round is gone. The report's spec is shared.
func (r *reportREST) full(ctx context.Context, e entry) (*systemv1beta1.KdoctorReport, int, error) {
	if e.err != nil && !e.known() {
		return nil, 0, unreadable(e.name(), e.err)
	}
	seen, ok := r.hub.objects.get(e.task.UID)
	if !ok {
		var err error
		same := fmt.Sprintf("latest/%s/%d", e.task.UID, e.version)
		if seen, err = share(ctx, &r.hub.flights, latestSubject(e.task.UID), same,
			func(ctx context.Context) (rendered, error) {
				if seen, ok := r.hub.objects.get(e.task.UID); ok {
					return seen, nil
				}
				return r.hub.readLatest(ctx, e.task)
			}); err != nil {
			return nil, 0, unreadable(e.name(), err)
		}
		r.hub.remember(e, seen)
	}
	if seen.object == nil {
		return nil, 0, nil
	}
	report := *seen.object
	report.ResourceVersion = text(e.version)
	return &report, seen.bytes, nil
}

// object renders the report as far as the caller will see it: for a table or for metadata alone no round needs to be
// read.
func (r *reportREST) object(ctx context.Context, e entry) (*systemv1beta1.KdoctorReport, int, error) {
	if !lineIsEnough(ctx) {
		return r.full(ctx, e)
	}
	report := render.Bare(e.task)
	report.ResourceVersion = text(e.version)
	return report, 0, nil
}

// List returns the reports that the selectors match, by name, at most Limit at a time. A report that cannot be read is
// left out, and a warning says so. It is one report a task, unless the selectors ask for stored rounds.
func (r *reportREST) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	if wantsRounds(options.FieldSelector) {
		return r.listRounds(ctx, options)
	}
	after, err := continued(options.Continue)
	if err != nil {
		return nil, err
	}
	refreshed := r.hub.refresh(ctx)
	if err := r.hub.checkTasks(ctx, refreshed); err != nil {
		return nil, err
	}
	entries, version := r.hub.all()
	list := &systemv1beta1.KdoctorReportList{ListMeta: metav1.ListMeta{ResourceVersion: text(version)},
		Items: []systemv1beta1.KdoctorReport{}}
	lacks := shortfall{stale: refreshed != nil}
	bytes := 0
	for _, e := range entries {
		if e.name() <= after || !matches(e, options) || !e.visible && e.err == nil {
			continue
		}
		if n := int64(len(list.Items)); options.Limit > 0 && n > 0 && (n >= options.Limit || bytes > maxAnswer) {
			list.Continue = base64.RawURLEncoding.EncodeToString([]byte(list.Items[n-1].Name))
			break
		}
		report, size, err := r.item(ctx, e, &lacks)
		if err != nil {
			return nil, err
		}
		if report == nil {
			continue
		}
		if bytes > maxAnswer && size > 0 {
			render.Lighten(report)
			lacks.light++
		}
		bytes += size
		list.Items = append(list.Items, *report)
	}
	lacks.warn(ctx)
	return list, nil
}

// item returns the report of one entry of a list, and nil for one that has none or cannot be read. It fails when the
// caller is gone.
func (r *reportREST) item(ctx context.Context, e entry, lacks *shortfall) (*systemv1beta1.KdoctorReport, int, error) {
	report, size, err := (*systemv1beta1.KdoctorReport)(nil), 0, e.err
	if e.visible {
		report, size, err = r.object(ctx, e)
	}
	switch {
	case ctx.Err() != nil:
		return nil, 0, ctx.Err()
	case err != nil:
		klog.FromContext(ctx).Info("A report is left out of the list", "report", e.name(), "reason", err)
		lacks.miss(e.name(), err)
		return nil, 0, nil
	case report != nil && lacks.stale && (e.err != nil || e.look != nil):
		lacks.outdated = append(lacks.outdated, e.name())
	}
	return report, size, nil
}

func continued(token string) (after string, err error) {
	name, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", apierrors.NewBadRequest("the continue token is not one of this server's")
	}
	return string(name), nil
}

// matches holds an entry against the selectors.
func matches(e entry, options *metainternalversion.ListOptions) bool {
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labelsOfReports()) {
		return false
	}
	return options.FieldSelector == nil || options.FieldSelector.Matches(fieldsOf(e))
}

// labelsOfReports are none.
func labelsOfReports() labels.Set { return labels.Set{} }

func fieldsOf(e entry) fields.Set {
	return fields.Set{fieldName: e.name(), "metadata.namespace": "", fieldTask: e.task.Name, fieldKind: e.task.Kind}
}

// parseVersion reads a resource version; none and 0 mean whatever there is.
func parseVersion(version string) (uint64, error) {
	if version == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion %q is not a number", version))
	}
	return v, nil
}
