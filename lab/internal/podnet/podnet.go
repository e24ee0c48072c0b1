// Package podnet is the lab's CNI plugin. It gives a pod several interfaces, each by another plugin that it calls, and
// notes down what the pod got, as Multus would in an annotation.
package podnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	cni "github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"
)

// Type is the plugin's name in a CNI configuration, and the name of its program.
const Type = "kdoctor-lab-podnet"

// Config is the plugin's part of a CNI configuration.
type Config struct {
	cni.PluginConf
	// StatusDir is where the pods' networks are noted down, a file per sandbox.
	StatusDir string    `json:"statusDir"`
	Networks  []Network `json:"networks"`
}

// Network is one interface of every pod.
type Network struct {
	Name      string         `json:"name"`
	Interface string         `json:"interface"`
	Default   bool           `json:"default"`
	Plugin    map[string]any `json:"plugin"`
}

// Note is what is noted down about one sandbox.
type Note struct {
	Namespace string   `json:"namespace"`
	Pod       string   `json:"pod"`
	UID       string   `json:"uid"`
	Networks  []Status `json:"networks"`
}

// Status is one interface as a pod got it.
type Status struct {
	Name      string   `json:"name"`
	Interface string   `json:"interface"`
	IPs       []string `json:"ips"`
	MAC       string   `json:"mac"`
	Default   bool     `json:"default"`
}

// podArgs is what the container runtime says about the pod.
type podArgs struct {
	cni.CommonArgs
	//nolint:revive // CNI looks the fields up by these names.
	K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID cni.UnmarshallableString
}

// Functions are the plugin's entry points.
func Functions() skel.CNIFuncs { return skel.CNIFuncs{Add: add, Del: del, Check: check} }

func add(args *skel.CmdArgs) error {
	cfg, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	if err := withoutDuplicateDetection(args.Netns); err != nil {
		return err
	}
	var primary *current.Result
	var statuses []Status
	for _, n := range cfg.Networks {
		result, err := cfg.add(args, n)
		if err != nil {
			return fmt.Errorf("make %s: %w", n.Interface, err)
		}
		statuses = append(statuses, statusOf(n, result))
		if n.Default {
			primary = result
		}
	}
	if primary == nil {
		return errors.New("no network is the default one")
	}
	if err := cfg.note(args, statuses); err != nil {
		return err
	}
	return cni.PrintResult(primary, cfg.CNIVersion)
}

// del removes in the opposite order and goes on after a failure, so that nothing is kept because of another thing.
func del(args *skel.CmdArgs) error {
	cfg, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	var errs []error
	for i := len(cfg.Networks) - 1; i >= 0; i-- {
		n := cfg.Networks[i]
		conf, err := cfg.delegate(n)
		if err == nil {
			err = invoke.ExecPluginWithoutResult(context.Background(), cfg.program(n), conf, arguments("DEL", args, n),
				nil)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", n.Interface, err))
		}
	}
	if err := os.Remove(cfg.notePath(args)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func check(*skel.CmdArgs) error { return nil }

func parse(data []byte) (Config, error) {
	var cfg Config
	if err := json.Unmarshal(data, &cfg); err != nil {
		return Config{}, fmt.Errorf("read the CNI configuration: %w", err)
	}
	return cfg, nil
}

func (c Config) add(args *skel.CmdArgs, n Network) (*current.Result, error) {
	conf, err := c.delegate(n)
	if err != nil {
		return nil, err
	}
	result, err := invoke.ExecPluginWithResult(context.Background(), c.program(n), conf, arguments("ADD", args, n), nil)
	if err != nil {
		return nil, err
	}
	return current.NewResultFromResult(result)
}

// delegate is the configuration of the plugin that makes n.
func (c Config) delegate(n Network) ([]byte, error) {
	conf := map[string]any{"cniVersion": c.CNIVersion, "name": n.Interface}
	for k, v := range n.Plugin {
		conf[k] = v
	}
	data, err := json.Marshal(conf)
	if err != nil {
		return nil, fmt.Errorf("write the configuration of %s: %w", n.Interface, err)
	}
	return data, nil
}

// program is beside this one.
func (c Config) program(n Network) string {
	name, _ := n.Plugin["type"].(string)
	return filepath.Join(filepath.Dir(os.Args[0]), name)
}

func arguments(command string, args *skel.CmdArgs, n Network) *invoke.Args {
	return &invoke.Args{
		Command: command, ContainerID: args.ContainerID, NetNS: args.Netns, PluginArgsStr: args.Args,
		IfName: n.Interface, Path: args.Path,
	}
}

func statusOf(n Network, r *current.Result) Status {
	s := Status{Name: n.Name, Interface: n.Interface, Default: n.Default}
	for _, i := range r.Interfaces {
		if i.Name == n.Interface && i.Sandbox != "" {
			s.MAC = i.Mac
		}
	}
	for _, ip := range r.IPs {
		s.IPs = append(s.IPs, ip.Address.IP.String())
	}
	return s
}

func (c Config) notePath(args *skel.CmdArgs) string {
	return filepath.Join(c.StatusDir, filepath.Base(args.ContainerID)+".json")
}

// note writes a sandbox's note in one step, for whoever looks at the folder at that time.
func (c Config) note(args *skel.CmdArgs, statuses []Status) error {
	var pod podArgs
	if err := cni.LoadArgs(args.Args, &pod); err != nil {
		return fmt.Errorf("read the runtime's arguments: %w", err)
	}
	data, err := json.Marshal(Note{
		Namespace: string(pod.K8S_POD_NAMESPACE), Pod: string(pod.K8S_POD_NAME), UID: string(pod.K8S_POD_UID),
		Networks: statuses,
	})
	if err != nil {
		return fmt.Errorf("note down the pod's networks: %w", err)
	}
	path := c.notePath(args)
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("note down the pod's networks: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("note down the pod's networks: %w", err)
	}
	return nil
}

// withoutDuplicateDetection spares every pod the second or two that IPv6 waits for another owner of a new address;
// addresses are given out once here.
func withoutDuplicateDetection(namespace string) error {
	result := make(chan error)
	go func() {
		// The thread stays locked, so that it ends with the goroutine instead of going on in the pod's namespace.
		runtime.LockOSThread()
		result <- func() error {
			ns, err := os.Open(namespace)
			if err != nil {
				return fmt.Errorf("open the pod's network namespace: %w", err)
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter the pod's network namespace: %w", err)
			}
			for _, name := range []string{"all/accept_dad", "default/accept_dad", "default/dad_transmits"} {
				err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name, []byte("0"), 0o644)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("set up the pod's network namespace: %w", err)
				}
			}
			return nil
		}()
	}()
	return <-result
}
