// Package initfunc runs before anyone asked.
package initfunc

type value struct{}

func (value) init() {}

func init() { value{}.init() }
