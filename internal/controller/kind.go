// Package controller brings tasks to life: it decides when their rounds start, has them run, and writes their status.
//
// All kinds of tasks share one reconciler; what differs between them is behind Kind. What is to be done is decided by one pure
// function of the task, the state of its round and the time (decide.go). Rounds run in goroutines that Rounds owns, never in
// the reconciler, and a restarted controller takes up the round that its predecessor left.
package controller

import (
	"encoding/json"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Kind is one kind of task.
type Kind interface {
	// Name is the kind's name, such as NetReach.
	Name() string
	// New returns an empty object of the kind.
	New() client.Object
	// Task reads an object of the kind.
	Task(object client.Object) (Task, error)
}

// Task is what the controller knows of a task, whatever its kind.
type Task struct {
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
	// Schedule is the text of the schedule, Zone the name of the time zone in which it is read, Rounds how many there are (-1 is for ever), Timeout how long one may take.
	Schedule, Zone string
	Rounds         int64
	Timeout        time.Duration
	// OwnAgents describes the agents of its own that the task asks for, nil for the default agents.
	OwnAgents *v1beta1.AgentSpec
	Want      mesh.Want
	Expect    verdict.Expect
	// Spec is the task's spec in JSON.
	Spec json.RawMessage
	// Status is the status as it was last read.
	Status v1beta1.TaskStatus
}
