package multus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// annotation is the key that the Network Plumbing Working Group's de-facto standard gives a pod's network status.
const annotation = "k8s.v1.cni.cncf.io/network-status"

var errGone = errors.New("the file is gone")

// sandbox is what the lab's CNI plugin notes down about one pod sandbox.
type sandbox struct {
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	UID       string    `json:"uid"`
	Networks  []network `json:"networks"`
}

type network struct {
	Name      string   `json:"name"`
	Interface string   `json:"interface"`
	IPs       []string `json:"ips"`
	MAC       string   `json:"mac"`
	Default   bool     `json:"default"`
}

// networkStatus has the fields of the standard, in the order in which Multus writes them.
type networkStatus struct {
	Name      string   `json:"name"`
	Interface string   `json:"interface,omitempty"`
	IPs       []string `json:"ips,omitempty"`
	MAC       string   `json:"mac,omitempty"`
	Default   bool     `json:"default,omitempty"`
	DNS       struct{} `json:"dns"`
}

// statusText is the annotation's value. Multus indents each network by itself and joins them without a break, and so
// does this.
func statusText(networks []network) (string, error) {
	texts := make([]string, 0, len(networks))
	for _, n := range networks {
		text, err := json.MarshalIndent(networkStatus{Name: n.Name, Interface: n.Interface, IPs: n.IPs, MAC: n.MAC,
			Default: n.Default}, "", "    ")
		if err != nil {
			return "", fmt.Errorf("write network status: %w", err)
		}
		texts = append(texts, string(text))
	}
	return "[" + strings.Join(texts, ",") + "]", nil
}

// patchOf is the merge patch for a sandbox's pod. It names the UID, so that the API server refuses it for another pod
// of that name.
func patchOf(s sandbox) ([]byte, error) {
	text, err := statusText(s.Networks)
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(
		map[string]any{"metadata": map[string]any{"uid": s.UID, "annotations": map[string]string{annotation: text}}})
	if err != nil {
		return nil, fmt.Errorf("write patch: %w", err)
	}
	return patch, nil
}

// file is one version of a note.
type file struct {
	Path     string
	Modified time.Time
	Size     int64
}

// list returns the notes of all folders, oldest first, so that a pod's newest sandbox is written last.
func list(dirs []string) ([]file, error) {
	var files []file
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for network notes: %w", err)
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) != ".json" {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("look for network notes: %w", err)
			}
			files = append(files, file{Path: filepath.Join(dir, e.Name()), Modified: info.ModTime(), Size: info.Size()})
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		if c := a.Modified.Compare(b.Modified); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return files, nil
}

// read returns a note, or errGone when the sandbox has ended meanwhile.
func read(path string) (sandbox, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sandbox{}, errGone
	}
	if err != nil {
		return sandbox{}, fmt.Errorf("read a network note: %w", err)
	}
	var s sandbox
	if err := json.Unmarshal(data, &s); err != nil {
		return sandbox{}, fmt.Errorf("read the network note %s: %w", path, err)
	}
	if s.Namespace == "" || s.Pod == "" || s.UID == "" {
		return sandbox{}, fmt.Errorf("the network note %s does not name a pod", path)
	}
	return s, nil
}
