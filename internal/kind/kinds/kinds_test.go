package kinds_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/internal/kind/kinds"
)

const root = "../../../"

// definition is as much of a CRD as says how its kind is spelled.
type definition struct {
	Spec struct {
		Names struct {
			Kind, Plural, Singular string
			ShortNames             []string
		}
	}
}

func TestEveryKindHasADefinitionRightsAndAPage(t *testing.T) {
	files, err := filepath.Glob(root + "charts/kdoctor/files/crds/*.yaml")
	if err != nil || len(files) != len(kinds.All()) {
		t.Fatalf("%d kinds, %d definitions, %v", len(kinds.All()), len(files), err)
	}
	for _, k := range kinds.All() {
		t.Run(k.Name, func(t *testing.T) {
			var d definition
			if err := yaml.Unmarshal(read(t, "charts/kdoctor/files/crds/kdoctor.io_"+k.Plural+".yaml"),
				&d); err != nil {
				t.Fatal(err)
			}
			names := d.Spec.Names
			if names.Kind != k.Name || names.Plural != k.Plural || names.Singular != k.Singular() ||
				!slices.Equal(names.ShortNames, k.Short) {
				t.Errorf("the definition spells it %+v, the table %q, %q, %q, %q", names, k.Name, k.Plural,
					k.Singular(), k.Short)
			}
			plural := regexp.MustCompile(`resources:.*\b` + k.Plural + `\b`)
			for _, file := range []string{"controller-rbac.yaml", "user-rbac.yaml", "limits.yaml"} {
				if !plural.Match(read(t, "charts/kdoctor/templates/"+file)) {
					t.Errorf("%s gives no rights to %s, or has no rule for them", file, k.Plural)
				}
			}
			if len(read(t, "docs/"+k.Singular()+".md")) == 0 {
				t.Errorf("docs/%s.md is empty", k.Singular())
			}
		})
	}
}

func TestNamed(t *testing.T) {
	cases := []struct{ name, word, want string }{
		{"the singular names it", "netreach", "NetReach"},
		{"the plural names it", "netreaches", "NetReach"},
		{"the short name names it", "nr", "NetReach"},
		{"another word names nothing", "pods", ""},
		{"no word names nothing", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if k, ok := kinds.Named(c.word); k.Name != c.want || ok != (c.want != "") {
				t.Errorf("%q is %q, %v", c.word, k.Name, ok)
			}
		})
	}
}

func TestObjectsOfAKindAreItsOwn(t *testing.T) {
	for _, k := range kinds.All() {
		if _, err := k.Read(nil); err == nil {
			t.Errorf("%s reads what is no object of the kind", k.Name)
		}
		task, err := k.Read(k.New())
		if err != nil || task.Kind != k.Name {
			t.Errorf("%s reads an empty object as %+v, %v", k.Name, task, err)
		}
		if k.NewList() == nil {
			t.Errorf("%s has no list", k.Name)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(root + file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
