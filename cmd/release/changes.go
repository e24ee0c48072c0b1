package main

import (
	"slices"
	"strings"
)

// change is one line of the changes that Artifact Hub shows.
type change struct {
	Kind        string `json:"kind"`
	Description string `json:"description"`
}

// changesOf reads the changes of the version from CHANGELOG.md, or those that are unreleased where the version has no
// section yet.
func changesOf(log, version string) []change {
	section := sectionOf(log, version)
	if section == nil {
		section = sectionOf(log, "Unreleased")
	}
	kind, found := "changed", []change{}
	open := false
	for _, line := range section {
		text, bullet := strings.CutPrefix(line, "* ")
		switch {
		case strings.HasPrefix(line, "### "):
			kind, open = kindOf(strings.TrimPrefix(line, "### ")), false
		case bullet:
			found, open = append(found, change{kind, text}), true
		case open && strings.HasPrefix(line, "  "):
			found[len(found)-1].Description += " " + strings.TrimSpace(line)
		default:
			open = false
		}
	}
	return found
}

// kindOf is the heading in Artifact Hub's words, of which there are six.
func kindOf(heading string) string {
	kind := strings.ToLower(strings.TrimSpace(heading))
	if slices.Contains([]string{"added", "changed", "deprecated", "removed", "fixed", "security"}, kind) {
		return kind
	}
	return "changed"
}

// sectionOf returns the lines below the heading, which may go on behind the version, as in "## 1.2.3 (2026-01-02)".
func sectionOf(log, version string) []string {
	var lines []string
	inside := false
	for _, line := range strings.Split(log, "\n") {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			if inside {
				return lines
			}
			name, _, _ := strings.Cut(strings.Trim(heading, "[] "), " ")
			inside = strings.Trim(name, "[]") == version
			continue
		}
		if inside {
			lines = append(lines, line)
		}
	}
	return lines
}
