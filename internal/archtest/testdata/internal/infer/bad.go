// Package infer is an example: a pure package that shares what it has.
package infer

import "sync"

type shared struct {
	sync.Mutex
	found chan int
}

func (s *shared) work() {
	go s.Lock()
}
