package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// plugin is the name of the program that kubectl runs for "kubectl kdoctor".
const plugin = "kubectl-kdoctor"

// completer is the name of the script that kubectl runs to complete "kubectl kdoctor ...". It is a script of sh, so
// that archives for windows do not have it.
const completer = "kubectl_complete-kdoctor"

// archive is one file with the plugin for one platform.
type archive struct {
	platform     Platform
	file, sha256 string
}

// packed is one file inside an archive.
type packed struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// pluginArchives makes the plugin's archive for each platform: zip for windows, tar.gz for the others.
func (r *release) pluginArchives(context.Context) error {
	license, err := os.ReadFile(filepath.Join(r.Source, "LICENSE"))
	if err != nil {
		return fmt.Errorf("read the license: %w", err)
	}
	script, err := os.ReadFile(filepath.Join(r.Source, "cmd", plugin, completer))
	if err != nil {
		return fmt.Errorf("read the script of completion: %w", err)
	}
	for _, p := range pluginPlatforms() {
		binary := r.binary(plugin, p)
		content, err := os.ReadFile(binary)
		if err != nil {
			return fmt.Errorf("read the plugin: %w", err)
		}
		base := fmt.Sprintf("%s_%s_%s", plugin, p.OS, p.Arch)
		files := []packed{{"LICENSE", 0o644, license}, {p.binary(plugin), 0o755, content}}
		file, pack := base+".zip", zipped
		if p.completes() {
			files = append(files, packed{completer, 0o755, script})
		}
		if p.OS != "windows" {
			file, pack = base+".tar.gz", tarGzip
		}
		whole, err := pack(files, r.Time)
		if err != nil {
			return fmt.Errorf("pack the plugin for %s: %w", p, err)
		}
		to := filepath.Join(r.draft, file)
		if err := os.WriteFile(to, whole, 0o644); err != nil {
			return fmt.Errorf("write the plugin for %s: %w", p, err)
		}
		digest, err := sum(to)
		if err != nil {
			return fmt.Errorf("read the plugin for %s: %w", p, err)
		}
		r.plugins = append(r.plugins, archive{p, file, digest})
		if err := r.bom(base, binary, pluginSubject(p, r.Version, digest)); err != nil {
			return err
		}
	}
	return nil
}

func tarGzip(files []packed, modified time.Time) ([]byte, error) {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(compressed)
	for _, f := range files {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode),
			Size: int64(len(f.content)), ModTime: modified}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

func zipped(files []packed, modified time.Time) ([]byte, error) {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: modified}
		header.SetMode(f.mode)
		to, err := archive.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := to.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
