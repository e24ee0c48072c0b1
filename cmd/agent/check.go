package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// checkPause is the time between two attempts at an address that did not answer.
const checkPause = time.Second

// check asks the addresses that "helm test" names until each of them has answered with 200. An address may have
// alternatives, divided by "|", of which one is enough: a cluster of one IP family has one of two Services.
type check struct {
	addresses []string
	// authority is a file with the certificates that are trusted for https; empty is the system's.
	authority string
	within    time.Duration
}

// run prints each address that answered. It fails with the last error of each one that did not.
func (c check) run(ctx context.Context, out io.Writer) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	var failed []error
	for _, address := range c.addresses {
		answered, err := await(ctx, client, strings.Split(address, "|"))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		_, _ = fmt.Fprintln(out, answered, "answers")
	}
	return errors.Join(failed...)
}

func (c check) client() (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if c.authority != "" {
		bundle, err := os.ReadFile(c.authority)
		if err != nil {
			return nil, fmt.Errorf("read the trusted certificates: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("%s holds no certificate", c.authority)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}, nil
}

// await returns the first of the alternatives that answers. Each one is asked at least once. The error is that of the
// last attempts that time did not cut short.
func await(ctx context.Context, client *http.Client, alternatives []string) (string, error) {
	var last error
	for {
		var failed []error
		for _, address := range alternatives {
			err := ask(ctx, client, address)
			if err == nil {
				return address, nil
			}
			failed = append(failed, err)
		}
		if last == nil || ctx.Err() == nil {
			last = errors.Join(failed...)
		}
		select {
		case <-ctx.Done():
			return "", last
		case <-time.After(checkPause):
		}
	}
}

func ask(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers with %s, expected 200", address, answer.Status)
	}
	return nil
}

func (c check) validate() error {
	var wrong []error
	for _, address := range c.addresses {
		for _, one := range strings.Split(address, "|") {
			if u, err := url.Parse(one); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				wrong = append(wrong, fmt.Errorf("--check is %q; use an address such as http://host:80/", one))
			}
		}
	}
	if c.within <= 0 {
		wrong = append(wrong, fmt.Errorf("--check-within is %s; use a time such as 1m", c.within))
	}
	return errors.Join(wrong...)
}
