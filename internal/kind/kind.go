// Package kind is the seam between kdoctor and its kinds of tasks. Everything that differs between them, from how an
// object is read to how people spell its name, is in one Kind. internal/kind/kinds has the table; each kind has a
// package of its own below this one.
package kind

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Object is an object of a kind.
type Object interface {
	metav1.Object
	runtime.Object
}

// List is a list of objects of a kind.
type List interface {
	metav1.ListInterface
	runtime.Object
}

// Kind is one kind of task.
type Kind struct {
	// Name is the kind's name, such as NetReach; Plural is the name of its resource, such as netreaches, and Short the
	// resource's short names.
	Name, Plural string
	Short        []string
	// New returns an empty object of the kind, NewList an empty list.
	New     func() Object
	NewList func() List
	// Read reads an object of the kind. Its error is for an object of another kind, or one that cannot be encoded.
	Read func(Object) (Task, error)
}

// Singular is the resource's name for one object, as people type it, such as netreach.
func (k Kind) Singular() string { return strings.ToLower(k.Name) }

// ReportPrefix begins the names of the kind's reports.
func (k Kind) ReportPrefix() string { return k.Singular() + "-" }

// RunNow is the annotation whose new value starts a round at once.
const RunNow = "kdoctor.io/run-now"

// Task is what is known of a task, whatever its kind.
type Task struct {
	// Kind is the name of the kind.
	Kind       string
	Name, UID  string
	Generation int64
	Created    time.Time
	// Deleting is true for a task that is being deleted and waits for a finalizer of somebody else.
	Deleting bool
	// Revision names the spec without what only pauses it: rounds go on as long as it stays the same.
	Revision string
	// Suspended keeps rounds from starting; RunNow is a token that, when it is new, starts one at once.
	Suspended bool
	RunNow    string
	// Schedule is the text of the schedule, Zone the name of the time zone in which it is read, Rounds how many there
	// are (-1 is for ever), Timeout how long one may take.
	Schedule, Zone string
	Rounds         int64
	Timeout        time.Duration
	// Every is the time from one round to the next; 0 for a task whose rounds start by Schedule.
	Every time.Duration
	// OwnAgents describes the agents of its own that the task asks for, nil for the default agents.
	OwnAgents *v1beta1.AgentSpec
	Want      mesh.Want
	Expect    verdict.Expect
	// Diagnose says whether rounds probe the ladder of paths beside the counted requests.
	Diagnose bool
	// Spec is the task's spec in JSON.
	Spec json.RawMessage
	// Status is the status as it was last read.
	Status v1beta1.TaskStatus
}

// Timetable returns when rounds of the task start. The error is one sentence that says what is wrong with
// spec.schedule.
func (t Task) Timetable() (schedule.Schedule, error) {
	if t.Every != 0 {
		return schedule.Every(t.Every)
	}
	return schedule.Parse(t.Schedule, t.Zone)
}

// When says when rounds start: the text of the schedule, or such as "every 30 s" for a task with an interval.
func (t Task) When() string {
	if t.Every != 0 {
		return fmt.Sprintf("every %d s", int64(t.Every/time.Second))
	}
	return t.Schedule
}

// Brief reports whether rounds of the task are too frequent to be told of one by one.
func (t Task) Brief() bool { return t.Every != 0 && schedule.Brief(t.Every) }
