// Package echo is what both ends of a probe agree on: the headers of a request, the answer of an agent, how requests
// of a round are told apart from those of anybody else, and the sizes and times that both ends keep.
package echo

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Headers of a request.
const (
	// RoundHeader names the round of a request, as schedule.Key.String writes it.
	RoundHeader = "Kdoctor-Round"
	// SourceHeader names the pod that sent the request.
	SourceHeader = "Kdoctor-Source"
)

// PersistentSuffix follows the round's key in requests of the persistent stream, so that a responder counts these apart
// from the counted requests.
const PersistentSuffix = "/kept"

// Sizes in bytes.
const (
	// MaxBodyBytes bounds the body of an answer without its framing.
	MaxBodyBytes = 64 << 10
	// MaxRequestBody bounds the body of a request. A responder reads the body and throws it away.
	MaxRequestBody = 64 << 10
	// MaxEchoBytes bounds what an answer repeats of a request's method, path and host, each.
	MaxEchoBytes = 1024
	// MaxPodBytes is the length of the longest name that Kubernetes gives to a pod.
	MaxPodBytes = 253
)

// LongestPause is the longest time between two requests of a persistent stream, at any rate. A responder keeps an idle
// connection for more than two pauses, so that a stream in which one request is late or missed still finds its
// connection. The pause is below the minute after which many proxies close an idle connection.
const LongestPause = 50 * time.Second

// Identity says which agent answered.
type Identity struct {
	// Installation is "<namespace>/<workload>": two installations in one cluster are not each other's agents.
	Installation string `json:"installation"`
	Pod          string `json:"pod"`
	PodUID       string `json:"podUID"`
	Node         string `json:"node"`
}

// Answer is the body of every answer: who answered, and which request arrived. What arrived shows what proxies on the
// way did to the request.
type Answer struct {
	Kdoctor Identity `json:"kdoctor"`
	// ClientAddress is the address and port that the responder saw.
	ClientAddress string `json:"clientAddress"`
	Method        string `json:"method"`
	Path          string `json:"path"`
	Host          string `json:"host"`
}

// ParseAnswer reads a body from the network. The error's text is fit to be a sample's message.
func ParseAnswer(body []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(body, &a); err != nil {
		return Answer{}, errors.New("the answer is not the JSON of an agent")
	}
	pod := a.Kdoctor.Pod
	if pod == "" || len(pod) > MaxPodBytes || strings.ContainsFunc(pod,
		func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Answer{}, errors.New("the answer names no agent")
	}
	return a, nil
}

// maxRoundBytes bounds the value of RoundHeader.
const maxRoundBytes = 128

// ValidRound reports whether a value of RoundHeader has the form <uid>/<generation>/<round>, with or without
// PersistentSuffix. The value comes from anybody who can reach the responder.
func ValidRound(header string) bool {
	if len(header) > maxRoundBytes {
		return false
	}
	parts := strings.Split(strings.TrimSuffix(header, PersistentSuffix), "/")
	if len(parts) != 3 || parts[0] == "" {
		return false
	}
	for _, r := range parts[0] {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r) {
			return false
		}
	}
	for _, number := range parts[1:] {
		if n, err := strconv.ParseInt(number, 10, 64); err != nil || n < 0 {
			return false
		}
	}
	return true
}
