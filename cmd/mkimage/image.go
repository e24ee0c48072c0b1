package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// user is nobody in particular: not root, and without a name in any file of the image.
const user = "65532:65532"

func machine(arch string) elf.Machine {
	if arch == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

func (o Options) image() (v1.Image, error) {
	if err := o.checkBinary(); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(o.Source)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	archive, err := pack(o.Target, content)
	if err != nil {
		return nil, fmt.Errorf("pack the binary: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithCompressionLevel(gzip.BestCompression))
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	image, err := mutate.Append(empty.Image,
		mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: epoch()}, CreatedBy: "mkimage"}})
	if err != nil {
		return nil, fmt.Errorf("add the layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	return mutate.ConfigFile(image, o.config(config.DeepCopy()))
}

func (o Options) config(config *v1.ConfigFile) *v1.ConfigFile {
	tag := o.Name[strings.LastIndex(o.Name, ":")+1:]
	config.OS, config.Architecture = "linux", o.Arch
	config.Created = v1.Time{Time: epoch()}
	config.Config = v1.Config{
		User:       user,
		Entrypoint: []string{o.Target},
		WorkingDir: "/",
		Env:        []string{"PATH=/"},
		Labels: map[string]string{
			"org.opencontainers.image.title":    path.Base(o.Target),
			"org.opencontainers.image.version":  tag,
			"org.opencontainers.image.ref.name": o.Name,
		},
	}
	return config
}

// checkBinary refuses what an image without any other file could not run: another processor's binary, or one that needs
// a loader.
func (o Options) checkBinary() (err error) {
	file, err := elf.Open(o.Source)
	if err != nil {
		return fmt.Errorf("read the binary: %w", err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	if file.Machine != machine(o.Arch) {
		return fmt.Errorf("%s is built for %s, but --arch is %s", o.Source, file.Machine, o.Arch)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static; build it with CGO_ENABLED=0", o.Source)
		}
	}
	return nil
}

// pack returns an archive with the one file and the folders above it.
func pack(target string, content []byte) ([]byte, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	parts := strings.Split(strings.TrimPrefix(target, "/"), "/")
	for i := 1; i < len(parts); i++ {
		folder := tar.Header{Typeflag: tar.TypeDir, Name: path.Join(parts[:i]...) + "/", Mode: 0o755, ModTime: epoch()}
		if err := archive.WriteHeader(&folder); err != nil {
			return nil, err
		}
	}
	file := tar.Header{Typeflag: tar.TypeReg, Name: path.Join(parts...), Size: int64(len(content)), Mode: 0o555,
		ModTime: epoch()}
	if err := archive.WriteHeader(&file); err != nil {
		return nil, err
	}
	if _, err := archive.Write(content); err != nil {
		return nil, err
	}
	return buffer.Bytes(), archive.Close()
}

// epoch stands where the time of the build would make every image another one.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// write puts the image into the file, all or nothing, and returns the file's size in bytes.
func write(o Options, image v1.Image) (int64, error) {
	tag, err := name.NewTag(o.Name)
	if err != nil {
		return 0, err
	}
	draft, err := os.CreateTemp(filepath.Dir(o.Out), ".mkimage-*")
	if err != nil {
		return 0, fmt.Errorf("write the image: %w", err)
	}
	defer os.Remove(draft.Name()) //nolint:errcheck // it is gone once it has been renamed
	err = tarball.MultiWrite(map[name.Tag]v1.Image{tag: image}, draft)
	if closeErr := draft.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return 0, fmt.Errorf("write the image: %w", err)
	}
	info, err := os.Stat(draft.Name())
	if err != nil {
		return 0, fmt.Errorf("write the image: %w", err)
	}
	if o.MaxBytes > 0 && info.Size() > o.MaxBytes {
		return 0, fmt.Errorf("the image has %d bytes, more than the %d that --max-bytes allows; see what made the "+
			"binary grow", info.Size(), o.MaxBytes)
	}
	if err := os.Chmod(draft.Name(), 0o644); err != nil {
		return 0, fmt.Errorf("write the image: %w", err)
	}
	return info.Size(), os.Rename(draft.Name(), o.Out)
}
