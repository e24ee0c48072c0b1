package apiserver

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apiserver/pkg/warning"
)

// mostNamed is how many reports a warning names.
const mostNamed = 5

// warn tells the caller what the answer lacks, in a Warning header, which kubectl prints.
func warn(ctx context.Context, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, fmt.Sprintf(format, args...))
	warning.AddWarning(ctx, "", strings.ToValidUTF8(text, "?"))
}

// shortfall collects what a list lacks.
type shortfall struct {
	// stale reports that something could not be brought up to date.
	stale bool
	// missing are the reports that are left out, outdated those of which there may be a newer round.
	missing, outdated []string
	// first is why the first one is left out.
	first error
	// light is how many reports come without their paths.
	light int
}

func (s *shortfall) miss(name string, err error) {
	s.missing = append(s.missing, name)
	if s.first == nil {
		s.first = err
	}
}

// warn tells the caller what the list lacks.
func (s *shortfall) warn(ctx context.Context) {
	if len(s.missing) > 0 {
		warn(ctx, "%d reports are left out: %s; the first one because of: %v", len(s.missing), some(s.missing), s.first)
	}
	if len(s.outdated) > 0 {
		warn(ctx, "%d reports are as they were seen last, and a newer round may be stored: %s", len(s.outdated),
			some(s.outdated))
	}
	if s.light > 0 {
		warn(ctx, "%d reports come without their paths, because the answer would be too large; get them one by one, or "+
			"ask for pages with limit and continue", s.light)
	}
}

// some names the first few.
func some(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}
