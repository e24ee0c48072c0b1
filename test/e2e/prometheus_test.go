package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/test/cluster"
	"kdoctor.io/kdoctor/test/queries"
)

// watched has a real Prometheus find and scrape the controllers by the job and the rights that docs/metrics.md gives,
// and asks it all queries of the dashboard and of the alerts: before a fault, and after one.
func watched(t *testing.T, c *cluster.Cluster) {
	broken := map[bool]string{true: "n1", false: "n2"}[leader(t, c).Spec.NodeName != "n1"]
	p := startPrometheus(t, c)
	apply(t, c, "watched", small("watched"))
	round := func(number int64) {
		if number > 1 {
			kubectl(t, c, "annotate", "netreach", "watched", "--overwrite",
				fmt.Sprintf("kdoctor.io/run-now=%d", number))
		}
		eventually(t, 2*time.Minute, "the round is over", func() error {
			if done := task(t, c, "watched").Status.DoneRound; done == nil || *done < number {
				return errors.New("not yet")
			}
			return nil
		})
	}
	round(1)
	eventually(t, time.Minute, "both controllers are scraped, and one of them leads", func() error {
		if up, leads := p.ask(t, `sum(up{job="kdoctor"})`), p.ask(t, "sum(kdoctor_leader)"); value(up) != "2" ||
			value(leads) != "1" {
			return fmt.Errorf("up are %v, leaders %v", up, leads)
		}
		return nil
	})
	eventually(t, 20*time.Second, "the round is seen, and no alert is due", func() error {
		if seen := p.ask(t, `kdoctor_round_result{task="watched",result="pass"} == 1`); len(seen) != 1 {
			return fmt.Errorf("the round is seen as %v", seen)
		}
		return nil
	})
	if pending := p.alerts(t); len(pending) > 0 {
		t.Errorf("alerts %v although all is well", pending)
	}

	if _, err := c.Program(t.Context(), "lab", "fault", "inject", "overlay-port-blocked", "--name", "e2e-install",
		"--on", broken); err != nil {
		t.Fatal(err)
	}
	round(2)
	if _, err := c.Program(t.Context(), "lab", "fault", "heal", "--name", "e2e-install"); err != nil {
		t.Fatal(err)
	}
	wanted := []string{"KdoctorPathFailing", "KdoctorNodeNotReached", "KdoctorNodeReachesNothing", "KdoctorFindingOpen"}
	eventually(t, 30*time.Second, "the alerts of the fault are due", func() error {
		found := p.alerts(t)
		for _, alert := range wanted {
			if !slices.Contains(found, alert) {
				return fmt.Errorf("only %v", found)
			}
		}
		return nil
	})
	p.answersAll(t)
}

// prometheus is a Prometheus in the network of the node n0.
type prometheus struct{ client *http.Client }

// prometheusPort is where it listens on the node's loopback.
const prometheusPort = "127.0.0.1:9090"

// startPrometheus starts a Prometheus with the rights of an account of its own. It ends with the test.
func startPrometheus(t *testing.T, c *cluster.Cluster) prometheus {
	t.Helper()
	program := filepath.Join(os.Getenv("KDOCTOR_BUILD"), "bin", "prometheus")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("this test needs Prometheus: run 'make e2e-life', which builds it: %v", err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "create", "namespace", "monitoring")
	kubectl(t, c, "create", "serviceaccount", "--namespace", "monitoring", "prometheus-k8s")
	for _, command := range documented(t, string(page)) {
		kubectl(t, c, command...)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(ctx, "ip", "netns", "exec", "e2e-install-n0", program,
		"--config.file="+prometheusConfig(t, c, dir, string(page)), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+prometheusPort)
	run.Stdout, run.Stderr = log, log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = run.Wait() // it was killed
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("Prometheus said:\n%s", text[max(0, len(text)-4000):])
		}
	})
	p := prometheus{client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.Dial(ctx, "n0", network, address)
		}}}}
	eventually(t, time.Minute, "Prometheus is ready", func() error {
		_, err := p.get(t, "/-/ready", nil)
		return err
	})
	return p
}

// documented returns the commands of kubectl by which the page gives Prometheus its rights.
func documented(t *testing.T, page string) [][]string {
	t.Helper()
	var commands [][]string
	whole := strings.ReplaceAll(page, "\\\n", " ")
	for _, line := range regexp.MustCompile(`(?m)^kubectl .*create (clusterrolebinding|role|rolebinding) .*$`).
		FindAllString(whole, -1) {
		commands = append(commands, strings.Fields(line)[1:])
	}
	if len(commands) != 3 {
		t.Fatalf("docs/metrics.md has the commands %v, want a cluster role binding, a role and its binding", commands)
	}
	return commands
}

// prometheusConfig writes a configuration with the page's job and returns its path. Files are where they are outside of
// a pod, and so is the account's way to the API server.
func prometheusConfig(t *testing.T, c *cluster.Cluster, dir, page string) string {
	t.Helper()
	_, job, found := strings.Cut(page, "```yaml\n- job_name: kdoctor\n")
	job, _, closed := strings.Cut(job, "```")
	if !found || !closed {
		t.Fatal("docs/metrics.md has no job for Prometheus")
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := strings.TrimSpace(kubectl(t, c, "create", "token", "--namespace", "monitoring", "prometheus-k8s"))
	var secret corev1.Secret
	if err := c.Get(t.Context(), &secret, "secret", "--namespace", cluster.Namespace, "kdoctor-api-tls"); err != nil {
		t.Fatal(err)
	}
	inPod := "role: endpointslice\n"
	outside := inPod + "      kubeconfig_file: " + write("kubeconfig", kubeconfigOf(t, c, token)) + "\n"
	for _, part := range []struct{ of, is string }{
		{"/var/run/secrets/kubernetes.io/serviceaccount/token", write("token", []byte(token))},
		{"/etc/prometheus/kdoctor/ca.crt", write("ca.crt", secret.Data["ca.crt"])},
		{inPod, outside},
	} {
		if !strings.Contains(job, part.of) {
			t.Fatalf("the job of docs/metrics.md lacks %q", part.of)
		}
		job = strings.Replace(job, part.of, part.is, 1)
	}
	rules, err := filepath.Abs(queries.Rules("../.."))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n"+
		"- job_name: kdoctor\n%s", rules, job)
	if err := yaml.Unmarshal([]byte(config), &map[string]any{}); err != nil {
		t.Fatalf("%v:\n%s", err, config)
	}
	return write("prometheus.yaml", []byte(config))
}

// kubeconfigOf leads to the cluster's API server by its Service, as the account of the token.
func kubeconfigOf(t *testing.T, c *cluster.Cluster, token string) []byte {
	t.Helper()
	var authority corev1.ConfigMap
	if err := c.Get(t.Context(), &authority, "configmap", "--namespace", cluster.Namespace,
		"kube-root-ca.crt"); err != nil {
		t.Fatal(err)
	}
	var service corev1.Service
	if err := c.Get(t.Context(), &service, "service", "--namespace", "default", "kubernetes"); err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: "https://" + net.JoinHostPort(service.Spec.ClusterIP, "443"),
		CertificateAuthorityData: []byte(authority.Data["ca.crt"])}
	config.AuthInfos["prometheus"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: "prometheus"}
	config.CurrentContext = "lab"
	text, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// get asks Prometheus and returns what it answers.
func (p prometheus) get(t *testing.T, path string, query url.Values) (json.RawMessage, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://"+prometheusPort+path+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if response.Header.Get("Content-Type") != "application/json" {
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", path, response.Status)
		}
		return nil, nil
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", path, answer.Error)
	}
	return answer.Data, nil
}

// sample is one series of an answer.
type sample struct {
	Metric map[string]string
	Value  []any
}

// value is the value of the only series, as text.
func value(of []sample) string {
	if len(of) != 1 || len(of[0].Value) != 2 {
		return ""
	}
	return fmt.Sprint(of[0].Value[1])
}

// ask evaluates an expression.
func (p prometheus) ask(t *testing.T, expr string) []sample {
	t.Helper()
	data, err := p.get(t, "/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	var answer struct{ Result []sample }
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return answer.Result
}

// alerts names the alerts that fire, or will if it stays so.
func (p prometheus) alerts(t *testing.T) (names []string) {
	t.Helper()
	data, err := p.get(t, "/api/v1/alerts", nil)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Alerts []struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatal(err)
	}
	for _, a := range answer.Alerts {
		if name := a.Labels["alertname"]; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// answersAll asks all queries. Those of panels find something after a round that passed and one that failed, and no
// rule has an error.
func (p prometheus) answersAll(t *testing.T) {
	t.Helper()
	all, err := queries.All("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		if found := p.ask(t, q.Expr); q.Panel != "" && len(found) == 0 {
			t.Errorf("%s finds nothing: %s", q.Where(), q.Expr)
		}
	}
	data, err := p.get(t, "/api/v1/rules", nil)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatal(err)
	}
	evaluated := 0
	for _, g := range answer.Groups {
		for _, r := range g.Rules {
			evaluated++
			if r.Health != "ok" {
				t.Errorf("alert %s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	t.Logf("%d queries were answered, %d alerts evaluated", len(all), evaluated)
	if evaluated == 0 {
		t.Error("no alert is evaluated")
	}
}
