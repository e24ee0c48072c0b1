package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/store/storetest"
)

const (
	bucketName   = "kdoctor-reports"
	bucketSecret = "secret-of-the-test"
)

// objectStore starts an S3 server on loopback, which ends with the test, and returns its endpoint and the folder of the
// bucket. The server is a tool of this repository, built from a module file of its own.
func objectStore(t *testing.T) (endpoint, folder string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(root, ".build", "bin", "versitygw")
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile=.ci/s3.mod", "-o", binary,
		"github.com/versity/versitygw/cmd/versitygw")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the S3 server: %v\n%s", err, out)
	}
	data := t.TempDir()
	folder = filepath.Join(data, bucketName)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	address := free(t)
	ctx, cancel := context.WithCancel(t.Context())
	server := exec.CommandContext(ctx, binary, "--access", "key-of-the-test", "--secret", bucketSecret, "--port",
		address,
		"posix", "--sidecar", t.TempDir(), data)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines, told := bufio.NewScanner(out), false; lines.Scan(); {
			if !told && strings.Contains(lines.Text(), address) {
				told = true
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = server.Wait() // it was killed
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("the S3 server ended before it was ready")
	case <-time.After(time.Minute):
		t.Fatal("the S3 server is not ready after a minute")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "key-of-the-test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", bucketSecret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return "http://" + address, folder
}

// free returns an address on loopback at which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func openBucket(t *testing.T, location string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func location(prefix, endpoint string) string {
	return "s3://" + bucketName + prefix + "?use_path_style=true&endpoint=" + url.QueryEscape(endpoint)
}

func TestObjectStore(t *testing.T) {
	endpoint, folder := objectStore(t)
	t.Run("keeps the contract", func(t *testing.T) {
		number := 0
		storetest.Run(t, func(t *testing.T) *store.Store {
			number++
			s := openBucket(t, location(fmt.Sprintf("/stores/%d", number), endpoint))
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return s
		})
	})
	t.Run("rounds lie below the prefix, and the retention removes them there", func(t *testing.T) {
		s := openBucket(t, location("/pruned", endpoint))
		put(t, s, "u1", 1, 2, 3)
		if err := s.Prune(t.Context(), store.Retention{MaxRounds: 1}); err != nil {
			t.Fatal(err)
		}
		want := []string{"u1", "u1/0000000001", "u1/0000000001/0000000003.json.gz"}
		if diff := cmp.Diff(want, files(t, filepath.Join(folder, "pruned"))); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	})
	t.Run("many rounds are listed over several pages", func(t *testing.T) {
		s := openBucket(t, location("/many", endpoint))
		at := filepath.Join(folder, "many", "u1", "0000000001")
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		for n := range 1100 {
			if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("%010d.json.gz", n+1)), []byte("x"),
				0o600); err != nil {
				t.Fatal(err)
			}
		}
		keys, err := s.Rounds(t.Context(), "u1")
		if err != nil || len(keys) != 1100 || keys[1099].Round != 1100 {
			t.Errorf("got %d keys, %v", len(keys), err)
		}
	})
	t.Run("what goes wrong is told without secrets", func(t *testing.T) {
		for name, at := range map[string]string{
			"a bucket that is not there": strings.Replace(location("", endpoint), bucketName, "another-bucket", 1),
			"a wrong secret":             location("", endpoint),
		} {
			t.Run(name, func(t *testing.T) {
				secret := bucketSecret
				if name == "a wrong secret" {
					secret = "not-" + bucketSecret
					t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
				}
				err := openBucket(t, at).PutRound(t.Context(), storetest.Kept(key("u1", 1)))
				if err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("got %v, want an error without the secret", err)
				}
			})
		}
	})
}

func TestAnObjectStoreThatIsDownStopsNothing(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "k")
	t.Setenv("AWS_SECRET_ACCESS_KEY", bucketSecret)
	s := openBucket(t, location("", "http://"+free(t)))
	err := s.PutRound(t.Context(), storetest.Kept(key("u1", 1)))
	var notStored *store.NotStoredError
	if !errors.As(err, &notStored) || !notStored.Held || strings.Contains(err.Error(), bucketSecret) {
		t.Fatalf("got %v, want a NotStoredError of a held round", err)
	}
	if err := s.PutPlan(t.Context(), key("u1", 2), storetest.Plan(key("u1", 2))); err != nil {
		t.Errorf("a plan: %v", err)
	}
	kept, err := s.Latest(t.Context(), "u1")
	if err != nil || kept.Round.Key != key("u1", 1) {
		t.Errorf("got %v, %v; want the held round", kept.Round.Key, err)
	}
	if _, err := s.Latest(t.Context(), "u2"); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("another task: got %v, want an error that is not ErrNotFound", err)
	}
}
