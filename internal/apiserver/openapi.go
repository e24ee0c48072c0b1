package apiserver

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	metaopenapi "k8s.io/kube-aggregator/pkg/generated/openapi"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/yaml"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/version"
)

// document describes KdoctorReport and KdoctorPath. It is generated from the Go types in the form of
// CustomResourceDefinitions, of which the schemas alone are used.
//
//go:embed schema/*.yaml
var document embed.FS

// openAPI makes the configurations of both OpenAPI documents, from which kubectl explain and the aggregator read.
func openAPI(scheme *runtime.Scheme) (*common.Config, *common.OpenAPIV3Config, error) {
	report, err := schemaOf("kdoctorreports")
	if err != nil {
		return nil, nil, err
	}
	path, err := schemaOf("kdoctorpaths")
	if err != nil {
		return nil, nil, err
	}
	definitions := func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		all := metaopenapi.GetOpenAPIDefinitions(ref)
		one := systemv1beta1.KdoctorReport{}.OpenAPIModelName()
		list := systemv1beta1.KdoctorReportList{}.OpenAPIModelName()
		all[one], all[list] = objectDefinition(report, ref), listDefinition("KdoctorReport", one, report, ref)
		one = systemv1beta1.KdoctorPath{}.OpenAPIModelName()
		list = systemv1beta1.KdoctorPathList{}.OpenAPIModelName()
		all[one], all[list] = objectDefinition(path, ref), listDefinition("KdoctorPath", one, path, ref)
		all[list].Schema.Properties["summed"] = summedSchema()
		return all
	}
	namer := apiopenapi.NewDefinitionNamer(scheme)
	v2 := genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	v3 := genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	v2.Info.Title, v3.Info.Title = "kdoctor", "kdoctor"
	v2.Info.Version, v3.Info.Version = version.Release(), version.Release()
	return v2, v3, nil
}

// summedSchema describes the list's own field, which no generator does.
func summedSchema() spec.Schema {
	object := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
	object.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	s := spec.ArrayProperty(&object)
	s.Description = "The other paths of the node that the selector names: those that are not reported one by one."
	return *s
}

// schemaOf reads the schema of a resource out of the embedded documents.
func schemaOf(resource string) (spec.Schema, error) {
	document, err := document.ReadFile("schema/system.kdoctor.io_" + resource + ".yaml")
	if err != nil {
		return spec.Schema{}, fmt.Errorf("read schema of %s: %w", resource, err)
	}
	var parsed struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(document, &parsed); err != nil {
		return spec.Schema{}, fmt.Errorf("read schema of %s: %w", resource, err)
	}
	if len(parsed.Spec.Versions) != 1 {
		return spec.Schema{}, errors.New("the document does not hold one version")
	}
	var read spec.Schema
	if err := json.Unmarshal(parsed.Spec.Versions[0].Schema.OpenAPIV3Schema, &read); err != nil {
		return spec.Schema{}, fmt.Errorf("read schema of %s: %w", resource, err)
	}
	return read, nil
}

// reference is a property that stands for another type.
func reference(ref common.ReferenceCallback, name string) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Default: map[string]any{}, Ref: ref(name)}}
}

func objectDefinition(object spec.Schema, ref common.ReferenceCallback) common.OpenAPIDefinition {
	properties := make(map[string]spec.Schema, len(object.Properties))
	for name, property := range object.Properties {
		properties[name] = property
	}
	meta := metav1.ObjectMeta{}.OpenAPIModelName()
	properties["metadata"] = reference(ref, meta)
	object.Properties = properties
	return common.OpenAPIDefinition{Schema: object, Dependencies: []string{meta}}
}

func listDefinition(kind, item string, object spec.Schema, ref common.ReferenceCallback) common.OpenAPIDefinition {
	meta := metav1.ListMeta{}.OpenAPIModelName()
	items := spec.ArrayProperty(new(reference(ref, item)))
	return common.OpenAPIDefinition{
		Schema: spec.Schema{SchemaProps: spec.SchemaProps{
			Description: kind + "List is a list of " + kind + ".",
			Type:        []string{"object"}, Required: []string{"items"},
			Properties: map[string]spec.Schema{
				"kind": object.Properties["kind"], "apiVersion": object.Properties["apiVersion"],
				"metadata": reference(ref, meta), "items": *items,
			},
		}},
		Dependencies: []string{meta, item},
	}
}
