//go:build race

package oracle_test

// rounds is how many rounds the unit tests judge under the race detector.
const rounds = 500
