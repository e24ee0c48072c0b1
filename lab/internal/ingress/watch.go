package ingress

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
)

// watch keeps a copy of everything that a site is made of.
type watch struct {
	factories []informers.SharedInformerFactory
	synced    []cache.InformerSynced
	// changed is filled when anything has changed since it was last emptied.
	changed chan struct{}

	ingresses networkinglisters.IngressLister
	classes   networkinglisters.IngressClassLister
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
	secrets   corelisters.SecretLister
}

func newWatch(client kubernetes.Interface) (*watch, error) {
	all := informers.NewSharedInformerFactory(client, 0)
	tls := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("type", string(corev1.SecretTypeTLS)).String()
		}))
	w := &watch{
		factories: []informers.SharedInformerFactory{all, tls},
		changed:   make(chan struct{}, 1),
		ingresses: all.Networking().V1().Ingresses().Lister(),
		classes:   all.Networking().V1().IngressClasses().Lister(),
		services:  all.Core().V1().Services().Lister(),
		slices:    all.Discovery().V1().EndpointSlices().Lister(),
		secrets:   tls.Core().V1().Secrets().Lister(),
	}
	for _, informer := range []cache.SharedIndexInformer{
		all.Networking().V1().Ingresses().Informer(), all.Networking().V1().IngressClasses().Informer(),
		all.Core().V1().Services().Informer(), all.Discovery().V1().EndpointSlices().Informer(),
		tls.Core().V1().Secrets().Informer(),
	} {
		handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.note() },
			UpdateFunc: func(any, any) { w.note() },
			DeleteFunc: func(any) { w.note() },
		})
		if err != nil {
			return nil, fmt.Errorf("watch the cluster: %w", err)
		}
		w.synced = append(w.synced, handler.HasSynced)
	}
	return w, nil
}

// start fills the copies and returns when they are complete.
func (w *watch) start(ctx context.Context) error {
	for _, f := range w.factories {
		f.Start(ctx.Done())
	}
	if !cache.WaitForCacheSync(ctx.Done(), w.synced...) {
		return fmt.Errorf("fill the copies of the cluster's objects: %w", ctx.Err())
	}
	return nil
}

// shutdown waits for the informers, whose context has ended.
func (w *watch) shutdown() {
	for _, f := range w.factories {
		f.Shutdown()
	}
}

func (w *watch) note() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *watch) snapshot() (snapshot, error) {
	var s snapshot
	var errs [5]error
	s.Ingresses, errs[0] = w.ingresses.List(labels.Everything())
	s.Classes, errs[1] = w.classes.List(labels.Everything())
	s.Services, errs[2] = w.services.List(labels.Everything())
	s.Slices, errs[3] = w.slices.List(labels.Everything())
	s.Secrets, errs[4] = w.secrets.List(labels.Everything())
	if err := errors.Join(errs[:]...); err != nil {
		return snapshot{}, fmt.Errorf("read the copies of the cluster's objects: %w", err)
	}
	return s, nil
}
