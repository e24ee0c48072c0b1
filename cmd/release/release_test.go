package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sources is the folder of the repository.
const sources = "../.."

// small builds the smallest program for every platform of a release, with the real compiler and the flags of a release,
// and returns the folder: what is made of programs is tested in seconds.
func small(ctx context.Context, folder string) error {
	for name, content := range map[string]string{"go.mod": "module kdoctor.test/small\n\ngo 1.26.0\n",
		"main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	build := goBuild(Options{Source: folder, Linker: "-s -w"})
	for _, p := range pluginPlatforms() {
		if err := build(ctx, ".", p, filepath.Join(folder, p.OS+"_"+p.Arch)); err != nil {
			return err
		}
	}
	return nil
}

// copied is a compiler that has built all its programs before.
func copied(programs string) Compiler {
	return func(_ context.Context, _ string, p Platform, to string) error {
		content, err := os.ReadFile(filepath.Join(programs, p.OS+"_"+p.Arch))
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o600)
	}
}

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "small")
	if err == nil {
		err = small(context.Background(), folder)
	}
	if err == nil {
		err = os.Setenv("SMALL_PROGRAMS", folder)
	}
	if err == nil {
		err = newRelease(options(filepath.Join(folder, "release")), built(), io.Discard).make(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// built is a compiler with the programs that were built once for all tests.
func built() Compiler { return copied(os.Getenv("SMALL_PROGRAMS")) }

func options(out string) Options {
	return Options{Version: "v1.2.3", Source: sources, Out: out, Registry: "docker.io/kdoctor", ReleaseURL: noReleases,
		HomeURL: noHome, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Revision: strings.Repeat("a", 40),
		Linker: "-s -w"}
}

// released returns the whole release with the smallest programs that was made once for all tests; they only read it.
func released() (Options, fs.FS) {
	o := options(filepath.Join(os.Getenv("SMALL_PROGRAMS"), "release"))
	return o, os.DirFS(o.Out)
}

func releasedWith(t *testing.T, compile Compiler, change func(*Options)) (Options, fs.FS) {
	t.Helper()
	o := options(filepath.Join(t.TempDir(), "some", "where"))
	if change != nil {
		change(&o)
	}
	if err := newRelease(o, compile, io.Discard).make(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o, os.DirFS(o.Out)
}

// entries returns every file with its content, and every file and folder with its rights and time.
func entries(t *testing.T, root fs.FS) map[string]string {
	t.Helper()
	found := map[string]string{}
	if err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		found[name] = info.Mode().String() + " " + info.ModTime().UTC().Format(time.RFC3339Nano)
		if entry.IsDir() {
			return nil
		}
		content, err := fs.ReadFile(root, name)
		found[name] += " " + string(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// The release that was made once for all tests, today and with the usual rights, is one. The clock of the other stands
// at the beginning of the year 2000, and what it writes is closed to everyone else; it lies in another folder, is made
// of copied sources, and its programs were built again elsewhere.
func TestTwoReleasesOfOneCommitAreTheSameBytes(t *testing.T) {
	again, sources := t.TempDir(), filepath.Join(t.TempDir(), "a copy of the sources")
	if err := small(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	copySources(t, sources)
	var second map[string]string
	synctest.Test(t, func(t *testing.T) {
		before := syscall.Umask(0o077)
		defer syscall.Umask(before)
		_, root := releasedWith(t, copied(again), func(o *Options) { o.Source = sources })
		second = entries(t, root)
	})
	_, root := released()
	first := entries(t, root)
	for name, content := range first {
		if second[name] != content {
			t.Errorf("%s differs between two releases: %s", name, firstDifference(content, second[name]))
		}
		delete(second, name)
	}
	for name := range second {
		t.Errorf("only the second release has %s", name)
	}
}

func firstDifference(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "at byte " + strings.TrimSpace(a[max(0, i-30):min(len(a), i+30)]) + " and " +
				strings.TrimSpace(b[max(0, i-30):min(len(b), i+30)])
		}
	}
	return "one is longer"
}

// copySources copies what a release reads of the sources, with today's times, and in another order.
func copySources(t *testing.T, to string) {
	t.Helper()
	for _, name := range []string{"charts", "LICENSE", "docs/" + iconFile, "CHANGELOG.md",
		filepath.Join("cmd", plugin, completer)} {
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", filepath.Join(sources, name),
			target).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", name, err, out)
		}
	}
}

func TestReleaseHasTheFilesThatItsPageNames(t *testing.T) {
	_, root := released()
	var got []string
	for name := range entries(t, root) {
		if !strings.HasPrefix(name, "oci/agent/") && !strings.HasPrefix(name, "oci/controller/") && name != "." {
			got = append(got, name)
		}
	}
	want := []string{"checksums.txt", "kdoctor-1.2.3.tgz", "kdoctor.svg", "kdoctor.yaml", "oci", "oci/agent",
		"oci/controller"}
	for _, program := range []string{"agent", "controller"} {
		base := "kdoctor-" + program + "-1.2.3"
		want = append(want, base+".tar", base+"-linux-amd64.tar", base+"-linux-arm64.tar", base+"-linux-amd64.cdx.json",
			base+"-linux-arm64.cdx.json")
	}
	for _, p := range []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64",
		"windows_arm64"} {
		end := ".tar.gz"
		if strings.HasPrefix(p, "windows") {
			end = ".zip"
		}
		want = append(want, "kubectl-kdoctor_"+p+end, "kubectl-kdoctor_"+p+".cdx.json")
	}
	if diff := cmp.Diff(sortedNames(want), sortedNames(got)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestChecksumsAreThoseOfTheFiles(t *testing.T) {
	o, root := released()
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", checksumFile)
	cmd.Dir = o.Out
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum does not agree: %v\n%s", err, out)
	}
	content, err := fs.ReadFile(root, checksumFile)
	if err != nil {
		t.Fatal(err)
	}
	var files int
	for name, entry := range entries(t, root) {
		if strings.HasPrefix(entry, "d") || name == checksumFile {
			continue
		}
		files++
		if !bytes.Contains(content, []byte("  "+name+"\n")) {
			t.Errorf("%s has no checksum", name)
		}
	}
	if lines := bytes.Count(content, []byte("\n")); lines != files {
		t.Errorf("%d checksums for %d files", lines, files)
	}
}

func TestFolderOfSomethingElseIsLeftAlone(t *testing.T) {
	out := t.TempDir()
	kept := filepath.Join(out, "notes.txt")
	if err := os.WriteFile(kept, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(out)
	if err := newRelease(o, built(), io.Discard).make(t.Context()); err == nil {
		t.Error("a folder with other files was taken")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestFolderOfAnEarlierReleaseIsReplaced(t *testing.T) {
	_, earlier := released()
	o := options(filepath.Join(t.TempDir(), "some", "where"))
	if err := os.CopyFS(o.Out, earlier); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(o.Out, "kdoctor-0.0.1.tgz")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newRelease(o, built(), io.Discard).make(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("a file of the earlier release is still there (%v)", err)
	}
}

func TestReleaseThatFailsLeavesNothing(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "dist"))
	o.AgentBytes = 10
	if err := newRelease(o, built(), io.Discard).make(t.Context()); err == nil {
		t.Error("an agent above its limit was released")
	}
	left, err := os.ReadDir(filepath.Dir(o.Out))
	if err != nil || len(left) != 0 {
		t.Errorf("files left behind: %v (%v)", left, err)
	}
}
