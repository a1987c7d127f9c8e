package server

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// FuzzVoiceURL: what is fetched lies where the operator has said.
func FuzzVoiceURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/voices/a.wav", "https://example.com/voices/../a.wav", "https://example.com/voices/%2e%2e/a.wav", "https://example.com/voices//a",
		"hf://kyutai/tts-voices/a.wav@main", "hf://kyutai/a/b@../c", "hf://kyutai/../x/a.wav", "hf://kyutai/a/%2e%2e/b", "https://example.com/voices/a?b#c",
	} {
		f.Add(seed)
	}
	places, err := newFetcher([]string{"https://example.com/voices/", "hf://kyutai/"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, voice string) {
		found, err := places.locate(voice)
		if err != nil {
			return
		}
		where := found.String()
		if !strings.HasPrefix(where, "https://example.com/voices/") && !strings.HasPrefix(where, "https://huggingface.co/kyutai/") {
			t.Errorf("%q is %s", voice, where)
		}
		if strings.Contains(found.Path, "/../") || strings.HasSuffix(found.Path, "/..") || found.User != nil {
			t.Errorf("%q is %s", voice, where)
		}
	})
}

// FuzzHost: what is let in is this machine by one of its names.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"localhost:8000", "127.0.0.1", "[::1]:80", "[::ffff:127.0.0.1]", "localhost.", "evil.example", "[localhost]:1", "127.0.0.1.evil.example", "[::1%25eth0]"} {
		f.Add(seed)
	}
	service, err := New(Options{Hosts: []string{"tts.example"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !service.hostAllowed(&http.Request{Host: host}) {
			return
		}
		name := strings.ToLower(host)
		if at := strings.LastIndexByte(name, ':'); at >= 0 && !strings.HasSuffix(name, "]") && (strings.Count(name, ":") == 1 || strings.Contains(name, "]")) {
			name = name[:at]
		}
		name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
		address, err := netip.ParseAddr(name)
		if name != "localhost" && name != "tts.example" && (err != nil || !address.IsLoopback() || address.Zone() != "") {
			t.Errorf("%q was let in", host)
		}
	})
}
