package image_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"kdoctor.io/kdoctor/internal/image"
	"kdoctor.io/kdoctor/internal/image/imagetest"
)

func regular(t *testing.T, root fs.FS) map[string]string {
	t.Helper()
	files := map[string]string{}
	if err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, path)
		files[path] = string(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestWhatIsNoIndexIsRefused(t *testing.T) {
	one, err := image.New(spec(), "amd64", imagetest.Binary(t, "amd64", false))
	if err != nil {
		t.Fatal(err)
	}
	for name, platforms := range map[string][]image.Platform{
		"no image":                       nil,
		"two images of one architecture": {one, one},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := image.NewBundle(spec(), platforms...); err == nil {
				t.Error("it made an index")
			}
		})
	}
}

func TestDockerIsNotPromisedAnArchitectureThatIsNotThere(t *testing.T) {
	folder := t.TempDir()
	if err := bundle(t, "amd64").WriteArchive(filepath.Join(folder, "image.tar"), "arm64"); err == nil {
		t.Error("the archive was written")
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 0 {
		t.Errorf("files left behind: %v (%v)", left, err)
	}
}
