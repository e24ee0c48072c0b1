package echo

import (
	"fmt"
	"time"
)

// MaxDelay bounds Options.Delay.
const MaxDelay = time.Minute

// Options say how a responder answers the requests of a round. The zero value is the plain answer. Options come from
// the controller's plan, never from a request.
type Options struct {
	// Bytes is the least length of the body, 0 to MaxBodyBytes: blanks after the JSON fill the body up. The JSON
	// itself is never cut.
	Bytes int
	// Delay is waited before the answer, 0 to MaxDelay.
	Delay time.Duration
	// Status is the status of the answer, 200 to 599; 0 is 200. Answers with status 204, 205 and 304 have no body.
	Status int
}

// Validate returns an error that names the first field that is out of range.
func (o Options) Validate() error {
	switch {
	case o.Bytes < 0 || o.Bytes > MaxBodyBytes:
		return fmt.Errorf("an answer of %d bytes: 0 to %d are possible", o.Bytes, MaxBodyBytes)
	case o.Delay < 0 || o.Delay > MaxDelay:
		return fmt.Errorf("a delay of %v: 0 to %v are possible", o.Delay, MaxDelay)
	case o.Status != 0 && (o.Status < 200 || o.Status > 599):
		return fmt.Errorf("status %d: 200 to 599 are possible", o.Status)
	}
	return nil
}
