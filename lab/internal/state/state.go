// Package state knows where a lab keeps everything, and what it has written down about itself.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"kdoctor.io/kdoctor/lab/internal/pki"
	"kdoctor.io/kdoctor/lab/internal/plan"
)

// root holds one folder per lab.
const root = "/var/lib/kdoctor-lab"

// Folder is a lab's state folder.
type Folder string

// Of is the state folder of the lab of that name.
func Of(name string) Folder { return Folder(filepath.Join(root, name)) }

func (f Folder) in(parts ...string) string {
	return filepath.Join(append([]string{string(f)}, parts...)...)
}

// PKI is where the certificates are.
func (f Folder) PKI() pki.Folder { return pki.Folder(f.in("pki")) }

// Records is where the daemons are written down.
func (f Folder) Records() string { return f.in("daemons") }

// Logs is where the daemons write to.
func (f Folder) Logs() string { return f.in("log") }

// Etcd is etcd's data folder.
func (f Folder) Etcd() string { return f.in("etcd") }

// Plugins is where containerd looks for CNI plugins.
func (f Folder) Plugins() string { return f.in("cni") }

// Node is a node's folder, or another host's.
func (f Folder) Node(name string) string { return f.in(name) }

// Containerd is the socket of a node's containerd.
func (f Folder) Containerd(node string) string { return f.in(node, "containerd.sock") }

// NetStatus is where the CNI plugin notes down the networks of a node's pods.
func (f Folder) NetStatus(node string) string { return f.in(node, "netstatus") }

// Faults is where the faults in the lab are written down.
func (f Folder) Faults() string { return f.in("faults.json") }

// Kubeconfig is the administrator's kubeconfig for use on the machine.
func (f Folder) Kubeconfig() string { return f.in("kubeconfig") }

// UserKubeconfig is a kubeconfig for use in the lab's namespaces.
func (f Folder) UserKubeconfig(user string) string { return f.in("kubeconfigs", user) }

// Cgroup is the name of a node's cgroup in every hierarchy.
func Cgroup(lab, node string) string { return "kdoctor-lab-" + lab + "-" + node }

// Record is what a lab has written down about itself.
type Record struct {
	Settings plan.Settings `json:"settings"`
	// Complete is false from the beginning of "up" until everything was seen to work.
	Complete bool `json:"complete"`
	// Server is the API server's address for the machine's programs.
	Server string `json:"server,omitempty"`
}

// Prepare makes the folder with all folders in it that do not belong to a node.
func (f Folder) Prepare() error {
	for _, dir := range []string{f.Records(), f.Logs(), f.Plugins(), f.in("kubeconfigs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the state folder: %w", err)
		}
	}
	return nil
}

// Write replaces the record.
func (f Folder) Write(r Record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the lab's record: %w", err)
	}
	path := f.in("lab.json")
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("write the lab's record: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the lab's record: %w", err)
	}
	return nil
}

// Read returns the record, or fs.ErrNotExist when there is none.
func (f Folder) Read() (Record, error) {
	data, err := os.ReadFile(f.in("lab.json"))
	if err != nil {
		return Record{}, fmt.Errorf("read the lab's record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("read the lab's record: %w", err)
	}
	return r, nil
}

// Remove removes the folder, and the folder of all labs with the last one.
func (f Folder) Remove() error {
	if err := os.RemoveAll(string(f)); err != nil {
		return fmt.Errorf("remove the state folder: %w", err)
	}
	// Other labs keep their common folder; that it is not empty is no failure.
	_ = os.Remove(root)
	return nil
}

// Exists says whether there is anything in the place of the lab's state.
func (f Folder) Exists() bool {
	_, err := os.Lstat(string(f))
	return !errors.Is(err, fs.ErrNotExist)
}

// Names returns the names of all labs that have a state folder.
func Names() ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the labs: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Lock makes sure that only one command changes a lab at a time. The kernel gives it back when the process ends,
// however it ends, and it leaves no file.
func Lock(ctx context.Context, name string) (release func() error, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", "@kdoctor-lab-"+name)
	if err != nil {
		return nil, fmt.Errorf("another command is changing the lab %q; wait for it to end: %w", name, err)
	}
	return l.Close, nil
}
