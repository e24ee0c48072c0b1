package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
)

// attack is a text that breaks out of every place of a page that does not escape it, is longer than any page may show,
// and turns the direction of writing. At its beginning, a URL follows a quote.
func attack() string {
	return `"'></td></style></title><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)>` +
		"`{{.}}\u202e\x00\x1b[31m\xff" + strings.Repeat("A", 10_000)
}

// hostile is a report in which every text is an attack and every list has entries.
func hostile(t *testing.T) v1beta1.KdoctorReport {
	t.Helper()
	var r v1beta1.KdoctorReport
	fill(reflect.ValueOf(&r.Spec).Elem(), attack(), 3)
	r.Spec.ReportOmitted = ""
	return r
}

// hostileSums is the same without single paths.
func hostileSums() v1beta1.KdoctorReport {
	var r v1beta1.KdoctorReport
	fill(reflect.ValueOf(&r.Spec).Elem(), attack(), 3)
	r.Spec.Report = nil
	return r
}

func TestTextsFromOutsideStayTexts(t *testing.T) {
	plain := map[string]bool{}
	for name, r := range reports(t) {
		if name != "every text is hostile" {
			for n := range parse(t, write(t, r)).Descendants() {
				plain[n.Data] = plain[n.Data] || n.Type == html.ElementNode
			}
		}
	}
	for name, r := range map[string]v1beta1.KdoctorReport{"single paths": hostile(t), "sums": hostileSums()} {
		t.Run(name, func(t *testing.T) {
			got := write(t, r)
			if !strings.Contains(got, "&lt;script&gt;") {
				t.Fatal("no hostile text is on the page, so it proves nothing")
			}
			doc := parse(t, got)
			for n := range doc.Descendants() {
				if n.Type == html.CommentNode || n.Type == html.ElementNode && !plain[n.Data] {
					t.Errorf("the page has <%s>, which no harmless report has", n.Data)
				}
				for _, a := range n.Attr {
					if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
						t.Errorf("<%s> has the attribute %s", n.Data, a.Key)
					}
				}
				if n.Type == html.TextNode && n.Parent.Data != "style" {
					checkText(t, n.Data)
				}
			}
		})
	}
}

// checkText refuses what nobody sees, and what is too long.
func checkText(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if !unicode.IsGraphic(r) && r != '\n' {
			t.Errorf("the page has the character %U in %.40q", r, text)
		}
	}
	if n := utf8.RuneCountInString(text); n > 2400 {
		t.Errorf("the page has a text of %d characters: %.40q", n, text)
	}
}

func TestLongListsAreBoundedAndSaySo(t *testing.T) {
	long := made(roundtest.Shape{Agents: 4, Dead: 2})
	s := &long.Spec
	for i := range 500 {
		name := fmt.Sprintf("node-%d-%s", i, strings.Repeat("x", 240))
		s.Findings = append(s.Findings, v1beta1.Finding{Message: name, Evidence: slices.Repeat([]string{name}, 500)})
		s.Reasons = append(s.Reasons, v1beta1.Reason{Message: name})
		s.Notes = append(s.Notes, v1beta1.Note{Message: name})
		s.Churn = append(s.Churn, name)
		s.NotReported = append(s.NotReported, v1beta1.NotReported{NodeName: name, PodName: name, Reason: name})
		a := s.Report[0]
		a.NodeName, a.PodName, a.NetReachTask = name, name, a.NetReachTask.DeepCopy()
		for j := range a.NetReachTask.Detail {
			d := &a.NetReachTask.Detail[j]
			d.TargetNodeName, d.TargetKind = fmt.Sprintf("to-%d-%s", i, d.TargetNodeName), fmt.Sprintf("Kind%d", i%30)
			d.Succeed = false
		}
		s.Report = append(s.Report, a)
	}
	got := write(t, long)
	if len(got) > 2_000_000 {
		t.Errorf("the page has %d bytes", len(got))
	}
	text := words(parse(t, got))
	for _, want := range []string{"and 481 more, not shown here", "and 480 more, not shown here",
		"and 451 more, not shown here", "and 470 more, not shown here", "Not shown: "} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestThePageFetchesNothing(t *testing.T) {
	for name, r := range reports(t) {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, write(t, r))
			for n := range doc.Descendants() {
				if slices.Contains([]string{"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"},
					n.Data) && n.Type == html.ElementNode {
					t.Errorf("the page has <%s>", n.Data)
				}
				for _, a := range n.Attr {
					if slices.Contains([]string{"src", "href", "srcset", "action", "data", "background", "poster"},
						a.Key) {
						t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
					}
				}
			}
			style := find(doc, "style")[0].FirstChild.Data
			for _, word := range []string{"url(", "@import", "@font-face", "//"} {
				if strings.Contains(style, word) {
					t.Errorf("the style has %q", word)
				}
			}
			hash := sha256.Sum256([]byte(style))
			want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
				"'; base-uri 'none'; form-action 'none'"
			if got := attribute(find(doc, "meta")[1], "content"); got != want {
				t.Errorf("the policy is %q, want %q", got, want)
			}
		})
	}
}

func TestThePageCanBeReadByMachines(t *testing.T) {
	for name, r := range reports(t) {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, write(t, r))
			if attribute(find(doc, "html")[0], "lang") != "en" || len(find(doc, "h1")) != 1 ||
				len(find(doc, "title")) != 1 || len(find(doc, "main")) != 1 {
				t.Error("the page lacks a language, a title, one main heading or a main part")
			}
			level := 1
			for _, h := range find(doc, "h1", "h2", "h3", "h4") {
				now := int(h.Data[1] - '0')
				if now > level+1 {
					t.Errorf("<%s> %s follows a heading of level %d", h.Data, words(h), level)
				}
				level = now
			}
			for _, th := range find(doc, "th") {
				if attribute(th, "scope") == "" {
					t.Errorf("the heading %q of a table has no scope", words(th))
				}
			}
			ids := map[string]bool{}
			for n := range doc.Descendants() {
				if id := attribute(n, "id"); id != "" && ids[id] {
					t.Errorf("two elements have the id %s", id)
				} else if id != "" {
					ids[id] = true
				}
			}
			for n := range doc.Descendants() {
				if by := attribute(n, "aria-labelledby"); by != "" && !ids[by] {
					t.Errorf("nothing has the id %s", by)
				}
			}
			checkRows(t, doc)
		})
	}
}

// checkRows holds every row of a table against the number of its headings, and refuses results without a word.
func checkRows(t *testing.T, doc *html.Node) {
	t.Helper()
	for _, table := range find(doc, "table") {
		columns := len(find(find(table, "thead")[0], "th"))
		for _, row := range find(table, "tr") {
			cells := find(row, "th", "td")
			if len(cells) != columns && attribute(cells[0], "colspan") != strconv.Itoa(columns) {
				t.Errorf("a row has %d cells below %d headings: %.60q", len(cells), columns, words(row))
			}
		}
	}
	for _, span := range find(doc, "span") {
		if strings.HasPrefix(attribute(span, "class"), "result") && len(strings.Fields(words(span))) < 2 {
			t.Errorf("a result has no word beside its symbol: %q", words(span))
		}
	}
}
