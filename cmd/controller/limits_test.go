package main

import (
	"io"
	"strings"
	"testing"
)

func TestLimitsOfLoad(t *testing.T) {
	cases := map[string]struct {
		args []string
		want limits
		// refused is the flag that the error names; empty where there is none.
		refused string
	}{
		"what one agent sends is limited unless told otherwise": {nil, limits{perAgent: 5000, onExcess: reduce}, ""},
		"without limits": {[]string{"--max-requests-per-agent=0", "--max-requests=0"}, limits{onExcess: reduce}, ""},
		"refused at the API server": {[]string{"--max-requests=100", "--on-excess=Refuse", "--limits-name=c"},
			limits{perAgent: 5000, total: 100, onExcess: refuse, name: "c"}, ""},
		"not below nothing for an agent": {[]string{"--max-requests-per-agent=-1"}, limits{},
			"--max-requests-per-agent"},
		"not below nothing for all":              {[]string{"--max-requests=-1"}, limits{}, "--max-requests"},
		"not beyond all reason":                  {[]string{"--max-requests=1000000001"}, limits{}, "--max-requests"},
		"not in another way":                     {[]string{"--on-excess=Ignore"}, limits{}, "--on-excess"},
		"not refused by figures that nobody has": {[]string{"--on-excess=Refuse"}, limits{}, "--limits-name"},
		"not with figures that nobody needs":     {[]string{"--limits-name=c"}, limits{}, "--limits-name"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := defaults()
			if err := o.parse(append([]string{"--namespace=kdoctor"}, c.args...), io.Discard); err != nil {
				t.Fatal(err)
			}
			err := o.validate()
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want an error that names %s", err, c.refused)
				}
				return
			}
			if err != nil || o.limits != c.want {
				t.Errorf("got %+v, %v; want %+v", o.limits, err, c.want)
			}
		})
	}
}
