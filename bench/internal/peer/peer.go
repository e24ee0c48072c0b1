// Package peer knows the other load generators: how each is called for a load, and what its own report says.
// What a peer reports is taken as it stands, so that a wrong latency stays the peer's.
package peer

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Load is what a peer is asked for.
type Load struct {
	URL string
	// Connections is how many connections the peer uses at once.
	Connections int
	Duration    time.Duration
	// Rate is in requests a second over all connections; 0 is as fast as answers come.
	Rate int
	// New opens a connection for every request.
	New bool
}

// Result is what a peer said of its load.
type Result struct {
	// Requests is how many were answered, with whatever status; Failed is how many of these, or beside these, went
	// wrong by the peer's own count.
	Requests, Failed uint64
	// Quantiles are the latencies that it reported, in seconds, by share (0.5 is the median). A peer leaves out what it
	// does not print.
	Quantiles map[float64]float64
}

// Peer is one load generator.
type Peer struct {
	// Name is that of its program.
	Name string
	// Paced tells that it can keep a rate.
	Paced bool
	// Args are the arguments for the load.
	Args func(Load) []string
	// Stdin is what it reads, empty for nothing.
	Stdin func(Load) string
	// Second are the arguments for a second run of the same program that reads the first one's output and makes the
	// report; nil without.
	Second []string
	// Parse reads the report.
	Parse func(string) (Result, error)
}

// All are the peers in the order in which tables name them.
func All() []Peer {
	return []Peer{
		{Name: "wrk", Args: wrkArgs, Parse: parseWrk},
		{Name: "ab", Args: abArgs, Parse: parseAb},
		{Name: "hey", Paced: true, Args: heyArgs, Parse: parseHey},
		{Name: "fortio", Paced: true, Args: fortioArgs, Parse: parseFortio},
		{Name: "bombardier", Paced: true, Args: bombardierArgs, Parse: parseBombardier},
		{Name: "vegeta", Paced: true, Args: vegetaArgs, Stdin: func(l Load) string { return "GET " + l.URL + "\n" },
			Second: []string{"report", "-type=json"}, Parse: parseVegeta},
	}
}

// Named is the peer of that name.
func Named(name string) (Peer, error) {
	all := All()
	i := slices.IndexFunc(all, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, fmt.Errorf("there is no peer %q", name)
	}
	return all[i], nil
}

// seconds writes a duration as all peers read it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

func wrkArgs(l Load) []string {
	args := []string{"-t1", "-c" + strconv.Itoa(l.Connections), "-d" + wholeSeconds(l.Duration) + "s", "--latency"}
	if l.New {
		args = append(args, "-H", "Connection: close")
	}
	return append(args, l.URL)
}

func abArgs(l Load) []string {
	// The bound on requests is behind -t, which would set one itself.
	args := []string{"-q", "-c", strconv.Itoa(l.Connections), "-t", wholeSeconds(l.Duration), "-n", "100000000"}
	if !l.New {
		args = append(args, "-k")
	}
	return append(args, l.URL)
}

// wholeSeconds is for peers that know no fractions: one second at least.
func wholeSeconds(d time.Duration) string { return strconv.Itoa(max(1, int(d/time.Second))) }

func heyArgs(l Load) []string {
	args := []string{"-z", seconds(l.Duration), "-c", strconv.Itoa(l.Connections)}
	if l.Rate > 0 {
		// Its rate is that of each worker.
		args = append(args, "-q", strconv.FormatFloat(float64(l.Rate)/float64(l.Connections), 'f', -1, 64))
	}
	if l.New {
		args = append(args, "-disable-keepalive")
	}
	return append(args, l.URL)
}

func fortioArgs(l Load) []string {
	args := []string{"load", "-quiet", "-qps", strconv.Itoa(l.Rate), "-c", strconv.Itoa(l.Connections), "-t",
		seconds(l.Duration), "-p", "50,90,95,99", "-json", "-"}
	if l.New {
		args = append(args, "-keepalive=false")
	}
	return append(args, l.URL)
}

func bombardierArgs(l Load) []string {
	args := []string{"-c", strconv.Itoa(l.Connections), "-d", seconds(l.Duration), "-l", "-p", "r", "-o", "json"}
	if l.Rate > 0 {
		args = append(args, "-r", strconv.Itoa(l.Rate))
	}
	if l.New {
		args = append(args, "-a")
	}
	return append(args, l.URL)
}

func vegetaArgs(l Load) []string {
	args := []string{"attack", "-rate=" + strconv.Itoa(l.Rate), "-duration=" + seconds(l.Duration), "-workers=" +
		strconv.Itoa(l.Connections),
		"-connections=" + strconv.Itoa(max(l.Connections, 10000))}
	if l.Rate == 0 {
		// As fast as answers come needs a bound.
		args = append(args, "-max-workers="+strconv.Itoa(l.Connections))
	}
	if l.New {
		args = append(args, "-keepalive=false")
	}
	return args
}
