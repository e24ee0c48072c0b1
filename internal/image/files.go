package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Bundle is an image for one or several architectures, ready to be written.
type Bundle struct {
	spec      Spec
	platforms []Platform
	// root names the image: the index, or the one image where there is no other architecture.
	root v1.Descriptor
	// index is the index's text; nil where there is none.
	index []byte
}

// NewBundle joins the images of the architectures under the name of the spec, in an index if there are several.
func NewBundle(spec Spec, platforms ...Platform) (*Bundle, error) {
	if len(platforms) == 0 {
		return nil, errors.New("an image needs at least one architecture")
	}
	b := &Bundle{spec: spec, platforms: slices.SortedFunc(slices.Values(platforms), func(a, b Platform) int {
		return strings.Compare(a.Arch, b.Arch)
	})}
	manifest := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for i, p := range b.platforms {
		if i > 0 && b.platforms[i-1].Arch == p.Arch {
			return nil, fmt.Errorf("there are two images for linux/%s; an index takes one", p.Arch)
		}
		member, err := p.descriptor()
		if err != nil {
			return nil, fmt.Errorf("describe the image for linux/%s: %w", p.Arch, err)
		}
		manifest.Manifests = append(manifest.Manifests, member)
	}
	b.root = manifest.Manifests[0]
	if len(platforms) > 1 {
		if err := b.joinAs(manifest); err != nil {
			return nil, fmt.Errorf("make the index: %w", err)
		}
	}
	// containerd, docker and podman take the name from the first, skopeo and the specification the tag from the second.
	b.root.Annotations = map[string]string{
		"io.containerd.image.name":          spec.Name,
		"org.opencontainers.image.ref.name": spec.tag(),
	}
	return b, nil
}

func (b *Bundle) joinAs(manifest v1.IndexManifest) (err error) {
	if b.index, err = json.Marshal(manifest); err != nil {
		return err
	}
	b.root = v1.Descriptor{MediaType: types.OCIImageIndex}
	b.root.Digest, b.root.Size, err = v1.SHA256(bytes.NewReader(b.index))
	return err
}

// descriptor is the image's entry in an index.
func (p Platform) descriptor() (v1.Descriptor, error) {
	d := v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.Arch}}
	var err error
	if d.MediaType, err = p.Image.MediaType(); err != nil {
		return d, err
	}
	if d.Size, err = p.Image.Size(); err != nil {
		return d, err
	}
	d.Digest, err = p.Image.Digest()
	return d, err
}

// Digest is the digest by which a registry knows the image: that of the index, where there are several architectures.
func (b *Bundle) Digest() v1.Hash { return b.root.Digest }

// file is one file of an OCI layout.
type file struct {
	name    string
	content []byte
}

// layout returns the files of an OCI layout, sorted by name.
func (b *Bundle) layout() ([]file, error) {
	top, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: []v1.Descriptor{b.root}})
	if err != nil {
		return nil, err
	}
	files := []file{{"index.json", top}, {"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	if b.index != nil {
		files = append(files, file{blob(b.root.Digest), b.index})
	}
	for _, p := range b.platforms {
		blobs, err := p.blobs()
		if err != nil {
			return nil, fmt.Errorf("read the image for linux/%s: %w", p.Arch, err)
		}
		files = append(files, blobs...)
	}
	return sorted(files), nil
}

// sorted returns the files in the order of their names, each once: architectures may share a blob.
func sorted(files []file) []file {
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return slices.CompactFunc(files, func(a, b file) bool { return a.name == b.name })
}

func blob(digest v1.Hash) string { return path.Join("blobs", digest.Algorithm, digest.Hex) }

func (p Platform) blobs() ([]file, error) {
	digest, err := p.Image.Digest()
	if err != nil {
		return nil, err
	}
	manifest, err := p.Image.RawManifest()
	if err != nil {
		return nil, err
	}
	configName, err := p.Image.ConfigName()
	if err != nil {
		return nil, err
	}
	config, err := p.Image.RawConfigFile()
	if err != nil {
		return nil, err
	}
	files := []file{{blob(digest), manifest}, {blob(configName), config}}
	layers, err := p.Image.Layers()
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return nil, err
		}
		content, err := compressed(layer)
		if err != nil {
			return nil, err
		}
		files = append(files, file{blob(digest), content})
	}
	return files, nil
}

func compressed(layer v1.Layer) ([]byte, error) {
	reader, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

// dockerManifest is the file by which docker without containerd's image store reads an archive. It knows no index.
func (b *Bundle) dockerManifest(arch string) (file, error) {
	at := slices.IndexFunc(b.platforms, func(p Platform) bool { return p.Arch == arch })
	if at < 0 {
		return file{}, fmt.Errorf("there is no image for linux/%s that docker could load", arch)
	}
	manifest, err := b.platforms[at].Image.Manifest()
	if err != nil {
		return file{}, fmt.Errorf("read the image for linux/%s: %w", arch, err)
	}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	e := entry{Config: blob(manifest.Config.Digest), RepoTags: []string{b.spec.Name}}
	for _, layer := range manifest.Layers {
		e.Layers = append(e.Layers, blob(layer.Digest))
	}
	content, err := json.Marshal([]entry{e})
	return file{"manifest.json", content}, err
}

// WriteLayout writes the image as an OCI layout: a folder, which must not exist yet.
func (b *Bundle) WriteLayout(folder string) error {
	files, err := b.layout()
	if err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	for _, f := range files {
		to := filepath.Join(folder, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("write the layout: %w", err)
		}
		if err := os.WriteFile(to, f.content, 0o644); err != nil {
			return fmt.Errorf("write the layout: %w", err)
		}
	}
	return nil
}

// WriteArchive writes the image as one file, all or nothing: an OCI archive. With an architecture, docker of any age
// loads that one from it; docker without containerd's image store cannot read the file otherwise.
func (b *Bundle) WriteArchive(out, docker string) error {
	files, err := b.layout()
	if err != nil {
		return err
	}
	if docker != "" {
		manifest, err := b.dockerManifest(docker)
		if err != nil {
			return err
		}
		files = sorted(append(files, manifest))
	}
	draft, err := os.CreateTemp(filepath.Dir(out), ".image-*")
	if err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	defer os.Remove(draft.Name()) //nolint:errcheck // it is gone once it has been renamed
	err = writeTar(draft, files)
	if closeErr := draft.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	if err := os.Chmod(draft.Name(), 0o644); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return os.Rename(draft.Name(), out)
}

func writeTar(out io.Writer, files []file) error {
	archive := tar.NewWriter(out)
	epoch := time.Unix(0, 0).UTC()
	for _, folder := range []string{"blobs/", "blobs/sha256/"} {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755,
			ModTime: epoch}); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.content)),
			Mode: 0o644, ModTime: epoch}); err != nil {
			return err
		}
		if _, err := io.Copy(archive, bytes.NewReader(f.content)); err != nil {
			return err
		}
	}
	return archive.Close()
}
