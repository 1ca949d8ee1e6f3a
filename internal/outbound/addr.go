package outbound

import "net/netip"

// Class says what kind of place an address is.
type Class string

// The classes of addresses. Only Public, Private and Loopback can be allowed.
const (
	Public      Class = "public"
	Private     Class = "private"
	Loopback    Class = "loopback"
	LinkLocal   Class = "link-local"
	Metadata    Class = "a cloud metadata service"
	Multicast   Class = "multicast"
	Unspecified Class = "unspecified"
	Reserved    Class = "reserved"
)

// Classify returns the class of a.
//
// An IPv6 address that carries an IPv4 address (mapped, compatible, NAT64,
// 6to4, Teredo) has the class of the address inside, because that is
// where a translator or the kernel would deliver it. An invalid address is
// Reserved. Sources: the IANA special-purpose address registries and the
// metadata addresses published by cloud providers.
func Classify(a netip.Addr) Class {
	if !a.IsValid() {
		return Reserved
	}
	a = a.WithZone("").Unmap()
	if a.Is4() {
		return classify4(a)
	}
	return classify6(a)
}

func classify4(a netip.Addr) Class {
	b := a.As4()
	switch {
	case b == [4]byte{169, 254, 169, 254}, b == [4]byte{169, 254, 170, 2}, // AWS, Azure, Google, OpenStack; ECS tasks
		b == [4]byte{100, 100, 100, 200}, // Alibaba
		b == [4]byte{192, 0, 0, 192},     // Oracle
		b == [4]byte{168, 63, 129, 16}:   // Azure host agent
		return Metadata
	case b[0] == 0:
		return Unspecified
	case b[0] == 127:
		return Loopback
	case b[0] == 169 && b[1] == 254:
		return LinkLocal
	case b[0] >= 224 && b[0] <= 239:
		return Multicast
	case b[0] >= 240: // future use and broadcast
		return Reserved
	case b[0] == 192 && b[1] == 0 && (b[2] == 0 || b[2] == 2), // protocol assignments, documentation
		b[0] == 198 && b[1] == 51 && b[2] == 100,
		b[0] == 203 && b[1] == 0 && b[2] == 113:
		return Reserved
	case a.IsPrivate(),
		b[0] == 100 && b[1]&0xc0 == 64,            // carrier-grade NAT, RFC 6598
		b[0] == 198 && (b[1] == 18 || b[1] == 19): // benchmarking, RFC 2544
		return Private
	}
	return Public
}

func classify6(a netip.Addr) Class {
	b := a.As16()
	switch {
	case a.IsUnspecified():
		return Unspecified
	case a.IsLoopback():
		return Loopback
	case a == netip.MustParseAddr("fd00:ec2::254"), // AWS
		a == netip.MustParseAddr("fd20:ce::254"), // Google
		a == netip.MustParseAddr("fd00:42::42"):  // Scaleway
		return Metadata
	case a.IsMulticast():
		return Multicast
	case a.IsLinkLocalUnicast():
		return LinkLocal
	}
	if inner, ok := embedded4(b); ok {
		return classify4(inner)
	}
	// ISATAP (RFC 5214) hides an IPv4 address in the interface part of any
	// prefix: the inner address can make it worse, never better.
	if (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		if inner := classify4(netip.AddrFrom4([4]byte(b[12:]))); inner != Public {
			return inner
		}
	}
	switch {
	case a.IsPrivate(), // unique local, fc00::/7
		b[0] == 0xfe && b[1]&0xc0 == 0xc0: // site-local, deprecated
		return Private
	case b[0]&0xe0 == 0x20: // global unicast, 2000::/3
		if b[0] == 0x20 && b[1] == 0x01 && (b[2] == 0x0d && b[3] == 0xb8 || b[2] == 0) {
			return Reserved // documentation and 2001::/24 protocol assignments
		}
		return Public
	}
	return Reserved // also 64:ff9b:1::/48 (RFC 8215), whose inner address cannot be located
}

// embedded4 returns the IPv4 address that a transition format hides in b.
func embedded4(b [16]byte) (netip.Addr, bool) {
	tail := func(i int) [4]byte { return [4]byte(b[i : i+4]) }
	isZero := func(from, to int) bool {
		for _, x := range b[from:to] {
			if x != 0 {
				return false
			}
		}
		return true
	}
	switch {
	case isZero(0, 12), // ::a.b.c.d, IPv4-compatible
		isZero(0, 8) && b[8] == 0xff && b[9] == 0xff && b[10] == 0 && b[11] == 0,   // ::ffff:0:a.b.c.d, RFC 2765
		b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b && isZero(4, 12): // NAT64, RFC 6052
		return netip.AddrFrom4(tail(12)), true
	case b[0] == 0x20 && b[1] == 0x02: // 6to4, RFC 3056
		return netip.AddrFrom4(tail(2)), true
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0: // Teredo, RFC 4380: client address inverted
		t := tail(12)
		for i := range t {
			t[i] ^= 0xff
		}
		return netip.AddrFrom4(t), true
	}
	return netip.Addr{}, false
}
