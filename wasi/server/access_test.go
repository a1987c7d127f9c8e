package server

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// TestHostsThatOthersReach: a port of 127.0.0.1 that leads into a container is asked at the container's address. What pages
// can do with names they cannot do with addresses.
func TestHostsThatOthersReach(t *testing.T) {
	for _, one := range []struct {
		known []string
		at    net.Addr
		host  string
		want  bool
	}{
		{nil, &net.TCPAddr{IP: net.IPv4(172, 18, 0, 2)}, "evil.example", true}, // public on purpose
		{[]string{"tts"}, &net.TCPAddr{IP: net.IPv4(172, 18, 0, 2)}, "evil.example:8000", false},
		{[]string{"tts"}, &net.TCPAddr{IP: net.IPv4(172, 18, 0, 2)}, "tts:8000", true},
		{[]string{"tts"}, &net.TCPAddr{IP: net.IPv4(172, 18, 0, 2)}, "localhost:8000", true},
		{[]string{"tts"}, &net.TCPAddr{IP: net.IPv4(172, 18, 0, 2)}, "127.0.0.1:8000", true},
		{[]string{"tts"}, &net.TCPAddr{IP: net.IPv4(172, 18, 0, 2)}, "192.168.1.5", true},
		{[]string{"tts"}, &net.TCPAddr{IP: net.IPv4(172, 18, 0, 2)}, "[fe80::1]:8000", true},
		{[]string{"tts"}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, "192.168.1.5", false},
		{nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, "evil.example", false},
		{[]string{"tts"}, &net.UnixAddr{Name: "/run/tts"}, "evil.example", true},
	} {
		service, err := New(Options{Hosts: one.known})
		if err != nil {
			t.Fatal(err)
		}
		request := (&http.Request{Host: one.host}).WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, one.at))
		if got := service.hostAllowed(request); got != one.want {
			t.Errorf("%s at %s, known %q: %t", one.host, one.at, one.known, got)
		}
	}
}
