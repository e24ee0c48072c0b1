package pki_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/kube/pki"
)

func start() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

const day = 24 * time.Hour

func agent() pki.Profile {
	return pki.Profile{DNSNames: []string{pki.AgentName}, Usage: x509.ExtKeyUsageServerAuth}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func bundle(t *testing.T, pairs ...pki.Pair) []*x509.Certificate {
	var all []byte
	for _, p := range pairs {
		all = append(all, p.Cert...)
	}
	return must[[]*x509.Certificate](t)(pki.ParseBundle(all))
}

func TestAnIssuedCertificateServesItsProfileAndNothingElse(t *testing.T) {
	authority := must[pki.Pair](t)(pki.NewAuthority(start()))
	leaf := must[pki.Pair](t)(pki.Issue(authority, agent(), start()))
	certificate, _, err := leaf.Parse()
	if err != nil {
		t.Fatal(err)
	}
	verify := func(name string, usage x509.ExtKeyUsage) error {
		_, err := certificate.Verify(x509.VerifyOptions{Roots: pki.Pool(bundle(t, authority)), DNSName: name,
			CurrentTime: start(), KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	cases := []struct {
		name, dns string
		usage     x509.ExtKeyUsage
		good      bool
	}{
		{"its own name and usage are accepted", pki.AgentName, x509.ExtKeyUsageServerAuth, true},
		{"another name is refused", pki.ControllerName, x509.ExtKeyUsageServerAuth, false},
		{"another usage is refused", pki.AgentName, x509.ExtKeyUsageClientAuth, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := verify(c.dns, c.usage); (err == nil) != c.good {
				t.Errorf("verification gave %v", err)
			}
		})
	}
	if got := certificate.NotAfter.Sub(start()); got != pki.LeafLife {
		t.Errorf("the certificate lives %v, want %v", got, pki.LeafLife)
	}
	if certificate.IsCA {
		t.Error("a leaf may sign")
	}
}

func TestALeafNeverOutlivesItsAuthority(t *testing.T) {
	authority := must[pki.Pair](t)(pki.NewAuthority(start()))
	leaf := must[pki.Pair](t)(pki.Issue(authority, agent(), start().Add(pki.AuthorityLife-day)))
	certificate, _, err := leaf.Parse()
	if err != nil {
		t.Fatal(err)
	}
	if want := start().Add(pki.AuthorityLife); !certificate.NotAfter.Equal(want) {
		t.Errorf("the leaf ends at %v, its authority at %v", certificate.NotAfter, want)
	}
}

func TestRenewLeaves(t *testing.T) {
	authority := must[pki.Pair](t)(pki.NewAuthority(start()))
	other := must[pki.Pair](t)(pki.NewAuthority(start()))
	leaf := must[pki.Pair](t)(pki.Issue(authority, agent(), start()))
	second := must[pki.Pair](t)(pki.Issue(authority, agent(), start()))
	dial := agent()
	dial.Usage = x509.ExtKeyUsageClientAuth
	more := agent()
	more.DNSNames = append(more.DNSNames, "more.example")
	cases := []struct {
		name    string
		pair    pki.Pair
		profile pki.Profile
		trusted []*x509.Certificate
		after   time.Duration
		renew   bool
	}{
		{"a fresh one is kept", leaf, agent(), bundle(t, authority), 0, false},
		{"one of an authority that is only trusted is kept", leaf, agent(), bundle(t, other, authority), day, false},
		{"one before two thirds of its life is kept", leaf, agent(), bundle(t, authority), 59 * day, false},
		{"one after two thirds of its life is renewed", leaf, agent(), bundle(t, authority), 60 * day, true},
		{"one from the future is renewed", leaf, agent(), bundle(t, authority), -day, true},
		{"one of a stranger's authority is renewed", leaf, agent(), bundle(t, other), 0, true},
		{"one with other names is renewed", leaf, more, bundle(t, authority), 0, true},
		{"one for another usage is renewed", leaf, dial, bundle(t, authority), 0, true},
		{"one with another's key is renewed", pki.Pair{Cert: leaf.Cert, Key: second.Key}, agent(), bundle(t, authority),
			0, true},
		{"garbage is renewed", pki.Pair{Cert: []byte("x"), Key: []byte("y")}, agent(), bundle(t, authority), 0, true},
		{"nothing is renewed", pki.Pair{}, agent(), bundle(t, authority), 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why := pki.Renew(c.pair, c.profile, c.trusted, start().Add(c.after)); (why != "") != c.renew {
				t.Errorf("renewal says %q, want a renewal: %v", why, c.renew)
			}
		})
	}
}

func tend(t *testing.T, was pki.Authority, after time.Duration) (pki.Authority, string) {
	t.Helper()
	is, why, err := pki.Tend(was, start().Add(after))
	if err != nil {
		t.Fatal(err)
	}
	return is, why
}

func TestAnAuthorityIsReplacedWithOverlap(t *testing.T) {
	first, why := tend(t, pki.Authority{}, 0)
	if why == "" || len(first.Active.Cert) == 0 {
		t.Fatal("no authority was made")
	}
	const renewal = pki.AuthorityLife/3*2 + day
	known, _ := tend(t, first, renewal)
	ripe, _ := tend(t, known, renewal+day)
	old, _ := tend(t, ripe, pki.AuthorityLife)
	type state struct {
		Authority pki.Authority
		Trusted   [][]byte
	}
	cases := []struct {
		name         string
		is           pki.Authority
		active, next pki.Pair
		trusted      [][]byte
	}{
		{"a new installation trusts the one it has", first, first.Active, pki.Pair{}, [][]byte{first.Active.Cert}},
		{"a new authority is trusted before it signs", known, first.Active, known.Next,
			[][]byte{first.Active.Cert, known.Next.Cert}},
		{"a day later it signs and the old one is still trusted", ripe, known.Next, pki.Pair{},
			[][]byte{known.Next.Cert, first.Active.Cert}},
		{"an expired authority is trusted no longer", old, known.Next, pki.Pair{}, [][]byte{known.Next.Cert}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := pki.Authority{Active: c.active, Next: c.next, Bundle: bytes.Join(c.trusted, nil)}
			if diff := cmp.Diff(state{Authority: want}, state{Authority: c.is}); diff != "" {
				t.Errorf("authority (-want +got):\n%s", diff)
			}
		})
	}
	for name, c := range map[string]struct {
		is    pki.Authority
		after time.Duration
	}{"fresh": {first, day}, "known": {known, renewal + day - 1}, "ripe": {ripe, renewal + 2*day}} {
		if again, why := tend(t, c.is, c.after); why != "" || !cmp.Equal(again, c.is) {
			t.Errorf("the %s authority was changed without need: %s", name, why)
		}
	}
}

func TestAnAuthorityThatCannotSignIsMadeAnew(t *testing.T) {
	good, _ := tend(t, pki.Authority{}, 0)
	leaf := must[pki.Pair](t)(pki.Issue(good.Active, agent(), start()))
	cases := []struct {
		name  string
		was   pki.Authority
		after time.Duration
		same  bool
	}{
		{"garbage", pki.Authority{Active: pki.Pair{Cert: []byte("x"), Key: []byte("y")}, Bundle: []byte("z")}, 0,
			false},
		{"a leaf in the authority's place", pki.Authority{Active: leaf, Bundle: good.Bundle}, 0, false},
		{"an expired one", good, pki.AuthorityLife + day, false},
		{"a good one with a garbled bundle stays and gets its bundle back",
			pki.Authority{Active: good.Active, Bundle: []byte("z")}, 0, true},
		{"a garbled successor is forgotten",
			pki.Authority{Active: good.Active, Next: pki.Pair{Cert: []byte("x")}, Bundle: good.Bundle}, 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			is, _ := tend(t, c.was, c.after)
			if same := cmp.Equal(is, good); same != c.same {
				t.Errorf("the authority stayed: %v, want %v", same, c.same)
			}
			if !bytes.Contains(is.Bundle, is.Active.Cert) {
				t.Error("the authority that signs is not trusted")
			}
		})
	}
}

func TestAKeyIsNeverPrinted(t *testing.T) {
	pair := must[pki.Pair](t)(pki.NewAuthority(start()))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, struct{ P pki.Pair }{pair}); strings.Contains(text, "PRIVATE") ||
			strings.Contains(text, string(pair.Key[:8])) {
			t.Errorf("%s prints the key", verb)
		}
	}
}
