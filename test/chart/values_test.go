// Package chart tests the Helm chart: its documentation, what it renders, and that it can be installed, upgraded and
// removed.
package chart

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the chart's README and the golden files anew")

const (
	folder = "../../charts/kdoctor"
	begin  = "<!-- values: begin (written by 'go test ./test/chart -update') -->\n"
	end    = "<!-- values: end -->\n"
)

// value is one line of the README's table.
type value struct{ path, standard, meaning string }

// leaves lists what a user may set: everything below which nothing is explained on its own.
func leaves(t *testing.T, prefix string, mapping *yaml.Node) []value {
	t.Helper()
	var all []value
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		path := prefix + key.Value
		if node.Kind == yaml.MappingNode && explained(node) {
			all = append(all, leaves(t, path+".", node)...)
			continue
		}
		if key.HeadComment == "" {
			t.Errorf("values.yaml does not explain %s", path)
		}
		var standard any
		if err := node.Decode(&standard); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(standard)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, value{path, string(text),
			strings.Join(strings.Fields(strings.ReplaceAll(key.HeadComment, "#", " ")), " ")})
	}
	return all
}

func explained(mapping *yaml.Node) bool {
	for i, node := range mapping.Content {
		if (i%2 == 0 && node.HeadComment != "") || (i%2 == 1 && node.Kind == yaml.MappingNode && explained(node)) {
			return true
		}
	}
	return false
}

func values(t *testing.T) []value {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal(read(t, filepath.Join(folder, "values.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	return leaves(t, "", document.Content[0])
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestReadmeListsEveryValue(t *testing.T) {
	var table strings.Builder
	table.WriteString("| value | default | meaning |\n|---|---|---|\n")
	for _, v := range values(t) {
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", v.path, v.standard, strings.ReplaceAll(v.meaning, "|", `\|`))
	}
	path := filepath.Join(folder, "README.md")
	before, rest, ok := strings.Cut(string(read(t, path)), begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table of values", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), got); diff != "" {
		t.Errorf("the README's table is not what values.yaml says; run 'go test ./test/chart -update' (-want +got):\n%s", diff)
	}
}

// fields is the part of a JSON schema that says which fields an object may have.
type fields struct {
	Type       any                `json:"type"`
	Properties map[string]*fields `json:"properties"`
	Additional any                `json:"additionalProperties"`
}

func TestSchemaKnowsExactlyTheValues(t *testing.T) {
	var root fields
	if err := json.Unmarshal(read(t, filepath.Join(folder, "values.schema.json")), &root); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"global": true}
	for _, v := range values(t) {
		at, path := &root, ""
		for _, part := range strings.Split(v.path, ".") {
			path = strings.TrimPrefix(path+"."+part, ".")
			known[path] = true
			if at.Additional != false && !strings.HasPrefix(v.path, "global.") {
				t.Errorf("the schema lets unknown fields pass beside %s", path)
			}
			if at = at.Properties[part]; at == nil {
				t.Fatalf("the schema does not know %s", path)
			}
		}
		for name := range at.Properties {
			known[v.path+"."+name] = true
		}
	}
	var walk func(prefix string, s *fields)
	walk = func(prefix string, s *fields) {
		for name, below := range s.Properties {
			if !known[prefix+name] {
				t.Errorf("the schema has %s, and values.yaml has not", prefix+name)
			}
			walk(prefix+name+".", below)
		}
	}
	walk("", &root)
}
