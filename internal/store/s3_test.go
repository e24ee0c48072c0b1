package store_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/store/storetest"
	"kdoctor.io/kdoctor/test/objectstore"
)

// objectStore starts an S3 server on loopback, which ends with the test, and returns its endpoint and the folder of the
// bucket.
func objectStore(t *testing.T) (endpoint, folder string) {
	t.Helper()
	address := free(t)
	server := objectstore.Start(t, "../..", address)
	t.Setenv("AWS_ACCESS_KEY_ID", objectstore.Key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", objectstore.Secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return "http://" + address, server.Folder
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
	return "s3://" + objectstore.Bucket + prefix + "?use_path_style=true&endpoint=" + url.QueryEscape(endpoint)
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
			"a bucket that is not there": strings.Replace(location("", endpoint), objectstore.Bucket,
				"another-bucket", 1),
			"a wrong secret": location("", endpoint),
		} {
			t.Run(name, func(t *testing.T) {
				secret := objectstore.Secret
				if name == "a wrong secret" {
					secret = "not-" + objectstore.Secret
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
	t.Setenv("AWS_SECRET_ACCESS_KEY", objectstore.Secret)
	s := openBucket(t, location("", "http://"+free(t)))
	err := s.PutRound(t.Context(), storetest.Kept(key("u1", 1)))
	var notStored *store.NotStoredError
	if !errors.As(err, &notStored) || !notStored.Held || strings.Contains(err.Error(), objectstore.Secret) {
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
