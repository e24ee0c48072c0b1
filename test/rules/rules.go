package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/internal/crdrules"
)

// errField is returned, wrapped, for a rule about a field that the CRD does not have.
var errField = errors.New("there is no such field")

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the CRD: %w", err)
	}
	var crd map[string]any
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return fmt.Errorf("read the CRD: %w", err)
	}
	spec, _ := crd["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	for _, v := range versions {
		version, _ := v.(map[string]any)
		schema, _ := version["schema"].(map[string]any)
		root, _ := schema["openAPIV3Schema"].(map[string]any)
		for _, rule := range crdrules.NetReach() {
			if err := add(root, rule); err != nil {
				return fmt.Errorf("rule about %s: %w", rule.At, err)
			}
		}
	}
	if text, err = yaml.Marshal(crd); err != nil {
		return fmt.Errorf("write the CRD: %w", err)
	}
	_, err = out.Write(append([]byte("---\n"), text...))
	return err
}

// add adds the rule to the schema of its field.
func add(root map[string]any, rule crdrules.Rule) error {
	at := root
	for name := range strings.SplitSeq(rule.At, ".") {
		properties, _ := at["properties"].(map[string]any)
		next, ok := properties[name].(map[string]any)
		if !ok {
			return errField
		}
		at = next
	}
	const key = "x-kubernetes-validations"
	rules, _ := at[key].([]any)
	at[key] = append(rules,
		apiextensionsv1.ValidationRule{Rule: rule.CEL, MessageExpression: rule.Sentence, Message: rule.Fixed})
	return nil
}
