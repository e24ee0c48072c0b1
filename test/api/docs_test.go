package api

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestTasksInTheDocumentationAreAccepted keeps every task that a page shows, and every example, such that it can be
// applied as it stands, and what the front page prints of the example what the example says.
func TestTasksInTheDocumentationAreAccepted(t *testing.T) {
	c := connect(t)
	texts := map[string][]byte{}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n```yaml\n(.*?\n)```\n")
	var readme []byte
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(page) == "README.md" {
			readme = text
		}
		for i, found := range block.FindAllSubmatch(text, -1) {
			texts[filepath.Base(page)+" "+string(rune('1'+i))] = found[1]
		}
	}
	examples, err := filepath.Glob("../../examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		if texts[filepath.Base(example)], err = os.ReadFile(example); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(readme, append([]byte("$ cat examples/netreach.yaml\n"), texts["netreach.yaml"]...)) {
		t.Errorf("README.md does not print examples/netreach.yaml as it is:\n%s", texts["netreach.yaml"])
	}
	if len(texts) < 5 {
		t.Errorf("only %d tasks were found; are the pages still where they were?", len(texts))
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			if bytes.HasPrefix(text, []byte("- ")) {
				t.Skip("it is a list, not a task")
			}
			object := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict(text, &object.Object); err != nil {
				t.Fatal(err)
			}
			if object.GetKind() != "NetReach" {
				t.Skipf("it is a %s, not a task", object.GetKind())
			}
			options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll},
				FieldValidation: metav1.FieldValidationStrict}
			if _, err := c.tasks.Create(t.Context(), object, options); err != nil {
				t.Error(err)
			}
		})
	}
}
