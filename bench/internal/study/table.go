package study

import (
	"fmt"
	"io"
	"strings"
)

// Machine is where it was measured.
type Machine struct {
	CPU, Kernel, Go, Date string
	Cores                 int
	// Peers are names with versions.
	Peers []string
	// Foreign is the bound on foreign CPU that runs had to keep.
	Foreign float64
}

// Table writes the rows and the machine as Markdown that is also readable as text. Of thrown runs it says that they do
// not count, of those in records how much of the machine others had.
func Table(w io.Writer, rows []Row, records []Record, thrown int, m Machine) {
	head := []string{"goal", "what is compared", "bound", "median [q1..q3]", "wins", "verdict"}
	lines := [][]string{head}
	for _, r := range rows {
		lines = append(lines, []string{orDash(r.Name), r.What, r.bound(), r.String(), r.wins(), string(r.Verdict)})
	}
	widths := make([]int, len(head))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for i, line := range lines {
		write(w, line, widths)
		if i == 0 {
			rule := make([]string, len(head))
			for j := range rule {
				rule[j] = strings.Repeat("-", widths[j])
			}
			write(w, rule, widths)
		}
	}
	noted := false
	for _, r := range rows {
		if r.Note != "" {
			if !noted {
				fmt.Fprintln(w)
			}
			noted = true
			fmt.Fprintf(w, "%s, %s: %s.\n", orDash(r.Name), r.What, r.Note)
		}
	}
	fmt.Fprintf(w, "\nMeasured on %s: %s, %d cores, Linux %s, %s. Peers: %s.\n", m.Date, m.CPU, m.Cores, m.Kernel, m.Go,
		strings.Join(m.Peers, ", "))
	var foreign []float64
	for _, r := range records {
		foreign = append(foreign, r.Foreign)
	}
	fmt.Fprintf(w, "During the runs other processes took %s CPUs (median; at most %s).\n",
		Figure(Quantile(foreign, 0.5)), Figure(Quantile(foreign, 1)))
	fmt.Fprintf(w, "Runs during which other processes took more than %s CPUs do not count: %d.\n", Figure(m.Foreign),
		thrown)
}

func write(w io.Writer, cells []string, widths []int) {
	for i, cell := range cells {
		fmt.Fprintf(w, "| %-*s ", widths[i], cell)
	}
	fmt.Fprintln(w, "|")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// wins is empty where there is nothing to win against.
func (r Row) wins() string {
	if r.Name == "" && len(r.To) == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", r.Wins, r.Rounds)
}

func (r Row) bound() string {
	if r.Name == "" {
		return "-"
	}
	sign, unit := "<=", "x"
	if r.More {
		sign = ">="
	}
	if len(r.To) == 0 {
		unit = ""
		if r.Unit != "" {
			unit = " " + r.Unit
		}
	}
	return sign + " " + Figure(r.Bound) + unit
}
