package wyoming

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestAdvertisementNamesWhereTheServerIs(t *testing.T) {
	if _, err := advertisement("x", &net.UnixAddr{Name: "/x", Net: "unix"}); err == nil || !strings.Contains(err.Error(), "tcp://") {
		t.Errorf("a Unix socket: %v", err)
	}
	if _, err := advertisement("x", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}); err == nil || !strings.Contains(err.Error(), "--host") {
		t.Errorf("loopback: %v", err)
	}
	everywhere, err := advertisement("x", &net.TCPAddr{IP: net.IPv4zero, Port: 10201})
	if err != nil {
		t.Skip(err)
	}
	if everywhere.Name != "x" || everywhere.Type != "_wyoming._tcp" || everywhere.Port != 10201 || len(everywhere.Text) != 0 {
		t.Errorf("%+v", everywhere)
	}
	for _, name := range everywhere.Ifaces {
		one, err := net.InterfaceByName(name)
		if err != nil || one.Flags&net.FlagLoopback != 0 {
			t.Errorf("%s %v", name, err)
		}
	}
	if len(everywhere.Ifaces) == 1 {
		there, err := advertisement("x", &net.TCPAddr{IP: everywhere.IPs[0], Port: 1})
		if err != nil || len(there.IPs) != 1 || !there.IPs[0].Equal(everywhere.IPs[0]) {
			t.Errorf("%+v %v", there, err)
		}
	}
}

// What is heard on the multicast address, without the library that says it.
func TestServerIsAnnouncedAndTakesItsLeave(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4zero, Port: 10201}
	config, err := advertisement("x", address)
	if err != nil {
		t.Skip(err)
	}
	where, err := net.InterfaceByName(config.Ifaces[0])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenMulticastUDP("udp4", where, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
	if err != nil {
		t.Skip("no multicast here: ", err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(8 * time.Second))
	const service, instance = "_wyoming._tcp.local.", "pocket-tts-test._wyoming._tcp.local."
	// answer waits for an answer to who offers the service.
	answer := func() (ttl uint32, records []dns.RR, err error) {
		for packet := make([]byte, 9000); ; {
			n, _, err := conn.ReadFromUDP(packet)
			if err != nil {
				return 0, nil, err
			}
			var message dns.Msg
			if message.Unpack(packet[:n]) != nil || !message.Response {
				continue
			}
			for _, record := range message.Answer {
				if ptr, ok := record.(*dns.PTR); ok && ptr.Hdr.Name == service && ptr.Ptr == instance {
					return ptr.Hdr.Ttl, append(message.Answer, message.Extra...), nil
				}
			}
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	ended := make(chan error, 1)
	go func() { ended <- Advertise(ctx, "pocket-tts-test", address) }()
	ttl, records, err := answer()
	if err != nil {
		t.Skip("what is sent to a multicast address does not come back here: ", err)
	}
	var port uint16
	var addresses []net.IP
	for _, record := range records {
		switch r := record.(type) {
		case *dns.SRV:
			port = r.Port
		case *dns.A:
			addresses = append(addresses, r.A)
		case *dns.TXT:
			if text := strings.Join(r.Txt, ""); text != "" {
				t.Errorf("text %q", text)
			}
		}
	}
	if ttl == 0 || port != 10201 || len(addresses) == 0 {
		t.Errorf("time to live %d, port %d, addresses %v", ttl, port, addresses)
	}
	leave()
	for ttl != 0 && err == nil {
		ttl, _, err = answer()
	}
	if err != nil {
		t.Errorf("it left without a word: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
