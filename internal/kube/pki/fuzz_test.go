package pki_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/kube/pki"
)

// FuzzSecret reads what may stand in a Secret that somebody edited: whatever it is, there is an authority afterwards
// that can sign.
func FuzzSecret(f *testing.F) {
	authority, err := pki.NewAuthority(start())
	if err != nil {
		f.Fatal(err)
	}
	leaf, err := pki.Issue(authority, agent(), start())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(authority.Cert, authority.Key, authority.Cert)
	f.Add(leaf.Cert, leaf.Key, authority.Cert)
	f.Add(authority.Cert, leaf.Key, append(append([]byte{}, authority.Cert...), leaf.Cert...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\n"),
		[]byte("x"))
	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, cert, key, bundle []byte) {
		pair := pki.Pair{Cert: cert, Key: key}
		if trusted, err := pki.ParseBundle(bundle); err == nil {
			if len(trusted) < 1 || len(trusted) > 16 {
				t.Fatalf("a bundle of %d authorities is let through", len(trusted))
			}
			if _, _, err := pair.Parse(); err != nil && pki.Renew(pair, agent(), trusted, start()) == "" {
				t.Fatalf("a pair that cannot be read is kept: %v", err)
			}
		}
		is, _, err := pki.Tend(pki.Authority{Active: pair, Next: pki.Pair{Cert: key, Key: cert}, Bundle: bundle},
			start().Add(day))
		if err != nil {
			t.Fatal(err)
		}
		issued, err := pki.Issue(is.Active, agent(), start().Add(day))
		if err != nil {
			t.Fatalf("the authority cannot sign: %v", err)
		}
		trusted, err := pki.ParseBundle(is.Bundle)
		if err != nil {
			t.Fatalf("the bundle cannot be read: %v", err)
		}
		if why := pki.Renew(issued, agent(), trusted, start().Add(day)); why != "" {
			t.Fatalf("what the authority signs does not serve: %s", why)
		}
	})
}
