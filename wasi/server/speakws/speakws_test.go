package speakws

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/upgrade"
)

const (
	// example is the message of the protocol's document, as it stands there.
	example = `{"type":"synthesize","text":"Hello, I am Makima.","voice":"makima","language":"English","stream":true}`
	story   = "The quick brown fox jumps over the lazy dog. It runs into the woods and is not seen again. Nobody knows why."
)

type client struct {
	t    testing.TB
	conn *websocket.Conn
}

func dial(t testing.TB, address string, options *websocket.DialOptions) *client {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(address, "http://", "ws://", 1), options)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { conn.CloseNow() })
	return &client{t, conn}
}

func start(t testing.TB, options server.Options) *client {
	t.Helper()
	service := servertest.Service(t, nil, options)
	return dial(t, servertest.Serve(t, service, New(service))+paths[0], nil)
}

func (c *client) send(message string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

type message struct {
	Type     string  `json:"type"`
	Data     []byte  `json:"data"`
	Bytes    int     `json:"bytes"`
	Rate     int     `json:"sample_rate"`
	Encoding string  `json:"encoding"`
	Final    bool    `json:"final"`
	ID       string  `json:"id"`
	Duration float64 `json:"duration_ms"`
	Code     string  `json:"code"`
	Message  string  `json:"message"`
}

func (c *client) next() message {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	kind, data, err := c.conn.Read(ctx)
	var m message
	if err == nil && kind == websocket.MessageText {
		err = json.Unmarshal(data, &m)
	}
	if err != nil || kind != websocket.MessageText {
		c.t.Fatalf("%v %v", kind, err)
	}
	if m.Type == "audio" && m.Bytes > 0 {
		if kind, m.Data, err = c.conn.Read(ctx); err != nil || kind != websocket.MessageBinary || len(m.Data) != m.Bytes {
			c.t.Fatalf("%v, %d bytes, want %d, %v", kind, len(m.Data), m.Bytes, err)
		}
	}
	return m
}

// answer collects the audio of a request up to its end, and checks what every audio must be.
func (c *client) answer() (pcm []byte, count int, end message) {
	c.t.Helper()
	for final := false; ; {
		m := c.next()
		if m.Type != "audio" {
			if m.Type == "complete" && !final {
				c.t.Error("complete without a final audio")
			}
			return pcm, count, m
		}
		if len(m.Data) == 0 || m.Rate != 24000 || final {
			c.t.Errorf("%d bytes, rate %d, after the final one: %t", len(m.Data), m.Rate, final)
		}
		final = m.Final
		pcm = append(pcm, m.Data...)
		count++
	}
}

func milliseconds(pcm []byte) float64 { return math.Round(float64(len(pcm)) / 48) }

func TestTheDocumentsExample(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	address := servertest.Serve(t, service, New(service))
	want := servertest.PCM(t, nil, "Hello, I am Makima.", pockettts.SpeakOptions{})
	for _, path := range paths {
		c := dial(t, address+path, nil)
		c.send(example)
		pcm, count, end := c.answer()
		if !bytes.Equal(pcm, want) || count != len(want)/3840 || end.Type != "complete" || end.Duration != milliseconds(pcm) {
			t.Errorf("%s: %d bytes in %d messages, want %d; %+v", path, len(pcm), count, len(want), end)
		}
	}
}

func TestFormsOfAudio(t *testing.T) {
	c := start(t, server.Options{})
	want := servertest.PCM(t, nil, "One two.", pockettts.SpeakOptions{})
	for form, most := range map[string]int{
		`"stream":false`:                               1,
		`"binary":true`:                                len(want) / 3840,
		`"binary":true,"stream":false,"id":"a"`:        1,
		`"encoding":"pcm16","voice":null,"id":"b"`:     len(want) / 3840,
		`"language":"en","seed":7`:                     len(want) / 3840,
		`"language":"english_2026-10","speed":1`:       len(want) / 3840,
		`"voice":"slt","language":"EN-us","speed":1.0`: len(want) / 3840,
	} {
		c.send(`{"type":"synthesize","text":"One two.",` + form + `}`)
		pcm, count, end := c.answer()
		if !bytes.Equal(pcm, want) || count != most || end.Type != "complete" || strings.Contains(form, `"id":"a"`) && end.ID != "a" {
			t.Errorf("%s: %d bytes in %d messages, %+v", form, len(pcm), count, end)
		}
	}
	c.send(`{"type":"synthesize","text":"One two.","encoding":"pcm32f","binary":true}`)
	floats, _, end := c.answer()
	if len(floats) != 2*len(want) || end.Duration != milliseconds(want) {
		t.Fatalf("%d bytes of floats, %+v", len(floats), end)
	}
	for n := range len(want) / 2 {
		x := math.Float32frombits(binary.LittleEndian.Uint32(floats[4*n:]))
		if got := int16(max(-1, min(1, x)) * 32767); got != int16(binary.LittleEndian.Uint16(want[2*n:])) {
			t.Fatalf("sample %d: %g is %d", n, x, got)
		}
	}
	c.send(`{"type":"synthesize","text":"One two.","speed":2}`)
	if pcm, _, end := c.answer(); end.Type != "complete" || len(pcm) > len(want)*3/4 {
		t.Errorf("twice as fast: %d bytes of %d, %+v", len(pcm), len(want), end)
	}
}

func TestProblemsLeaveTheConnectionOpen(t *testing.T) {
	c := start(t, server.Options{Limits: server.Limits{TextChars: 200}})
	if err := c.conn.Write(t.Context(), websocket.MessageBinary, []byte(example)); err != nil {
		t.Fatal(err)
	}
	if m := c.next(); m.Type != "error" || m.Code != codeInvalid {
		t.Errorf("a binary message: %+v", m)
	}
	for text, code := range map[string]string{
		`{`:                                   codeInvalid,
		`[]`:                                  codeInvalid,
		`null`:                                codeInvalid,
		`{"type":"no"}`:                       codeInvalid,
		`{"text":"a"}`:                        codeInvalid,
		`{"type":"synthesize"}`:               codeInvalid,
		`{"type":"synthesize","text":3}`:      codeInvalid,
		`{"type":"synthesize","text":" \n "}`: codeEmpty,
		`{"type":"synthesize","text":"a","voice":"nobody"}`:               codeVoice,
		`{"type":"synthesize","text":"a","voice":"../../etc/passwd"}`:     codeVoice,
		`{"type":"synthesize","text":"a","voice":"http://127.0.0.1:1/"}`:  codeVoice,
		`{"type":"synthesize","text":"a","voice":7}`:                      codeInvalid,
		`{"type":"synthesize","text":"a","language":"Klingon"}`:           codeLanguage,
		`{"type":"synthesize","text":"a","encoding":"mp3"}`:               codeInvalid,
		`{"type":"synthesize","text":"a","speed":5}`:                      codeInvalid,
		`{"type":"synthesize","text":"a","temperature":-1}`:               codeInvalid,
		`{"type":"synthesize","text":"a","seed":-1}`:                      codeInvalid,
		`{"type":"synthesize","text":"` + strings.Repeat("ä", 201) + `"}`: codeLong,
		`{"type":"synthesize","text":"a","stream":"yes","id":"x"}`:        codeInvalid,
	} {
		c.send(text)
		if m := c.next(); m.Type != "error" || m.Code != code || m.Message == "" || strings.Contains(text, `"id":"x"`) && m.ID != "x" {
			t.Errorf("%.80s: %+v", text, m)
		}
	}
	c.send(`{"type":"cancel"}`) // of nothing
	c.send(example)
	if _, count, end := c.answer(); count == 0 || end.Type != "complete" {
		t.Errorf("afterwards: %d messages, %+v", count, end)
	}
}

func TestCancelAndQueue(t *testing.T) {
	c := start(t, server.Options{})
	long := `{"type":"synthesize","id":"long","text":"` + strings.Repeat(story+" ", 5) + `"}`
	c.send(long)
	if m := c.next(); m.Type != "audio" || m.Final || m.ID != "long" { // before it has ended
		t.Errorf("%+v", m)
	}
	for n := range waiting + 1 {
		c.send(fmt.Sprintf(`{"type":"synthesize","text":"One.","id":"%d"}`, n))
	}
	var order []string
	for len(order) < 1 { // the one too many is told at once, between the audio
		if m := c.next(); m.Type != "audio" {
			order = append(order, m.ID+" "+m.Code)
		}
	}
	c.send(`{"type":"cancel"}`)
	for len(order) < waiting+2 {
		_, _, end := c.answer()
		order = append(order, end.ID+" "+end.Code)
	}
	if want := []string{"4 QUEUE_FULL", "long CANCELED", "0 ", "1 ", "2 ", "3 "}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
	c.send(`{"type":"stop"}`)
	if _, _, err := c.conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Error(err)
	}
}

func TestClientThatLeavesEndsItsSpeech(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	service := servertest.Service(t, engine, server.Options{})
	address := servertest.Serve(t, service, New(service)) + paths[0]
	before, err := engine.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, politely := range []bool{true, false} {
		c := dial(t, address, nil)
		c.send(`{"type":"synthesize","text":"` + strings.Repeat(story+" ", 20) + `"}`)
		c.next()
		if politely {
			c.send(`{"type":"stop"}`)
		} else {
			c.conn.CloseNow()
		}
		servertest.Until(t, "the memory of the stream is free", func() bool {
			after, err := engine.Memory(t.Context())
			return err == nil && after.Allocated == before.Allocated
		})
	}
}

func TestWhoMayConnect(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{APIKey: "secret", Origins: []string{"https://example.com"}})
	address := servertest.Serve(t, service, New(service)) + paths[0]
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for n := 0; n < len(pairs); n += 2 {
			h.Set(pairs[n], pairs[n+1])
		}
		return h
	}
	for name, one := range map[string]struct {
		options websocket.DialOptions
		status  int
	}{
		"no key":              {websocket.DialOptions{}, 401},
		"a wrong key":         {websocket.DialOptions{HTTPHeader: header("Authorization", "Bearer no")}, 401},
		"a wrong key as name": {websocket.DialOptions{Subprotocols: []string{upgrade.KeyProtocol, "no"}}, 401},
		"another page":        {websocket.DialOptions{HTTPHeader: header("Authorization", "Bearer secret", "Origin", "https://evil.example")}, 403},
		"another host":        {websocket.DialOptions{Host: "evil.example", HTTPHeader: header("Authorization", "Bearer secret")}, 403},
	} {
		_, response, err := websocket.Dial(t.Context(), address, &one.options)
		if err == nil || response == nil || response.StatusCode != one.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, options := range map[string]websocket.DialOptions{
		"a key":          {HTTPHeader: header("Authorization", "bearer secret")},
		"a key as name":  {Subprotocols: []string{upgrade.KeyProtocol, "secret"}},
		"a page of ours": {HTTPHeader: header("Authorization", "Bearer secret", "Origin", "https://example.com")},
	} {
		c := dial(t, address, &options)
		c.send(`{"type":"synthesize","text":"One."}`)
		if _, _, end := c.answer(); end.Type != "complete" {
			t.Errorf("%s: %+v", name, end)
		}
		if len(options.Subprotocols) > 0 && c.conn.Subprotocol() != upgrade.KeyProtocol {
			t.Errorf("%s: sub-protocol %q", name, c.conn.Subprotocol())
		}
	}
}

func TestServiceThatLoads(t *testing.T) {
	service, err := server.New(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	c := dial(t, servertest.Serve(t, service, New(service))+paths[1], nil)
	c.send(example)
	if m := c.next(); m.Code != codeUnavailable {
		t.Errorf("%+v", m)
	}
	if err := service.Start(t.Context(), servertest.Engine(t), nil); err != nil {
		t.Fatal(err)
	}
	c.send(example)
	if _, _, end := c.answer(); end.Type != "complete" {
		t.Errorf("%+v", end)
	}
}

func TestMessagesThatAreTooLongEndTheConnection(t *testing.T) {
	c := start(t, server.Options{})
	c.send(`{"type":"synthesize","text":"` + strings.Repeat("a", messageBytes) + `"}`)
	if _, _, err := c.conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Error(err)
	}
}

// reason reads to the end and returns the code of it.
func (c *client) reason() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, _, err := c.conn.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// TestTheEndOfTheServerIsSaid, to who is spoken to, to who has asked for nothing, and before Serve returns.
func TestTheEndOfTheServerIsSaid(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	door, open := New(service), atomic.Int64{}
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Add(-1)
		door.ServeHTTP(w, r)
	})
	go func() { ended <- service.Serve(ctx, listener, counted) }()
	address := "http://" + listener.Addr().String() + paths[0]
	clients := []*client{dial(t, address, nil), dial(t, address, nil)}
	clients[0].send(`{"type":"synthesize","text":"` + strings.Repeat(story+" ", 20) + `"}`)
	clients[0].next()
	codes := make(chan websocket.StatusCode)
	for _, c := range clients {
		go func() { codes <- c.reason() }()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if left := open.Load(); left > 0 {
		t.Errorf("%d connections are still open when Serve has returned", left)
	}
	for range clients {
		if code := <-codes; code != websocket.StatusGoingAway {
			t.Errorf("code %d", code)
		}
	}
}

// TestWhoReadsNothingIsTold, as soon as there is room for a word.
func TestWhoReadsNothingIsTold(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	service := servertest.Service(t, engine, server.Options{Limits: server.Limits{Idle: 200 * time.Millisecond}})
	c := dial(t, servertest.Serve(t, service, New(service))+paths[0], nil)
	c.send(`{"type":"synthesize","text":"` + strings.Repeat(story+" ", 20) + `"}`)
	c.next()
	servertest.Until(t, "the speech ends", func() bool {
		open, _ := engine.Streams()
		return open == 0
	})
	if code := c.reason(); code != websocket.StatusTryAgainLater {
		t.Errorf("code %d", code)
	}
}

// FuzzProtocolKey: a key is a word of the header, and there is none without the name that announces it.
func FuzzProtocolKey(f *testing.F) {
	for _, seed := range []string{upgrade.KeyProtocol + ", secret", upgrade.KeyProtocol + ",secret,x", "secret, " + upgrade.KeyProtocol, upgrade.KeyProtocol, ", ,", upgrade.KeyProtocol + "," + upgrade.KeyProtocol} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		key := protocolKey(&http.Request{Header: http.Header{"Sec-Websocket-Protocol": {header}}})
		if key != "" && (!strings.HasPrefix(strings.TrimSpace(header), upgrade.KeyProtocol) || strings.Contains(key, ",") || strings.TrimSpace(key) != key || !strings.Contains(header, key)) {
			t.Errorf("%q: %q", header, key)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"type":"synthesize","text":"","voice":null,"seed":1e3,"speed":1e39,"binary":1,"encoding":"pcm32f"}`))
	service, err := server.New(server.Options{})
	if err != nil {
		f.Fatal(err)
	}
	s := &session{service: service}
	f.Fuzz(func(t *testing.T, in []byte) {
		var message map[string]json.RawMessage
		if json.Unmarshal(in, &message) != nil || message == nil {
			return
		}
		r := s.request(message)
		if r.code == "" && (r.ask.Rate != 0 && !(r.ask.Rate >= 0.25 && r.ask.Rate <= 4)) {
			t.Errorf("%s: speed %g", in, r.ask.Rate)
		}
		if (r.code == "") != (r.problem == "") {
			t.Errorf("%s: %q %q", in, r.code, r.problem)
		}
	})
}
