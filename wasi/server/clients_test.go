package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/openai"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/speakws"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/wyoming"
)

// caller asks for speech at one door. It has a connection of its own for each request.
type caller struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// asking has a text spoken at a door. heard is called with the bytes of sound as they come; when it returns false, the caller
// vanishes. The error is nil when everything was said.
type asking func(ctx context.Context, c *caller, text string, heard func(bytes int) bool) error

var (
	// errBusy is a refusal that is documented: 429, 503, QUEUE_FULL, busy.
	errBusy = errors.New("busy")
	// errLeft is the caller's own end.
	errLeft = errors.New("left")
)

// doors serves every door that streams, each as pocket-tts serve does, and returns how it is asked.
func doors(t testing.TB, service *server.Service) map[string]asking {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/v1/", openai.New(service, openai.Options{InputChars: service.Limits().TextChars}))
	mux.Handle("/api/v1/speak", speakws.New(service))
	mux.Handle("/", ttshttp.New(service, ttshttp.Options{}))
	address := servertest.Serve(t, service, mux)

	home, err := wyoming.New(service, wyoming.Options{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := wyoming.Listen("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- home.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return map[string]asking{
		"http": func(ctx context.Context, c *caller, text string, heard func(int) bool) error {
			form := url.Values{"text": {text}}.Encode()
			return c.post(ctx, address+"/tts", "application/x-www-form-urlencoded", form, heard)
		},
		"openai": func(ctx context.Context, c *caller, text string, heard func(int) bool) error {
			body, _ := json.Marshal(map[string]any{"input": text, "response_format": "pcm"})
			return c.post(ctx, address+"/v1/audio/speech", "application/json", string(body), heard)
		},
		"speak-ws": func(ctx context.Context, c *caller, text string, heard func(int) bool) error {
			return c.webSocket(ctx, address+"/api/v1/speak", text, heard)
		},
		"wyoming": func(ctx context.Context, c *caller, text string, heard func(int) bool) error {
			return c.wyoming(ctx, listener.Addr().String(), text, heard)
		},
	}
}

// client is one of HTTP for one request.
func (c *caller) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true}}
}

func (c *caller) post(ctx context.Context, address, kind, body string, heard func(int) bool) error {
	ctx, vanish := context.WithCancel(ctx)
	defer vanish()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", kind)
	answer, err := c.client().Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if answer.Header.Get("Retry-After") == "" {
			return errors.New("no Retry-After")
		}
		return errBusy
	default:
		return errors.New(answer.Status)
	}
	return copySound(answer.Body, heard)
}

func copySound(from io.Reader, heard func(int) bool) error {
	for buffer := make([]byte, 3840); ; {
		n, err := from.Read(buffer)
		if n > 0 && !heard(n) {
			return errLeft
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *caller) webSocket(ctx context.Context, address, text string, heard func(int) bool) error {
	conn, answer, err := websocket.Dial(ctx, strings.Replace(address, "http://", "ws://", 1), &websocket.DialOptions{HTTPClient: c.client()})
	if err != nil {
		if answer != nil && answer.StatusCode == http.StatusTooManyRequests {
			return errBusy
		}
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	body, _ := json.Marshal(map[string]any{"type": "synthesize", "text": text})
	if err := conn.Write(ctx, websocket.MessageText, body); err != nil {
		return err
	}
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var message struct {
			Type, Code, Message string
			Data                []byte
		}
		if err := json.Unmarshal(data, &message); err != nil {
			return err
		}
		switch {
		case message.Type == "complete":
			return conn.Close(websocket.StatusNormalClosure, "")
		case message.Code == "QUEUE_FULL":
			return errBusy
		case message.Type != "audio":
			return fmt.Errorf("%s: %s", message.Code, message.Message)
		case !heard(len(message.Data)):
			return errLeft
		}
	}
}

func (c *caller) wyoming(ctx context.Context, address, text string, heard func(int) bool) error {
	conn, err := c.dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	data, _ := json.Marshal(map[string]any{"type": "synthesize", "data": map[string]string{"text": text}})
	if _, err := conn.Write(append(data, '\n')); err != nil {
		return err
	}
	problem := error(nil)
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var head struct {
			Type    string
			Data    int `json:"data_length"`
			Payload int `json:"payload_length"`
		}
		if err := json.Unmarshal(line, &head); err != nil {
			return err
		}
		rest := make([]byte, head.Data+head.Payload)
		if _, err := io.ReadFull(lines, rest); err != nil {
			return err
		}
		switch head.Type {
		case "error":
			if problem = errors.New(string(rest)); strings.Contains(string(rest), "busy") {
				problem = errBusy
			}
		case "audio-stop":
			return problem
		case "audio-chunk":
			if !heard(head.Payload) {
				return errLeft
			}
		}
	}
}

// patience is how a caller reads: as fast as it can, until slow is set, and then a byte a second.
type patience struct {
	net.Conn
	slow *atomic.Bool
	done <-chan struct{}
}

func (p patience) Read(b []byte) (int, error) {
	if !p.slow.Load() {
		return p.Conn.Read(b)
	}
	select {
	case <-time.After(time.Second):
		return p.Conn.Read(b[:1])
	case <-p.done:
		return 0, net.ErrClosed
	}
}

// newCaller has a connection that can become slow.
func newCaller(done <-chan struct{}) (c *caller, slow *atomic.Bool) {
	slow = new(atomic.Bool)
	return &caller{dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return patience{conn, slow, done}, nil
	}}, slow
}
