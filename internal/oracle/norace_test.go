//go:build !race

package oracle_test

// rounds is how many rounds the unit tests judge.
const rounds = 20_000
