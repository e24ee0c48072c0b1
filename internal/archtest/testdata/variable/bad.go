// Package variable can be changed from anywhere.
package variable

import (
	"errors"
	"fmt"
)

// ErrFine and errFine are sentinels.
var (
	ErrFine = errors.New("fine")
	errFine = errors.New("fine")
)

var _ fmt.Stringer = (*value)(nil)

var counter int

var (
	errand = 1
	table  = map[string]int{}
)

type value struct{}

func (*value) String() string { local := ErrFine; _ = local; return "" }
