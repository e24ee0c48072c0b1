// Package multus writes the annotation by which Multus tells a pod's networks, k8s.v1.cni.cncf.io/network-status, from
// what the lab's CNI plugin has noted down on the nodes. The lab has no Multus, but what reads its annotation should
// not see a difference.
package multus

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// interval is how often the folders are looked at. They are few and small, and may be made after the daemon has
// started.
const interval = 250 * time.Millisecond

// Config says where the nodes' notes are.
type Config struct {
	Kubeconfig string
	// StatusDirs are the folders, one per node, that hold one file per pod sandbox. They need not exist yet.
	StatusDirs []string
}

// Run annotates pods until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	rest, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return follow(ctx, client, cfg.StatusDirs)
}

// follow writes every note once, and again when its file has changed. A note that could not be written is tried again
// at the next look.
func follow(ctx context.Context, client kubernetes.Interface, dirs []string) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	written := map[file]bool{}
	reported := map[string]bool{}
	for {
		files, err := list(dirs)
		if err != nil {
			return err
		}
		next := make(map[file]bool, len(files))
		for _, f := range files {
			if written[f] {
				next[f] = true
				continue
			}
			err := annotate(ctx, client, f)
			switch {
			case ctx.Err() != nil:
				return nil
			case err == nil:
				next[f] = true
			case !reported[f.Path]:
				klog.FromContext(ctx).Error(err, "Cannot annotate a pod; trying again", "file", f.Path)
			}
			reported[f.Path] = err != nil
		}
		written = next
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// annotate writes one note into its pod. A pod that is gone, or that has been made anew under the same name, is not an
// error: its note will go, too.
func annotate(ctx context.Context, client kubernetes.Interface, f file) error {
	s, err := read(f.Path)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	patch, err := patchOf(s)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(s.Namespace).Patch(ctx, s.Pod, types.MergePatchType, patch, metav1.PatchOptions{})
	// The API server answers a patch that would change the UID with Invalid or Conflict.
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return fmt.Errorf("annotate pod %s/%s: %w", s.Namespace, s.Pod, err)
}
