// Package httpprobe is both ends of the plain HTTP probe: Prober sends one request, over a connection of its own or over one that is kept,
// and judges the answer; Responder is what answers on the other agents.
package httpprobe

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Headers of a request. The first names the round that a request belongs to, as schedule.Key.String writes it;
// the second is the pod that sent it.
const (
	RoundHeader  = "Kdoctor-Round"
	SourceHeader = "Kdoctor-Source"
)

// KeptSuffix stands behind the round's key in requests of the kept stream, so that a responder counts them apart from the counted ones.
const KeptSuffix = "/kept"

// Identity says which agent answered.
type Identity struct {
	// Installation is "<namespace>/<workload>": two installations in one cluster are not each other's agents.
	Installation string `json:"installation"`
	Pod          string `json:"pod"`
	PodUID       string `json:"podUID"`
	Node         string `json:"node"`
}

// Answer is the body of every answer. Beside the identity it tells what arrived, which shows what the way did to the request.
type Answer struct {
	Kdoctor Identity `json:"kdoctor"`
	// ClientAddress is the address and port that the responder saw.
	ClientAddress string `json:"clientAddress"`
	Method        string `json:"method"`
	Path          string `json:"path"`
	Host          string `json:"host"`
}

// maxPodBytes is the longest name that Kubernetes gives to a pod.
const maxPodBytes = 253

// parseAnswer reads a body from the network; the error is fit to be a sample's message.
func parseAnswer(body []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(body, &a); err != nil {
		return Answer{}, errors.New("the answer is not the JSON of an agent")
	}
	pod := a.Kdoctor.Pod
	if pod == "" || len(pod) > maxPodBytes || strings.ContainsFunc(pod, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Answer{}, errors.New("the answer names no agent")
	}
	return a, nil
}

// validRound tells whether a header has the form <uid>/<generation>/<round>, with KeptSuffix behind it or not.
// It comes from anybody who can reach the responder.
func validRound(header string) bool {
	if len(header) > 128 {
		return false
	}
	parts := strings.Split(strings.TrimSuffix(header, KeptSuffix), "/")
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
