package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

const (
	bridge = "br0"
	// uplink is every host's interface on the fabric.
	uplink = "eth0"
	tunnel = "vx0"

	vxlanID   = 1
	vxlanPort = 8472
)

// Build makes all networks of a lab.
func Build(s plan.Settings) error {
	nodes, others := s.ClusterNodes(), s.Others()
	if err := buildBridge(s, others[0]); err != nil {
		return err
	}
	for _, h := range others[1:] {
		if err := attach(others[0].Namespace, h, false); err != nil {
			return err
		}
		if err := routeOutsider(s, h, nodes); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if err := attach(others[0].Namespace, n.Host, true); err != nil {
			return err
		}
		if err := routeNode(s, n, nodes); err != nil {
			return err
		}
	}
	return nil
}

// buildBridge makes the fabric's own namespace. Its addresses are the hosts' default gateway, which forwards nothing:
// what is sent to an address that the lab does not have goes unanswered, as it would behind a firewall.
func buildBridge(s plan.Settings, fabric plan.Host) error {
	if err := create(fabric.Namespace); err != nil {
		return err
	}
	h, err := open(fabric.Namespace)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := quiet(fabric.Namespace, false); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridge
	if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("make the bridge: %w", err)
	}
	if err := configure(h, "lo", nil); err != nil {
		return err
	}
	if err := configure(h, bridge, fabric.Addresses); err != nil {
		return err
	}
	return onLink(h, bridge, s.Pools())
}

// attach makes a host's namespace and connects it to the bridge.
func attach(fabricNamespace string, host plan.Host, forwarding bool) error {
	if err := create(host.Namespace); err != nil {
		return err
	}
	if err := quiet(host.Namespace, forwarding); err != nil {
		return err
	}
	ns, err := netns.GetFromPath(Path(host.Namespace))
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", host.Namespace, err)
	}
	defer func() { _ = ns.Close() }()
	outer, err := open(fabricNamespace)
	if err != nil {
		return err
	}
	defer outer.Close()
	master, err := outer.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find the bridge: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = host.Name, master.Attrs().Index
	if err := outer.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: uplink,
		PeerNamespace: netlink.NsFd(ns)}); err != nil {
		return fmt.Errorf("connect %s to the fabric: %w", host.Name, err)
	}
	if err := configure(outer, host.Name, nil); err != nil {
		return err
	}
	inner, err := open(host.Namespace)
	if err != nil {
		return err
	}
	defer inner.Close()
	if err := configure(inner, "lo", nil); err != nil {
		return err
	}
	return configure(inner, uplink, host.Addresses)
}

// routeOutsider lets a host that is not a node reach pods, by plain routes over their nodes.
func routeOutsider(s plan.Settings, host plan.Host, nodes []plan.Node) error {
	h, err := open(host.Namespace)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := onLink(h, uplink, s.Pools()); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := plainRoutes(h, n); err != nil {
			return err
		}
	}
	return nil
}

// routeNode gives a node its ways to everything: the fabric, the load balancers, Services, and the other nodes' pods.
func routeNode(s plan.Settings, n plan.Node, nodes []plan.Node) error {
	h, err := open(n.Namespace)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := onLink(h, uplink, s.Pools()); err != nil {
		return err
	}
	for _, gateway := range s.Others()[0].Addresses {
		if err := route(h, uplink, everything(gateway.Addr()), gateway.Addr(), 0); err != nil {
			return err
		}
	}
	if s.Overlay == plan.OverlayVXLAN {
		return buildTunnel(h, s, n, nodes)
	}
	for _, peer := range nodes {
		if peer.Index == n.Index {
			continue
		}
		if err := plainRoutes(h, peer); err != nil {
			return err
		}
	}
	return nil
}

func plainRoutes(h *netlink.Handle, peer plan.Node) error {
	for i, pods := range peer.Pods {
		if err := route(h, uplink, pods, peer.Addresses[i].Addr(), 0); err != nil {
			return err
		}
	}
	return nil
}

// buildTunnel makes the overlay's device. Nothing is learnt or asked for: every peer's link address and place are
// written in.
func buildTunnel(h *netlink.Handle, s plan.Settings, n plan.Node, nodes []plan.Node) error {
	under, err := h.LinkByName(uplink)
	if err != nil {
		return fmt.Errorf("find %s: %w", uplink, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = tunnel, s.PodMTU(), n.TunnelMAC
	device := &netlink.Vxlan{
		LinkAttrs: attrs, VxlanId: vxlanID, Port: vxlanPort, VtepDevIndex: under.Attrs().Index,
		SrcAddr: n.Addresses[0].Addr().AsSlice(), Learning: false,
	}
	if err := h.LinkAdd(device); err != nil {
		return fmt.Errorf("make the overlay's device of %s: %w", n.Name, err)
	}
	var own []netip.Prefix
	for _, a := range n.Tunnel {
		own = append(own, netip.PrefixFrom(a, a.BitLen()))
	}
	if err := configure(h, tunnel, own); err != nil {
		return err
	}
	for _, peer := range nodes {
		if peer.Index == n.Index {
			continue
		}
		if err := addPeer(h, device.Attrs().Index, peer); err != nil {
			return fmt.Errorf("let %s reach %s through the overlay: %w", n.Name, peer.Name, err)
		}
	}
	return nil
}

func addPeer(h *netlink.Handle, device int, peer plan.Node) error {
	if err := h.NeighSet(&netlink.Neigh{
		LinkIndex: device, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
		IP: peer.Addresses[0].Addr().AsSlice(), HardwareAddr: peer.TunnelMAC,
	}); err != nil {
		return fmt.Errorf("add forwarding entry: %w", err)
	}
	for i, pods := range peer.Pods {
		gateway := peer.Tunnel[i]
		if err := h.NeighSet(&netlink.Neigh{
			LinkIndex: device, State: netlink.NUD_PERMANENT, IP: gateway.AsSlice(), HardwareAddr: peer.TunnelMAC,
		}); err != nil {
			return fmt.Errorf("add neighbour: %w", err)
		}
		if err := route(h, tunnel, pods, gateway, netlink.FLAG_ONLINK); err != nil {
			return err
		}
	}
	return nil
}

func open(namespace string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(Path(namespace))
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", namespace, err)
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, fmt.Errorf("talk to network namespace %s: %w", namespace, err)
	}
	return h, nil
}

// configure gives a link its addresses, without the wait for duplicates of them, and sets it up.
func configure(h *netlink.Handle, name string, addresses []netip.Prefix) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, a := range addresses {
		addr := &netlink.Addr{IPNet: network(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("give %s the address %s: %w", name, a, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

func onLink(h *netlink.Handle, name string, subnets []netip.Prefix) error {
	for _, subnet := range subnets {
		if err := route(h, name, subnet, netip.Addr{}, 0); err != nil {
			return err
		}
	}
	return nil
}

func route(h *netlink.Handle, name string, to netip.Prefix, gateway netip.Addr, flags netlink.NextHopFlag) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: network(to), Flags: int(flags)}
	if gateway.IsValid() {
		r.Gw = gateway.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := h.RouteAdd(r); err != nil {
		return fmt.Errorf("add route to %s: %w", to, err)
	}
	return nil
}

// quiet sets what a namespace does before it has any interface: it forwards or not, takes packets whatever way they
// come, and neither waits for duplicates of its IPv6 addresses nor listens to routers.
func quiet(namespace string, forwarding bool) error {
	values := map[string]string{
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
		"ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0", "ipv6/conf/default/dad_transmits": "0",
		"ipv6/conf/all/accept_ra": "0", "ipv6/conf/default/accept_ra": "0",
	}
	if forwarding {
		values["ipv4/ip_forward"], values["ipv6/conf/all/forwarding"] = "1", "1"
	}
	return Inside(namespace, func() error {
		var errs []error
		for name, value := range values {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
				errs = append(errs, fmt.Errorf("set %s in %s: %w", name, namespace, err))
			}
		}
		return errors.Join(errs...)
	})
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func everything(sample netip.Addr) netip.Prefix {
	if sample.Is4() {
		return netip.MustParsePrefix("0.0.0.0/0")
	}
	return netip.MustParsePrefix("::/0")
}
