package table

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// Machine is where and of what it was measured.
type Machine struct {
	CPU      string `json:"CPU"`
	Cores    int    `json:"Cores"`
	Go       string `json:"Go"`
	Date     string `json:"Date"`
	Revision string `json:"Revision,omitempty"`
}

// Describe returns what is known of this machine, and the commit of the program.
func Describe(revision string) Machine {
	m := Machine{CPU: "an unknown CPU", Cores: runtime.NumCPU(), Go: runtime.Version(),
		Date: time.Now().UTC().Format(time.DateOnly), Revision: revision}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindStringSubmatch(string(text)); name != nil {
			m.CPU = name[1]
		}
	}
	return m
}

// File is the name of the file for what is measured on the machine.
func (m Machine) File() string {
	words := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(m.CPU), "-")
	return fmt.Sprintf("%s-%s-%dcpu-diagnose.jsonl", m.Date, strings.Trim(words, "-"), m.Cores)
}
