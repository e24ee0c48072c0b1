// Package image makes container images from static binaries: one image for each architecture, and the index that joins
// them. It needs no registry and no engine, reads no clock, and makes the same bytes every time.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is nobody in particular: not root, and without a name in any file of the image.
const User = "65532:65532"

// Spec says what all architectures of an image have in common.
type Spec struct {
	// Name is the image's full name with its tag, as containerd spells it.
	Name string
	// Target is the absolute path of the program in the image, which is also the entrypoint.
	Target string
	// Created is the time that tools show as the image's age. It says nothing about when the image was made.
	Created time.Time
	// Labels are added to those that follow from name and path.
	Labels map[string]string
	// MaxBytes is the largest size of one architecture's image, compressed, in bytes; 0 is no limit.
	MaxBytes int64
}

// Platform is the image of one architecture.
type Platform struct {
	// Arch is the architecture: amd64 or arm64.
	Arch string
	// Image has one layer with the program.
	Image v1.Image
	// Bytes is the compressed size of the layer and the configuration.
	Bytes int64
}

// FullName spells the default registry as containerd does, which differs from the library's way; images under the
// library's spelling are not found.
func FullName(tag name.Tag) string {
	host := tag.RegistryStr()
	if host == name.DefaultRegistry {
		host = strings.TrimPrefix(host, "index.")
	}
	return fmt.Sprintf("%s/%s:%s", host, tag.RepositoryStr(), tag.TagStr())
}

// Architectures returns the architectures that images are made for.
func Architectures() []string { return []string{"amd64", "arm64"} }

// New returns the image of the program at source, which must be a static binary for the architecture.
func New(spec Spec, arch, source string) (Platform, error) {
	if err := checkBinary(arch, source); err != nil {
		return Platform{}, err
	}
	layer, err := spec.layer(source)
	if err != nil {
		return Platform{}, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base,
		mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: spec.Created}, CreatedBy: "mkimage"}})
	if err != nil {
		return Platform{}, fmt.Errorf("add the layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return Platform{}, fmt.Errorf("read the image's configuration: %w", err)
	}
	if image, err = mutate.ConfigFile(image, spec.config(arch, config.DeepCopy())); err != nil {
		return Platform{}, fmt.Errorf("set the image's configuration: %w", err)
	}
	size, err := compressedSize(image)
	if err != nil {
		return Platform{}, err
	}
	if spec.MaxBytes > 0 && size > spec.MaxBytes {
		return Platform{}, fmt.Errorf("the image for linux/%s has %d bytes, more than the %d that are allowed; see "+
			"what made the binary grow", arch, size, spec.MaxBytes)
	}
	return Platform{Arch: arch, Image: image, Bytes: size}, nil
}

func (s Spec) layer(source string) (v1.Layer, error) {
	content, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	archive, err := pack(s.Target, content)
	if err != nil {
		return nil, fmt.Errorf("pack the binary: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithCompressionLevel(gzip.BestCompression),
		tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	return layer, nil
}

func (s Spec) config(arch string, config *v1.ConfigFile) *v1.ConfigFile {
	config.OS, config.Architecture = "linux", arch
	config.Created = v1.Time{Time: s.Created}
	config.Config = v1.Config{
		User:       User,
		Entrypoint: []string{s.Target},
		WorkingDir: "/",
		Env:        []string{"PATH=/"},
		Labels: map[string]string{
			"org.opencontainers.image.title":    path.Base(s.Target),
			"org.opencontainers.image.version":  s.tag(),
			"org.opencontainers.image.ref.name": s.Name,
		},
	}
	maps.Copy(config.Config.Labels, s.Labels)
	return config
}

func (s Spec) tag() string { return s.Name[strings.LastIndex(s.Name, ":")+1:] }

// checkBinary refuses what an image without any other file could not run: another processor's binary, or one that needs
// a loader.
func checkBinary(arch, source string) error {
	file, err := elf.Open(source)
	if err != nil {
		return fmt.Errorf("read the binary: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	if file.Machine != Machine(arch) {
		return fmt.Errorf("%s is built for %s, but --arch is %s", source, file.Machine, arch)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static; build it with CGO_ENABLED=0", source)
		}
	}
	return nil
}

// Machine is what programs for the architecture have in their header.
func Machine(arch string) elf.Machine {
	if arch == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

// pack returns an archive with the one file and the folders above it. Its times are fixed, so that a program that did
// not change is a layer that did not change.
func pack(target string, content []byte) ([]byte, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	epoch := time.Unix(0, 0).UTC()
	parts := strings.Split(strings.TrimPrefix(target, "/"), "/")
	for i := 1; i < len(parts); i++ {
		folder := tar.Header{Typeflag: tar.TypeDir, Name: path.Join(parts[:i]...) + "/", Mode: 0o755, ModTime: epoch}
		if err := archive.WriteHeader(&folder); err != nil {
			return nil, err
		}
	}
	file := tar.Header{Typeflag: tar.TypeReg, Name: path.Join(parts...), Size: int64(len(content)), Mode: 0o555,
		ModTime: epoch}
	if err := archive.WriteHeader(&file); err != nil {
		return nil, err
	}
	if _, err := archive.Write(content); err != nil {
		return nil, err
	}
	return buffer.Bytes(), archive.Close()
}

func compressedSize(image v1.Image) (int64, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return 0, fmt.Errorf("read the image's manifest: %w", err)
	}
	size := manifest.Config.Size
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size, nil
}
