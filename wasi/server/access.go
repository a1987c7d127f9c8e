// Who may ask: keys, hosts, origins. And what every HTTP door has in common besides.

package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	rscors "github.com/rs/cors"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

// Access is what a door says of itself to Guard.
type Access struct {
	Door string // its name in logs
	// Key, where there is one, is the door's own: it counts instead of Options.APIKey.
	Key string
	// Open tells which requests need no key.
	Open func(r *http.Request) bool
	// Refuse writes an Error in the door's own form.
	Refuse func(w http.ResponseWriter, r *http.Request, err *Error)
}

// Authorized compares a key in constant time. Without Options.APIKey every key is right, and none as well.
func (s *Service) Authorized(key string) bool {
	return s.options.APIKey == "" || SameKey(key, s.options.APIKey)
}

// SameKey compares keys in constant time, whatever their lengths.
func SameKey(given, expected string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(expected))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// admits compares the key of a request with the one that counts at a door.
func (s *Service) admits(access Access, r *http.Request) bool {
	if access.Key != "" {
		return SameKey(bearer(r), access.Key)
	}
	return s.Authorized(bearer(r))
}

// Guard lets through what may reach a door: one line of log each, CORS, Host, Origin, key, and a body of at most
// Limits.UploadBytes that arrives within Limits.Idle, also one that nobody wants.
func (s *Service) Guard(door http.Handler, access Access) http.Handler {
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.originAllowed(r):
			access.Refuse(w, r, Refuse(Forbidden, "This page may not ask this server (--cors-origin)."))
		case !s.admits(access, r) && (access.Open == nil || !access.Open(r)):
			w.Header().Set("WWW-Authenticate", "Bearer")
			access.Refuse(w, r, Refuse(Unauthorized, "Expected the header Authorization: Bearer KEY with the key of this server."))
		case r.ContentLength > s.limits.UploadBytes:
			w.Header().Set("Connection", "close") // what comes is not read
			access.Refuse(w, r, Refuse(TooLarge, "expected at most %d bytes, found %d", s.limits.UploadBytes, r.ContentLength))
		default:
			r.Body = http.MaxBytesReader(w, r.Body, s.limits.UploadBytes)
			door.ServeHTTP(w, r)
		}
	})
	crossOrigin := s.cors.wrap(inside)
	return s.logged(access.Door, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.hostAllowed(r):
			access.Refuse(w, r, Refuse(Forbidden, "This server does not answer to that Host (--allow-host)."))
		case isPreflight(r) && !s.cors.allowed(r):
			http.Error(w, "Disallowed CORS origin", http.StatusBadRequest)
		default:
			crossOrigin.ServeHTTP(w, r)
		}
	}))
}

func bearer(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// hostAllowed refuses names that are not this machine's, on a loopback address and where its names are known: a page of
// evil.example whose name leads to 127.0.0.1 would otherwise be of the same origin as this server, and to a port of 127.0.0.1
// that leads into a container, too.
func (s *Service) hostAllowed(r *http.Request) bool {
	public := false
	if address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		tcp, ok := address.(*net.TCPAddr)
		if !ok {
			return true // a socket of this machine's file system
		}
		if public = !tcp.IP.IsLoopback(); public && len(s.options.Hosts) == 0 {
			return true // on purpose
		}
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = plainHost(host)
	if slices.Contains(s.hosts, host) {
		return true
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return public || address.IsLoopback() && address.Zone() == "" // pages have no power over what an address means
	}
	return host == "localhost"
}

// plainHost is a name or an address in the one form in which they are compared.
func plainHost(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		host = inner[:len(inner)-1]
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if address, err := netip.ParseAddr(host); err == nil {
		return address.String()
	}
	return host
}

// hostName is what Options.Hosts may hold besides addresses.
var hostName = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)

// newHosts refuses what no request's Host could be equal to: with a port, a scheme or a star it would have no effect.
func newHosts(names []string) ([]string, error) {
	var hosts []string
	for _, name := range names {
		host := plainHost(name)
		if _, err := netip.ParseAddr(host); err != nil && !hostName.MatchString(host) {
			return nil, fmt.Errorf("%w: Hosts: expected a name such as tts.example.com or an address, without a port, found %q", pockettts.ErrArgument, name)
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// originAllowed refuses what pages of other origins send without a preflight, forms for instance.
func (s *Service) originAllowed(r *http.Request) bool {
	return s.cors.allowed(r) || new(http.CrossOriginProtection).Check(r) == nil
}

// OriginAllowed is for doors that change protocols, which browsers let every page do: it refuses pages of other origins
// whatever the method. Clients that are no browsers send no Origin.
func (s *Service) OriginAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || s.cors.allowed(r) {
		return true
	}
	from, err := url.Parse(origin)
	return err == nil && from.Host != "" && strings.EqualFold(from.Host, r.Host)
}

// cors answers browsers for the pages of Options.Origins.
type cors struct{ rules *rscors.Cors } // nil: none

func newCORS(origins []string) (*cors, error) {
	if len(origins) == 0 {
		return &cors{}, nil
	}
	for _, origin := range origins {
		parsed, err := url.Parse(origin)
		if origin != "*" && (err != nil || parsed.Scheme == "" || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host) {
			return nil, fmt.Errorf("%w: Origins: expected \"*\" or an origin such as https://example.com, found %q", pockettts.ErrArgument, origin)
		}
	}
	return &cors{rscors.New(rscors.Options{
		AllowedOrigins: origins, AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete}, AllowedHeaders: []string{"*"},
		AllowCredentials: !slices.Contains(origins, "*"), AllowPrivateNetwork: true, MaxAge: 600,
	})}, nil
}

func (c *cors) wrap(next http.Handler) http.Handler {
	if c.rules == nil {
		return next
	}
	return c.rules.Handler(next)
}

// allowed tells whether a request comes from a page that was named; not whether it is of the same origin.
func (c *cors) allowed(r *http.Request) bool { return c.rules != nil && c.rules.OriginAllowed(r) }

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// logged writes a line for each request, without anything that it says.
func (s *Service) logged(door string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		control := http.NewResponseController(w)
		// What the last answer on this connection has left.
		_ = control.SetWriteDeadline(time.Time{})
		recorder := &recorder{ResponseWriter: w, control: control, idle: s.limits.Idle}
		if r.ContentLength != 0 {
			// Before an answer goes out, net/http reads what is left of the body: it waits as long as that, and is not late.
			recorder.body = began.Add(s.limits.Idle)
			_ = control.SetReadDeadline(recorder.body)
		}
		defer func() {
			fault := recover()
			if fault != nil && fault != http.ErrAbortHandler {
				// net/http says it to a log of trifles.
				s.log.LogAttrs(r.Context(), slog.LevelError, "a request was broken off by a fault of this program", slog.String("door", door),
					slog.Any("fault", fault), slog.String("stack", string(debug.Stack())))
				fault = http.ErrAbortHandler
			}
			level := slog.LevelInfo
			if recorder.status >= http.StatusInternalServerError && recorder.status != http.StatusServiceUnavailable {
				level = slog.LevelError
			}
			s.log.LogAttrs(r.Context(), level, "request", slog.String("door", door), slog.String("method", Short(r.Method, 20)),
				slog.String("path", Short(r.URL.EscapedPath(), 200)), slog.Int("status", recorder.status), slog.Int64("bytes", recorder.bytes),
				slog.Duration("took", time.Since(began).Round(time.Millisecond)))
			recorder.patience() // with what net/http still holds of the answer
			if fault != nil {
				panic(fault)
			}
		}()
		next.ServeHTTP(recorder, r)
	})
}

// Short is the beginning of a text of a client, for logs: they decide how long it is.
func Short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// recorder remembers what a door answered. A client that does not read it is cut off: a piece must be gone within idle.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
	body    time.Time // until when net/http waits for the rest of the request's body, if there is one
	status  int
	bytes   int64
}

// patience begins anew. Recorders of tests have none.
func (r *recorder) patience() {
	from := time.Now()
	if from.Before(r.body) {
		from = r.body
	}
	_ = r.control.SetWriteDeadline(from.Add(r.idle))
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.patience()
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (total int, err error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	for err == nil {
		piece := p[total:min(len(p), total+pieceBytes)]
		r.patience()
		var n int
		n, err = r.ResponseWriter.Write(piece)
		total += n
		if total == len(p) || n < len(piece) {
			break
		}
	}
	r.bytes += int64(total)
	return total, err
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
