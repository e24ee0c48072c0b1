package main

import (
	"flag"
	"testing"

	"kdoctor.io/kdoctor/internal/docs"
)

var update = flag.Bool("update", false, "write the flags into docs/reference.md")

func TestTheReferenceHasEveryFlag(t *testing.T) {
	flags, _ := defaults().flagSet()
	text := "```\n" + flags.FlagUsagesWrapped(docs.Columns) + "```\n"
	docs.CheckSection(t, "../../docs/reference.md", "kdoctor-controller", text, *update)
}
