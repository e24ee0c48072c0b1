package behind

import (
	"archive/tar"
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCountersAreReadOrMissed(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[string]uint64
	}{
		{"as nft prints them", `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"counter": {"family": "inet", "name": "seen", "table": "fault", "handle": 1, "packets": 20224, "bytes": 9}},
			{"counter": {"family": "inet", "name": "dropped", "table": "fault", "handle": 2, "packets": 240, "bytes": 9}}]}`, map[string]uint64{"seen": 20224, "dropped": 240}},
		{"one is missing", `{"nftables": [{"counter": {"name": "seen", "packets": 1}}]}`, nil},
		{"none at all", `{"nftables": []}`, nil},
		{"no JSON", `table inet fault`, nil},
	} {
		got, err := counters(c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

// archive is a tar file with one file.
func archive(t *testing.T, name, content string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestTheImagesNameIsThatOfItsArchive(t *testing.T) {
	for _, c := range []struct{ name, file, content, want string }{
		{"as it is built", "manifest.json",
			`[{"Config":"sha256:1","RepoTags":["docker.io/x/agent:1"],"Layers":["1.tar.gz"]}]`, "docker.io/x/agent:1"},
		{"without a name", "manifest.json", `[{"Config":"sha256:1"}]`, ""},
		{"without an image", "manifest.json", `[]`, ""},
		{"no manifest", "other.json", `[]`, ""},
		{"no JSON", "manifest.json", `x`, ""},
	} {
		got, err := imageIn(archive(t, c.file, c.content))
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestEveryPortAndPodIsInTheManifests(t *testing.T) {
	text := manifests("docker.io/x/agent:1")
	for what, want := range map[string]int{"kind: Pod\n": Pods, "image: docker.io/x/agent:1\n": Pods,
		"kind: Service\n": 1, "targetPort: 8080}": Ports, " port: 20199,": 1} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%q stands %d times, want %d", what, got, want)
		}
	}
}

func TestWhatIsNotBuiltIsTold(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "lab")
	if _, err := Up(t.Context(), missing, missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}
