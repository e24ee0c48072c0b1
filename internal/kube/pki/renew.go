package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// ripe is how long a new authority is only made known before it begins to sign: every agent must trust it by then,
// and a mounted Secret takes minutes to reach a pod.
const ripe = 24 * time.Hour

// Authority is an installation's authority with those before and after it.
type Authority struct {
	// Active signs. Next is known to all and does not sign yet; its zero value is no pair.
	Active, Next Pair
	// Bundle are the certificates of all authorities that are to be trusted, PEM.
	Bundle []byte
}

// Tend returns the authority as it should be now and one clause that says why it differs from what it was, empty when
// it does not. What cannot be read is replaced: nothing could be signed with it.
func Tend(was Authority, now time.Time) (Authority, string, error) {
	active, _, err := was.Active.Parse()
	trusted, bundleErr := ParseBundle(was.Bundle)
	switch {
	case err != nil:
		return found(now, "the authority cannot be read: "+err.Error())
	case !active.IsCA:
		return found(now, "the authority's certificate may not sign")
	case !now.Before(active.NotAfter):
		return found(now, "the authority has expired")
	case bundleErr != nil:
		// Trust in the one that signs is enough to go on; what else the bundle held is lost.
		trusted = []*x509.Certificate{active}
	}
	next, _, err := was.Next.Parse()
	if err != nil || !next.IsCA {
		next = nil
	}
	is := Authority{Active: was.Active}
	var why string
	switch {
	case next == nil && due(active, now):
		if is.Next, err = NewAuthority(now); err != nil {
			return Authority{}, "", err
		}
		if next, _, err = is.Next.Parse(); err != nil {
			return Authority{}, "", err
		}
		why = "two thirds of the authority's life are over: the next one is made known"
	case next != nil && now.Sub(next.NotBefore) >= skew+ripe:
		is.Active, active, next = was.Next, next, nil
		why = "the next authority is known long enough: it signs from now on"
	case next != nil:
		is.Next = was.Next
	}
	is.Bundle = Bundle(now, order(active, next, trusted)...)
	if why == "" && string(is.Bundle) != string(was.Bundle) {
		why = "the bundle of trusted authorities is put in order"
	}
	return is, why, nil
}

func found(now time.Time, why string) (Authority, string, error) {
	active, err := NewAuthority(now)
	if err != nil {
		return Authority{}, "", err
	}
	return Authority{Active: active, Bundle: active.Cert}, why, nil
}

func order(active, next *x509.Certificate, trusted []*x509.Certificate) []*x509.Certificate {
	ordered := []*x509.Certificate{active}
	if next != nil {
		ordered = append(ordered, next)
	}
	return append(ordered, trusted...)
}

// due reports whether two thirds of the certificate's life are over, or it is not valid yet.
func due(c *x509.Certificate, now time.Time) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	return now.Before(c.NotBefore) || !now.Before(c.NotBefore.Add(life/3*2))
}

// Renew says in one clause why the pair must be replaced. The clause is empty for a pair that serves: it can be read,
// is signed by a trusted authority, is for exactly the profile, and is within the first two thirds of its life.
func Renew(pair Pair, profile Profile, trusted []*x509.Certificate, now time.Time) string {
	certificate, _, err := pair.Parse()
	if err != nil {
		return err.Error()
	}
	if due(certificate, now) {
		return "two thirds of its life are over"
	}
	names, want := slices.Sorted(slices.Values(certificate.DNSNames)), slices.Sorted(slices.Values(profile.DNSNames))
	if !slices.Equal(names, want) {
		return fmt.Sprintf("it is for %v and not for %v", names, want)
	}
	if !slices.Equal(certificate.ExtKeyUsage, []x509.ExtKeyUsage{profile.Usage}) {
		return "it is for another usage"
	}
	options := x509.VerifyOptions{Roots: Pool(trusted), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{profile.Usage}}
	if _, err := certificate.Verify(options); err != nil {
		return "no trusted authority has signed it"
	}
	return ""
}
