package peer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The files are what the peers really printed: each for one second against a web server on loopback.
func TestReportsOfPeersAreRead(t *testing.T) {
	for _, c := range []struct {
		peer, file string
		want       Result
	}{
		{"wrk", "wrk.txt", Result{Requests: 57457,
			Quantiles: map[float64]float64{0.5: 814e-6, 0.75: 0.88e-3, 0.9: 0.92e-3, 0.99: 2.34e-3}}},
		{"ab", "ab.txt", Result{Requests: 37752,
			Quantiles: map[float64]float64{0.5: 2e-3, 0.66: 2e-3, 0.75: 2e-3, 0.8: 2e-3, 0.9: 2e-3, 0.95: 2e-3,
				0.98: 2e-3, 0.99: 3e-3}}},
		{"hey", "hey.txt", Result{Requests: 1000,
			Quantiles: map[float64]float64{0.1: 0.0003, 0.25: 0.0004, 0.5: 0.0005, 0.75: 0.0006, 0.9: 0.0008,
				0.95: 0.0009, 0.99: 0.0038}}},
		{"fortio", "fortio.json",
			Result{Requests: 41647,
				Quantiles: map[float64]float64{0.5: 0.0013341979663830672, 0.9: 0.002208420696652013,
					0.95: 0.0029126310449780184, 0.99: 0.009562887029288704}}},
		{"bombardier", "bombardier.json",
			Result{Requests: 35650,
				Quantiles: map[float64]float64{0.5: 1347e-6, 0.75: 1881e-6, 0.9: 2589e-6, 0.95: 4374e-6,
					0.99: 10134e-6}}},
		{"vegeta", "vegeta.json",
			Result{Requests: 12204,
				Quantiles: map[float64]float64{0.5: 1591936e-9, 0.9: 5472574e-9, 0.95: 10908146e-9,
					0.99: 37569709e-9}}},
	} {
		t.Run(c.peer, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", c.file))
			if err != nil {
				t.Fatal(err)
			}
			p, err := Named(c.peer)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, near()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// near compares numbers that went through a division.
func near() cmp.Option {
	return cmp.Comparer(func(a, b float64) bool { return a == b || (a-b)/b < 1e-9 && (b-a)/b < 1e-9 })
}

func TestFailuresThatAPeerReportsAreCounted(t *testing.T) {
	for _, c := range []struct {
		name, peer, text string
		want             Result
	}{
		{"wrk lost connections and met other statuses", "wrk",
			"  10 requests in 1.00s, 1KB read\n  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or " +
				"3xx responses: 5\n", Result{Requests: 10, Failed: 15}},
		{"ab failed", "ab", "Complete requests:      7\nFailed requests:        3\n", Result{Requests: 7, Failed: 3}},
		{"hey met a 503 and errors", "hey", "Status code distribution:\n  [200]\t5 responses\n  [503]\t2 " +
			"responses\n\nError distribution:\n  [4]\tGet \"http://h/\": EOF\n", Result{Requests: 7, Failed: 6}},
		{"fortio met a 503", "fortio", `{"DurationHistogram":{"Count":9},"RetCodes":{"200":8,"503":1}}`,
			Result{Requests: 9, Failed: 1}},
		{"bombardier met others", "bombardier", `{"result":{"req2xx":3,"req5xx":1,"others":2}}`,
			Result{Requests: 6, Failed: 3}},
		{"vegeta met errors", "vegeta", `{"requests":5,"status_codes":{"200":3,"0":2}}`,
			Result{Requests: 5, Failed: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Named(c.peer)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Parse(c.text)
			if err != nil {
				t.Fatal(err)
			}
			got.Quantiles = nil
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOutputWithoutAReportIsAnError(t *testing.T) {
	for _, p := range All() {
		for _, text := range []string{"", "connect: connection refused\n", "{}", "{"} {
			if got, err := p.Parse(text); err == nil {
				t.Errorf("%s made %v of %q", p.Name, got, text)
			}
		}
	}
}

func TestLoadsBecomeArguments(t *testing.T) {
	kept := Load{URL: "http://127.0.0.1:80/", Connections: 10, Duration: 1500 * time.Millisecond, Rate: 1000}
	fast := Load{URL: "http://127.0.0.1:80/", Connections: 64, Duration: 2 * time.Second, New: true}
	for _, c := range []struct {
		peer string
		load Load
		want []string
	}{
		{"wrk", fast, []string{"-t1", "-c64", "-d2s", "--latency", "-H", "Connection: close", fast.URL}},
		{"ab", fast, []string{"-q", "-c", "64", "-t", "2", "-n", "100000000", fast.URL}},
		{"hey", kept, []string{"-z", "1.5s", "-c", "10", "-q", "100", kept.URL}},
		{"hey", fast, []string{"-z", "2s", "-c", "64", "-disable-keepalive", fast.URL}},
		{"fortio", kept, []string{"load", "-quiet", "-qps", "1000", "-c", "10", "-t", "1.5s", "-p", "50,90,95,99",
			"-json", "-", kept.URL}},
		{"bombardier", kept, []string{"-c", "10", "-d", "1.5s", "-l", "-p", "r", "-o", "json", "-r", "1000", kept.URL}},
		{"vegeta", kept, []string{"attack", "-rate=1000", "-duration=1.5s", "-workers=10", "-connections=10000"}},
		{"vegeta", fast, []string{"attack", "-rate=0", "-duration=2s", "-workers=64", "-connections=10000",
			"-max-workers=64", "-keepalive=false"}},
	} {
		p, err := Named(c.peer)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, p.Args(c.load)); diff != "" {
			t.Errorf("%s: %s", c.peer, diff)
		}
	}
}
