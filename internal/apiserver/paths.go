package apiserver

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/registry/rest"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// The fields by which paths are selected.
const (
	pathReport = "report"
	pathNode   = "node"
	pathTarget = "target"
	pathKind   = "kind"
	pathResult = "result"
)

// maxPaths is how many paths one answer holds at most, at some 2 kB each.
const maxPaths = 500

// pathREST serves kdoctorpaths: the single paths of one report at a time. They can be listed only.
type pathREST struct{ hub *hub }

var _ interface {
	rest.Storage
	rest.Scoper
	rest.SingularNameProvider
	rest.Lister
} = (*pathREST)(nil)

// New returns an empty path.
func (*pathREST) New() runtime.Object { return &systemv1beta1.KdoctorPath{} }

// NewList returns an empty list.
func (*pathREST) NewList() runtime.Object { return &systemv1beta1.KdoctorPathList{} }

// Destroy has nothing to give back.
func (*pathREST) Destroy() {}

// NamespaceScoped is false, as it is for reports.
func (*pathREST) NamespaceScoped() bool { return false }

// GetSingularName is the name of one.
func (*pathREST) GetSingularName() string { return "kdoctorpath" }

// pathLabel says by which fields paths are selected; the case of letters does not matter.
func pathLabel(label, value string) (internalLabel, internalValue string, err error) {
	for _, known := range []string{pathReport, pathNode, pathTarget, pathKind, pathResult} {
		if strings.EqualFold(label, known) {
			return known, value, nil
		}
	}
	return "", "", fmt.Errorf("paths are not selected by %q, but by %s, %s, %s, %s and %s", label, pathReport, pathNode,
		pathTarget, pathKind, pathResult)
}

// query is what a selector asks for.
type query struct {
	// report is the name of a report, or of a stored round.
	report string
	// node is the only node whose agent is asked for; empty for all.
	node         string
	requirements fields.Requirements
}

func parseQuery(selector fields.Selector) (query, error) {
	if selector == nil {
		selector = fields.Everything()
	}
	q := query{requirements: selector.Requirements()}
	var ok bool
	if q.report, ok = selector.RequiresExactMatch(pathReport); !ok {
		return query{}, apierrors.NewBadRequest("paths are listed of one report at a time; name it in the field " +
			"selector, such as report=netreach-task for the latest round of the NetReach task, or " +
			"report=netreach-task:3")
	}
	q.node, _ = selector.RequiresExactMatch(pathNode)
	return q, nil
}

// holds reports whether all requirements about the field hold, where is says whether the field has a value.
func (q query) holds(field string, is func(value string) bool) bool {
	return !slices.ContainsFunc(q.requirements, func(r fields.Requirement) bool {
		return r.Field == field && is(r.Value) != (r.Operator != selection.NotEquals)
	})
}

func (q query) wantsNode(node string) bool {
	return q.holds(pathNode, func(v string) bool { return v == node })
}

func (q query) wantsKind(kind string) bool {
	return q.holds(pathKind, func(v string) bool { return strings.EqualFold(v, kind) })
}

// wants holds a path against the selector. A target is named by its own name, its pod or its node.
func (q query) wants(c render.Chosen) bool {
	return q.wantsKind(c.Kind) &&
		q.holds(pathResult, func(v string) bool { return strings.EqualFold(v, string(c.Result)) }) &&
		q.holds(pathTarget, func(v string) bool {
			return v != "" && (v == c.Target || v == c.TargetPod || v == c.TargetNode)
		})
}

// wantsSums reports whether the paths that are known by their sums alone are asked for.
func (q query) wantsSums() bool {
	return q.node != "" && !slices.ContainsFunc(q.requirements, func(r fields.Requirement) bool {
		return r.Field == pathTarget || r.Field == pathResult
	})
}

// place is where a page begins: in which round, at which agent, and how many of the agent's paths were told before.
// Rounds do not change, so a place stays where it is.
type place struct {
	Report string       `json:"r"`
	Key    schedule.Key `json:"k"`
	Pod    string       `json:"a"`
	Told   int          `json:"t"`
}

func (p place) token() string {
	text, err := json.Marshal(p)
	if err != nil {
		return "" // strings and numbers can always be encoded
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func placeOf(token string) (place, error) {
	var p place
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil || p.Told < 0 {
		return place{}, apierrors.NewBadRequest("the continue token is not one of this server's")
	}
	return p, nil
}

// List returns the paths that the selector matches, agent by agent, at most Limit and at most 500 at a
// time. All pages are of the same round, also when a newer one is over meanwhile.
func (r *pathREST) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	q, err := parseQuery(options.FieldSelector)
	if err != nil {
		return nil, err
	}
	e, at, err := r.begin(ctx, q, options.Continue)
	if err != nil {
		return nil, err
	}
	limit := maxPaths
	if options.Limit > 0 {
		limit = int(min(options.Limit, maxPaths))
	}
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labelsOfReports()) {
		return &systemv1beta1.KdoctorPathList{ListMeta: metav1.ListMeta{ResourceVersion: text(e.version)},
			Items: []systemv1beta1.KdoctorPath{}}, nil
	}
	list, err := r.read(ctx, page{query: q, entry: e, at: at, limit: limit})
	if err != nil {
		return nil, err
	}
	if options.Limit == 0 && list.Continue != "" {
		warn(ctx, "these are the first %d paths of the report; ask for the others with the continue token", limit)
	}
	return list, nil
}

// begin finds the task of the report that is asked for, and the place where the page begins.
func (r *pathREST) begin(ctx context.Context, q query, token string) (entry, place, error) {
	name, generation, number, stored := namedRound(q.report)
	if !stored {
		name = q.report
	}
	e, err := r.hub.findTask(ctx, name, q.report)
	if err != nil {
		return entry{}, place{}, err
	}
	if token != "" {
		at, err := placeOf(token)
		if err == nil && (at.Report != q.report || at.Key.UID != e.task.UID) {
			err = apierrors.NewBadRequest("the continue token is of another report")
		}
		return e, at, err
	}
	if !stored {
		return r.latest(ctx, name)
	}
	keys, err := r.hub.roundsOf(ctx, e)
	if err != nil {
		return entry{}, place{}, failure(err)
	}
	for _, key := range slices.Backward(keys) {
		if key.Round == number && (generation == 0 || key.Generation == generation) {
			return e, place{Report: q.report, Key: key}, nil
		}
	}
	return entry{}, place{}, notStored(q.report, e.task, keys)
}

// latest is where the latest round of a report begins.
func (r *pathREST) latest(ctx context.Context, name string) (entry, place, error) {
	refreshed := r.hub.refreshOne(ctx, name)
	e, ok := r.hub.find(name)
	switch {
	case !ok:
		return entry{}, place{}, apierrors.NewNotFound(groupResource(), name) // it went meanwhile
	case !e.visible && refreshed != nil, e.err != nil && !e.known():
		return entry{}, place{}, unreadable(name, cmp.Or(e.err, refreshed))
	case !e.visible:
		return entry{}, place{}, unfinished(name, e.task)
	case refreshed != nil:
		warn(ctx, "these are paths of round %d, and a newer one may be stored: %v", e.round.Key.Round, refreshed)
	}
	return e, place{Report: name, Key: e.round.Key}, nil
}

// page is what one answer is made of.
type page struct {
	query
	entry
	at    place
	limit int
}

// read returns the page. All callers who ask for the same page at the same time share it.
func (r *pathREST) read(ctx context.Context, p page) (*systemv1beta1.KdoctorPathList, error) {
	same := fmt.Sprintf("paths/%v/%v/%d/%d", p.at, p.requirements, p.limit, p.version)
	list, err := share(ctx, &r.hub.flights, roundSubject(p.at.Key), same,
		func(ctx context.Context) (*systemv1beta1.KdoctorPathList, error) { return r.fill(ctx, p) })
	var told apierrors.APIStatus
	if err != nil && !errors.As(err, &told) {
		err = failure(fmt.Errorf("the stored round %s cannot be read: %w", render.RoundName(p.name(), p.at.Key), err))
	}
	return list, err
}

// fill reads the round, as far as the page needs it, and returns its paths from the page's place on. It has a slot, as
// all have that read rounds: each may take much memory.
func (r *pathREST) fill(ctx context.Context, p page) (*systemv1beta1.KdoctorPathList, error) {
	list := &systemv1beta1.KdoctorPathList{ListMeta: metav1.ListMeta{ResourceVersion: text(p.version)},
		Items: []systemv1beta1.KdoctorPath{}}
	_, err := r.hub.objects.render(ctx, func(ctx context.Context) (rendered, error) {
		parts, found, err := r.hub.reports.Parts(ctx, p.at.Key)
		if found && err == nil && parts.Counts.Untold() > 0 && !parts.Head.Round.HasSums() {
			// Which targets were planned and are in no report stands in the whole round alone.
			parts, found, err = r.whole(ctx, p.at.Key)
		}
		switch {
		case err != nil:
		case !found && p.at.Pod != "":
			err = apierrors.NewResourceExpired("the round is no longer stored; list again")
		case !found:
			err = apierrors.NewNotFound(groupResource(), p.report)
		default:
			err = p.agents(ctx, list, parts)
		}
		return rendered{}, err
	})
	return list, err
}

// whole is a round that is read as a whole.
func (r *pathREST) whole(ctx context.Context, key schedule.Key) (Parts, bool, error) {
	stored, found, err := r.hub.reports.Round(ctx, key)
	if err != nil || !found {
		return Parts{}, false, err
	}
	return partsOf(stored), true, nil
}

// partsOf returns the agents of a round that is in memory.
func partsOf(stored verdict.StoredRound) Parts {
	judged := render.JudgedAgents(stored.Verdict)
	return Parts{Head: stored, Agents: func(want func(pod, node string) bool) iter.Seq2[Agent, error] {
		return func(yield func(Agent, error) bool) {
			for i := range stored.Round.Agents {
				a := &stored.Round.Agents[i]
				if v := judged(a.Pod); want(a.Pod, a.Node) && !yield(Agent{Report: a, Verdict: &v}, nil) {
					return
				}
			}
		}
	}}
}

// agents adds the paths of agent after agent, until the page is full.
func (p page) agents(ctx context.Context, list *systemv1beta1.KdoctorPathList, parts Parts) error {
	single := render.NewSingle(p.name(), parts.Head.Round)
	reached := p.at.Pod == ""
	want := func(pod, node string) bool {
		reached = reached || pod == p.at.Pod
		return reached && p.wantsNode(node)
	}
	for a, err := range parts.Agents(want) {
		if err != nil {
			return err
		}
		beat(ctx)
		if a.Report == nil {
			continue
		}
		told := 0
		if a.Report.Pod == p.at.Pod {
			told = p.at.Told
		}
		if p.wantsSums() && p.at.Pod == "" {
			list.Summed = append(list.Summed, single.Sums(*a.Report, p.wantsKind)...)
		}
		paths := single.Paths(*a.Report, a.Verdict, p.wants)
		paths = paths[min(told, len(paths)):]
		if room := p.limit - len(list.Items); len(paths) > room {
			list.Items = append(list.Items, paths[:room]...)
			list.Continue = place{Report: p.report, Key: p.at.Key, Pod: a.Report.Pod, Told: told + room}.token()
			return nil
		}
		list.Items = append(list.Items, paths...)
	}
	return nil
}

// ConvertToTable makes what kubectl get prints.
func (*pathREST) ConvertToTable(_ context.Context, object, tableOptions runtime.Object) (*metav1.Table, error) {
	list, ok := object.(*systemv1beta1.KdoctorPathList)
	if !ok {
		return nil, fmt.Errorf("%T has no table", object)
	}
	table := &metav1.Table{}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = []metav1.TableColumnDefinition{
			{Name: "Node", Type: "string", Description: "the node of the agent that sent the requests"},
			{Name: "Kind", Type: "string", Description: "the kind of path"},
			{Name: "Target", Type: "string", Format: "name", Description: "the target's name"},
			{Name: "To", Type: "string", Description: "the target's node, if only one may answer"},
			{Name: "Requests", Type: "string", Description: "requests that succeeded, of those that count"},
			{Name: "P99", Type: "string", Description: "milliseconds, of the successful requests"},
			{Name: "Result", Type: "string", Description: "what became of the path"},
			{Name: "Reason", Type: "string", Priority: 1, Description: "why the path did not pass"},
		}
	}
	table.ResourceVersion, table.Continue = list.ResourceVersion, list.Continue
	for i := range list.Items {
		table.Rows = append(table.Rows, pathRow(&list.Items[i]))
	}
	return table, nil
}

func pathRow(p *systemv1beta1.KdoctorPath) metav1.TableRow {
	d := &p.Spec.Detail
	result, reason := string(verdict.Pass), ""
	if !d.Succeed {
		result = cmp.Or(d.Result, string(verdict.Fail))
	}
	if d.FailureReason != nil {
		reason = *d.FailureReason
	}
	return metav1.TableRow{Object: runtime.RawExtension{Object: p}, Cells: []any{
		p.Spec.NodeName, d.TargetKind, d.TargetName, d.TargetNodeName,
		fmt.Sprintf("%d/%d", d.Metrics.SuccessCounts, max(0, d.Metrics.RequestCounts-d.Metrics.VoidRequests)),
		fmt.Sprintf("%.2f", d.Metrics.Latencies.P99InMs), result, reason,
	}}
}
