// Package ingress is the lab's Ingress controller: it renders nginx' configuration from Ingresses, Services,
// EndpointSlices and TLS secrets, and writes its addresses into the status of the Ingresses that it serves.
//
// What nginx has to serve (siteOf) and how that is written down (render) are pure functions; everything else is the
// edge around them.
package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	controllerName        = "kdoctor.io/lab-ingress"
	legacyClassAnnotation = "kubernetes.io/ingress.class"
	// applyTimeout bounds how long nginx may take to follow a change.
	applyTimeout = 10 * time.Second
	// settle is how long changes are gathered before nginx is reloaded once for all of them.
	settle = 50 * time.Millisecond
	// retry is the pause after a failure.
	retry = 2 * time.Second
)

// Config says where the controller listens and where its data path lives.
type Config struct {
	Kubeconfig string
	// Addresses are those of the calling process' network namespace on which nginx listens, one per family.
	Addresses []netip.Addr
	// StateDir holds nginx' configuration, key pairs, error log and temporary folders.
	StateDir string
	// Nginx is the path of nginx' binary.
	Nginx string
	// Class is the IngressClass of this controller. It is made, as the cluster's default, when it does not exist.
	Class string
}

func (c Config) validate() error {
	var problems []error
	if len(c.Addresses) == 0 {
		problems = append(problems, errors.New("no address to listen on"))
	}
	for name, value := range map[string]string{"StateDir": c.StateDir, "Nginx": c.Nginx, "Class": c.Class} {
		if value == "" {
			problems = append(problems, fmt.Errorf("%s is not set", name))
		}
	}
	return errors.Join(problems...)
}

// Run serves Ingresses until ctx ends; nginx ends with it.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("ingress controller's configuration: %w", err)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if err := ensureClass(ctx, client, cfg.Class); err != nil {
		return err
	}
	watch, err := newWatch(client)
	if err != nil {
		return err
	}
	server := newNginx(cfg.Nginx, cfg.StateDir)
	c := &controller{cfg: cfg, client: client, watch: watch, server: server}
	config, files := render(c.layout(), site{})
	if err := server.prepare(ctx, config, files); err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	// The informers end when ctx does, which the group sees to before it is waited for.
	defer watch.shutdown()
	if err := watch.start(ctx); err != nil {
		return err
	}
	group.Go(func() error { return server.run(ctx) })
	group.Go(func() error { return c.loop(ctx) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("ingress controller: %w", err)
	}
	return nil
}

// ensureClass makes the IngressClass. The API server may still be starting, so it is asked until it answers.
func ensureClass(ctx context.Context, client kubernetes.Interface, name string) error {
	class := &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: name,
			Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
		Spec: networkingv1.IngressClassSpec{Controller: controllerName},
	}
	for {
		_, err := client.NetworkingV1().IngressClasses().Create(ctx, class, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		klog.FromContext(ctx).Info("Cannot make the IngressClass yet", "class", name, "err", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("make the IngressClass: %w", errors.Join(ctx.Err(), err))
		case <-time.After(retry):
		}
	}
}
