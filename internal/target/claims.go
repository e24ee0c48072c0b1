package target

import (
	"net/netip"
	"slices"
)

// Claims records which objects have which address. The zero value is empty.
type Claims struct {
	at  map[string]int
	all []Claim
}

// Claim is an address and the names of the objects that have it.
type Claim struct {
	Address netip.Addr
	By      []string
}

// Add records that an object has the address. Objects that requests can tell apart have different keys, such as the
// address with a port.
func (c *Claims) Add(key string, address netip.Addr, by string) {
	i, ok := c.at[key]
	if !ok {
		if c.at == nil {
			c.at = map[string]int{}
		}
		c.at[key] = len(c.all)
		c.all = append(c.all, Claim{Address: address, By: []string{by}})
		return
	}
	if !slices.Contains(c.all[i].By, by) {
		c.all[i].By = append(c.all[i].By, by)
	}
}

// Shared returns the addresses that several objects have, in the order in which they were added.
func (c *Claims) Shared() []Claim {
	return slices.DeleteFunc(slices.Clone(c.all), func(c Claim) bool { return len(c.By) < 2 })
}
