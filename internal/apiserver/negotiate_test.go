package apiserver

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// ask sends one request with the headers given and returns the status, the headers and the body.
func ask(t *testing.T, config *rest.Config, path string, headers http.Header) (int, http.Header, []byte) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // #nosec G402 -- the server is this test's own
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = headers
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body
}

const (
	tableV1    = ";as=Table;v=v1;g=meta.k8s.io"
	metadataV1 = ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
	listV1     = ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	asJSON     = "application/json"
	asYAML     = "application/yaml"
	asProto    = "application/vnd.kubernetes.protobuf"
)

// acceptHeaders are Accept headers that clients send, and the kinds of the answers to get and list; empty is 406.
func acceptHeaders() []struct{ name, accept, get, list string } {
	const whole, wholes, table = "KdoctorReport", "KdoctorReportList", "Table"
	const metadata, metadatas = "PartialObjectMetadata", "PartialObjectMetadataList"
	return []struct{ name, accept, get, list string }{
		{"no header: whole", "", whole, wholes},
		{"anything: whole", "*/*", whole, wholes},
		{"any application: refused", "application/*", "", ""},
		{"JSON: whole", asJSON, whole, wholes},
		{"YAML: whole", asYAML, whole, wholes},
		{"JSON with a charset: whole", asJSON + ";charset=utf-8", whole, wholes},
		{"a browser: whole", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", whole, wholes},
		{"kubectl get: a table", asJSON + tableV1 + "," + asJSON + ";as=Table;v=v1beta1;g=meta.k8s.io," + asJSON, table,
			table},
		{"a table alone: a table", asJSON + tableV1, table, table},
		{"a table in YAML: a table", asYAML + tableV1, table, table},
		{"spaces in a table: a table", "application/json; as=Table; v=v1; g=meta.k8s.io , application/json", table, table},
		{"a table of v1beta1: a table", asJSON + ";as=Table;v=v1beta1;g=meta.k8s.io," + asJSON, table, table},
		{"a table in protobuf before JSON: whole", asProto + tableV1 + ", " + asJSON, whole, wholes},
		{"a table of v2 before JSON: whole", asJSON + ";as=Table;v=v2;g=meta.k8s.io, " + asJSON, whole, wholes},
		{"a table of another group before JSON: whole", asJSON + ";as=Table;v=v1;g=apps, " + asJSON, whole, wholes},
		{"a table without a group before JSON: whole", asJSON + ";as=Table;v=v1, " + asJSON, whole, wholes},
		{"another spelling of a table before JSON: whole", asJSON + ";as=table;v=v1;g=meta.k8s.io, " + asJSON, whole, wholes},
		{"a table with less weight than JSON: whole", asJSON + tableV1 + ";q=0.1, " + asJSON + ";q=1", whole, wholes},
		{"JSON with less weight than a table: a table", asJSON + ";q=0.1, " + asJSON + tableV1 + ";q=0.9", table, table},
		{"JSON before a table: whole", asJSON + ", " + asJSON + tableV1, whole, wholes},
		{"anything before a table, which says more: a table", "*/*, " + asJSON + tableV1, table, table},
		{"HTML before a table: a table", "text/html, " + asJSON + tableV1, table, table},
		{"an unknown transformation before JSON: whole", asJSON + ";as=Nothing;v=v1;g=meta.k8s.io," + asJSON, whole, wholes},
		{"an unknown server version before JSON: whole", asJSON + ";sv=v7;as=Table;v=v1;g=meta.k8s.io," + asJSON, whole,
			wholes},
		{"metadata: metadata, which no list has", asJSON + metadataV1, metadata, ""},
		{"a list of metadata: metadatas, which no object has", asJSON + listV1, "", metadatas},
		{"metadata of v1beta1: metadata", asJSON + ";as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io", metadata, ""},
		{"a list of metadata of v1beta1: metadatas", asJSON + ";as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io", "",
			metadatas},
		{"metadata of an unknown version before JSON: whole", asJSON +
			";as=PartialObjectMetadata;v=v1alpha9;g=meta.k8s.io, " + asJSON, whole, wholes},
		{"a metadata client: metadata", asProto + metadataV1 + "," + asJSON + metadataV1 + "," + asJSON, metadata, ""},
		{"a metadata client that lists: metadatas", asProto + listV1 + "," + asJSON + listV1 + "," + asJSON, "",
			metadatas},
		{"a typed client that prefers protobuf: whole", asProto + "," + asJSON, whole, wholes},
		{"protobuf before a table: refused", asProto + "," + asJSON + tableV1, "", ""},
		{"protobuf alone: refused", asProto, "", ""},
		{"a table in protobuf alone: refused", asProto + tableV1, "", ""},
		{"CBOR before JSON: whole", "application/cbor, " + asJSON, whole, wholes},
		{"HTML alone: refused", "text/html", "", ""},
		{"no media type: refused", "garbage", "", ""},
		{"commas and semicolons: refused", ";;,,;=", "", ""},
		{"a weight that is no number: whole", asJSON + ";q=much", whole, wholes},
	}
}

// kindOf reads the kind of an answer in JSON or YAML, and whether there is a round with agents in it.
func kindOf(t *testing.T, body []byte) (kind string, rounds int, text string) {
	t.Helper()
	if magic := "k8s\x00"; strings.HasPrefix(string(body), magic) {
		for _, kind := range []string{"PartialObjectMetadataList", "PartialObjectMetadata", "KdoctorReport"} {
			if strings.Contains(string(body), kind) {
				return kind, 0, ""
			}
		}
	}
	raw, err := yaml.YAMLToJSON(body)
	if err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
	var read struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
	return read.Kind, strings.Count(string(raw), `"ReportRoundNumber":1`), string(raw)
}

// Whatever a client accepts, it gets the whole, a table, metadata or 406; never a report without its content.
func TestAcceptNegotiation(t *testing.T) {
	m := &memory{}
	m.set(netReach("a", "u-a"))
	m.keep("u-a", 1)
	config := open(t, m)
	const reports = "/apis/system.kdoctor.io/v1beta1/kdoctorreports"
	paths := map[string]bool{
		reports + "/netreach-a": false, reports + "/netreach-a:1": false, reports: true,
		reports + "?fieldSelector=spec.TaskName%3Da": true, reports + "?limit=1": true,
	}
	for _, test := range acceptHeaders() {
		t.Run(test.name, func(t *testing.T) {
			for path, isList := range paths {
				want := test.get
				if isList {
					want = test.list
				}
				headers := http.Header{}
				if test.accept != "" {
					headers.Set("Accept", test.accept)
				}
				code, _, body := ask(t, config, path, headers)
				if want == "" {
					if code != http.StatusNotAcceptable {
						t.Errorf("%s: got %d, want 406: %.200s", path, code, body)
					}
					continue
				}
				if code != http.StatusOK {
					t.Errorf("%s: got %d: %.200s", path, code, body)
					continue
				}
				kind, rounds, text := kindOf(t, body)
				if kind != want {
					t.Errorf("%s: got kind %s, want %s", path, kind, want)
				}
				if strings.HasPrefix(want, "KdoctorReport") && (rounds != 1 || !strings.Contains(text, `"Report":[{`)) {
					t.Errorf("%s: the report has lost its content: %.300s", path, text)
				}
			}
		})
	}
}

// A table with objects has whole ones, whichever way the table was asked for.
func TestATableWithObjectsHasWholeOnes(t *testing.T) {
	m := &memory{}
	m.set(netReach("a", "u-a"))
	m.keep("u-a", 1)
	config := open(t, m)
	const path = "/apis/system.kdoctor.io/v1beta1/kdoctorreports"
	for name, accept := range map[string]string{
		"first": asJSON + tableV1 + "," + asJSON, "by weight": asJSON + ";q=0.5," + asJSON + tableV1,
		"after what cannot be had": asProto + tableV1 + "," + asJSON + tableV1,
	} {
		t.Run(name, func(t *testing.T) {
			for query, whole := range map[string]bool{"?includeObject=Object": true, "?includeObject=Metadata": false,
				"?includeObject=None": false, "": false} {
				for _, at := range []string{path, path + "/netreach-a"} {
					code, _, body := ask(t, config, at+query, http.Header{"Accept": {accept}})
					kind, rounds, _ := kindOf(t, body)
					if code != http.StatusOK || kind != "Table" || (rounds == 1) != whole {
						t.Errorf("%s%s: got %d, kind %s, %d rounds", at, query, code, kind, rounds)
					}
				}
			}
		})
	}
}

// firstEvent returns the first event of a watch as the caller gets it, or the status.
func firstEvent(t *testing.T, config *rest.Config, query url.Values, accept string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // #nosec G402 -- the server is this test's own
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		config.Host+"/apis/system.kdoctor.io/v1beta1/kdoctorreports?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	cut := time.AfterFunc(patience, func() { _ = response.Body.Close() })
	defer cut.Stop()
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, ""
	}
	var event struct {
		Object json.RawMessage `json:"object"`
	}
	if err := json.NewDecoder(response.Body).Decode(&event); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return response.StatusCode, string(event.Object)
}

func TestAcceptNegotiationOfAWatch(t *testing.T) {
	m := &memory{}
	m.set(netReach("a", "u-a"))
	m.keep("u-a", 1)
	config := open(t, m)
	cases := map[string]struct{ accept, kind string }{
		"JSON: whole":                            {asJSON, "KdoctorReport"},
		"anything: whole":                        {"*/*", "KdoctorReport"},
		"protobuf before JSON: whole":            {asProto + "," + asJSON, "KdoctorReport"},
		"a table by weight: a table":             {asJSON + ";q=0.2," + asJSON + tableV1, "Table"},
		"a table with less weight: whole":        {asJSON + tableV1 + ";q=0.2," + asJSON, "KdoctorReport"},
		"a table of v2 before JSON: whole":       {asJSON + ";as=Table;v=v2;g=meta.k8s.io," + asJSON, "KdoctorReport"},
		"a table in protobuf before JSON: whole": {asProto + tableV1 + "," + asJSON, "KdoctorReport"},
		"metadata: metadata":                     {asJSON + metadataV1, "PartialObjectMetadata"},
		"metadata of v1beta1: metadata": {asJSON + ";as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io",
			"PartialObjectMetadata"},
		"protobuf alone: refused":      {asProto, ""},
		"HTML alone: refused":          {"text/html", ""},
		"a list of metadata: no event": {asJSON + listV1, "none"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			code, object := firstEvent(t, config, url.Values{"watch": {"true"}}, test.accept)
			switch {
			case test.kind == "none":
				if object != "" {
					t.Errorf("got %.300s, want no event", object)
				}
			case test.kind == "":
				if code != http.StatusNotAcceptable {
					t.Errorf("got %d %.300s, want 406", code, object)
				}
			case code != http.StatusOK || !strings.Contains(object, `"kind":"`+test.kind+`"`):
				t.Errorf("got %d %.300s, want %s", code, object, test.kind)
			case test.kind == "KdoctorReport" && !strings.Contains(object, `"ReportRoundNumber":1`):
				t.Errorf("the report has lost its content: %.300s", object)
			}
		})
	}
}

func TestAcceptNegotiationOfPaths(t *testing.T) {
	m := &memory{}
	m.set(netReach("a", "u-a"))
	m.keep("u-a", 1)
	config := open(t, m)
	const path = "/apis/system.kdoctor.io/v1beta1/kdoctorpaths?fieldSelector=report%3Dnetreach-a"
	for _, test := range acceptHeaders() {
		want := strings.Replace(test.list, "KdoctorReport", "KdoctorPath", 1)
		code, _, body := ask(t, config, path, http.Header{"Accept": {test.accept}})
		if want == "" {
			if code != http.StatusNotAcceptable {
				t.Errorf("%s: got %d, want 406", test.name, code)
			}
			continue
		}
		if kind, _, _ := kindOf(t, body); code != http.StatusOK || kind != want {
			t.Errorf("%s: got %d, kind %s, want %s", test.name, code, kind, want)
		}
	}
}
