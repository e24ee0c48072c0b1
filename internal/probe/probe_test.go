package probe_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
)

func TestEveryOutcomeAndPhaseHasANameThatLeadsBack(t *testing.T) {
	seen := map[string]bool{}
	for o := range probe.Outcomes {
		back, err := probe.ParseOutcome(o.String())
		if err != nil || back != o || o.String() == "" || seen[o.String()] {
			t.Errorf("outcome %d is called %q, which leads to %d, %v", o, o, back, err)
		}
		seen[o.String()] = true
		text, err := o.MarshalText()
		var read probe.Outcome
		if err != nil || read.UnmarshalText(text) != nil || read != o {
			t.Errorf("outcome %v reads as %v from its text", o, read)
		}
	}
	for p := range probe.Phases {
		back, err := probe.ParsePhase(p.String())
		if err != nil || back != p || seen[p.String()] {
			t.Errorf("phase %d is called %q, which leads to %d, %v", p, p, back, err)
		}
		seen[p.String()] = true
		text, err := p.MarshalText()
		var read probe.Phase
		if err != nil || read.UnmarshalText(text) != nil || read != p {
			t.Errorf("phase %v reads as %v from its text", p, read)
		}
	}
}

func TestNamesOutsideTheListsAreRefused(t *testing.T) {
	for _, name := range []string{"ok", "Ok", "Timeout ", "outcome"} {
		if o, err := probe.ParseOutcome(name); err == nil || o != probe.Other {
			t.Errorf("outcome %q is read as %v", name, o)
		}
	}
	for _, name := range []string{"Body", "first-byte", " "} {
		if p, err := probe.ParsePhase(name); err == nil || p != probe.NoPhase {
			t.Errorf("phase %q is read as %q", name, p)
		}
	}
	if _, err := probe.ParseOutcome(""); err == nil {
		t.Error("the empty name is read as an outcome")
	}
}

func TestValuesOutsideTheListsStillRead(t *testing.T) {
	if got := probe.Outcome(200).String(); got != "Other" {
		t.Errorf("outcome 200 reads as %q", got)
	}
	if got := probe.Phase(200).String(); got != "" {
		t.Errorf("phase 200 reads as %q", got)
	}
}
