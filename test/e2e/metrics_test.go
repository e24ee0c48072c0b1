package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/test/cluster"
)

// scraped asks the metrics of the controller as a Prometheus within the cluster does.
func scraped(t *testing.T, c *cluster.Cluster) {
	eventually(t, time.Minute, "the controller's pods are ready, and none is on its way out", func() error {
		var all corev1.PodList
		if err := c.Get(t.Context(), &all, "pods", "--namespace", cluster.Namespace, "-l",
			"app.kubernetes.io/component=kdoctor-controller"); err != nil {
			return err
		}
		for _, pod := range all.Items {
			if pod.DeletionTimestamp != nil || !podReady(pod) {
				return fmt.Errorf("pod %s is not ready, or is deleted", pod.Name)
			}
		}
		return nil
	})
	pods, ask := metricsOf(t, c)
	for _, account := range []string{"scraper", "stranger"} {
		kubectl(t, c, "create", "serviceaccount", "--namespace", "default", account)
	}
	kubectl(t, c, "create", "clusterrolebinding", "scraper-reads-metrics", "--clusterrole=kdoctor-metrics-reader",
		"--serviceaccount=default:scraper")
	defer func() {
		kubectl(t, c, "delete", "clusterrolebinding", "scraper-reads-metrics")
		kubectl(t, c, "delete", "serviceaccount", "--namespace", "default", "scraper", "stranger")
	}()
	token := func(account string) string {
		return strings.TrimSpace(kubectl(t, c, "create", "token", "--namespace", "default", account))
	}
	apply(t, c, "measured", `
apiVersion: kdoctor.io/v1beta1
kind: NetReach
metadata: {name: measured}
spec:
  request: {durationInSecond: 1, qps: 5, perRequestTimeoutInMS: 1000}
  target: {ipv6: true}
`)
	finished(t, c, "measured")
	leaders, reader := 0, token("scraper")
	for _, pod := range pods.Items {
		if code, _ := ask(pod, ""); code != http.StatusUnauthorized {
			t.Errorf("%s answers %d without a token, want 401", pod.Name, code)
		}
		if code, _ := ask(pod, token("stranger")); code != http.StatusForbidden {
			t.Errorf("%s answers %d to an account without the right, want 403", pod.Name, code)
		}
		code, text := ask(pod, reader)
		if code != http.StatusOK {
			t.Fatalf("%s answers %d: %.200s", pod.Name, code, text)
		}
		if !strings.Contains(text, "kdoctor_leader 1") {
			continue
		}
		leaders++
		for _, want := range []string{`kdoctor_build_info{`,
			`kdoctor_round_agents_reported{kind="NetReach",task="measured"} ` + strconv.Itoa(nodes),
			`kdoctor_round_result{kind="NetReach",result="pass",task="measured"} 1`,
			`kdoctor_round_paths{family="IPv6",kind="NetReach",path="ClusterIP",result="pass",task="measured"} ` +
				strconv.Itoa(nodes)} {
			if !strings.Contains(text, want) {
				t.Errorf("the metrics of the leader lack %s", want)
			}
		}
	}
	if leaders != 1 {
		t.Errorf("%d controllers lead, want 1", leaders)
	}
}

// metricsOf returns the controller's pods, and a way to ask one of them for its metrics as a Prometheus within the
// cluster does: at its pod's address, by TLS with the name and the authority that docs/metrics.md says, and with a
// token of a service account. The answer is a status and a text.
func metricsOf(t *testing.T, c *cluster.Cluster) (pods corev1.PodList, ask func(corev1.Pod, string) (int, string)) {
	t.Helper()
	if err := c.Get(t.Context(), &pods, "pods", "--namespace", cluster.Namespace, "-l",
		"app.kubernetes.io/component=kdoctor-controller"); err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), &secret, "secret", "--namespace", cluster.Namespace, "kdoctor-api-tls"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		t.Fatal("the Secret kdoctor-api-tls has no authority")
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.Dial(ctx, "n0", network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12,
			ServerName: "kdoctor-controller." + cluster.Namespace + ".svc"}}}
	ask = func(pod corev1.Pod, token string) (int, string) {
		t.Helper()
		url := "https://" + net.JoinHostPort(pod.Status.PodIP, "5721") + "/metrics"
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("scrape %s: %v", pod.Name, err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	return pods, ask
}
