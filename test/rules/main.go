// Command rules reads a CRD and writes it with the rules of internal/crdrules in its schema. With the argument "kinds"
// it writes the CEL by which the chart's policy on loads knows the kinds that a task asks for.
package main

import (
	"fmt"
	"os"

	"kdoctor.io/kdoctor/internal/crdrules"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "kinds" {
		fmt.Print(crdrules.KindsAsked())
		return
	}
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rules:", err)
		os.Exit(1)
	}
}
