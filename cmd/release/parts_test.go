package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"sigs.k8s.io/yaml"
)

func sortedNames(names []string) []string {
	slices.Sort(names)
	return names
}

// unpacked returns the files of a tar.gz or zip with their rights.
func unpacked(t *testing.T, name string, content []byte) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	if strings.HasSuffix(name, ".zip") {
		reader, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range reader.File {
			found[f.Name] = f.Mode()
		}
		return found
	}
	for name, header := range tarFiles(t, content) {
		found[name] = header.mode
	}
	return found
}

type inTar struct {
	mode    fs.FileMode
	content string
	first   bool
}

func tarFiles(t *testing.T, content []byte) map[string]inTar {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]inTar{}
	for reader := tar.NewReader(zipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" {
			t.Errorf("%s belongs to user %d %q", header.Name, header.Uid, header.Uname)
		}
		found[header.Name] = inTar{header.FileInfo().Mode(), string(text), len(found) == 0}
	}
}

// The rules are those by which krew accepts a manifest, and those of its index.
func TestKrewManifestIsOneThatKrewAccepts(t *testing.T) {
	o, root := released()
	content, err := fs.ReadFile(root, krewFile)
	if err != nil {
		t.Fatal(err)
	}
	var m krewPlugin
	if err := yaml.UnmarshalStrict(content, &m); err != nil {
		t.Fatal(err)
	}
	got := []string{m.APIVersion, m.Kind, m.Metadata.Name, m.Spec.Version, m.Spec.Homepage}
	want := []string{"krew.googlecontainertools.github.com/v1alpha2", "Plugin", "kdoctor", "v1.2.3", o.HomeURL}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	if d := m.Spec.ShortDescription; d == "" || len(d) > 50 || strings.ContainsAny(d, "\r\n") ||
		strings.HasSuffix(d, ".") {
		t.Errorf("the short description is %q; krew wants one line of at most 50 letters without a full stop", d)
	}
	seen := map[string]bool{}
	for _, p := range m.Spec.Platforms {
		platform := p.Selector.MatchLabels["os"] + "/" + p.Selector.MatchLabels["arch"]
		if seen[platform] || len(p.Selector.MatchLabels) != 2 {
			t.Errorf("platform %s stands there twice, or its selector has other labels: %v", platform, p.Selector)
		}
		seen[platform] = true
		file, ok := strings.CutPrefix(p.URI, o.ReleaseURL+"/v1.2.3/")
		if !ok {
			t.Errorf("%s: %s is not below the address of the release", platform, p.URI)
		}
		archived, err := fs.ReadFile(root, file)
		if err != nil {
			t.Fatalf("%s: there is no file for %s", platform, p.URI)
		}
		if digest, err := sum(filepath.Join(o.Out, file)); err != nil || digest != p.Sha256 ||
			!regexp.MustCompile(`^[a-f0-9]{64}$`).MatchString(p.Sha256) {
			t.Errorf("%s: checksum %s, the file has %s (%v)", platform, p.Sha256, digest, err)
		}
		files := unpacked(t, file, archived)
		for _, f := range p.Files {
			if _, ok := files[f.From]; !ok || f.To == "" {
				t.Errorf("%s: the archive has no %s, only %v", platform, f.From, files)
			}
		}
		want := map[string]fs.FileMode{p.Bin: 0o755, "LICENSE": 0o644}
		if !strings.HasPrefix(platform, "windows/") {
			want[completer] = 0o755
		}
		if diff := cmp.Diff(want, files); diff != "" || len(p.Files) != len(want) {
			t.Errorf("%s: krew takes %v; files of the archive (-want +got):\n%s", platform, p.Files, diff)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d platforms, want 6: %v", len(seen), seen)
	}
}

// kubectl runs the script for the words after "kubectl kdoctor", of which the last may be empty.
func TestTheScriptOfCompletionAsksThePlugin(t *testing.T) {
	_, root := released()
	content, err := fs.ReadFile(root, plugin+"_linux_amd64.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string]string{completer: tarFiles(t, content)[completer].content,
		"kubectl": "#!/bin/sh\nprintf '[%s]' \"$@\"\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o700); err != nil { // #nosec G306 -- it runs
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, completer), "report", "a b", "")
	cmd.Env = []string{"PATH=" + folder}
	out, err := cmd.CombinedOutput()
	if want := "[kdoctor][__complete][report][a b][]"; err != nil || string(out) != want {
		t.Errorf("kubectl gets %q (%v), want %q", out, err, want)
	}
}

func TestChartPackageIsTheChartWithThisReleaseInIt(t *testing.T) {
	o, root := releasedWith(t, built(), func(o *Options) {
		o.Version, o.Registry = "v2.0.0-rc.1", "registry.test/team"
		o.ReleaseURL, o.HomeURL = "https://kdoctor.test/download", "https://kdoctor.test"
	})
	content, err := fs.ReadFile(root, "kdoctor-2.0.0-rc.1.tgz")
	if err != nil {
		t.Fatal(err)
	}
	files := tarFiles(t, content)
	if !files["kdoctor/Chart.yaml"].first {
		t.Error("Chart.yaml is not the first file")
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	if diff := cmp.Diff(chartOnDisk(t), sortedNames(names)); diff != "" {
		t.Errorf("files (-chart +package):\n%s", diff)
	}
	var chart struct {
		Version, AppVersion, Home, Icon string
		Sources                         []string
		Annotations                     map[string]string
	}
	if err := yaml.Unmarshal([]byte(files["kdoctor/Chart.yaml"].content), &chart); err != nil {
		t.Fatal(err)
	}
	got := append([]string{chart.Version, chart.AppVersion, chart.Home, chart.Icon}, chart.Sources...)
	want := []string{"2.0.0-rc.1", "2.0.0-rc.1", "https://kdoctor.test",
		"https://kdoctor.test/download/v2.0.0-rc.1/kdoctor.svg", "https://kdoctor.test"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Chart.yaml (-want +got):\n%s", diff)
	}
	checkAnnotations(t, o, chart.Annotations)
	for _, image := range []string{"registry.test/team/agent", "registry.test/team/controller"} {
		if !strings.Contains(files["kdoctor/values.yaml"].content, "\n    repository: "+image+"\n") {
			t.Errorf("the values do not name %s", image)
		}
	}
}

// chartOnDisk lists the chart's files in git's folder, as they are named inside a package.
func chartOnDisk(t *testing.T) []string {
	t.Helper()
	var names []string
	if err := fs.WalkDir(os.DirFS(sources+"/charts"), "kdoctor", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasSuffix(name, ".orig") && !strings.HasSuffix(name, ".tmp") {
			names = append(names, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return sortedNames(names)
}

func checkAnnotations(t *testing.T, o Options, annotations map[string]string) {
	t.Helper()
	if annotations["artifacthub.io/license"] != "Apache-2.0" || annotations["artifacthub.io/prerelease"] != "true" {
		t.Errorf("license %q, prerelease %q; want Apache-2.0, true", annotations["artifacthub.io/license"],
			annotations["artifacthub.io/prerelease"])
	}
	var images []struct {
		Name, Image string
		Platforms   []string
	}
	if err := yaml.UnmarshalStrict([]byte(annotations["artifacthub.io/images"]), &images); err != nil {
		t.Fatal(err)
	}
	if len(images) != 2 {
		t.Fatalf("%d images, want 2", len(images))
	}
	for _, i := range images {
		if want := "registry.test/team/" + i.Name + ":2.0.0-rc.1@" + layoutDigest(t, o, i.Name); i.Image != want {
			t.Errorf("image %s, want %s", i.Image, want)
		}
		if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, i.Platforms); diff != "" {
			t.Errorf("platforms (-want +got):\n%s", diff)
		}
	}
	var changes []change
	if err := yaml.UnmarshalStrict([]byte(annotations["artifacthub.io/changes"]), &changes); err != nil {
		t.Fatal(err)
	}
	if len(changes) < 3 {
		t.Errorf("%d changes; CHANGELOG.md has more", len(changes))
	}
}

// layoutDigest is the digest of what tools would copy from the layout, which must be valid as a whole.
func layoutDigest(t *testing.T, o Options, program string) string {
	t.Helper()
	path, err := layout.FromPath(filepath.Join(o.Out, "oci", program))
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("the layout of the %s is not valid: %v", program, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("layout of the %s: %v, %v", program, manifest, err)
	}
	return manifest.Manifests[0].Digest.String()
}

func TestChangesAreThoseOfTheVersionElseTheUnreleasedOnes(t *testing.T) {
	const log = "# Changes\n\n## Unreleased\n\n### Added\n\n* One\n  goes on.\n* Two\n\n## 1.2.3 (2026-01-02)\n\n" +
		"### Fixed\n\n* Three\n\nProse.\n\n### Known troubles\n\n* Four\n"
	for name, c := range map[string]struct {
		version string
		want    []change
	}{
		"a version with a section":    {"1.2.3", []change{{"fixed", "Three"}, {"changed", "Four"}}},
		"a version without a section": {"1.3.0", []change{{"added", "One goes on."}, {"added", "Two"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, changesOf(log, c.version)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListOfComponentsIsReadFromTheProgram(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Path: "kdoctor.test/small/cmd/agent",
		Main: debug.Module{Path: "kdoctor.test/small"},
		Deps: []*debug.Module{{Path: "a.test/old", Version: "v1.0.0",
			Replace: &debug.Module{Path: "a.test/new", Version: "v2.0.0+x"}}},
		Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}}}
	o := options("")
	about := subject{kind: cdx.ComponentTypeContainer, name: "image", purl: "pkg:oci/image", sha256: "1"}
	bom := components(about, info, "2", o.Version, o.Time)
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.Name+" "+c.Version+" "+c.PackageURL)
	}
	want := []string{"kdoctor.test/small/cmd/agent v1.2.3 pkg:golang/kdoctor.test/small@v1.2.3",
		"std 1.26.8 pkg:golang/std@1.26.8", "a.test/new v2.0.0+x pkg:golang/a.test/new@v2.0.0%2Bx"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
	if bom.Metadata.Timestamp != "2026-01-02T03:04:05Z" {
		t.Errorf("time %s, want the commit's", bom.Metadata.Timestamp)
	}
}

func TestEveryImageAndPluginHasAListOfComponents(t *testing.T) {
	_, root := released()
	numbers := map[string]string{}
	lists, err := fs.Glob(root, "*.cdx.json")
	if err != nil || len(lists) != 10 {
		t.Fatalf("%d lists (%v), want 10", len(lists), err)
	}
	for _, name := range lists {
		content, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		var head struct {
			BOMFormat, SpecVersion, SerialNumber string
			Metadata                             struct {
				Component struct {
					Hashes []struct{ Alg, Content string }
				}
			}
		}
		if err := json.Unmarshal(content, &head); err != nil {
			t.Fatal(err)
		}
		if head.BOMFormat != "CycloneDX" || head.SpecVersion != "1.6" || len(head.Metadata.Component.Hashes) != 1 {
			t.Errorf("%s begins with %+v", name, head)
		}
		if other := numbers[head.SerialNumber]; other != "" {
			t.Errorf("%s and %s have the same number", name, other)
		}
		numbers[head.SerialNumber] = name
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	for name, c := range map[string][2]string{
		"no version":                       {"--version", ""},
		"a version without its v":          {"--version", "1.2.3"},
		"a version of two numbers":         {"--version", "v1.2"},
		"a version that is no tag":         {"--version", "v1.2.3+x"},
		"an address without a scheme":      {"--release-url", "example.com/x"},
		"a home that is no address":        {"--home-url", "home"},
		"a registry that ends in a stroke": {"--registry", "registry.test/team/"},
		"no registry":                      {"--registry", ""},
		"no folder":                        {"--out", ""},
		"a limit below nothing":            {"--agent-max-bytes", "-1"},
		"a flag that there is none of":     {"--color", "red"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{c[0], c[1]}
			if c[0] != "--version" {
				args = append(args, "--version", "v1.2.3")
			}
			_, err := parse(args, io.Discard, func(string) string { return "" })
			if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(c[0], "-")) {
				t.Errorf("error %v, want one that names %s", err, c[0])
			}
		})
	}
}

func TestTimeIsSourceDateEpochElseTheCommits(t *testing.T) {
	getenv := func(value string) func(string) string { return func(string) string { return value } }
	o, err := parse([]string{"--version", "v1.2.3"}, io.Discard, getenv("1700000000"))
	if err != nil {
		t.Fatal(err)
	}
	if o.Time.Unix() != 1700000000 {
		t.Errorf("time %s, want SOURCE_DATE_EPOCH", o.Time)
	}
	if _, err := parse([]string{"--version", "v1.2.3"}, io.Discard, getenv("today")); err == nil {
		t.Error("a SOURCE_DATE_EPOCH that is no number was taken")
	}
	o = options("")
	o.Source, o.Revision = t.TempDir(), ""
	var warnings strings.Builder
	without, err := o.fromGit(t.Context(), &warnings)
	if err != nil || without.Revision != "" || !strings.Contains(warnings.String(), "git does not know the commit") {
		t.Errorf("without git: revision %q, warning %q, error %v", without.Revision, warnings.String(), err)
	}
}
