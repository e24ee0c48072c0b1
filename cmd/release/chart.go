package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// chartName is the chart's name, and that of the folder inside its package.
const chartName = "kdoctor"

// defaultRegistry is the one that the chart's values mean when they name none.
const defaultRegistry = "docker.io/"

// chart packs the chart as helm does, but for times and rights, which are the same for everyone. Version, images and
// what the public index of charts shows come from this release.
func (r *release) chart(context.Context) error {
	files, err := chartFiles(filepath.Join(r.Source, "charts", chartName))
	if err != nil {
		return fmt.Errorf("read the chart: %w", err)
	}
	changes, err := os.ReadFile(filepath.Join(r.Source, "CHANGELOG.md"))
	if err != nil {
		return fmt.Errorf("read the changes: %w", err)
	}
	annotations, err := r.annotations(string(changes))
	if err != nil {
		return fmt.Errorf("make the chart's annotations: %w", err)
	}
	for i := range files {
		edit := map[string]func([]byte) ([]byte, error){
			"Chart.yaml":  func(b []byte) ([]byte, error) { return r.chartYAML(b, annotations) },
			"values.yaml": r.valuesYAML,
		}[files[i].name]
		if edit == nil {
			continue
		}
		if files[i].content, err = edit(files[i].content); err != nil {
			return fmt.Errorf("write the chart's %s: %w", files[i].name, err)
		}
	}
	// Helm finds the chart's name faster where Chart.yaml comes first, and writes it there too.
	slices.SortStableFunc(files, func(a, b packed) int {
		return strings.Compare(place(a.name), place(b.name))
	})
	for i := range files {
		files[i].name = path.Join(chartName, files[i].name)
	}
	content, err := tarGzip(files, r.Time)
	if err != nil {
		return fmt.Errorf("pack the chart: %w", err)
	}
	return os.WriteFile(filepath.Join(r.draft, chartName+"-"+r.number()+".tgz"), content, 0o644)
}

func place(name string) string {
	if name == "Chart.yaml" {
		return ""
	}
	return name
}

// chartFiles returns the files of the chart's folder but those that .helmignore names.
func chartFiles(folder string) ([]packed, error) {
	root := os.DirFS(folder)
	rules, err := fs.ReadFile(root, ".helmignore")
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var files []packed
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		skip, err := ignored(string(rules), entry)
		switch {
		case err != nil:
			return err
		case skip && entry.IsDir():
			return fs.SkipDir
		case skip || entry.IsDir():
			return nil
		}
		content, err := fs.ReadFile(root, name)
		files = append(files, packed{name, 0o644, content})
		return err
	})
	return files, err
}

// ignored reports whether one of the rules names the file. Rules are patterns of names; those with a path or a negation
// are refused, for this chart needs none.
func ignored(rules string, entry fs.DirEntry) (bool, error) {
	for rule := range strings.FieldsSeq(rules) {
		name, folder := strings.CutSuffix(rule, "/")
		if strings.ContainsAny(name, "/!#") {
			return false, fmt.Errorf(".helmignore has the rule %q; use patterns of names alone", rule)
		}
		match, err := path.Match(name, entry.Name())
		if err != nil {
			return false, fmt.Errorf(".helmignore has the rule %q: %w", rule, err)
		}
		if match && (!folder || entry.IsDir()) {
			return true, nil
		}
	}
	return false, nil
}

// chartYAML sets what this release says of the chart, and leaves the rest with its comments.
func (r *release) chartYAML(content []byte, annotations map[string]string) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, err
	}
	root := document.Content[0]
	for _, field := range [][2]string{{"version", r.number()}, {"appVersion", r.number()}, {"home", r.HomeURL},
		{"icon", r.address(iconFile)}} {
		*child(root, field[0]) = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: field[1]}
	}
	*child(root, "sources") = yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq",
		Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: r.HomeURL}}}
	table := child(root, "annotations")
	table.Kind, table.Tag = yaml.MappingNode, "!!map"
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		*child(table, key) = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: annotations[key],
			Style: style(annotations[key])}
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

func style(value string) yaml.Style {
	if strings.Contains(value, "\n") {
		return yaml.LiteralStyle
	}
	return yaml.DoubleQuotedStyle
}

// child returns the value of the key, which is added where it is missing.
func child(table *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(table.Content); i += 2 {
		if table.Content[i].Value == key {
			return table.Content[i+1]
		}
	}
	value := &yaml.Node{}
	table.Content = append(table.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
	return value
}

// valuesYAML has the values name the images where this release's registry has them. A chart whose default is that
// registry stays as it is.
func (r *release) valuesYAML(content []byte) ([]byte, error) {
	for _, program := range []string{"agent", "controller"} {
		want := r.Registry + "/" + program
		if want == defaultRegistry+"kdoctor/"+program {
			continue
		}
		before := "    repository: kdoctor/" + program + "\n"
		if n := bytes.Count(content, []byte(before)); n != 1 {
			return nil, fmt.Errorf("the image of the %s stands there %d times as %q, want once", program, n,
				strings.TrimSpace(before))
		}
		content = bytes.Replace(content, []byte(before), []byte("    repository: "+want+"\n"), 1)
	}
	return content, nil
}

// annotations are those that Artifact Hub reads, as far as they differ between releases.
func (r *release) annotations(changes string) (map[string]string, error) {
	type named struct {
		Name      string   `json:"name"`
		Image     string   `json:"image"`
		Platforms []string `json:"platforms"`
	}
	type link struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	var images []named
	for _, i := range r.images {
		images = append(images, named{i.program, i.name + "@" + i.digest, i.platforms})
	}
	values := map[string]any{
		"artifacthub.io/images":  images,
		"artifacthub.io/changes": changesOf(changes, r.number()),
		"artifacthub.io/links": []link{{"files of this release", r.address("")},
			{"checksums", r.address(checksumFile)}},
	}
	out := map[string]string{"artifacthub.io/prerelease": strconv.FormatBool(strings.Contains(r.Version, "-"))}
	for key, value := range values {
		text, err := sigsyaml.Marshal(value)
		if err != nil {
			return nil, err
		}
		out[key] = string(text)
	}
	return out, nil
}
