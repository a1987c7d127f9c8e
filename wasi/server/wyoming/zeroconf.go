// Telling the local network that there is a server: multicast DNS.

package wyoming

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/brutella/dnssd"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

// serviceType is what Home Assistant looks for.
const serviceType = "_wyoming._tcp"

// Advertise offers a TCP server to the local network under a name, until the context ends: then it takes its leave, and
// Advertise returns nil. A server on all addresses is offered on every interface that has an IPv4 address and multicast.
func Advertise(ctx context.Context, name string, address net.Addr) error {
	config, err := advertisement(name, address)
	if err != nil {
		return err
	}
	service, err := dnssd.NewService(config)
	if err != nil {
		return fmt.Errorf("multicast DNS: %w", err)
	}
	responder, err := dnssd.NewResponder()
	if err != nil {
		return fmt.Errorf("multicast DNS: %w", err)
	}
	if _, err := responder.Add(service); err != nil {
		return fmt.Errorf("multicast DNS: %w", err)
	}
	if err := responder.Respond(ctx); ctx.Err() == nil && err != nil {
		return fmt.Errorf("multicast DNS: %w", err)
	}
	return nil
}

// advertisement finds where the address can be reached.
func advertisement(name string, address net.Addr) (dnssd.Config, error) {
	config := dnssd.Config{Name: name, Type: serviceType, Domain: "local"}
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return config, fmt.Errorf("%w: zeroconf: expected a tcp:// server, found %s", pockettts.ErrArgument, address.Network())
	}
	config.Port = tcp.Port
	interfaces, err := net.Interfaces()
	if err != nil {
		return config, err
	}
	for _, one := range interfaces {
		var here []net.IP
		addresses, err := one.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			subnet, ok := a.(*net.IPNet)
			if ok && subnet.IP.To4() != nil && (tcp.IP.IsUnspecified() || tcp.IP.Equal(subnet.IP)) {
				here = append(here, subnet.IP)
			}
		}
		const wanted = net.FlagUp | net.FlagMulticast
		if len(here) == 0 || one.Flags&wanted != wanted || one.Flags&net.FlagLoopback != 0 {
			continue
		}
		config.Ifaces = append(config.Ifaces, one.Name)
		config.IPs = append(config.IPs, here...)
	}
	switch {
	case len(config.Ifaces) == 0:
		return config, errors.New("zeroconf: no interface of the server's address has multicast; bind it to one that others can reach (--host)")
	case len(config.Ifaces) > 1:
		config.IPs = nil // each is told its own
	}
	return config, nil
}
