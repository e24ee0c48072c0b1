package apiserver

import (
	"context"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/schedule"
)

// unreadableRound is the result of a stored round that cannot be read.
const unreadableRound = "unreadable"

// ConvertToTable makes what kubectl get prints.
func (r *reportREST) ConvertToTable(ctx context.Context, object, tableOptions runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = columns()
	}
	switch o := object.(type) {
	case *systemv1beta1.KdoctorReportList:
		table.ResourceVersion, table.Continue = o.ResourceVersion, o.Continue
		for i := range o.Items {
			table.Rows = append(table.Rows, r.row(ctx, &o.Items[i]))
		}
	case *systemv1beta1.KdoctorReport:
		table.ResourceVersion = o.ResourceVersion
		table.Rows = append(table.Rows, r.row(ctx, o))
	default:
		return nil, fmt.Errorf("%T has no table", object)
	}
	return table, nil
}

func columns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string", Format: "name", Description: "<lowercase task kind>-<task name>, for a kept " +
			"round with :<generation>.<round> behind it"},
		{Name: "Round", Type: "string", Description: "the round reported, of those asked for"},
		{Name: "Result", Type: "string", Description: "how the round ended"},
		{Name: "Nodes", Type: "string", Description: "agents that reported, of those expected"},
		{Name: "Targets", Type: "string",
			Description: "paths that succeeded, of those of which something is left to judge"},
		{Name: "Finished", Type: "string", Description: "how long ago the last agent was done"},
		{Name: "NotPassed", Type: "string", Priority: 1, Description: "what became of the paths that did not succeed"},
		{Name: "Reason", Type: "string", Priority: 1, Description: "the first reason why the round did not succeed"},
	}
}

// row is one line: of the report itself where it is whole, else of what is known about it. A deleted one has nothing
// but its name.
func (r *reportREST) row(ctx context.Context, report *systemv1beta1.KdoctorReport) metav1.TableRow {
	row := metav1.TableRow{Object: runtime.RawExtension{Object: report}}
	var s render.Summary
	if report.Spec.Report != nil {
		s = render.Summarize(report)
	} else if known, ok := r.hub.summaryOf(string(report.UID)); ok {
		s = known
	} else if known, ok := r.lineOfRound(ctx, report.Name); ok {
		s = known
	} else {
		row.Cells = []any{report.Name, "", "", "", "", "", "", ""}
		return row
	}
	finished := "<none>"
	if !s.Ended.IsZero() {
		finished = duration.HumanDuration(time.Since(s.Ended)) + " ago"
	}
	row.Cells = []any{
		report.Name, s.Round, s.Result,
		fmt.Sprintf("%d/%d", s.Reported, s.Expected), fmt.Sprintf("%d/%d", s.Paths.Passed, s.Paths.Judged()),
		finished, s.Paths.Others(), s.Reason,
	}
	return row
}

// lineOfRound is the line of a stored round; it is not ok for the name of a task's report. A round that cannot be read
// has a line that says so.
func (r *reportREST) lineOfRound(ctx context.Context, name string) (render.Summary, bool) {
	report, generation, number, ok := namedRound(name)
	if !ok {
		return render.Summary{}, false
	}
	e, ok := r.hub.find(report)
	if !ok {
		return render.Summary{}, false
	}
	s, err := r.hub.lines.of(ctx, r.hub, e.task,
		schedule.Key{UID: e.task.UID, Generation: generation, Round: number})
	if err != nil {
		s = render.Summary{Round: strconv.FormatInt(number, 10), Result: unreadableRound, Reason: err.Error()}
	}
	return s, true
}
