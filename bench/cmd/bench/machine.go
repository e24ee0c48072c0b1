package main

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/bench/internal/part"
	"kdoctor.io/kdoctor/bench/internal/peer"
	"kdoctor.io/kdoctor/bench/internal/study"
)

// find finds the programs that take part.
func find(o options) (part.Programs, error) {
	dir, err := filepath.Abs(o.programs)
	if err != nil {
		return part.Programs{}, fmt.Errorf("find the programs: %w", err)
	}
	p := part.Programs{Driver: filepath.Join(dir, "driver"), Serve: filepath.Join(dir, "serve"),
		Peers: map[string]string{}, Lab: o.lab, Image: o.image}
	for _, own := range []string{p.Driver, p.Serve} {
		if _, err := exec.LookPath(own); err != nil {
			return p, fmt.Errorf("%s is not built: %w", own, err)
		}
	}
	if p.Nginx, err = exec.LookPath("nginx"); err != nil {
		return p, fmt.Errorf("nginx serves for all contestants: %w", err)
	}
	for _, known := range peer.All() {
		for _, at := range []string{filepath.Join(dir, known.Name), known.Name} {
			if path, err := exec.LookPath(at); err == nil {
				p.Peers[known.Name] = path
				break
			}
		}
	}
	return p, nil
}

// describe says where it is measured, and with which versions.
func describe(ctx context.Context, p part.Programs, foreign float64) study.Machine {
	m := study.Machine{CPU: "an unknown CPU", Go: runtime.Version(), Date: time.Now().UTC().Format(time.DateOnly),
		Cores: runtime.NumCPU(), Foreign: foreign}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindStringSubmatch(string(text)); name != nil {
			m.CPU = name[1]
		}
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	m.Peers = append(m.Peers, firstVersion(ctx, "nginx", p.Nginx, "-v"))
	for _, known := range peer.All() {
		path, ok := p.Peers[known.Name]
		if !ok {
			m.Peers = append(m.Peers, known.Name+" missing")
			continue
		}
		if info, err := buildinfo.ReadFile(path); err == nil {
			m.Peers = append(m.Peers, known.Name+" "+info.Main.Version)
			continue
		}
		flag := "-v"
		if known.Name == "ab" {
			flag = "-V"
		}
		m.Peers = append(m.Peers, firstVersion(ctx, known.Name, path, flag))
	}
	return m
}

// firstVersion is the first word with a number and a point in it in the first line that a program prints of itself.
func firstVersion(ctx context.Context, name, path, flag string) string {
	// Some end with an error after they said it.
	output, _ := exec.CommandContext(ctx, path, flag).CombinedOutput()
	lines := bufio.NewScanner(strings.NewReader(string(output)))
	lines.Scan()
	if version := regexp.MustCompile(`\d+\.[\w.+-]+`).FindString(lines.Text()); version != "" {
		return name + " " + version
	}
	return name + " of unknown version"
}

// slug is the machine's name in file names.
func slug(m study.Machine) string {
	words := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(m.CPU), "-")
	return fmt.Sprintf("%s-%dcpu", strings.Trim(words, "-"), m.Cores)
}
