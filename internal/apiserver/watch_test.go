package apiserver

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
)

func follow(t *testing.T, c *rest.RESTClient, parameters map[string]string) watch.Interface {
	t.Helper()
	request := c.Get().Resource("kdoctorreports").Param("watch", "true")
	for name, value := range parameters {
		request = request.Param(name, value)
	}
	w, err := request.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// next describes the next event in a word or two.
func next(t *testing.T, w watch.Interface) string {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			return "END"
		}
		switch o := e.Object.(type) {
		case *systemv1beta1.KdoctorReport:
			return string(e.Type) + " " + o.Name
		case *metav1.Status:
			return string(e.Type) + " " + string(o.Reason)
		default:
			t.Fatalf("got %T", o)
			return ""
		}
	case <-time.After(patience):
		t.Fatal("no event came")
		return ""
	}
}

func expect(t *testing.T, w watch.Interface, want ...string) {
	t.Helper()
	for _, event := range want {
		if got := next(t, w); got != event {
			t.Errorf("got event %q, want %q", got, event)
		}
	}
}

func TestWatch(t *testing.T) {
	m := three()
	c := client(t, open(t, m))
	version := list(t, c, nil).ResourceVersion
	all := follow(t, c, nil)
	fromList := follow(t, c, map[string]string{"resourceVersion": version})
	one := follow(t, c, map[string]string{"resourceVersion": version, "fieldSelector": "metadata.name=netreach-b"})
	streaming := follow(t, c,
		map[string]string{"sendInitialEvents": "true", "allowWatchBookmarks": "true",
			"resourceVersionMatch": "NotOlderThan"})
	expect(t, all, "ADDED netreach-a", "ADDED netreach-b")
	expect(t, streaming, "ADDED netreach-a", "ADDED netreach-b", "BOOKMARK ")

	m.keep("u-new", 1)
	for _, w := range []watch.Interface{all, fromList, streaming} {
		expect(t, w, "ADDED netreach-new")
	}
	m.keep("u-b", 3)
	for _, w := range []watch.Interface{all, fromList, streaming} {
		expect(t, w, "MODIFIED netreach-b")
	}
	m.set(netReach("b", "u-b"), netReach("new", "u-new"))
	for _, w := range []watch.Interface{all, fromList, streaming} {
		expect(t, w, "DELETED netreach-a")
	}
	m.set(netReach("new", "u-new"))
	expect(t, one, "MODIFIED netreach-b", "DELETED netreach-b")
}

func TestAWatchFromAVersionOfAnotherLifeIsToldToListAnew(t *testing.T) {
	c := client(t, open(t, three()))
	for _, version := range []string{"1", "9999999999999999999"} {
		_, err := c.Get().Resource("kdoctorreports").Param("watch", "true").Param("resourceVersion",
			version).Watch(t.Context())
		if !apierrors.IsResourceExpired(err) {
			t.Errorf("version %s: got %v, want Expired", version, err)
		}
	}
}

func nameOf(object any) string {
	if r, ok := object.(*systemv1beta1.KdoctorReport); ok {
		return r.Name
	}
	return fmt.Sprintf("a %T", object)
}

func TestInformer(t *testing.T) {
	m := three()
	c := client(t, open(t, m))
	informer := cache.NewSharedInformer(cache.NewFilteredListWatchFromClient(c, "kdoctorreports", "",
		func(*metav1.ListOptions) {}), &systemv1beta1.KdoctorReport{}, 0)
	events := make(chan string, 10)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { events <- "added " + nameOf(o) },
		DeleteFunc: func(o any) { events <- "deleted " + nameOf(o) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var owner sync.WaitGroup
	owner.Go(func() { informer.RunWithContext(ctx) })
	defer owner.Wait()
	defer cancel()
	wait := func(want string) {
		select {
		case got := <-events:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("%q did not happen", want)
		}
	}
	seen := map[string]bool{<-events: true, <-events: true}
	if !seen["added netreach-a"] || !seen["added netreach-b"] {
		t.Errorf("got %v at first", seen)
	}
	m.keep("u-new", 1)
	wait("added netreach-new")
	m.set(netReach("a", "u-a"), netReach("new", "u-new"))
	wait("deleted netreach-b")
}
