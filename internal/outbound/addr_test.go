package outbound_test

import (
	"net/netip"
	"testing"

	"github.com/waybill-dev/waybill/internal/outbound"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		addr string
		want outbound.Class
		why  string
	}{
		{"8.8.8.8", outbound.Public, "an ordinary address"},
		{"2606:4700::1111", outbound.Public, "an ordinary IPv6 address"},
		{"127.0.0.1", outbound.Loopback, ""},
		{"127.255.0.9", outbound.Loopback, "the whole /8 is this machine"},
		{"::1", outbound.Loopback, ""},
		{"0.0.0.0", outbound.Unspecified, "the kernel connects it to this machine"},
		{"0.1.2.3", outbound.Unspecified, "this network"},
		{"::", outbound.Unspecified, ""},
		{"169.254.169.254", outbound.Metadata, "AWS, Azure, Google"},
		{"169.254.170.2", outbound.Metadata, "ECS"},
		{"100.100.100.200", outbound.Metadata, "Alibaba, inside carrier-grade NAT"},
		{"168.63.129.16", outbound.Metadata, "Azure, a public range"},
		{"192.0.0.192", outbound.Metadata, "Oracle"},
		{"fd00:ec2::254", outbound.Metadata, "AWS over IPv6, inside a private range"},
		{"fd20:ce::254", outbound.Metadata, "Google over IPv6"},
		{"169.254.0.7", outbound.LinkLocal, ""},
		{"fe80::1%eth0", outbound.LinkLocal, "a zone changes nothing"},
		{"224.0.0.1", outbound.Multicast, ""},
		{"ff02::1", outbound.Multicast, ""},
		{"255.255.255.255", outbound.Reserved, "broadcast"},
		{"240.0.0.1", outbound.Reserved, ""},
		{"192.0.2.1", outbound.Reserved, "documentation"},
		{"2001:db8::1", outbound.Reserved, "documentation"},
		{"64:ff9b:1::a00:1", outbound.Reserved, "local NAT64: where the inner address sits is unknown"},
		{"10.1.2.3", outbound.Private, ""},
		{"172.31.0.1", outbound.Private, ""},
		{"172.32.0.1", outbound.Public, "just outside 172.16/12"},
		{"192.168.1.1", outbound.Private, ""},
		{"100.64.0.1", outbound.Private, "carrier-grade NAT"},
		{"100.128.0.1", outbound.Public, "just outside it"},
		{"198.19.0.1", outbound.Private, "benchmarking"},
		{"fc00::1", outbound.Private, ""},
		{"fec0::1", outbound.Private, "site-local"},
		{"::ffff:127.0.0.1", outbound.Loopback, "mapped"},
		{"::127.0.0.1", outbound.Loopback, "compatible"},
		{"::ffff:0:127.0.0.1", outbound.Loopback, "translated"},
		{"64:ff9b::169.254.169.254", outbound.Metadata, "NAT64"},
		{"2002:a9fe:a9fe::1", outbound.Metadata, "6to4"},
		{"2001:0:4136:e378:8000:63bf:5601:5601", outbound.Metadata, "Teredo, inner address inverted"},
		{"2606:4700::5efe:10.0.0.1", outbound.Private, "ISATAP on a public prefix"},
		{"fc00::5efe:8.8.8.8", outbound.Private, "ISATAP never makes a prefix better"},
		{"64:ff9b::8.8.8.8", outbound.Public, "NAT64 to a public address"},
	} {
		if got := outbound.Classify(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s (%s): got %q, want %q", c.addr, c.why, got, c.want)
		}
	}
	if got := outbound.Classify(netip.Addr{}); got != outbound.Reserved {
		t.Errorf("the zero address: got %q", got)
	}
}

// FuzzSSRFAddr: an IPv4 address that is not public stays so in every spelling.
func FuzzSSRFAddr(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "169.254.169.254", "0.0.0.0", "10.0.0.1", "8.8.8.8", "224.0.0.1"} {
		b := netip.MustParseAddr(s).As4()
		f.Add(b[:], uint64(0))
	}
	f.Fuzz(func(t *testing.T, raw []byte, filler uint64) {
		if len(raw) < 4 {
			return
		}
		v4 := [4]byte(raw[:4])
		plain := outbound.Classify(netip.AddrFrom4(v4))
		spell := func(prefix ...byte) netip.Addr {
			var b [16]byte
			copy(b[:], prefix)
			copy(b[12:], v4[:])
			return netip.AddrFrom16(b)
		}
		sixToFour := [16]byte{0x20, 0x02, v4[0], v4[1], v4[2], v4[3]}
		teredo := [16]byte{0x20, 0x01, 0, 0, byte(filler), 1, 2, 3, 4, 5, 6, 7, ^v4[0], ^v4[1], ^v4[2], ^v4[3]}
		forms := map[string]netip.Addr{
			"mapped":     spell(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff),
			"translated": spell(0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff),
			"nat64":      spell(0, 0x64, 0xff, 0x9b),
			"6to4":       netip.AddrFrom16(sixToFour),
			"teredo":     netip.AddrFrom16(teredo),
			"isatap":     spell(0x26, 6, 0x47, 0, byte(filler), byte(filler>>8), 0, 0, 0, 0, 0x5e, 0xfe),
		}
		for name, a := range forms {
			got := outbound.Classify(a)
			if plain != outbound.Public && got == outbound.Public {
				t.Errorf("%s is %q, but %s (%s) is public", netip.AddrFrom4(v4), plain, a, name)
			}
			if zoned := outbound.Classify(a.WithZone("eth0")); zoned != got {
				t.Errorf("%s: a zone turns %q into %q", a, got, zoned)
			}
		}
	})
}
