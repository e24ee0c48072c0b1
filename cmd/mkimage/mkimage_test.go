package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"kdoctor.io/kdoctor/internal/image/imagetest"
)

func TestImageHoldsTheBinaryAndNothingElse(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			program, out := imagetest.Binary(t, arch, false), filepath.Join(t.TempDir(), "image.tar")
			args := []string{"--name", "kdoctor/agent:0.1.0", "--binary", program + "=/opt/kdoctor-agent", "--out", out,
				"--arch", arch}
			if err := run(args, io.Discard); err != nil {
				t.Fatal(err)
			}
			manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(out) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"docker" + ".io/kdoctor/agent:0.1.0"}, manifest[0].RepoTags); diff != "" {
				t.Errorf("name (-want +got):\n%s", diff)
			}
			loaded, err := tarball.ImageFromPath(out, nil)
			if err != nil {
				t.Fatal(err)
			}
			config, err := loaded.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			got := []string{config.OS, config.Architecture, config.Config.User,
				strings.Join(config.Config.Entrypoint, " "), config.Config.Labels["org.opencontainers.image.version"]}
			if diff := cmp.Diff([]string{"linux", arch, "65532:65532", "/opt/kdoctor-agent", "0.1.0"},
				got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			layers, err := loaded.Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("%d layers (%v), want 1", len(layers), err)
			}
			content, err := layers[0].Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			checkFiles(t, content, want)
		})
	}
}

func checkFiles(t *testing.T, layer io.Reader, want []byte) {
	t.Helper()
	var names []string
	for archive := tar.NewReader(layer); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name+" "+strconv.FormatInt(header.Mode, 8))
		if header.Typeflag != tar.TypeReg {
			continue
		}
		got, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Error("the file in the image is not the binary")
		}
	}
	if diff := cmp.Diff([]string{"opt/ 755", "opt/kdoctor-agent 555"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestSameBinaryMakesTheSameBytes(t *testing.T) {
	program := imagetest.Binary(t, "amd64", false)
	var files [][]byte
	for range 2 {
		out := filepath.Join(t.TempDir(), "image.tar")
		if err := run([]string{"--name", "a/b:c", "--binary", program + "=/b", "--out", out, "--arch", "amd64"},
			io.Discard); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, content)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two runs made different files")
	}
}

func TestTwoBinariesMakeOneFileForBothProcessors(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image.tar")
	var printed strings.Builder
	if err := run([]string{"--name", "kdoctor/agent:0.1.0", "--out", out, "--arch", "amd64,arm64", "--docker", "arm64",
		"--binary", imagetest.Binary(t, "amd64", false) + "=/kdoctor-agent",
		"--binary", imagetest.Binary(t, "arm64", false) + "=/kdoctor-agent"}, &printed); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if !strings.Contains(printed.String(), "linux/"+arch) {
			t.Errorf("%q does not name linux/%s", printed.String(), arch)
		}
	}
	loaded, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := loaded.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "arm64" {
		t.Errorf("docker loads the image for %s, want arm64", config.Architecture)
	}
}

func TestBinariesOfOneImageHaveOnePath(t *testing.T) {
	_, err := parse([]string{"--name", "a/b:c", "--out", "x.tar", "--arch", "amd64,arm64", "--binary", "x=/one",
		"--binary", "y=/other"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "/one and /other") {
		t.Errorf("error %v, want one that names both paths", err)
	}
}

func TestWrongArgumentsAreNamed(t *testing.T) {
	good := map[string]string{"--name": "a/b:c", "--binary": "from=/to", "--arch": "amd64", "--out": "x.tar",
		"--max-bytes": "1"}
	for name, change := range map[string][2]string{
		"a name without a tag":             {"--name", "a/b"},
		"no name":                          {"--name", ""},
		"an architecture twice":            {"--arch", "amd64,amd64"},
		"fewer binaries than processors":   {"--arch", "amd64,arm64"},
		"a processor for docker alone":     {"--docker", "arm64"},
		"a binary without a place":         {"--binary", "from"},
		"a binary at a relative place":     {"--binary", "from=to"},
		"a binary outside its folder":      {"--binary", "from=/a/../b"},
		"a binary in place of the root":    {"--binary", "from=/"},
		"an unknown processor":             {"--arch", "mips"},
		"no file to write":                 {"--out", ""},
		"a limit of less than no bytes":    {"--max-bytes", "-1"},
		"a limit that is not a number":     {"--max-bytes", "many"},
		"a flag that there is none of yet": {"--color", "red"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{change[0], change[1]}
			for flag, value := range good {
				if flag != change[0] {
					args = append(args, flag, value)
				}
			}
			_, err := parse(args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(change[0], "-")) {
				t.Errorf("error %v, want one that names %s", err, change[0])
			}
		})
	}
}

func TestWhatCannotRunIsRefusedAndLeavesNoFile(t *testing.T) {
	program := imagetest.Binary(t, "amd64", false)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a file that is not there":    {"--binary", script + "-not=/b", "--arch", "amd64"},
		"a script":                    {"--binary", script + "=/b", "--arch", "amd64"},
		"another processor's program": {"--binary", program + "=/b", "--arch", "arm64"},
		"a program with a loader":     {"--binary", imagetest.Binary(t, "amd64", true) + "=/b", "--arch", "amd64"},
		"an image that is too large":  {"--binary", program + "=/b", "--arch", "amd64", "--max-bytes", "100"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := run(append(args, "--name", "a/b:c", "--out", filepath.Join(folder, "image.tar")),
				io.Discard); err == nil {
				t.Error("mkimage took it")
			}
			left, err := os.ReadDir(folder)
			if err != nil || len(left) != 0 {
				t.Errorf("files left behind: %v (%v)", left, err)
			}
		})
	}
}
