package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// An ImportRule forbids imports to some packages.
type ImportRule struct {
	// Name says in a few words what is forbidden.
	Name string
	// Applies reports whether the package is under the rule.
	Applies func(path string) bool
	// Forbidden reports whether the package at from may not import the one at to.
	Forbidden func(from, to string) bool
	// Through reports whether imports of the package at path are followed; nil follows all.
	Through func(path string) bool
}

// ImportRules are all of them.
func ImportRules() []ImportRule {
	return []ImportRule{
		{
			Name:      "pure packages reach no Kubernetes library",
			Applies:   pure,
			Forbidden: func(_, to string) bool { return kubernetes(to) },
		},
		{
			Name:      "pure packages do no I/O and do not log",
			Applies:   pure,
			Forbidden: func(_, to string) bool { return outside(to) },
			// What a library does inside is its own affair: the cron parser brings a logger that nobody gives it.
			Through: own,
		},
		{
			Name: "what measures and what answers reaches no Kubernetes library",
			Applies: func(path string) bool {
				return slices.Contains([]string{"probe", "load", "engine", "responder", "observer", "epoll",
					"httpbytes", "buffers", "slots"}, role(path))
			},
			Forbidden: func(_, to string) bool { return kubernetes(to) },
		},
		{
			Name:    "what probers and the responder are built on knows no other package of ours",
			Applies: groundwork,
			// Each is for any program that speaks HTTP over sockets.
			Forbidden: func(_, to string) bool { return own(to) },
		},
		{
			Name:      "probers know no responder",
			Applies:   prober,
			Forbidden: func(_, to string) bool { return role(to) == "responder" },
		},
		{
			Name:      "the responder knows no prober",
			Applies:   func(path string) bool { return role(path) == "responder" },
			Forbidden: func(_, to string) bool { return prober(to) },
		},
		{
			Name:      "adapters do not import each other",
			Applies:   adapter,
			Forbidden: func(from, to string) bool { return adapter(to) && role(from) != role(to) },
			// internal/round joins them.
			Through: func(path string) bool { return own(path) && role(path) != "round" },
		},
		{
			Name:    "the agent reaches no Kubernetes client",
			Applies: func(path string) bool { return role(path) == "agent" || within(path, Module+"/cmd/agent") },
			Forbidden: func(_, to string) bool {
				return within(to, "k8s.io/client-go") || within(to, "k8s.io/apimachinery") ||
					within(to, "sigs.k8s.io/controller-runtime")
			},
		},
		{
			Name: "the oracle supports tests alone",
			Applies: func(path string) bool {
				return role(path) != "oracle" && !within(path, Module+"/test/oracle")
			},
			Forbidden: func(_, to string) bool { return within(to, Module+"/internal/oracle") },
		},
	}
}

// Check returns one sentence per package that breaks the rule, sorted.
func (r ImportRule) Check(g Graph) []string {
	through := r.Through
	if through == nil {
		through = func(string) bool { return true }
	}
	var found []string
	for path := range g {
		if !own(path) || !r.Applies(path) {
			continue
		}
		if chain := g.chain(path, func(to string) bool { return r.Forbidden(path, to) }, through); chain != nil {
			found = append(found, fmt.Sprintf("%s: %s", r.Name, strings.Join(chain, " -> ")))
		}
	}
	slices.Sort(found)
	return found
}

// role is the first element below internal, empty for other packages.
func role(path string) string {
	rest, ok := strings.CutPrefix(path, Module+"/internal/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// Pure are the packages that only decide, by their folders below internal. The Makefile tests them without the race
// detector: they start no goroutine.
func Pure() []string {
	return []string{"stats", "target", "topology", "mesh", "limits", "schedule", "report", "phrases", "churn",
		"verdict", "diagnose", "infer", "ladder", "tally", "digest", "nodecondition", "echo"}
}

// pure reports whether the package only decides.
func pure(path string) bool { return slices.Contains(Pure(), role(path)) }

// prober reports whether the package makes attempts. What a prober and a responder agree on is in package echo; the
// contract that tests probers, probetest, is allowed both.
func prober(path string) bool {
	return (role(path) == "probe" || role(path) == "engine") && path != Module+"/internal/probe/probetest"
}

// groundwork reports whether the package is one of those that probers and the responder are built on.
func groundwork(path string) bool {
	return slices.Contains([]string{"epoll", "httpbytes", "buffers", "slots"}, role(path))
}

// adapter reports whether the package touches the world.
func adapter(path string) bool {
	return slices.Contains([]string{"agent", "controller", "apiserver", "store", "cli", "inventory", "control"},
		role(path))
}

func kubernetes(path string) bool {
	return strings.HasPrefix(path, "k8s.io/") || strings.HasPrefix(path, "sigs.k8s.io/")
}

// outside reports whether the package is a way to the world outside, or a logger.
func outside(path string) bool {
	for _, root := range []string{"log", "os", "net/http", "net/rpc", "net/smtp", "database", "syscall", "io/ioutil",
		"plugin", "crypto/rand",
		"google.golang.org/grpc", "gocloud.dev", "go.uber.org/zap", "github.com/go-logr"} {
		if within(path, root) {
			return true
		}
	}
	return false
}
