package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// errNoReport is for an output in which the number of requests is not to be found.
var errNoReport = errors.New("no number of requests in the peer's report")

// number is the first group of the expression in the text.
func number(text, expression string) (uint64, bool) {
	found := regexp.MustCompile(expression).FindStringSubmatch(text)
	if found == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(found[1], 10, 64)
	return n, err == nil
}

func parseWrk(text string) (Result, error) {
	n, ok := number(text, `(?m)^\s*(\d+) requests in `)
	if !ok {
		return Result{}, errNoReport
	}
	r := Result{Requests: n, Quantiles: map[float64]float64{}}
	for _, kind := range []string{`connect (\d+)`, `read (\d+)`, `write (\d+)`, `timeout (\d+)`} {
		bad, _ := number(text, `Socket errors:.*`+kind)
		r.Failed += bad
	}
	bad, _ := number(text, `Non-2xx or 3xx responses: (\d+)`)
	r.Failed += bad
	for _, line := range regexp.MustCompile(`(?m)^\s+(\d+)%\s+([\d.]+(?:us|ms|s|m))\s*$`).FindAllStringSubmatch(text,
		-1) {
		d, err := time.ParseDuration(line[2])
		if err != nil {
			return Result{}, fmt.Errorf("read latency %q: %w", line[2], err)
		}
		if err := r.quantile(line[1], d.Seconds()); err != nil {
			return Result{}, err
		}
	}
	return r, nil
}

func parseAb(text string) (Result, error) {
	n, ok := number(text, `Complete requests:\s+(\d+)`)
	if !ok {
		return Result{}, errNoReport
	}
	r := Result{Requests: n, Quantiles: map[float64]float64{}}
	r.Failed, _ = number(text, `Failed requests:\s+(\d+)`)
	for _, line := range regexp.MustCompile(`(?m)^\s+(\d+)%\s+(\d+)\s*$`).FindAllStringSubmatch(text, -1) {
		ms, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			return Result{}, fmt.Errorf("read latency %q: %w", line[2], err)
		}
		if err := r.quantile(line[1], ms/1000); err != nil {
			return Result{}, err
		}
	}
	return r, nil
}

func parseHey(text string) (Result, error) {
	codes := regexp.MustCompile(`(?m)^\s+\[(\d+)\]\s+(\d+) responses`).FindAllStringSubmatch(text, -1)
	if codes == nil {
		return Result{}, errNoReport
	}
	r := Result{Quantiles: map[float64]float64{}}
	for _, code := range codes {
		n, err := strconv.ParseUint(code[2], 10, 64)
		if err != nil {
			return Result{}, fmt.Errorf("read count %q: %w", code[2], err)
		}
		r.Requests += n
		if code[1] != "200" {
			r.Failed += n
		}
	}
	if _, errorsPart, found := strings.Cut(text, "Error distribution:"); found {
		for _, line := range regexp.MustCompile(`(?m)^\s+\[(\d+)\]\s`).FindAllStringSubmatch(errorsPart, -1) {
			n, err := strconv.ParseUint(line[1], 10, 64)
			if err != nil {
				return Result{}, fmt.Errorf("read count %q: %w", line[1], err)
			}
			r.Failed += n
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^\s+(\d+)%+ in ([\d.]+) secs`).FindAllStringSubmatch(text, -1) {
		s, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			return Result{}, fmt.Errorf("read latency %q: %w", line[2], err)
		}
		if err := r.quantile(line[1], s); err != nil {
			return Result{}, err
		}
	}
	return r, nil
}

func parseFortio(text string) (Result, error) {
	var said struct {
		DurationHistogram struct {
			Count       uint64
			Percentiles []struct{ Percentile, Value float64 }
		}
		RetCodes map[string]uint64
	}
	if err := unmarshal(text, &said); err != nil {
		return Result{}, err
	}
	if said.DurationHistogram.Count == 0 {
		return Result{}, errNoReport
	}
	r := Result{Requests: said.DurationHistogram.Count, Quantiles: map[float64]float64{}}
	r.Failed = r.Requests - min(r.Requests, said.RetCodes["200"])
	for _, p := range said.DurationHistogram.Percentiles {
		r.Quantiles[p.Percentile/100] = p.Value
	}
	return r, nil
}

func parseBombardier(text string) (Result, error) {
	var said struct {
		Result *struct {
			Req1xx, Req2xx, Req3xx, Req4xx, Req5xx, Others uint64
			// Latency is in microseconds.
			Latency struct {
				Percentiles map[string]float64
			}
		}
	}
	if err := unmarshal(text, &said); err != nil {
		return Result{}, err
	}
	if said.Result == nil {
		return Result{}, errNoReport
	}
	got := said.Result
	r := Result{Failed: got.Req1xx + got.Req3xx + got.Req4xx + got.Req5xx + got.Others,
		Quantiles: map[float64]float64{}}
	r.Requests = got.Req2xx + r.Failed
	for percent, us := range got.Latency.Percentiles {
		if err := r.quantile(percent, us/1e6); err != nil {
			return Result{}, err
		}
	}
	return r, nil
}

func parseVegeta(text string) (Result, error) {
	var said struct {
		Latencies   map[string]float64
		Requests    uint64
		StatusCodes map[string]uint64 `json:"status_codes"`
	}
	if err := unmarshal(text, &said); err != nil {
		return Result{}, err
	}
	if said.Requests == 0 {
		return Result{}, errNoReport
	}
	r := Result{Requests: said.Requests, Failed: said.Requests - min(said.Requests, said.StatusCodes["200"]),
		Quantiles: map[float64]float64{}}
	for name, ns := range said.Latencies {
		if percent, ok := strings.CutSuffix(name, "th"); ok {
			if err := r.quantile(percent, ns/1e9); err != nil {
				return Result{}, err
			}
		}
	}
	return r, nil
}

// unmarshal reads the JSON object in the text: some peers print lines before it.
func unmarshal(text string, to any) error {
	at := strings.Index(text, "{")
	if at < 0 {
		return errNoReport
	}
	if err := json.NewDecoder(strings.NewReader(text[at:])).Decode(to); err != nil {
		return fmt.Errorf("read the peer's report: %w", err)
	}
	return nil
}

func (r *Result) quantile(percent string, seconds float64) error {
	p, err := strconv.ParseFloat(percent, 64)
	if err != nil {
		return fmt.Errorf("read percentile %q: %w", percent, err)
	}
	r.Quantiles[p/100] = seconds
	return nil
}
