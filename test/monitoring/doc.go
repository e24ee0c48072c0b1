// Package monitoring holds the chart's alerts and its dashboard against what the controller exposes: the series are
// those of the collector itself, and the queries and rules are evaluated by Prometheus' own packages. It is a module of
// its own, so that nothing else compiles Prometheus.
package monitoring
