// Package controller brings tasks to life: it decides when their rounds start, has them run, and writes their status.
//
// All kinds of tasks share one reconciler; what differs between them is in internal/kind. What is to be done is decided
// by one pure function of the task, the state of its round and the time (decide.go). Rounds run in goroutines that
// Rounds owns, never in the reconciler, and a restarted controller takes up the round that its predecessor left.
package controller

import "kdoctor.io/kdoctor/internal/kind"

// Task is what the controller knows of a task, whatever its kind.
type Task = kind.Task

// value is what p points to, the zero value when it points nowhere.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
