package diagnose

import (
	"cmp"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/report"
)

// memberCause is why a component of a group fails, if it is that one.
type memberCause struct {
	component infer.Component
	cause
}

// causesOf names the cause of each kind of component that the fault may be about, first of its own component.
func (l locator) causesOf(f infer.Fault, own cause) []memberCause {
	all := []memberCause{{f.Component, own}}
	for _, c := range f.Group {
		if slices.ContainsFunc(all, func(m memberCause) bool { return m.component.Part == c.Part }) {
			continue
		}
		other := f
		other.Component = c
		all = append(all, memberCause{c, l.withoutObject(other, l.causeOf(other))})
	}
	return all
}

// differing returns the cause that all have, or, if they differ, that of each.
func differing(all []memberCause) (one string, each []report.ComponentCause) {
	for _, m := range all {
		each = append(each, report.ComponentCause{Component: Component(m.component.Part), Cause: m.word})
	}
	if slices.ContainsFunc(all, func(m memberCause) bool { return m.word != all[0].word }) {
		return "", each
	}
	return all[0].word, nil
}

// advice says what to look at, for each of several components if that differs.
func advice(causes []memberCause) string {
	var looks, each []string
	for _, c := range causes {
		look := cmp.Or(c.look, partOf(c.component.Part).look)
		if !slices.Contains(looks, look) {
			looks = append(looks, look)
			each = append(each, "if it is the "+string(c.component.Part)+", look at "+look)
		}
	}
	if len(looks) == 1 {
		return "look at " + looks[0]
	}
	return strings.Join(each, "; ")
}

// places names the places of the components, each once.
func (l locator) places(all []infer.Component) string {
	var places []string
	for _, c := range all {
		if where := l.where(c); !slices.Contains(places, where) {
			places = append(places, where)
		}
	}
	return strings.Join(places, " or ")
}

// subject names the components with their places.
func (l locator) subject(all []infer.Component) string {
	var subjects []string
	for len(all) > 0 {
		where := l.where(all[0])
		here := slices.DeleteFunc(slices.Clone(all), func(c infer.Component) bool { return l.where(c) != where })
		all = slices.DeleteFunc(slices.Clone(all), func(c infer.Component) bool { return l.where(c) == where })
		switch c := here[0]; {
		case c.Peer != "":
			subjects = append(subjects, names(here)+": "+where)
		case c.Node == "" || c.Part == infer.DNSServer:
			subjects = append(subjects, names(here)+" ("+where+")")
		default:
			subjects = append(subjects, names(here)+" of "+where)
		}
	}
	return strings.Join(subjects, " or ")
}
