package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// fields writes the rows of an object's fields. It does not go into types that Kubernetes itself documents.
func fields(out io.Writer, path string, schema apiextensionsv1.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		field, at := schema.Properties[name], path+"."+name
		kind := field.Type
		if field.Items != nil {
			at += "[]"
			kind = "list of " + field.Items.Schema.Type
		}
		value := ""
		if field.Default != nil && string(field.Default.Raw) != "{}" {
			value = "`" + string(field.Default.Raw) + "`"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", at, kind, value,
			strings.ReplaceAll(paragraph(field.Description), "|", `\|`))
		if slices.Contains([]string{"affinity", "env", "resources", "conditions"}, name) {
			continue
		}
		if field.Items != nil {
			fields(out, at, *field.Items.Schema)
		}
		fields(out, at, field)
	}
}

func paragraph(description string) string { return strings.Join(strings.Fields(description), " ") }
