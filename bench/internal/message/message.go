// Package message is what the programs of the bench tell each other, as JSON on standard output.
package message

// Quantiles are in seconds.
type Quantiles struct{ P50, P90, P95, P99, Max float64 }

// Load is what the driver measured.
type Load struct {
	Scheduled, Sent, Missed, OK uint64
	// Retransmits is how many segments the kernel sent again.
	Retransmits uint64
	// Whole is how many targets got every request that was due, Blamed of how many of those at least one failed.
	Whole, Blamed uint64
	// Pods is how many different pods answered.
	Pods int
	// Failures are counts by outcome.
	Failures map[string]uint64
	// Latency, Response and Lag are those of report.Path. For pacers Lag is the error of starts, and there is nothing
	// else.
	Latency, Response, Lag Quantiles
	// Kernel is how many successes were timed by the kernel's clock; Grid tells how the engine woke.
	Kernel uint64
	Grid   bool
	// Resident is the process's memory in bytes when the load had ended and garbage was returned.
	Resident uint64
}

// Arrivals is what the stamping server saw.
type Arrivals struct {
	// Count is how many requests arrived.
	Count uint64
	// Error is the distance of arrivals from an even grid.
	Error Quantiles
}
