package apiserver

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
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
	genericapiserver "k8s.io/apiserver/pkg/server"
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
		return nil, apierrors.NewInternalError(refreshed)
	case !ok:
		return nil, apierrors.NewNotFound(groupResource(), name)
	case e.err != nil:
		return nil, unreadable(name, e.err)
	case !e.visible:
		return nil, unfinished(name, e.task)
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
	return apierrors.NewInternalError(fmt.Errorf("the latest round of %s cannot be read: %w", name, err))
}

// unfinished is NotFound with the reason: the task is there, its first round is not over.
func unfinished(name string, task render.ReportedTask) error {
	err := apierrors.NewNotFound(groupResource(), name)
	err.ErrStatus.Message += fmt.Sprintf(": no round of %s %s is finished yet", task.Kind, task.Name)
	return err
}

// full returns the whole report and its size in JSON; nil when its round is gone. The report's spec is shared.
func (r *reportREST) full(ctx context.Context, e entry) (*systemv1beta1.KdoctorReport, int, error) {
	if e.err != nil {
		return nil, 0, unreadable(e.name(), e.err)
	}
	seen, ok := r.hub.objects.get(e.task.UID)
	if !ok {
		var err error
		if seen, err = r.hub.objects.render(ctx, func(ctx context.Context) (rendered, error) {
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
// left out and logged. It is one report a task, unless the selectors ask for stored rounds.
func (r *reportREST) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	if err := r.hub.refresh(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "Some reports are left out of the list")
	}
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	entries, version := r.hub.reported()
	if wantsRounds(options.FieldSelector) {
		return r.listRounds(ctx, options, version)
	}
	after, err := continued(options.Continue)
	if err != nil {
		return nil, err
	}
	list := &systemv1beta1.KdoctorReportList{ListMeta: metav1.ListMeta{ResourceVersion: text(version)},
		Items: []systemv1beta1.KdoctorReport{}}
	bytes := 0
	for _, e := range entries {
		if e.name() <= after || !matches(e, options) {
			continue
		}
		if n := int64(len(list.Items)); options.Limit > 0 && n > 0 && (n >= options.Limit || bytes > maxAnswer) {
			list.Continue = base64.RawURLEncoding.EncodeToString([]byte(list.Items[n-1].Name))
			break
		}
		report, size, err := r.object(ctx, e)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || report == nil {
			klog.FromContext(ctx).Info("A report is left out of the list", "report", e.name(), "reason", err)
			continue
		}
		if bytes > maxAnswer && size > 0 {
			render.Lighten(report)
		}
		bytes += size
		list.Items = append(list.Items, *report)
	}
	return list, nil
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

// lineKey marks the context of a request whose answer is a table or metadata alone.
type lineKey struct{}

func lineIsEnough(ctx context.Context) bool { return ctx.Value(lineKey{}) != nil }

// handlerChain is the library's chain, with the form of the answer that the caller likes best put into the context.
func handlerChain(api http.Handler, config *genericapiserver.Config) http.Handler {
	marked := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if wantsLine(req) {
			req = req.WithContext(context.WithValue(req.Context(), lineKey{}, true))
		}
		api.ServeHTTP(w, req)
	})
	return genericapiserver.DefaultBuildHandlerChain(marked, config)
}

// wantsLine reads the first choice of the Accept header.
func wantsLine(req *http.Request) bool {
	first, _, _ := strings.Cut(req.Header.Get("Accept"), ",")
	include := req.URL.Query().Get("includeObject")
	for parameter := range strings.SplitSeq(first, ";") {
		switch strings.TrimSpace(parameter) {
		case "as=Table":
			return include != string(metav1.IncludeObject)
		case "as=PartialObjectMetadataList", "as=PartialObjectMetadata":
			return true
		}
	}
	return false
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
