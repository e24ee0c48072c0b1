package image_test

import (
	"archive/tar"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"kdoctor.io/kdoctor/internal/image"
	"kdoctor.io/kdoctor/internal/image/imagetest"
)

func spec() image.Spec {
	return image.Spec{Name: "registry.test/kdoctor/agent:1.2.3", Target: "/kdoctor-agent",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Labels:  map[string]string{"org.opencontainers.image.licenses": "Apache-2.0"}}
}

func bundle(t *testing.T, archs ...string) *image.Bundle {
	t.Helper()
	var platforms []image.Platform
	for _, arch := range archs {
		p, err := image.New(spec(), arch, imagetest.Binary(t, arch, false))
		if err != nil {
			t.Fatal(err)
		}
		platforms = append(platforms, p)
	}
	b, err := image.NewBundle(spec(), platforms...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read returns the one entry of the layout's top, which is what tools copy.
func read(t *testing.T, folder string) (layout.Path, v1.Descriptor) {
	t.Helper()
	path, err := layout.FromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Errorf("the layout is not valid: %v", err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout has %d images, want 1, for tools copy an image that is alone", len(manifest.Manifests))
	}
	return path, manifest.Manifests[0]
}

func TestIndexHasAnImageForEachArchitecture(t *testing.T) {
	for name, archs := range map[string][]string{
		"in the order of names":  {"amd64", "arm64"},
		"in the other order":     {"arm64", "amd64"},
		"with one of them alone": {"arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "layout")
			b := bundle(t, archs...)
			if err := b.WriteLayout(folder); err != nil {
				t.Fatal(err)
			}
			path, root := read(t, folder)
			if root.Digest != b.Digest() {
				t.Errorf("the layout has %s, the bundle says %s", root.Digest, b.Digest())
			}
			want := map[string]string{"io.containerd.image.name": "registry.test/kdoctor/agent:1.2.3",
				"org.opencontainers.image.ref.name": "1.2.3"}
			if diff := cmp.Diff(want, root.Annotations); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			slices.Sort(archs)
			if diff := cmp.Diff(archs, architectures(t, path, root)); diff != "" {
				t.Errorf("architectures (-want +got):\n%s", diff)
			}
		})
	}
}

// architectures returns what the images say of themselves, and fails where the index says something else.
func architectures(t *testing.T, path layout.Path, root v1.Descriptor) []string {
	t.Helper()
	members := []v1.Descriptor{root}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if root.MediaType.IsIndex() {
		if index, err = index.ImageIndex(root.Digest); err != nil {
			t.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		members = manifest.Manifests
	}
	var found []string
	for _, member := range members {
		img, err := index.Image(member.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if member.Platform == nil || config.OS != "linux" || member.Platform.OS != config.OS ||
			member.Platform.Architecture != config.Architecture {
			t.Errorf("the index says %v of an image for %s/%s", member.Platform, config.OS, config.Architecture)
		}
		if got := config.Config.Labels["org.opencontainers.image.licenses"]; got != "Apache-2.0" {
			t.Errorf("the license in the labels is %q, want Apache-2.0", got)
		}
		if !config.Created.Equal(spec().Created) {
			t.Errorf("created %s, want %s", config.Created, spec().Created)
		}
		found = append(found, config.Architecture)
	}
	return found
}

// A node of either kind that pulls the one name gets its own image.
func TestEveryNodePullsItsOwnArchitectureFromARegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	tag, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/kdoctor/agent:1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "layout")
	b := bundle(t, "amd64", "arm64")
	if err := b.WriteLayout(folder); err != nil {
		t.Fatal(err)
	}
	path, root := read(t, folder)
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	index, err := top.ImageIndex(root.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, index); err != nil {
		t.Fatal(err)
	}
	for _, arch := range image.Architectures() {
		pulled, err := remote.Image(tag, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatalf("pull for linux/%s: %v", arch, err)
		}
		config, err := pulled.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != arch {
			t.Errorf("a node of linux/%s pulled an image for %s", arch, config.Architecture)
		}
	}
	pushed, err := remote.Head(tag)
	if err != nil {
		t.Fatal(err)
	}
	if pushed.Digest != b.Digest() {
		t.Errorf("the registry knows the image by %s, the bundle by %s", pushed.Digest, b.Digest())
	}
}

func TestArchiveIsTheLayoutInOneFile(t *testing.T) {
	for name, c := range map[string]struct {
		docker string
		extra  []string
	}{
		"for every tool that reads OCI archives": {"", nil},
		"for docker of any age too":              {"arm64", []string{"manifest.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := bundle(t, "amd64", "arm64")
			folder, out := filepath.Join(t.TempDir(), "layout"), filepath.Join(t.TempDir(), "image.tar")
			if err := b.WriteLayout(folder); err != nil {
				t.Fatal(err)
			}
			if err := b.WriteArchive(out, c.docker); err != nil {
				t.Fatal(err)
			}
			want := regular(t, os.DirFS(folder))
			for _, extra := range c.extra {
				want[extra] = ""
			}
			got := unpack(t, out)
			for _, extra := range c.extra {
				got[extra] = ""
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-layout +archive):\n%s", diff)
			}
			if c.docker == "" {
				return
			}
			loaded, err := tarball.ImageFromPath(out, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(loaded); err != nil {
				t.Errorf("the image for docker is not valid: %v", err)
			}
			config, err := loaded.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if config.Architecture != c.docker {
				t.Errorf("docker loads the image for %s, want %s", config.Architecture, c.docker)
			}
		})
	}
}

func unpack(t *testing.T, archive string) map[string]string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files := map[string]string{}
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			files[header.Name] = string(content)
		}
	}
}
