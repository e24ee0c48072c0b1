package main

import (
	"io"
	"strings"
	"testing"
)

func TestWhereReportsAreKept(t *testing.T) {
	const secret = "hunter2"
	cases := map[string]struct {
		args  []string
		where string
		size  int64
		// refused is the flag that the error names; empty where there is none.
		refused string
	}{
		"in the folder unless told otherwise": {nil, "/var/lib/kdoctor/reports", 0, ""},
		"in a folder by its old flag":         {[]string{"--report-dir=file:///a"}, "file:///a", 0, ""},
		"in a bucket": {[]string{"--report-url=s3://bucket/p?region=r"},
			"s3://bucket/p?region=r", 0, ""},
		"up to a size": {[]string{"--report-max-size=900Mi"}, "/var/lib/kdoctor/reports",
			900 << 20, ""},
		"not in a store with credentials": {[]string{"--report-url=s3://k:" + secret + "@bucket"}, "", 0,
			"--report-url"},
		"not nowhere":                        {[]string{"--report-url="}, "", 0, "--report-url"},
		"not up to a size below nothing":     {[]string{"--report-max-size=-1"}, "", 0, "--report-max-size"},
		"not up to a size that is no number": {[]string{"--report-max-size=much"}, "", 0, "--report-max-size"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := defaults()
			if err := o.parse(append([]string{"--namespace=kdoctor"}, c.args...), io.Discard); err != nil {
				t.Fatal(err)
			}
			err := o.validate()
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) || strings.Contains(err.Error(), secret) {
					t.Errorf("got %v, want an error that names %s", err, c.refused)
				}
				return
			}
			if err != nil || o.reports != c.where || o.retention.MaxBytes != c.size {
				t.Errorf("got %q, %d, %v", o.reports, o.retention.MaxBytes, err)
			}
		})
	}
}
