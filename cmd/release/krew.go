package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// krewFile is named after the plugin, as krew wants it.
const krewFile = "kdoctor.yaml"

// The types are those of krew's format krew.googlecontainertools.github.com/v1alpha2, as far as it is used here. Krew's
// own package would bring a client for Kubernetes of 2022 into this module.
type (
	krewPlugin struct {
		APIVersion string       `json:"apiVersion"`
		Kind       string       `json:"kind"`
		Metadata   krewMetadata `json:"metadata"`
		Spec       krewSpec     `json:"spec"`
	}
	krewMetadata struct {
		Name string `json:"name"`
	}
	krewSpec struct {
		Version          string         `json:"version"`
		Homepage         string         `json:"homepage"`
		ShortDescription string         `json:"shortDescription"`
		Description      string         `json:"description"`
		Caveats          string         `json:"caveats,omitempty"`
		Platforms        []krewPlatform `json:"platforms"`
	}
	krewPlatform struct {
		Selector krewSelector `json:"selector"`
		URI      string       `json:"uri"`
		Sha256   string       `json:"sha256"`
		Files    []krewFiles  `json:"files"`
		Bin      string       `json:"bin"`
	}
	krewSelector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	}
	krewFiles struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
)

// krewManifest writes the manifest by which krew installs the plugin's archives.
func (r *release) krewManifest(context.Context) error {
	content, err := yaml.Marshal(manifestOf(r.Options, r.plugins))
	if err != nil {
		return fmt.Errorf("make the krew manifest: %w", err)
	}
	return os.WriteFile(filepath.Join(r.draft, krewFile), content, 0o644)
}

func manifestOf(o Options, plugins []archive) krewPlugin {
	m := krewPlugin{APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin",
		Metadata: krewMetadata{Name: "kdoctor"},
		Spec: krewSpec{
			Version:          o.Version,
			Homepage:         o.HomeURL,
			ShortDescription: "Show which node reaches which, on every path",
			Description: "kdoctor tests a cluster's data plane from every node to every node, over every path.\n" +
				"This plugin shows its reports: which path failed, from where, how often, and\nwhat to look at.\n",
			Caveats: "The plugin reads reports of kdoctor, which must be installed in the cluster.\n" +
				"kubectl completes names of tasks once the plugin's script is in the PATH:\n" +
				"  krew=\"${KREW_ROOT:-$HOME/.krew}\"\n" +
				"  cp \"$krew/store/kdoctor/" + o.Version + "/" + completer + "\" \"$krew/bin/\"\n",
		}}
	for _, a := range plugins {
		program := a.platform.binary(plugin)
		files := []krewFiles{{program, "."}, {"LICENSE", "."}}
		if a.platform.completes() {
			files = append(files, krewFiles{completer, "."})
		}
		m.Spec.Platforms = append(m.Spec.Platforms, krewPlatform{
			Selector: krewSelector{map[string]string{"os": a.platform.OS, "arch": a.platform.Arch}},
			URI:      o.address(a.file),
			Sha256:   a.sha256,
			Files:    files,
			Bin:      program,
		})
	}
	return m
}
