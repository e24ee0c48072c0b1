package apiserver

import (
	_ "embed"
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
)

// document describes KdoctorReport. It is generated from the Go types in the form of a CustomResourceDefinition, of
// which the schema alone is used.
//
//go:embed schema/system.kdoctor.io_kdoctorreports.yaml
var document []byte

// openAPI makes the configurations of both OpenAPI documents, from which kubectl explain and the aggregator read.
func openAPI(scheme *runtime.Scheme) (*common.Config, *common.OpenAPIV3Config, error) {
	report, err := reportSchema()
	if err != nil {
		return nil, nil, fmt.Errorf("read schema of KdoctorReport: %w", err)
	}
	definitions := func(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		all := metaopenapi.GetOpenAPIDefinitions(ref)
		all[systemv1beta1.KdoctorReport{}.OpenAPIModelName()] = reportDefinition(report, ref)
		all[systemv1beta1.KdoctorReportList{}.OpenAPIModelName()] = listDefinition(report, ref)
		return all
	}
	namer := apiopenapi.NewDefinitionNamer(scheme)
	v2 := genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	v3 := genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	v2.Info.Title, v3.Info.Title = "kdoctor", "kdoctor"
	return v2, v3, nil
}

// reportSchema reads the schema out of the embedded document.
func reportSchema() (spec.Schema, error) {
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
		return spec.Schema{}, err
	}
	if len(parsed.Spec.Versions) != 1 {
		return spec.Schema{}, errors.New("the document does not hold one version")
	}
	var report spec.Schema
	err := json.Unmarshal(parsed.Spec.Versions[0].Schema.OpenAPIV3Schema, &report)
	return report, err
}

// reference is a property that stands for another type.
func reference(ref common.ReferenceCallback, name string) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Default: map[string]any{}, Ref: ref(name)}}
}

func reportDefinition(report spec.Schema, ref common.ReferenceCallback) common.OpenAPIDefinition {
	properties := make(map[string]spec.Schema, len(report.Properties))
	for name, property := range report.Properties {
		properties[name] = property
	}
	meta := metav1.ObjectMeta{}.OpenAPIModelName()
	properties["metadata"] = reference(ref, meta)
	report.Properties = properties
	return common.OpenAPIDefinition{Schema: report, Dependencies: []string{meta}}
}

func listDefinition(report spec.Schema, ref common.ReferenceCallback) common.OpenAPIDefinition {
	meta, item := metav1.ListMeta{}.OpenAPIModelName(), systemv1beta1.KdoctorReport{}.OpenAPIModelName()
	items := spec.ArrayProperty(new(reference(ref, item)))
	return common.OpenAPIDefinition{
		Schema: spec.Schema{SchemaProps: spec.SchemaProps{
			Description: "KdoctorReportList is a list of KdoctorReport.",
			Type:        []string{"object"}, Required: []string{"items"},
			Properties: map[string]spec.Schema{
				"kind": report.Properties["kind"], "apiVersion": report.Properties["apiVersion"],
				"metadata": reference(ref, meta), "items": *items,
			},
		}},
		Dependencies: []string{meta, item},
	}
}
