// Command podnet is the lab's CNI plugin; see package podnet.
package main

import (
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"

	"kdoctor.io/kdoctor/lab/internal/podnet"
)

func main() {
	skel.PluginMainFuncs(podnet.Functions(), version.All, "gives pods of a kdoctor lab their interfaces")
}
