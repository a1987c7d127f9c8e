package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// noDialing fails the test when anything is dialled.
func noDialing(t *testing.T, f *fetcher) {
	t.Helper()
	f.client.Transport = refusing{t}
}

func TestURLsAreRefusedWithoutASocket(t *testing.T) {
	for prefixes, voices := range map[string][]string{
		"": {"http://169.254.169.254/", "https://example.com/a.wav", "hf://kyutai/tts-voices/a.wav", "HTTPS://example.com/a.wav"},
		"https://example.com/voices/": {
			"http://example.com/voices/a.wav", "https://example.com/a.wav", "https://example.com/voices/../a.wav",
			"https://example.com/voices/%2e%2e/a.wav", "https://example.com/voices/..%2fa.wav", `https://example.com/voices/..\a.wav`,
			"https://example.com/voices/a.wav?x=1", "https://example.com/voices/a.wav#x", "https://example.com@evil.example/voices/a.wav",
			"https://example.com.evil.example/voices/a.wav", "https://example.com:8443/voices/a.wav", "https://127.0.0.1/voices/a.wav",
			"hf://kyutai/tts-voices/a.wav",
		},
		"hf://kyutai/": {"hf://other/tts-voices/a.wav", "https://huggingface.co/kyutai/tts-voices/resolve/main/a.wav", "hf://kyutai/", "hf://kyutai/name",
			"hf://kyutai/../other/a.wav", "hf://kyutai/name/a.wav@", "hf://kyutai/name/a.wav@../b", "hf://kyutai/name/a.wav@a..b"},
	} {
		var list []string
		if prefixes != "" {
			list = []string{prefixes}
		}
		f, err := newFetcher(list)
		if err != nil {
			t.Fatal(err)
		}
		noDialing(t, f)
		for _, voice := range voices {
			if _, err := f.fetch(t.Context(), voice); err == nil || Explain(err).Problem != VoiceRefused || !strings.Contains(err.Error(), "-voice-url") &&
				!strings.Contains(err.Error(), "hf://owner") {
				t.Errorf("%s with %q: %v", voice, prefixes, err)
			}
		}
	}
}

func TestPlacesOfVoices(t *testing.T) {
	f, err := newFetcher([]string{"hf://kyutai/", "https://example.com/voices/"})
	if err != nil {
		t.Fatal(err)
	}
	for voice, want := range map[string]string{
		"hf://kyutai/tts-voices/alba/a.wav":          "https://huggingface.co/kyutai/tts-voices/resolve/main/alba/a.wav",
		"hf://kyutai/tts-voices/alba/a.wav@refs/pr1": "https://huggingface.co/kyutai/tts-voices/resolve/refs%2Fpr1/alba/a.wav",
		"hf://kyutai/tts-voices/a%3Fb.wav":           "https://huggingface.co/kyutai/tts-voices/resolve/main/a%3Fb.wav",
		"https://example.com/voices/a.wav":           "https://example.com/voices/a.wav",
	} {
		if got, err := f.locate(voice); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", voice, got, err)
		}
	}
}

// TestAddressesAreCheckedAfterTheLookup: a name that was let in and leads to this machine is not dialled.
func TestAddressesAreCheckedAfterTheLookup(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	reached := make(chan struct{}, 1)
	go func() {
		if connection, err := listener.Accept(); err == nil {
			connection.Close()
			reached <- struct{}{}
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	place := "https://localhost:" + port + "/"
	f, err := newFetcher([]string{place})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.fetch(t.Context(), place+"a.wav")
	if err == nil || Explain(err).Problem != VoiceBroken || !strings.Contains(Explain(err).Unwrap().Error(), "the address is not public") {
		t.Errorf("%v", err)
	}
	select {
	case <-reached:
		t.Error("it was dialled")
	default:
	}
}

// TestFetching: what a server of voices may answer. Its address is let in here.
func TestFetching(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	voices := http.NewServeMux()
	voices.HandleFunc("/a.safetensors", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("voice")) })
	voices.Handle("/moved.wav", http.RedirectHandler("/a.safetensors", http.StatusFound))
	voices.Handle("/away.wav", http.RedirectHandler(other.URL+"/a.safetensors", http.StatusFound))
	voices.Handle("/down.wav", http.RedirectHandler("http://127.0.0.1/a.safetensors", http.StatusFound))
	voices.HandleFunc("/endless.wav", func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	place := httptest.NewTLSServer(voices)
	defer place.Close()
	f, err := newFetcher([]string{place.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	f.client.Transport = place.Client().Transport
	for _, name := range []string{"a.safetensors", "moved.wav"} {
		upload, err := f.fetch(t.Context(), place.URL+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(upload.Data); err != nil || string(data) != "voice" || upload.Name != "/"+name {
			t.Errorf("%s: %q, %q, %v", name, upload.Name, data, err)
		}
	}
	for name, says := range map[string]string{
		"none.wav": "404", "away.wav": "a redirect to another host", "down.wav": "a redirect to another host", "endless.wav": "expected at most 67108864 bytes",
	} {
		_, err := f.fetch(t.Context(), place.URL+"/"+name)
		refusal := Explain(err)
		if refusal == nil || refusal.Problem != VoiceBroken || !strings.Contains(refusal.Unwrap().Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFewAreFetchedAtOnce: what is fetched is in memory, whatever the server of the voices does.
func TestFewAreFetchedAtOnce(t *testing.T) {
	asked, answer := make(chan struct{}, fetches+1), make(chan struct{})
	place := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answer
	}))
	defer place.Close()
	f, err := newFetcher([]string{place.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	f.client.Transport = place.Client().Transport
	done := make(chan error)
	for range fetches {
		go func() {
			_, err := f.fetch(context.Background(), place.URL+"/a.wav")
			done <- err
		}()
	}
	for range fetches {
		<-asked
	}
	limited, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := f.fetch(limited, place.URL+"/a.wav"); err == nil || Explain(err).Problem != Busy {
		t.Errorf("one more: %v", err)
	}
	close(answer)
	for range fetches {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700:4700::1111": true,
		"127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fd00::1": false, "fc00::1": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "fd00:ec2::254": false,
		"::127.0.0.1": false, "::10.0.0.1": false, "fec0::1": false, "100::1": false, "64:ff9b:1::7f00:1": false, "5f00::1": false, "4000::1": false, "2a00::1": true,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}

// TestNamesTouchNoFiles: the folder is not even there.
func TestNamesTouchNoFiles(t *testing.T) {
	f := newFolder("no/such/folder", 1, true)
	for _, name := range []string{"../../etc/passwd", "/etc/passwd", "a/b", "a\x00", `a\b`, ".", "..", "-a", "a.safetensors", strings.Repeat("a", 65), "é"} {
		if _, _, err := f.take(context.Background(), nil, name); Explain(err).Problem != VoiceUnknown {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, _, err := f.take(context.Background(), nil, "good"); Explain(err).Problem != Failed {
		t.Errorf("%v", err)
	}
}

// refusing is a transport that nobody may use.
type refusing struct{ t *testing.T }

func (r refusing) RoundTrip(request *http.Request) (*http.Response, error) {
	r.t.Errorf("%s was asked for", request.URL)
	return nil, http.ErrUseLastResponse
}
