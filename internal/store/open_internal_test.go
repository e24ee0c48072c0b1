package store

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLocations(t *testing.T) {
	cases := map[string]struct {
		location string
		want     place
	}{
		"a path is a folder":              {"/var/lib/../x/", place{dir: "/var/x"}},
		"a relative path is a folder too": {"reports", place{dir: "reports"}},
		"a file URL is a folder":          {"file:///var/lib/x", place{dir: "/var/lib/x"}},
		"a bucket alone":                  {"s3://bucket", place{bucket: "bucket", client: url.Values{}}},
		"a bucket with all there is": {
			"s3://a-bucket.x/below/this/?endpoint=http%3A%2F%2Fminio%3A9000&region=eu-1&use_path_style=true&ssetype=aws:kms&kmskeyid=k&request_checksum_calculation=when_required",
			place{
				bucket: "a-bucket.x", prefix: "below/this/", pathStyle: true, encryption: "aws:kms", encryptionKey: "k",
				client: url.Values{"endpoint": {"http://minio:9000"}, "region": {"eu-1"},
					"request_checksum_calculation": {"when_required"}},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := locate(c.location)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(place{})); diff != "" {
				t.Errorf("place (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusedLocationsAreNotQuoted(t *testing.T) {
	const secret = "hunter2"
	cases := map[string]string{
		"credentials in front of the host":  "s3://key:" + secret + "@bucket",
		"credentials of the endpoint":       "s3://bucket?endpoint=http://key:" + secret + "@minio",
		"a secret in the endpoint's query":  "s3://bucket?endpoint=" + url.QueryEscape("http://minio?token="+secret),
		"a secret as a parameter":           "s3://bucket?secret_access_key=" + secret,
		"a value that the parameter lacks":  "s3://bucket?use_path_style=" + secret,
		"an endpoint that is no URL":        "s3://bucket?endpoint=%3A%2F" + secret,
		"another place to sign in":          "s3://bucket?region=" + secret + "%00",
		"a location that cannot be read":    "s3://key:" + secret + "%zz@bucket",
		"a port that is none":               "s3://bucket:" + secret,
		"parameters that cannot be read":    "s3://bucket?a=%zz" + secret,
		"a parameter twice":                 "s3://bucket?region=a&region=" + secret,
		"a parameter without a value":       "s3://bucket?region=",
		"a path that leaves the bucket":     "s3://bucket/../" + secret,
		"a store of another kind":           "gs://" + secret,
		"a database":                        "postgres://u:" + secret + "@host/db",
		"a folder on another host":          "file://" + secret + "/a",
		"a fragment behind the bucket":      "s3://bucket#" + secret,
		"an unknown kind of encryption":     "s3://bucket?ssetype=" + secret,
		"a name that is no bucket's":        "s3://-" + secret,
		"checksums when nobody knows which": "s3://bucket?request_checksum_calculation=" + secret,
	}
	for name, location := range cases {
		t.Run(name, func(t *testing.T) {
			for _, try := range []func() error{
				func() error { return CheckLocation(location) },
				func() error { _, err := Open(t.Context(), location); return err },
			} {
				err := try()
				if err == nil {
					t.Fatal("it was accepted")
				}
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes the secret: %v", err)
				}
			}
		})
	}
}

func FuzzLocate(f *testing.F) {
	for _, seed := range []string{"", "/a", "file:///a", "s3://bucket/p?region=x&endpoint=http://h:1", "s3://u:p@b",
		"s3://b?x=%", "://", "s3://[::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, location string) {
		at, err := locate(location)
		if err != nil {
			return
		}
		if (at.dir == "") == (at.bucket == "") {
			t.Errorf("%q is neither a folder nor a bucket, or both: %+v", location, at)
		}
		if strings.Contains(at.prefix, "..") && strings.Contains("/"+at.prefix, "/../") ||
			strings.HasPrefix(at.prefix, "/") {
			t.Errorf("the prefix %q leaves the bucket", at.prefix)
		}
	})
}

func TestHalfWrittenNames(t *testing.T) {
	for name, want := range map[string]bool{
		"u1/0000000001/0000000002.json.gz.18f2a.tmp":      true,
		"u1/0000000001/0000000002.plan.json.gz.18f2a.tmp": true,
		"u1/0000000001/0000000002.json.gz":                false,
		"u1/0000000001/notes.18f2a.tmp":                   false,
		"u1/0000000001/0000000002.json.gz.mine.tmp":       false,
		"0000000002.json.gz.18f2a.tmp":                    false,
		".tmp":                                            false,
	} {
		if got := halfWritten(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
