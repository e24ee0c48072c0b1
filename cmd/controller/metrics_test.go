package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"gocloud.dev/blob/memblob"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/kube/certificates"
	"kdoctor.io/kdoctor/internal/metrics"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/verdict"
)

// reviewer answers as an API server that knows two callers, of whom the scraper may get /metrics.
func reviewer(t *testing.T) *rest.Config {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
			var review authenticationv1.TokenReview
			_ = json.NewDecoder(r.Body).Decode(&review)
			user := review.Spec.Token
			review.Status.Authenticated = user == "scraper" || user == "stranger"
			review.Status.User.Username = user
			_ = json.NewEncoder(w).Encode(review)
		case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
			var review authorizationv1.SubjectAccessReview
			_ = json.NewDecoder(r.Body).Decode(&review)
			asked := review.Spec.NonResourceAttributes
			review.Status.Allowed = review.Spec.User == "scraper" && asked != nil && asked.Path == "/metrics" &&
				asked.Verb == "get"
			_ = json.NewEncoder(w).Encode(review)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
}

func TestMetricsAreServedToThoseWhoMayReadThem(t *testing.T) {
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	authority := certificates.New(certificates.Config{Client: fake.NewClientBuilder().WithScheme(scheme).Build(),
		Namespace: "kdoctor", Service: "kdoctor-controller"})
	if err := authority.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	agents, err := authority.ClientTLS()
	if err != nil {
		t.Fatal(err)
	}
	options := metricsServer(0, authority.Serving())
	options.BindAddress = "127.0.0.1:0"
	cluster := reviewer(t)
	reviews, err := rest.HTTPClientFor(cluster)
	if err != nil {
		t.Fatal(err)
	}
	metricsAt, err := server.NewServer(options, cluster, reviews)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- metricsAt.Start(ctx) }()
	defer func() {
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}()
	bound := metricsAt.(interface{ GetBindAddr() string })
	for bound.GetBindAddr() == "" {
		time.Sleep(time.Millisecond)
	}
	scraper := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: agents.RootCAs,
			ServerName: "kdoctor-controller.kdoctor.svc"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, bound.GetBindAddr())
		}}}
	// The library answers 500 to a token that the API server does not know.
	for token, want := range map[string]int{"": 401, "nobody": 500, "stranger": 403, "scraper": 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://metrics/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := scraper.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("a caller with the token %q got %d, want %d", token, answer.StatusCode, want)
		}
	}
	scraper.CloseIdleConnections()
}

func TestMeasuredTask(t *testing.T) {
	created := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) metav1.Time {
		return metav1.NewTime(created.Add(time.Duration(minutes) * time.Minute))
	}
	ended := at(21)
	closed := v1beta1.Record{StartTimeStamp: at(20), DeadLineTimeStamp: at(25), EndTimeStamp: &ended}
	planned := v1beta1.Record{StartTimeStamp: at(30), DeadLineTimeStamp: at(35)}
	for name, tc := range map[string]struct {
		change func(*kind.Task)
		want   metrics.Task
	}{
		"a new task: its first round is due": {func(*kind.Task) {},
			metrics.Task{Interval: 2 * time.Minute, Due: created.Add(7 * time.Minute)}},
		"a round is over and one is planned": {func(t *kind.Task) {
			t.Status.History = []v1beta1.Record{planned, closed}
		}, metrics.Task{Interval: 10 * time.Minute, Due: created.Add(35 * time.Minute), Finished: ended.Time}},
		"a start was missed": {func(t *kind.Task) {
			t.Status.Conditions = []metav1.Condition{{Type: controller.OnTime, Status: metav1.ConditionFalse}}
			t.Status.History = []v1beta1.Record{planned}
		}, metrics.Task{Interval: 2 * time.Minute, Due: created.Add(35 * time.Minute), Missed: true}},
		"a suspended task has nothing due": {func(t *kind.Task) {
			t.Suspended, t.Status.History = true, []v1beta1.Record{planned, closed}
		}, metrics.Task{Finished: ended.Time}},
		"a finished task has nothing due": {func(t *kind.Task) {
			t.Status.Finish, t.Status.History = true, []v1beta1.Record{closed}
		}, metrics.Task{Finished: ended.Time}},
		"cron that never comes": {func(t *kind.Task) { t.Schedule = "0 0 30 2 *" }, metrics.Task{}},
	} {
		t.Run(name, func(t *testing.T) {
			task := kind.Task{Kind: "NetReach", Name: "web", UID: "u", Created: created, Schedule: "2 10",
				Timeout: 5 * time.Minute}
			tc.change(&task)
			tc.want.Kind, tc.want.Name, tc.want.UID, tc.want.Created, tc.want.Timeout = "NetReach", "web", "u", created,
				5*time.Minute
			if diff := cmp.Diff(tc.want, measuredTask(task)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// watched is a collector beside a task of which rounds are told.
func watched(t *testing.T) (*observed, *prometheus.Registry, func(context.Context) ([]metrics.Task, error)) {
	t.Helper()
	tasks := func(context.Context) ([]metrics.Task, error) {
		return []metrics.Task{{Kind: "NetReach", Name: "task", UID: "u"}}, nil
	}
	seen := &observed{Collector: metrics.New(metrics.Config{
		Leading: func() bool { return true }, Tasks: tasks,
		Nodes: func(context.Context) (map[string]bool, error) {
			return map[string]bool{roundtest.Node(5): true}, nil
		},
		Certificates: func() map[string]time.Time { return nil },
	})}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(seen.Collector)
	return seen, registry, tasks
}

func expose(t *testing.T, registry *prometheus.Registry, want string, families ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), families...); err != nil {
		t.Error(err)
	}
}

func TestObservedRounds(t *testing.T) {
	const head = "# HELP kdoctor_store_errors_total Calls to the store of reports that failed, by what was to be done.\n" +
		"# TYPE kdoctor_store_errors_total counter\n"
	failing := errors.New("no space")
	judged := verdict.StoredRound{Verdict: verdict.Verdict{Result: verdict.Pass}}
	for name, tc := range map[string]struct {
		done      verdict.StoredRound
		err       error
		withdrawn bool
		lint      int
		writes    string
	}{
		"a round that passed":            {judged, nil, false, 1, "0"},
		"a round that could not be kept": {judged, failing, false, 1, "1"},
		"a round that could not be run":  {verdict.StoredRound{}, failing, false, 1, "0"},
		"a round that was withdrawn":     {verdict.StoredRound{}, context.Canceled, true, 0, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			seen, registry, _ := watched(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			seen.run = func(context.Context, round.Request) (verdict.StoredRound, error) {
				expose(t, registry, "# HELP kdoctor_rounds_running Rounds that run right now.\n"+
					"# TYPE kdoctor_rounds_running gauge\nkdoctor_rounds_running 1\n", "kdoctor_rounds_running")
				if tc.withdrawn {
					cancel()
				}
				return tc.done, tc.err
			}
			summary, err := seen.Run(ctx, round.Request{Key: schedule.Key{UID: "u", Generation: 1, Round: 1}})
			if !errors.Is(err, tc.err) || summary.Result != tc.done.Verdict.Result {
				t.Errorf("got %v, %v", summary, err)
			}
			n, err := testutil.GatherAndCount(registry, "kdoctor_round_last_finished_timestamp_seconds")
			if err != nil || n != tc.lint {
				t.Errorf("%d rounds are over, %v", n, err)
			}
			expose(t, registry, head+`kdoctor_store_errors_total{operation="prune"} 0
kdoctor_store_errors_total{operation="read"} 0
kdoctor_store_errors_total{operation="write"} `+tc.writes+"\n", "kdoctor_store_errors_total")
		})
	}
}

// A round that was stored is shown again, whether its paths are stored one by one or in sums.
func TestStoredRoundsAreRestored(t *testing.T) {
	for name, shape := range map[string]roundtest.Shape{
		"paths one by one": {Agents: 20, Dead: 17}, "paths in sums": {Agents: 200, Dead: 17},
	} {
		t.Run(name, func(t *testing.T) {
			kept := store.New(memblob.OpenBucket(nil))
			stored := roundtest.New("u", shape)
			if err := kept.PutRound(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
			seen, registry, tasks := watched(t)
			seen.kept = kept
			restored := restore{seen: seen, tasks: tasks, log: logr.Discard()}
			if err := restored.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			const head = "# HELP kdoctor_round_agents_reported Agents that reported in the last round.\n" +
				"# TYPE kdoctor_round_agents_reported gauge\n"
			expose(t, registry, head+`kdoctor_round_agents_reported{kind="NetReach",task="task"} `+
				strconv.Itoa(len(stored.Round.Agents))+"\n", "kdoctor_round_agents_reported")
			for family, least := range map[string]int{"kdoctor_round_node_failed_paths": 1, "kdoctor_findings": 1,
				"kdoctor_round_paths": 5} {
				if n, err := testutil.GatherAndCount(registry, family); err != nil || n < least {
					t.Errorf("%d series of %s, %v", n, family, err)
				}
			}
		})
	}
}
