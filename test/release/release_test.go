// Package release makes a release of the real programs, the way a maintainer does, and looks at it.
package release

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	version = "v9.8.7-rc.1"
	number  = "9.8.7-rc.1"
)

// makeRelease runs "make release" in the folder under a mask for rights, and returns where its files are.
func makeRelease(t *testing.T, sources, mask string, env ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dist")
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `umask "$1" && shift && exec make --no-print-directory "$@"`,
		"bash", mask, "release", "VERSION="+version, "DIST="+out, "RELEASE_URL=https://kdoctor.test/download",
		"HOME_URL=https://kdoctor.test", "REGISTRY=registry.test/team")
	cmd.Dir = sources
	cmd.Env = append(os.Environ(), env...)
	begin := time.Now()
	if printed, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release: %v\n%s", err, printed)
	}
	t.Logf("make release took %s", time.Since(begin).Round(time.Second))
	return out
}

func root(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// copySources copies the files that git knows or would take, without git's own, and with today's times.
func copySources(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "somewhere else entirely")
	if err := os.Mkdir(to, 0o750); err != nil {
		t.Fatal(err)
	}
	run(t, root(t), nil, "bash", "-c",
		`git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' f; do
		   [ ! -e "$f" ] || { mkdir -p "$1/$(dirname "$f")" && cp "$f" "$1/$f"; }
		 done`, "bash", to)
	return to
}

// run returns what the command printed.
func run(t *testing.T, folder string, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, errors.String())
	}
	return strings.TrimSpace(string(out))
}

// sums returns digest, rights and time of every file and folder.
func sums(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	if err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		found[name] = fmt.Sprintf("%s %s", info.Mode(), info.ModTime().UTC().Format(time.RFC3339Nano))
		if entry.IsDir() {
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		hash := sha256.New()
		_, err = io.Copy(hash, file)
		found[name] += fmt.Sprintf(" %x", hash.Sum(nil))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestRelease makes a release in this folder, and one in a copy of it without git, by somebody with another mask for
// rights and another time zone, for whom GOARCH says something else.
func TestRelease(t *testing.T) {
	commit := run(t, root(t), nil, "git", "rev-parse", "HEAD")
	seconds := run(t, root(t), nil, "git", "log", "-1", "--format=%ct")
	first := makeRelease(t, root(t), "077", "TZ=Asia/Kathmandu", "GOFLAGS=-trimpath=false")
	second := makeRelease(t, copySources(t), "002", "TZ=America/Lima", "GOARCH=arm64", "GOAMD64=v3",
		"SOURCE_DATE_EPOCH="+seconds, "REVISION="+commit)
	if diff := cmp.Diff(sums(t, first), sums(t, second)); diff != "" {
		t.Errorf("two releases of one commit differ (-first +second):\n%s", diff)
	}
	t.Run("checksums are those of the files", func(t *testing.T) {
		run(t, first, nil, "sha256sum", "--check", "--strict", "--quiet", "checksums.txt")
	})
	t.Run("no file names the folder that it was made in", func(t *testing.T) { checkFolders(t, first) })
	t.Run("helm takes the chart", func(t *testing.T) { checkChart(t, first) })
	t.Run("the plugin of this machine runs", func(t *testing.T) { checkPlugin(t, first) })
}

// checkFolders looks into the binaries, which are packed once only inside the archives.
func checkFolders(t *testing.T, dist string) {
	t.Helper()
	unpacked := t.TempDir()
	run(t, unpacked, nil, "tar", "-xzf", filepath.Join(dist, "kubectl-kdoctor_linux_amd64.tar.gz"))
	content, err := os.ReadFile(filepath.Join(unpacked, "kubectl-kdoctor"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{root(t), run(t, root(t), nil, "go", "env", "GOMODCACHE"),
		run(t, root(t), nil, "go", "env", "GOROOT")} {
		if bytes.Contains(content, []byte(folder)) {
			t.Errorf("the plugin names the folder %s", folder)
		}
	}
}

func checkChart(t *testing.T, dist string) {
	t.Helper()
	helm := os.Getenv("KDOCTOR_TEST_HELM")
	if helm == "" {
		t.Fatal("KDOCTOR_TEST_HELM is not set; run make test-release")
	}
	chart := filepath.Join(dist, "kdoctor-"+number+".tgz")
	if out := run(t, dist, nil, helm, "lint", "--strict", chart); strings.Contains(out, "[WARNING]") ||
		strings.Contains(out, "[INFO]") {
		t.Errorf("helm lint has something to say:\n%s", out)
	}
	shown := run(t, dist, nil, helm, "show", "chart", chart)
	for _, line := range []string{"version: " + number, "appVersion: " + number, "home: https://kdoctor.test"} {
		if !strings.Contains(shown, line) {
			t.Errorf("helm shows no %q:\n%s", line, shown)
		}
	}
	rendered := run(t, dist, nil, helm, "template", "kdoctor", chart, "--namespace", "kdoctor")
	for _, image := range []string{"agent", "controller"} {
		if want := "registry.test/team/" + image + ":" + number; !strings.Contains(rendered, want) {
			t.Errorf("the chart does not run %s", want)
		}
	}
	if diff := cmp.Diff(filesOf(t, packedByHelm(t, helm)), filesOf(t, chart)); diff != "" {
		t.Errorf("files of the chart (-helm package +release):\n%s", diff)
	}
}

// packedByHelm is the package that helm itself makes of the chart's folder.
func packedByHelm(t *testing.T, helm string) string {
	t.Helper()
	folder := t.TempDir()
	run(t, root(t), nil, helm, "package", "charts/kdoctor", "--destination", folder)
	packages, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("helm made %v (%v), want one package", packages, err)
	}
	return packages[0]
}

func filesOf(t *testing.T, archive string) []string {
	t.Helper()
	names := strings.Split(run(t, ".", nil, "tar", "-tzf", archive), "\n")
	slices.Sort(names)
	return names
}

// checkPlugin runs the plugin from the archive for this machine: it must at least say what it can do.
func checkPlugin(t *testing.T, dist string) {
	t.Helper()
	arch := run(t, root(t), nil, "go", "env", "GOHOSTARCH")
	unpacked := t.TempDir()
	run(t, unpacked, nil, "tar", "-xzf", filepath.Join(dist, "kubectl-kdoctor_linux_"+arch+".tar.gz"))
	if out := run(t, unpacked, nil, filepath.Join(unpacked, "kubectl-kdoctor"), "--help"); !strings.Contains(out,
		"report") {
		t.Errorf("the plugin's help does not name its command report:\n%s", out)
	}
	if out := run(t, unpacked, nil, filepath.Join(unpacked, "kubectl-kdoctor"), "--version"); !strings.Contains(out,
		number) {
		t.Errorf("the plugin is of %q, want %s", out, number)
	}
	// As kubectl does: it finds the plugin beside the script, and hands over the words after its own.
	kubectl := "#!/bin/sh\nplugin=$1\nshift\nexec \"" + unpacked + "/kubectl-$plugin\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(unpacked, "kubectl"), []byte(kubectl), 0o700); err != nil { // #nosec G306
		t.Fatal(err)
	}
	environment := []string{"PATH=" + unpacked + ":" + os.Getenv("PATH")}
	words := run(t, unpacked, environment, filepath.Join(unpacked, "kubectl_complete-kdoctor"), "rep")
	if !strings.Contains(words, "report") {
		t.Errorf("kubectl completes rep by %q, want report", words)
	}
}
