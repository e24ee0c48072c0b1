package apiserver

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/schedule"
)

// The fields by which reports are selected, beside their names.
const (
	fieldName   = "metadata.name"
	fieldTask   = "spec.TaskName"
	fieldKind   = "spec.TaskType"
	fieldNumber = "spec.ReportRoundNumber"
)

const (
	// pageLines is how many stored rounds one answer holds at most as lines of a table, pageReports how many as
	// reports.
	pageLines, pageReports = 100, 20
	// maxLines bounds the lines of stored rounds that are remembered.
	maxLines = 10_000
	// maxRanges bounds how many ranges of rounds a sentence names.
	maxRanges = 8
)

// fieldLabel says by which fields reports are selected; the case of letters does not matter.
func fieldLabel(label, value string) (internalLabel, internalValue string, err error) {
	for _, known := range []string{fieldName, "metadata.namespace", fieldTask, fieldKind, fieldNumber} {
		if strings.EqualFold(label, known) {
			return known, value, nil
		}
	}
	return "", "", fmt.Errorf("reports are not selected by %q, but by %s, %s, %s and %s", label, fieldName, fieldTask,
		fieldKind, fieldNumber)
}

// namedRound reads the name of a stored round, in which the generation may be left out; it is 0 then.
// It is not ok for the name of a task's report.
func namedRound(name string) (report string, generation, number int64, ok bool) {
	parts := regexp.MustCompile(`^([^:]+):(?:([0-9]{1,10})\.)?([0-9]{1,10})$`).FindStringSubmatch(name)
	if parts == nil {
		return "", 0, 0, false
	}
	if parts[2] != "" {
		generation, _ = strconv.ParseInt(parts[2], 10, 64) // ten digits fit
	}
	number, _ = strconv.ParseInt(parts[3], 10, 64)
	return parts[1], generation, number, true
}

// wantsRounds reports whether a selector asks for stored rounds, and not for the report of each task: it names a task,
// a number of a round, or the name of a stored round.
func wantsRounds(selector fields.Selector) bool {
	if selector == nil {
		return false
	}
	if _, ok := selector.RequiresExactMatch(fieldTask); ok {
		return true
	}
	if name, ok := selector.RequiresExactMatch(fieldName); ok && strings.Contains(name, ":") {
		return true
	}
	return slices.ContainsFunc(selector.Requirements(),
		func(r fields.Requirement) bool { return r.Field == fieldNumber })
}

// getRound returns one stored round by its name. Without a generation it is that of the newest generation that has a
// round of the number.
func (r *reportREST) getRound(ctx context.Context, name string) (runtime.Object, error) {
	report, generation, number, ok := namedRound(name)
	if !ok {
		err := apierrors.NewNotFound(groupResource(), name)
		err.ErrStatus.Message += ": a stored round is named <report>:<round> or <report>:<generation>.<round>"
		return nil, err
	}
	e, err := r.hub.findTask(ctx, report, name)
	if err != nil {
		return nil, err
	}
	keys, err := r.hub.roundsOf(ctx, e)
	if err != nil {
		return nil, failure(err)
	}
	for _, key := range slices.Backward(keys) {
		if key.Round != number || generation != 0 && key.Generation != generation {
			continue
		}
		found, err := r.round(ctx, e, key)
		if err != nil {
			return nil, failure(fmt.Errorf("the stored round %s cannot be read: %w", render.RoundName(report, key),
				err))
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, notStored(name, e.task, keys)
}

// findTask finds the task of a report, whether its latest round can be read or not. name is what the caller asked for.
func (h *hub) findTask(ctx context.Context, report, name string) (entry, error) {
	_, unlisted := h.list(ctx)
	e, ok := h.find(report)
	switch {
	case ok:
		return e, nil
	case unlisted != nil:
		return entry{}, failure(unlisted)
	}
	return entry{}, apierrors.NewNotFound(groupResource(), name)
}

// roundsOf returns the keys of the task's stored rounds.
func (h *hub) roundsOf(ctx context.Context, e entry) ([]schedule.Key, error) {
	keys, err := share(ctx, &h.flights, keysSubject(e.task.UID), "keys/"+e.task.UID,
		func(ctx context.Context) ([]schedule.Key, error) { return h.reports.Rounds(ctx, e.task.UID) })
	if err != nil {
		return nil, fmt.Errorf("list the stored rounds of %s: %w", e.name(), err)
	}
	return keys, nil
}

// notStored is NotFound with the rounds that there are.
func notStored(name string, task render.ReportedTask, keys []schedule.Key) error {
	missing := apierrors.NewNotFound(groupResource(), name)
	missing.ErrStatus.Message += fmt.Sprintf(": stored rounds of %s %s: %s", task.Kind, task.Name, ranges(keys))
	return missing
}

// round renders one stored round as far as the caller will see it; nil when it is gone.
func (r *reportREST) round(ctx context.Context, e entry, key schedule.Key) (*systemv1beta1.KdoctorReport, error) {
	report := render.Bare(e.task)
	if !lineIsEnough(ctx) {
		seen, err := r.rendered(ctx, e, key)
		if err != nil || seen.object == nil {
			return nil, err
		}
		shared := *seen.object
		report = &shared
	}
	report.Spec.ReportRoundNumber = key.Round
	report.Name = render.RoundName(e.name(), key)
	report.UID = types.UID(fmt.Sprintf("%s:%d.%d", key.UID, key.Generation, key.Round))
	report.ResourceVersion = text(e.version)
	return report, nil
}

// rendered renders a stored round, unless it is the task's latest one and was rendered before.
func (r *reportREST) rendered(ctx context.Context, e entry, key schedule.Key) (rendered, error) {
	if e.visible && e.err == nil && e.round.Key == key {
		if seen, ok := r.hub.objects.get(e.task.UID); ok && seen.facts.Key == key {
			return seen, nil
		}
	}
	return share(ctx, &r.hub.flights, roundSubject(key), fmt.Sprintf("round/%v/%d", key, e.version),
		func(ctx context.Context) (rendered, error) { return r.hub.readRound(ctx, e.task, key) })
}

// storedRound is one of a list.
type storedRound struct {
	entry
	key schedule.Key
}

// listRounds returns the stored rounds that the selectors match, by task and newest first. One that cannot be read is
// left out, and a warning says so; in a table it has a line that says so.
func (r *reportREST) listRounds(ctx context.Context,
	options *metainternalversion.ListOptions) (runtime.Object, error) {
	after, err := continued(options.Continue)
	if err != nil {
		return nil, err
	}
	_, unlisted := r.hub.list(ctx)
	if err := r.hub.checkTasks(ctx, unlisted); err != nil {
		return nil, err
	}
	entries, version := r.hub.all()
	var lacks shortfall
	rounds, err := r.matchingRounds(ctx, entries, options.FieldSelector, after, &lacks)
	if err != nil {
		return nil, err
	}
	page := int64(pageReports)
	if lineIsEnough(ctx) {
		page = pageLines
	}
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labelsOfReports()) {
		rounds = nil
	}
	if options.Limit == 0 && int64(len(rounds)) > page {
		return nil, tooMany(len(rounds), page)
	}
	if options.Limit > 0 {
		page = min(page, options.Limit)
	}
	list := &systemv1beta1.KdoctorReportList{ListMeta: metav1.ListMeta{ResourceVersion: text(version)},
		Items: []systemv1beta1.KdoctorReport{}}
	for i, stored := range rounds {
		if int64(i) >= page {
			if options.Limit == 0 {
				return nil, tooMany(len(rounds), page)
			}
			last := render.RoundName(rounds[i-1].name(), rounds[i-1].key)
			list.Continue = base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		report, err := r.round(ctx, stored.entry, stored.key)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		switch {
		case err != nil:
			name := render.RoundName(stored.name(), stored.key)
			klog.FromContext(ctx).Info("A stored round is left out of the list", "round", name, "reason", err)
			lacks.miss(name, err)
		case report != nil:
			list.Items = append(list.Items, *report)
		}
	}
	lacks.warn(ctx)
	return list, nil
}

// tooMany says that a list without a limit would take more memory than the server has.
func tooMany(rounds int, page int64) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%d rounds are stored; ask for at most %d at a time with limit and "+
		"continue, as kubectl does unless told otherwise", rounds, page))
}

// matchingRounds returns the stored rounds that the selector matches and that come behind the name at which an earlier
// list ended.
func (r *reportREST) matchingRounds(ctx context.Context, entries []entry, selector fields.Selector, after string,
	lacks *shortfall) ([]storedRound, error) {
	lastReport, lastGeneration, lastNumber, _ := namedRound(after)
	last := schedule.Key{Generation: lastGeneration, Round: lastNumber}
	task, one := selector.RequiresExactMatch(fieldTask)
	var rounds []storedRound
	for _, e := range entries {
		if one && e.task.Name != task || e.name() < lastReport {
			continue
		}
		keys, err := r.hub.roundsOf(ctx, e)
		if err != nil && (one || ctx.Err() != nil) {
			return nil, failure(err)
		}
		if err != nil {
			klog.FromContext(ctx).Error(err, "The stored rounds of a task are left out of the list", "report", e.name())
			lacks.miss("all rounds of "+e.name(), err)
		}
		for _, key := range slices.Backward(keys) {
			if e.name() == lastReport &&
				cmp.Or(cmp.Compare(key.Generation, last.Generation), cmp.Compare(key.Round, last.Round)) >= 0 {
				continue
			}
			set := fieldsOf(e)
			set[fieldNumber] = strconv.FormatInt(key.Round, 10)
			matched := selector.Matches(set) // the report's name finds all its rounds
			set[fieldName] = render.RoundName(e.name(), key)
			if matched || selector.Matches(set) {
				rounds = append(rounds, storedRound{entry: e, key: key})
			}
		}
	}
	return rounds, nil
}

// ranges puts the numbers of stored rounds into words, such as "1-3, 5".
func ranges(keys []schedule.Key) string {
	if len(keys) == 0 {
		return "none"
	}
	var spans []string
	several := keys[0].Generation != keys[len(keys)-1].Generation
	for i := 0; i < len(keys); {
		first := keys[i]
		last := first
		for i++; i < len(keys) && keys[i].Generation == last.Generation && keys[i].Round == last.Round+1; i++ {
			last = keys[i]
		}
		span := strconv.FormatInt(first.Round, 10)
		if last != first {
			span += "-" + strconv.FormatInt(last.Round, 10)
		}
		if several {
			span += fmt.Sprintf(" of generation %d", first.Generation)
		}
		spans = append(spans, span)
	}
	if len(spans) > maxRanges {
		spans = append([]string{fmt.Sprintf("%d ranges of older ones", len(spans)-maxRanges)},
			spans[len(spans)-maxRanges:]...)
	}
	return strings.Join(spans, ", ")
}

// lines remembers stored rounds in one line each, so that a table need not read them again: they do not change.
// Its zero value is empty.
type lines struct {
	mu    sync.Mutex
	known map[schedule.Key]render.Summary
}

// of returns the line of a stored round, of which it reads the blob unless it is remembered.
func (l *lines) of(ctx context.Context, h *hub, task render.ReportedTask, key schedule.Key) (render.Summary, error) {
	l.mu.Lock()
	s, ok := l.known[key]
	l.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := share(ctx, &h.flights, roundSubject(key), fmt.Sprintf("line/%v", key),
		func(ctx context.Context) (render.Summary, error) {
			s, found, err := h.readLine(ctx, task, key)
			if err == nil && !found {
				err = fmt.Errorf("round %d is no longer stored", key.Round)
			}
			return s, err
		})
	if err != nil {
		return render.Summary{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || len(l.known) >= maxLines {
		l.known = map[schedule.Key]render.Summary{}
	}
	l.known[key] = s
	return s, nil
}

// forget forgets the newest line of each task: a round may be stored once more right after it was stored, older ones
// never are.
func (l *lines) forget(uids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := map[string]schedule.Key{}
	for key := range l.known {
		if n, ok := newest[key.UID]; !ok ||
			cmp.Or(cmp.Compare(key.Generation, n.Generation), cmp.Compare(key.Round, n.Round)) > 0 {
			newest[key.UID] = key
		}
	}
	for _, uid := range uids {
		if key, ok := newest[uid]; ok {
			delete(l.known, key)
		}
	}
}
