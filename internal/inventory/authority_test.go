package inventory

import (
	"crypto/x509"
	"testing"
)

// FuzzAuthority looks for text of a Secret from which comes what agents would refuse, or anything that is not a
// certificate.
func FuzzAuthority(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte{})
	f.Add([]byte{}, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, authority, server []byte) {
		got, err := authorityOf(map[string][]byte{"ca.crt": authority, "tls.crt": server})
		if err != nil && got != nil {
			t.Fatal("an error came with an authority")
		}
		if got != nil && !x509.NewCertPool().AppendCertsFromPEM(got) {
			t.Fatalf("%q holds no certificate", got)
		}
	})
}

// FuzzEntries looks for a status from which comes what nobody could connect to.
func FuzzEntries(f *testing.F) {
	f.Add("198.18.0.1", "lb.example")
	f.Add("fe80::1%eth0", "198.18.0.1")
	f.Add("", "a b")
	f.Fuzz(func(t *testing.T, ip, hostname string) {
		for _, entry := range entriesOf(ip, hostname) {
			if entry.Address.IsValid() == (entry.Hostname != "") || entry.Address.Zone() != "" ||
				len(entry.Hostname) > 253 {
				t.Fatalf("%q and %q gave %+v", ip, hostname, entry)
			}
		}
	})
}
