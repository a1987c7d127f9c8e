// Package servertest gives the tests of the doors what they share: a service that speaks with the starter voice, and a
// server on a port of this machine.
package servertest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// Cache keeps compiled code between tests, away from the user's.
var Cache = filepath.Join(os.TempDir(), "pocket-tts-wasm-tests")

var (
	sharedOnce   sync.Once
	sharedEngine *pockettts.Engine
	sharedErr    error
)

// Engine is the starter voice, loaded once for a package's tests.
func Engine(t testing.TB) *pockettts.Engine {
	t.Helper()
	sharedOnce.Do(func() {
		sharedEngine, sharedErr = pockettts.Load(context.Background(), pockettts.Options{PackFS: starter.FS(), CacheDir: Cache})
	})
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	return sharedEngine
}

// Load is an engine of the test's own.
func Load(t testing.TB, options pockettts.Options) *pockettts.Engine {
	t.Helper()
	options.CacheDir = Cache
	if options.Config == "" {
		options.PackFS = starter.FS()
	}
	engine, err := pockettts.Load(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

// Fixture is the path of a model with random weights and an encoder; the test is skipped where the module was downloaded
// by itself.
func Fixture(t testing.TB, root string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "wasm/engine/pocket_tts.h")); err != nil {
		t.Skip("outside of the repository")
	}
	return filepath.Join(root, "tests/golden/fixtures/lsd6")
}

// Service speaks with an engine; nil is the shared one.
func Service(t testing.TB, engine *pockettts.Engine, options server.Options) *server.Service {
	t.Helper()
	service, err := server.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	if engine == nil {
		engine = Engine(t)
	}
	if err := service.Start(t.Context(), engine, nil); err != nil {
		t.Fatal(err)
	}
	return service
}

// Serve serves a door until the test ends and returns its URL, without a slash at the end.
func Serve(t testing.TB, service *server.Service, door http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Serve(ctx, listener, door) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// Send writes a request with a body on a connection of its own, which is closed with the test.
func Send(t testing.TB, address, head, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Frames counts what a service has made the engine say, through all doors: 80 ms each.
func Frames(t testing.TB, service *server.Service) int {
	t.Helper()
	answer := httptest.NewRecorder()
	service.Metrics().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	seconds := 0.0
	for line := range strings.Lines(answer.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "pocket_tts_sound_seconds_total{") {
			one, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			seconds += one
		}
	}
	return int(math.Round(seconds / 0.08))
}

// PCM is what the engine says by itself: 16 bit, little-endian.
func PCM(t testing.TB, engine *pockettts.Engine, text string, options pockettts.SpeakOptions) []byte {
	t.Helper()
	if engine == nil {
		engine = Engine(t)
	}
	options.Format = pockettts.PCM
	stream, err := engine.Speak(t.Context(), text, options)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var data bytes.Buffer
	if _, err := stream.WriteTo(&data); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// Until waits for something that takes a moment.
func Until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}
