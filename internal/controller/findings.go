package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// mostFindingEvents is how many events about findings a round makes at most on its task, and again on nodes. The report
// has all findings.
const mostFindingEvents = 20

// findings are what a round found.
type findings struct {
	// opened were not there in the round before, cleared are not there any more.
	opened, cleared []report.Finding
}

// compare returns what the round changes, and which findings are open after it. A round that did not pass or fail
// measured too little to say that something is well: it clears nothing. known is false where nobody knows what was open
// before; nothing is told of then.
func compare(s Summary, before []report.Finding, known bool) (f findings, open []report.Finding) {
	if s.Result != verdict.Pass && s.Result != verdict.Fail {
		f.opened, _ = diagnose.Compare(before, s.Findings)
		open = append(append(open, before...), f.opened...)
	} else {
		f.opened, f.cleared = diagnose.Compare(before, s.Findings)
		open = s.Findings
	}
	if !known {
		f = findings{}
	}
	return f, open
}

// compareWithBefore compares the round with the one before: as this controller knows it, else as it is stored.
func (r *Rounds) compareWithBefore(ctx context.Context, result *Result) {
	uid := result.Key.UID
	r.mu.Lock()
	before, known := r.open[uid]
	r.mu.Unlock()
	if !known && result.Key.Round > 1 {
		ctx, cancel := context.WithTimeout(ctx, newestWithin)
		defer cancel()
		var err error
		last := schedule.Key{UID: uid, Generation: result.Key.Generation, Round: result.Key.Round - 1}
		if before, err = r.kept.Findings(ctx, last); err != nil {
			r.log.Error(err, "read the findings of the round before", "round", last.String())
		}
		known = err == nil
	} else {
		known = true
	}
	changes, open := compare(result.Summary, before, known)
	result.changes = changes
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[uid] = open
}

// announceFindings tells of findings that open and clear, on the task and on the nodes where they are.
func (d *decider) announceFindings(number int64, changes findings) {
	onTask, onNodes := 0, 0
	tell := func(kind, reason, note string, f report.Finding) {
		e := event{kind: kind, reason: reason, note: short(note), finding: &f}
		if onTask++; onTask > mostFindingEvents {
			e.elsewhere = true
		}
		for _, node := range f.Nodes {
			if onNodes++; onNodes <= mostFindingEvents {
				e.nodes = append(e.nodes, node)
			}
		}
		if !e.elsewhere || len(e.nodes) > 0 {
			d.events = append(d.events, e)
		}
	}
	task := fmt.Sprintf("%s %s, round %d", d.task.Kind, d.task.Name, number)
	for _, f := range changes.opened {
		tell(warning, FindingOpened, fmt.Sprintf("%s: %s.", task, f.Message), f)
	}
	for _, f := range changes.cleared {
		tell(normal, FindingCleared, fmt.Sprintf("%s no longer finds %s at %s.", task, f.Reason, f.Where), f)
	}
}

// announceEvent makes the event on the task, and on the nodes that it is about. Events are alike for Kubernetes, which
// counts them as one, if they have the same objects, reason and action: the action of a finding is its rule, and what
// it is related to its place.
func (r *Reconciler) announceEvent(task client.Object, e event) {
	if e.finding == nil {
		r.Events.Eventf(task, nil, e.kind, e.reason, "RunRounds", "%s", e.note)
		return
	}
	if !e.elsewhere {
		place := &corev1.ObjectReference{Kind: r.Kind.Name, APIVersion: v1beta1.GroupVersion().String(),
			Name: task.GetName(), UID: task.GetUID(), FieldPath: e.finding.Where}
		if len(e.finding.Nodes) == 1 {
			place = nodeReference(e.finding.Nodes[0])
		}
		r.Events.Eventf(task, place, e.kind, e.reason, e.finding.Reason, "%s", e.note)
	}
	for _, node := range e.nodes {
		r.Events.Eventf(nodeReference(node), task, e.kind, e.reason, e.finding.Reason, "%s", e.note)
	}
}

// nodeReference names a node as the kubelet's own events do, whose UID is the node's name: kubectl describe node shows
// events of such a UID.
func nodeReference(node string) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: node, UID: types.UID(node)}
}
