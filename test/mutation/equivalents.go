package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// listOf is where equivalent mutants are named, from the root of the module.
const listOf = "test/mutation/equivalents.txt"

// key identifies the mutant as the list of equivalents writes it.
func (m Mutant) key() string {
	return fmt.Sprintf("%s %s: %s -> %s", m.File, m.where(), m.Was, m.Becomes)
}

// equivalents reads the mutants that no test can notice, with the reasons: one line is a mutant, the indented line
// below it says why.
func equivalents(root string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(root, listOf))
	if err != nil {
		return nil, fmt.Errorf("read the equivalents: %w", err)
	}
	return reasons(string(text))
}

func reasons(text string) (map[string]string, error) {
	known := map[string]string{}
	var last string
	for i, line := range strings.Split(text, "\n") {
		switch why := strings.TrimSpace(line); {
		case why == "" || strings.HasPrefix(line, "#"):
		case why == line:
			if last != "" && known[last] == "" {
				return nil, fmt.Errorf("%s:%d: the mutant above has no reason", listOf, i+1)
			}
			last = line
			known[last] = ""
		case last == "":
			return nil, fmt.Errorf("%s:%d: a reason without a mutant", listOf, i+1)
		default:
			known[last] = why
		}
	}
	if last != "" && known[last] == "" {
		return nil, fmt.Errorf("%s: the last mutant has no reason", listOf)
	}
	return known, nil
}
