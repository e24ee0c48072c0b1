// Command reference reads a CRD and writes the reference of the task's fields: name, kind, default and meaning, in the
// order of the schema.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the CRD: %w", err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		return fmt.Errorf("read the CRD: %w", err)
	}
	root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	fmt.Fprintf(out, "# %s\n\n%s\n", crd.Spec.Names.Kind, paragraph(root.Description))
	fmt.Fprintf(out, "\nGroup `%s`, version `%s`, scope %s, short names: %s. What is out of range is refused when\n"+
		"the object is applied, with a sentence that says what would do.\n",
		crd.Spec.Group, crd.Spec.Versions[0].Name, crd.Spec.Scope, strings.Join(crd.Spec.Names.ShortNames, ", "))
	for _, part := range []string{"spec", "status"} {
		fmt.Fprintf(out, "\n## %s\n\n| field | type | default | meaning |\n|---|---|---|---|\n", part)
		fields(out, part, root.Properties[part])
	}
	return nil
}
