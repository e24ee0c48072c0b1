package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// lists is the folder of the lists of equivalent mutants, one file for each package, from the root of the module.
const lists = "test/mutation/equivalents"

// key identifies the mutant as the list of equivalents writes it.
func (m Mutant) key() string {
	return fmt.Sprintf("%s %s: %s -> %s", m.File, m.where(), m.Was, m.Becomes)
}

// equivalents reads the mutants of the package that no test can notice; a package without a list has none.
func (s *session) equivalents() (map[string]string, error) {
	name := filepath.Join(s.root, lists, s.name+".txt")
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the equivalents: %w", err)
	}
	known, err := reasons(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return known, nil
}

// stale prints the entries that are no mutant of the package any more.
func (s *session) stale(out io.Writer, known map[string]string) {
	var left []string
	for key := range known {
		if !slices.ContainsFunc(s.all, func(m Mutant) bool { return m.key() == key }) {
			left = append(left, key)
		}
	}
	slices.Sort(left)
	for _, key := range left {
		fmt.Fprintf(out, "stale      %s\n", key)
	}
}

// reasons reads a list: one line is a mutant, the indented line below it says why no test can notice it.
func reasons(text string) (map[string]string, error) {
	known := map[string]string{}
	var last string
	for i, line := range strings.Split(text, "\n") {
		switch why := strings.TrimSpace(line); {
		case why == "" || strings.HasPrefix(line, "#"):
		case why == line:
			if last != "" && known[last] == "" {
				return nil, fmt.Errorf("line %d: the mutant above has no reason", i+1)
			}
			last = line
			known[last] = ""
		case last == "":
			return nil, fmt.Errorf("line %d: a reason without a mutant", i+1)
		default:
			known[last] = why
		}
	}
	if last != "" && known[last] == "" {
		return nil, fmt.Errorf("the last mutant, %s, has no reason", last)
	}
	return known, nil
}
