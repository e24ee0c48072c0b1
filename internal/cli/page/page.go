// Package page turns a KdoctorReport into one HTML page that needs nothing else: no script, no font and no network. It
// says what the sheet says, for a colleague or a ticket. It is pure: the same report gives the same page.
//
// Names and sentences in a report come from outside. html/template escapes all of them, long ones are cut, characters
// that nobody sees are replaced, and the page's policy forbids a browser everything but the page's own style.
package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/cli/sheet"
)

//go:embed page.html
var markup string

//go:embed page.css
var style string

// Options say how a report is shown.
type Options struct {
	// Round is the round that was asked for by its number; 0 is the last one. Commands that the page names ask for it
	// again.
	Round int64
}

// Write writes the page. The error is the writer's.
func Write(w io.Writer, r systemv1beta1.KdoctorReport, o Options) error {
	hash := sha256.Sum256([]byte(style))
	functions := template.FuncMap{
		"name":   func(s string) string { return clip(s, mostOfName) },
		"text":   func(s string) string { return clip(s, mostOfText) },
		"symbol": symbol,
		"style":  func() template.CSS { return template.CSS(style) }, // #nosec G203 -- it is this package's own file
		"policy": func() string {
			return fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'",
				base64.StdEncoding.EncodeToString(hash[:]))
		},
	}
	parsed, err := template.New("page").Funcs(functions).Parse(markup)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	var text strings.Builder
	if err := parsed.Execute(&text, contentOf(sheet.Read(r, sheet.Options{Round: o.Round}))); err != nil {
		return fmt.Errorf("fill the page's template: %w", err)
	}
	_, err = io.WriteString(w, text.String())
	return err
}
