package certificates

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/kube/pki"
)

// The Secrets' keys beyond those of type kubernetes.io/tls.
const (
	bundleKey   = "ca.crt"
	nextCertKey = "next.crt"
	nextKeyKey  = "next.key"
)

// attempts bounds how often a Secret is read again after another replica was faster.
const attempts = 5

func (a *Authority) ensureAuthority(ctx context.Context, now time.Time) (pki.Authority, error) {
	var is pki.Authority
	err := a.mutate(ctx, authoritySecret, func(data map[string][]byte) (why string, err error) {
		was := pki.Authority{Active: pairOf(data), Next: pki.Pair{Cert: data[nextCertKey], Key: data[nextKeyKey]},
			Bundle: data[bundleKey]}
		if is, why, err = pki.Tend(was, now); err != nil || why == "" {
			return why, err
		}
		setPair(data, is.Active)
		data[bundleKey] = is.Bundle
		delete(data, nextCertKey)
		delete(data, nextKeyKey)
		if len(is.Next.Cert) > 0 {
			data[nextCertKey], data[nextKeyKey] = is.Next.Cert, is.Next.Key
		}
		return why, nil
	})
	return is, err
}

func (a *Authority) ensureLeaf(ctx context.Context, leaf leaf, authority pki.Authority, now time.Time) (pki.Pair,
	error) {
	trusted, err := pki.ParseBundle(authority.Bundle)
	if err != nil {
		return pki.Pair{}, fmt.Errorf("read the trusted authorities: %w", err)
	}
	var pair pki.Pair
	err = a.mutate(ctx, leaf.secret, func(data map[string][]byte) (why string, err error) {
		pair = pairOf(data)
		if why = pki.Renew(pair, leaf.profile, trusted, now); why != "" {
			if pair, err = pki.Issue(authority.Active, leaf.profile, now); err != nil {
				return "", err
			}
			setPair(data, pair)
		}
		if !bytes.Equal(data[bundleKey], authority.Bundle) {
			data[bundleKey] = authority.Bundle
			if why == "" {
				why = "the trusted authorities have changed"
			}
		}
		return why, nil
	})
	return pair, err
}

// mutate reads the Secret, lets change edit its data and writes it when change gives a reason or the owner is not ours.
// Where another writer was faster, it begins again with what that writer wrote. The reason is logged, the data never.
func (a *Authority) mutate(ctx context.Context, name string,
	change func(data map[string][]byte) (why string, err error)) error {
	key := client.ObjectKey{Namespace: a.config.Namespace, Name: a.config.Prefix + "-" + name}
	for range attempts {
		done, err := a.try(ctx, key, change)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("write secret %s: others were faster %d times", key, attempts)
}

func (a *Authority) try(ctx context.Context, key client.ObjectKey,
	change func(data map[string][]byte) (string, error)) (done bool, err error) {
	var secret corev1.Secret
	err = a.config.Client.Get(ctx, key, &secret)
	absent := apierrors.IsNotFound(err)
	if err != nil && !absent {
		return false, fmt.Errorf("get secret %s: %w", key, err)
	}
	if secret.DeletionTimestamp != nil {
		return false, fmt.Errorf("secret %s is being deleted", key)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	why, err := change(secret.Data)
	if err != nil {
		return false, fmt.Errorf("renew secret %s: %w", key, err)
	}
	if owned := a.own(&secret); !owned && why == "" {
		why = "the owner has changed"
	}
	if why == "" {
		return true, nil
	}
	if absent {
		secret.ObjectMeta.Namespace, secret.ObjectMeta.Name = key.Namespace, key.Name
		secret.Type = corev1.SecretTypeTLS
		why = "it does not exist"
		err = a.config.Client.Create(ctx, &secret)
	} else {
		err = a.config.Client.Update(ctx, &secret)
	}
	switch {
	case err == nil:
		logr.FromContextOrDiscard(ctx).Info("wrote a certificate's secret", "secret", key.String(), "because", why)
		return true, nil
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err), apierrors.IsNotFound(err) && !absent:
		return false, nil
	default:
		return false, fmt.Errorf("write secret %s: %w", key, err)
	}
}

// own makes the configured owner the only one and reports whether it was so already. An owner of an earlier
// installation has to go: the garbage collector would take the Secret away with it.
func (a *Authority) own(secret *corev1.Secret) bool {
	if a.config.Owner == nil {
		return true
	}
	want := []metav1.OwnerReference{*a.config.Owner}
	if reflect.DeepEqual(secret.OwnerReferences, want) {
		return true
	}
	secret.OwnerReferences = want
	return false
}

func pairOf(data map[string][]byte) pki.Pair {
	return pki.Pair{Cert: data[corev1.TLSCertKey], Key: data[corev1.TLSPrivateKeyKey]}
}

func setPair(data map[string][]byte, pair pki.Pair) {
	data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey] = pair.Cert, pair.Key
}
