package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// recordings is the volume in which the controller of a campaign writes its recordings.
const recordings = "recordings"

// recording returns the chart's values with which the controller writes its recordings.
func recording() []string {
	return []string{
		"controller.extraArgs[0]=--record-dir=/" + recordings,
		"controller.extraVolumes[0].name=" + recordings,
		"controller.extraVolumes[0].emptyDir.sizeLimit=200Mi",
		"controller.extraVolumeMounts[0].name=" + recordings,
		"controller.extraVolumeMounts[0].mountPath=/" + recordings,
	}
}

// recorded moves the recording of the round out of the controller's pod. A round that another controller took up leaves
// none.
func (c *campaign) recorded(of outcome) error {
	if c.options.recordings == "" {
		return nil
	}
	volumes := filepath.Join("n*", "kubelet", "pods", "*", "volumes", "kubernetes.io~empty-dir")
	found, err := filepath.Glob(filepath.Join(filepath.Dir(c.cluster.Kubeconfig()), volumes, recordings, "*.json.gz"))
	if err != nil {
		return fmt.Errorf("find recordings: %w", err)
	}
	for _, at := range found {
		name := []string{strings.ReplaceAll(of.name(), " ", "-")}
		for _, f := range of.Injected {
			name = append(name, f.On)
		}
		to := filepath.Join(c.options.recordings, fmt.Sprintf("%s-%d.json.gz", strings.Join(name, "-"), c.round))
		content, err := os.ReadFile(at)
		if err == nil {
			err = errors.Join(os.WriteFile(to, content, 0o600), os.Remove(at))
		}
		if err != nil {
			return fmt.Errorf("keep a recording: %w", err)
		}
	}
	return nil
}
