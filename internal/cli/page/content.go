package page

import (
	"fmt"
	"strings"
	"unicode"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/cli/sheet"
)

// How much of a list is shown. The whole report is an object away.
const (
	mostFindings = 20
	mostEvidence = 20
	mostPaths    = 40
	mostBlamed   = 60
	mostMatrices = 16
	mostWorst    = 20
	mostRows     = 50
	mostTexts    = 30
)

// How long texts are, in characters. A name of Kubernetes has at most 253.
const (
	mostOfName = 253
	mostOfText = 2000
)

// mostAcross is how many characters the headings of a matrix have side by side.
const mostAcross = 70

// list is the beginning of a list, and how many entries follow that are not shown.
type list[T any] struct {
	Shown []T
	More  int
}

// listOf bounds a list. leftOut is how many entries it lacks already.
func listOf[T any](all []T, most, leftOut int) list[T] {
	shown := all[:min(len(all), most)]
	return list[T]{shown, len(all) - len(shown) + max(0, leftOut)}
}

// content is what the template shows, in the page's order.
type content struct {
	sheet.View
	// Facts, Findings and the others below stand for those of the view, which have no bounds.
	Facts          []fact
	Findings       list[card]
	Paths          list[sheet.Path]
	NotPassed      list[blamed]
	Matrices       list[matrix]
	SmallestLoss   list[sheet.Loss]
	Nodes, Zones   list[sheet.TableRow]
	Worst          list[sheet.TableRow]
	WorstTitle     string
	Silent         list[systemv1beta1.NotReported]
	Changed        list[systemv1beta1.NotReported]
	Reasons        list[string]
	Changes, Notes list[string]
}

// fact is what stands behind one label.
type fact struct {
	Label string
	Texts list[string]
}

// card is a finding. Look is what its message says to look at, where it says so at its end.
type card struct {
	sheet.Finding
	Number            int
	Says, Look        string
	Causes            list[systemv1beta1.ComponentCause]
	Evidence, Against list[string]
}

// blamed are paths that did not pass.
type blamed struct {
	Title, Family string
	sheet.Row
}

// matrix is one kind of path and family. Tall is true where names of columns are too long to stand side by side.
type matrix struct {
	Title, Family string
	sheet.Matrix
	Tall bool
}

func contentOf(v sheet.View) content {
	c := content{View: v, Paths: listOf(v.Paths, mostPaths, 0),
		SmallestLoss: listOf(v.SmallestLoss, mostTexts, 0),
		Nodes:        listOf(v.Nodes.Rows, mostRows, v.Nodes.LeftOut),
		Zones:        listOf(v.Zones.Rows, mostRows, v.Zones.LeftOut),
		Worst:        listOf(v.Worst.Rows, mostWorst, v.Worst.LeftOut), WorstTitle: v.Worst.Title,
		Silent:  listOf(v.Silent.Agents, mostRows, v.Silent.InAll-len(v.Silent.Agents)),
		Changed: listOf(v.Changed.Agents, mostRows, v.Changed.InAll-len(v.Changed.Agents)),
		Reasons: listOf(v.Reasons, mostTexts, 0), Changes: listOf(v.Changes, mostTexts, 0),
		Notes: listOf(v.Notes, mostTexts, 0)}
	c.facts(v.Facts)
	c.findings(v)
	c.single(v.Paths)
	return c
}

// facts puts facts with the same label together.
func (c *content) facts(all []sheet.Fact) {
	var labels []string
	texts := map[string][]string{}
	for _, f := range all {
		if texts[f.Label] == nil {
			labels = append(labels, f.Label)
		}
		texts[f.Label] = append(texts[f.Label], f.Text)
	}
	for _, label := range labels {
		c.Facts = append(c.Facts, fact{label, listOf(texts[label], mostTexts, 0)})
	}
}

func (c *content) findings(v sheet.View) {
	var all []card
	for i, f := range v.Findings {
		says, look, _ := strings.Cut(f.Message, "; look at ")
		all = append(all, card{Finding: f, Number: i + 1, Says: says, Look: look,
			Causes:   listOf(f.Finding.Causes, mostEvidence, 0),
			Evidence: listOf(f.Finding.Evidence, mostEvidence, int(f.MoreEvidence)),
			Against:  listOf(f.Finding.Against, mostEvidence, 0)})
	}
	c.Findings = listOf(all, mostFindings, v.FindingsLeftOut)
}

// single puts together what single paths are there for.
func (c *content) single(paths []sheet.Path) {
	var rows []blamed
	var matrices []matrix
	for _, p := range paths {
		for _, row := range p.NotPassed {
			rows = append(rows, blamed{p.Title, p.Family, row})
		}
		if len(p.Matrix.Rows) > 0 {
			m := matrix{Title: p.Title, Family: p.Family, Matrix: p.Matrix}
			m.Tall = len(m.To) > 2 && len(strings.Join(m.To, "")) > mostAcross
			matrices = append(matrices, m)
		}
	}
	c.NotPassed, c.Matrices = listOf(rows, mostBlamed, 0), listOf(matrices, mostMatrices, 0)
}

// clip bounds a text from outside, and replaces what nobody sees: control characters, and those that turn the direction
// of writing.
func clip(text string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		n++
		switch {
		case n > most:
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case !unicode.IsGraphic(r):
			b.WriteRune(unicode.ReplacementChar)
		default:
			b.WriteRune(r)
		}
	}
	if n > most {
		fmt.Fprintf(&b, "… (%d more characters)", n-most)
	}
	return b.String()
}

// symbol stands beside a result's word, for those who see neither the colour nor the word at first.
func symbol(tone sheet.Tone) string {
	switch tone {
	case sheet.Good:
		return "✓"
	case sheet.Quiet:
		return "○"
	case sheet.Caution:
		return "▲"
	default:
		return "✗"
	}
}
