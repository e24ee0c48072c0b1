// Package image makes container images from single programs, as archives that containerd can import; no registry takes
// part.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Tags of the lab's own images.
const (
	CoreDNS = "docker.io/kdoctor-lab/coredns:1"
	// Pause holds a pod's namespaces.
	Pause = "docker.io/kdoctor-lab/pause:1"
)

// user is the one without any rights.
const user = 65534

// Spec says what is in an image.
type Spec struct {
	// Tag is the full name, with registry and tag.
	Tag string
	// Program is the path of a static binary on this machine; Path is where it is in the image.
	Program, Path string
}

// Write makes the image's archive at path.
func Write(s Spec, path string) error {
	layer, err := s.layer()
	if err != nil {
		return fmt.Errorf("make image %s: %w", s.Tag, err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return fmt.Errorf("make image %s: %w", s.Tag, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("make image %s: %w", s.Tag, err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{Entrypoint: []string{s.Path}, User: fmt.Sprintf("%d:%d", user, user)}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return fmt.Errorf("make image %s: %w", s.Tag, err)
	}
	tag, err := name.NewTag(s.Tag)
	if err != nil {
		return fmt.Errorf("make image %s: %w", s.Tag, err)
	}
	if err := tarball.WriteToFile(path+".new", tag, img); err != nil {
		return fmt.Errorf("make image %s: %w", s.Tag, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("make image %s: %w", s.Tag, err)
	}
	return nil
}

func (s Spec) layer() (v1.Layer, error) {
	program, err := os.ReadFile(s.Program)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: s.Path[1:], Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())),
			nil
	},
		tarball.WithCompressionLevel(1))
}
