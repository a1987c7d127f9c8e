// Voices by URL: refused unless the operator has named a prefix of them.

package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

const (
	fetchTime  = 20 * time.Second
	fetchBytes = 64 << 20
	fetches    = 4 // at once: each is in memory
	hub        = "huggingface.co"
)

// fetcher gets voices from the places that the operator has named.
type fetcher struct {
	prefixes []string
	client   *http.Client
	places   chan struct{}
}

func newFetcher(prefixes []string) (*fetcher, error) {
	for _, prefix := range prefixes {
		parsed, err := url.Parse(prefix)
		if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "hf" || !strings.HasPrefix(parsed.Path, "/") ||
			parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
			return nil, fmt.Errorf("%w: AllowVoiceURLs: expected a prefix such as https://example.com/voices/ or hf://owner/, found %q",
				pockettts.ErrArgument, prefix)
		}
	}
	dialer := &net.Dialer{Timeout: fetchTime, Control: publicOnly}
	return &fetcher{prefixes: prefixes, places: make(chan struct{}, fetches), client: &http.Client{
		Timeout: fetchTime,
		// No proxy of the environment: it would look addresses up in our place.
		Transport:     &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: fetchTime, MaxIdleConns: 4, IdleConnTimeout: fetchTime},
		CheckRedirect: sameHost,
	}}, nil
}

// publicOnly is asked after names were looked up, with the address that will be dialled.
func publicOnly(_, address string, _ syscall.RawConn) error {
	place, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !isPublic(place.Addr()) {
		return errors.New("the address is not public")
	}
	return nil
}

// notPublic are the blocks that netip has no word for.
var notPublic = func() (blocks []netip.Prefix) {
	for _, block := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
		// All that is not 2000::/3, where the addresses of the Internet are: those of IPv4 behind a prefix, of sites, of segments.
		"::/3", "4000::/2", "8000::/1",
	} {
		blocks = append(blocks, netip.MustParsePrefix(block))
	}
	return blocks
}()

// isPublic tells whether an address is one of the Internet: no loopback, private, link-local (metadata services),
// carrier, multicast or documentation address, and none that hides one of them in IPv6.
func isPublic(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return false
	}
	for _, block := range notPublic {
		if block.Contains(address) {
			return false
		}
	}
	return true
}

// sameHost follows redirects to the same server only, and into a store of files that the hub uses.
func sameHost(next *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errors.New("too many redirects")
	}
	from := via[0].URL
	if next.URL.Scheme == "https" && (next.URL.Host == from.Host || from.Host == hub && strings.HasSuffix(next.URL.Host, ".hf.co")) {
		return nil
	}
	return errors.New("a redirect to another host")
}

// locate checks a URL against the prefixes, without touching the network, and says what to get.
func (f *fetcher) locate(voice string) (*url.URL, error) {
	if len(f.prefixes) == 0 {
		return nil, Refuse(VoiceRefused, "this server fetches no voices from URLs (--allow-voice-url)")
	}
	refused := Refuse(VoiceRefused, "this server fetches voices from named places only (--allow-voice-url)")
	parsed, err := url.Parse(voice)
	// What a server could read in another way than this check is refused: dots, encoded slashes, names, backslashes.
	if err != nil || parsed.User != nil || parsed.Opaque != "" || parsed.Fragment != "" || parsed.RawQuery != "" || parsed.RawPath != "" ||
		strings.Contains(voice, `\`) || path.Clean(parsed.Path) != parsed.Path {
		return nil, refused
	}
	allowed := false
	for _, prefix := range f.prefixes {
		allowed = allowed || strings.HasPrefix(voice, prefix)
	}
	if !allowed {
		return nil, refused
	}
	if parsed.Scheme != "hf" {
		return parsed, nil
	}
	// hf://owner/name/path@revision
	repository, file, found := strings.Cut(strings.TrimPrefix(parsed.Path, "/"), "/")
	file, revision, pinned := strings.Cut(file, "@")
	if !pinned {
		revision = "main"
	}
	if !found || repository == "" || file == "" || !revisionName.MatchString(revision) {
		return nil, Refuse(VoiceRefused, "expected hf://owner/name/path, or the same with @revision")
	}
	at := "/" + parsed.Host + "/" + repository + "/resolve/"
	return &url.URL{
		Scheme: "https", Host: hub, Path: at + revision + "/" + file,
		// A revision is one part of the path, whatever is in it.
		RawPath: (&url.URL{Path: at}).EscapedPath() + url.PathEscape(revision) + (&url.URL{Path: "/" + file}).EscapedPath(),
	}, nil
}

// revisionName is what a branch, a tag or a commit may be called.
var revisionName = regexp.MustCompile(`^[A-Za-z0-9]+([._/-][A-Za-z0-9]+)*$`)

func (f *fetcher) fetch(ctx context.Context, voice string) (*Upload, error) {
	location, err := f.locate(voice)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return nil, err
	}
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	default:
		return nil, Refuse(Busy, "too many voices are being fetched; try again later")
	}
	data, err := f.get(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Error{VoiceBroken, "the voice could not be fetched", err}
	}
	return &Upload{Name: location.Path, Data: bytes.NewReader(data)}, nil
}

func (f *fetcher) get(request *http.Request) ([]byte, error) {
	answer, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server of the voice answered %s", answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, fetchBytes+1))
	if err == nil && len(data) > fetchBytes {
		err = fmt.Errorf("expected at most %d bytes, found more", fetchBytes)
	}
	return data, err
}
