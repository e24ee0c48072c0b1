package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of files that other files speak of.
const (
	checksumFile = "checksums.txt"
	iconFile     = "kdoctor.svg"
)

// finish writes the checksums of all files, in the form that sha256sum -c reads, and gives every file the same time and
// rights whoever made it.
func (r *release) finish(context.Context) error {
	var lines []string
	if err := r.walk(func(file string) error {
		name, err := filepath.Rel(r.draft, file)
		if err != nil {
			return err
		}
		digest, err := sum(file)
		lines = append(lines, digest+"  "+filepath.ToSlash(name)+"\n")
		return err
	}, nil); err != nil {
		return fmt.Errorf("make the checksums: %w", err)
	}
	// By name, which begins behind the digest and two blanks.
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	if err := os.WriteFile(filepath.Join(r.draft, checksumFile), []byte(strings.Join(lines, "")), 0o644); err != nil {
		return fmt.Errorf("write the checksums: %w", err)
	}
	set := func(mode fs.FileMode) func(string) error {
		return func(path string) error {
			if err := os.Chmod(path, mode); err != nil {
				return err
			}
			return os.Chtimes(path, r.Time, r.Time)
		}
	}
	if err := r.walk(set(0o644), set(0o755)); err != nil {
		return fmt.Errorf("set times and rights: %w", err)
	}
	return nil
}

// walk calls the first function for each file, and the second, where there is one, for each folder after what is in it.
func (r *release) walk(file, folder func(string) error) error {
	var folders []string
	if err := filepath.WalkDir(r.draft, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			folders = append(folders, path)
			return nil
		}
		return file(path)
	}); err != nil || folder == nil {
		return err
	}
	for _, path := range slices.Backward(folders) {
		if err := folder(path); err != nil {
			return err
		}
	}
	return nil
}
