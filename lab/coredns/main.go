// Command coredns is the CoreDNS server with only the plugins that the lab's cluster needs.
//
// It is a module of its own because CoreDNS follows a newer client-go than the Kubernetes release that the lab runs,
// and the lab's module has to pin that release.
package main

import (
	"github.com/coredns/coredns/coremain"

	// CoreDNS plugins register themselves when they are imported; the order in which they run is CoreDNS's own.
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	coremain.Run()
}
