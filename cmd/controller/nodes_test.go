package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// nodeServer answers as an API server that has two nodes, of which one is deleted as soon as somebody watches.
func nodeServer(t *testing.T) *rest.Config {
	t.Helper()
	named := func(name string) metav1.PartialObjectMetadata {
		n := *someNode()
		n.APIVersion, n.Kind = "meta.k8s.io/v1", "PartialObjectMetadata"
		n.Name, n.ResourceVersion = name, "1"
		return n
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/api/v1/nodes" {
			t.Errorf("asked for %s", r.URL)
			http.NotFound(w, r)
			return
		}
		if r.URL.Query().Get("watch") == "" {
			list := metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{named("n0"), named("n1")}}
			list.APIVersion, list.Kind, list.ResourceVersion = "meta.k8s.io/v1", "PartialObjectMetadataList", "1"
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			// As an API server without this feature: the client lists then.
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		gone := named("n1")
		gone.ResourceVersion = "2"
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "DELETED", "object": gone})
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL}
}

func TestNodesAreThoseThatExist(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{corev1.SchemeGroupVersion})
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	read, err := cache.New(nodeServer(t),
		cache.Options{Scheme: scheme, Mapper: mapper, ReaderFailOnMissingInformer: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	over := make(chan error, 1)
	go func() { over <- read.Start(ctx) }()
	defer func() {
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}()
	names := nodeNames(read)
	if _, err := names(ctx); err == nil {
		t.Error("nodes are known before they are watched")
	}
	if _, err := read.GetInformer(ctx, someNode(), cache.BlockUntilSynced(false)); err != nil {
		t.Fatal(err)
	}
	if !read.WaitForCacheSync(ctx) {
		t.Fatal("the nodes are not read")
	}
	want := map[string]bool{"n0": true}
	for {
		got, err := names(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if cmp.Equal(want, got) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("nodes are %v, want %v", got, want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
