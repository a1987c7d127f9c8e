package wyoming

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

const (
	root   = "../../.."
	phrase = "The quick brown fox."
	// story takes longer to say than any step of a test.
	story = "The quick brown fox jumps over the lazy dog. It runs into the woods and is not seen again. Nobody knows why. " +
		"The dog sleeps on. In the evening the fox comes back, and the dog is still there."
)

// python is one with the library of the protocol; the test is skipped where there is none (tests/wyoming/install.sh).
func python(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("WYOMING_PYTHON"); path != "" {
		return path
	}
	path, err := filepath.Abs(filepath.Join(root, "build/wyoming-client/bin/python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no Python with the library: tests/wyoming/install.sh installs it")
	}
	return path
}

// serve serves a service until the test ends and returns the address.
func serve(t testing.TB, service *server.Service, options Options) string {
	t.Helper()
	door, err := New(service, options)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// client writes events as the library does, and reads them with their payload.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t, conn, bufio.NewReader(conn)}
}

type fields map[string]any

func (c *client) send(kind string, data fields) {
	c.t.Helper()
	var value any
	if data != nil {
		value = data
	}
	out, err := appendEvent(nil, kind, value, nil)
	if err == nil {
		_, err = c.conn.Write(out)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

type received struct {
	kind    string
	data    fields
	payload []byte
}

func (c *client) next() received {
	c.t.Helper()
	e, err := c.tryNext()
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

func (c *client) tryNext() (e received, err error) {
	line, err := c.r.ReadBytes('\n')
	if err != nil {
		return e, err
	}
	var head struct {
		Type          string `json:"type"`
		DataLength    int    `json:"data_length"`
		PayloadLength int    `json:"payload_length"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return e, err
	}
	e.kind = head.Type
	data := make([]byte, head.DataLength)
	if _, err := io.ReadFull(c.r, data); err != nil {
		return e, err
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &e.data); err != nil {
			return e, err
		}
	}
	e.payload = make([]byte, head.PayloadLength)
	_, err = io.ReadFull(c.r, e.payload)
	return e, err
}

// heard is what came up to an event: kinds, each once where it is repeated, and the sound.
type heard struct {
	kinds   []string
	pcm     []byte
	sizes   []int
	problem fields
}

func (c *client) until(kinds ...string) (h heard) {
	c.t.Helper()
	for {
		e := c.next()
		if len(h.kinds) == 0 || h.kinds[len(h.kinds)-1] != e.kind {
			h.kinds = append(h.kinds, e.kind)
		}
		switch e.kind {
		case "audio-start", "audio-chunk":
			if e.data["rate"] != 24000.0 || e.data["width"] != 2.0 || e.data["channels"] != 1.0 {
				c.t.Errorf("%s: %v", e.kind, e.data)
			}
			h.pcm = append(h.pcm, e.payload...)
			if len(e.payload) > 0 {
				h.sizes = append(h.sizes, len(e.payload))
			}
		case "error":
			h.problem = e.data
		}
		if slices.Contains(kinds, e.kind) {
			return h
		}
	}
}

func (h heard) expect(t testing.TB, kinds ...string) {
	t.Helper()
	if !slices.Equal(h.kinds, kinds) {
		t.Errorf("%v, want %v (%v)", h.kinds, kinds, h.problem)
	}
}

var (
	whole    = []string{"audio-start", "audio-chunk", "audio-stop"}
	streamed = []string{"audio-start", "audio-chunk", "audio-stop", "synthesize-stopped"}
)

func TestDescribe(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{Version: "7"}))
	for range 2 {
		c.send("describe", nil)
		e := c.next()
		program := e.data["tts"].([]any)[0].(map[string]any)
		voice := program["voices"].([]any)[0].(map[string]any)
		if e.kind != "info" || program["name"] != "pocket-tts" || program["version"] != "7" || program["supports_synthesize_streaming"] != true ||
			voice["name"] != "slt" || voice["installed"] != true || fmt.Sprint(voice["languages"]) != "[en]" ||
			!strings.Contains(fmt.Sprint(voice["attribution"]), "MIT") {
			t.Errorf("%s %v", e.kind, e.data)
		}
	}
	c.send("ping", fields{"text": "ä"})
	if e := c.next(); e.kind != "pong" || e.data["text"] != "ä" {
		t.Errorf("%v", e)
	}
	c.send("ping", nil)
	if e := c.next(); e.kind != "pong" || e.data["text"] != nil {
		t.Errorf("%v", e)
	}
}

func TestSynthesize(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	want := servertest.PCM(t, nil, phrase, pockettts.SpeakOptions{})
	for _, data := range []fields{
		{"text": " The quick\nbrown fox. "},
		{"text": phrase, "voice": fields{"name": "slt", "speaker": "x"}},
		{"text": phrase, "voice": fields{"name": "pocket-tts-slt"}},
		{"text": phrase, "voice": fields{"name": "nobody"}},
		{"text": phrase, "voice": fields{"name": "http://127.0.0.1:1/voice.wav"}},
		{"text": phrase, "voice": fields{"name": "../../etc/passwd"}},
		{"text": phrase, "voice": fields{"language": "xx"}},
		{"text": "<speak>The <em>quick</em> brown fox.</speak>", "text_format": "ssml"},
	} {
		c.send("synthesize", data)
		h := c.until("audio-stop")
		h.expect(t, whole...)
		if !bytes.Equal(h.pcm, want) {
			t.Errorf("%v: %d bytes of sound, want %d", data, len(h.pcm), len(want))
		}
		for n, size := range h.sizes { // a frame is 1920 samples
			if size != []int{2048, 1792}[n%2] {
				t.Errorf("chunk %d has %d bytes", n, size)
				break
			}
		}
	}
}

func TestRequestsOfAConnectionAreAnsweredInTheirOrder(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	want := [][]byte{
		servertest.PCM(t, nil, phrase, pockettts.SpeakOptions{}), servertest.PCM(t, nil, "One.", pockettts.SpeakOptions{}),
	}
	c.send("synthesize", fields{"text": phrase})
	c.send("synthesize", fields{"text": ""})
	c.send("synthesize", fields{"text": "One."})
	for n, kinds := range [][]string{whole, {"audio-stop"}, whole} {
		h := c.until("audio-stop")
		h.expect(t, kinds...)
		if n != 1 && !bytes.Equal(h.pcm, want[n/2]) {
			t.Errorf("request %d: other sound", n)
		}
	}
}

// What Home Assistant sends for a text that is still coming: the chunks, and then the whole once more.
func TestStreamedText(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	plain := servertest.PCM(t, nil, story, pockettts.SpeakOptions{})
	want := streamedPCM(t, story)
	if ratio := float64(len(want)) / float64(len(plain)); ratio < 0.9 || ratio > 1.1 {
		t.Errorf("sentence by sentence it is %.2f times as long", ratio)
	}
	c.send("synthesize-start", fields{"voice": fields{"name": "slt"}})
	for word := range strings.SplitAfterSeq(story, " ") {
		c.send("synthesize-chunk", fields{"text": word})
	}
	c.send("synthesize", fields{"text": story})
	c.send("synthesize-stop", nil)
	h := c.until("synthesize-stopped")
	h.expect(t, streamed...)
	if !bytes.Equal(h.pcm, want) {
		t.Errorf("%d bytes of sound, want %d", len(h.pcm), len(want))
	}
	// Afterwards the connection takes plain requests again.
	c.send("synthesize", fields{"text": "One."})
	c.until("audio-stop").expect(t, whole...)
}

// streamedPCM is what the engine itself says of a text that is still coming.
func streamedPCM(t testing.TB, text string) []byte {
	t.Helper()
	parts := make(chan string, 1)
	parts <- text
	close(parts)
	stream, err := servertest.Engine(t).SpeakParts(t.Context(), parts, pockettts.SpeakOptions{Format: pockettts.PCM})
	if err != nil {
		t.Fatal(err)
	}
	pcm, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	return pcm
}

func TestSoundComesBeforeTheTextHasEnded(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	c.send("synthesize-start", nil)
	c.send("synthesize-chunk", fields{"text": "A full sentence. "})
	c.until("audio-chunk").expect(t, "audio-start", "audio-chunk")
	c.send("synthesize-chunk", fields{"text": "And the rest"})
	c.send("synthesize-stop", nil)
	c.until("synthesize-stopped").expect(t, "audio-chunk", "audio-stop", "synthesize-stopped")
}

func TestTextsWithNothingToSay(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	for _, text := range []string{"", " \n ", "\u200b"} {
		c.send("synthesize", fields{"text": text})
		c.until("audio-stop").expect(t, "audio-stop")
		c.send("synthesize-start", nil)
		c.send("synthesize-chunk", fields{"text": text})
		c.send("synthesize-stop", nil)
		c.until("synthesize-stopped").expect(t, "synthesize-stopped")
	}
	c.send("synthesize-start", nil)
	c.send("synthesize-stop", nil)
	c.until("synthesize-stopped").expect(t, "synthesize-stopped")
	c.send("synthesize-chunk", fields{"text": "of nothing"})
	c.send("synthesize-stop", nil)
	c.until("synthesize-stopped").expect(t, "synthesize-stopped")
	c.send("from-the-future", fields{"text": "x"})
	c.send("ping", nil)
	c.until("pong").expect(t, "pong")
}

func TestDescribeIsAnsweredWhileItSpeaks(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	c.send("synthesize", fields{"text": strings.Repeat(story, 3)})
	c.until("audio-chunk")
	c.send("describe", nil)
	c.send("ping", nil)
	c.until("info", "audio-stop").expect(t, "audio-chunk", "info")
	h := c.until("pong", "audio-stop")
	if h.kinds[len(h.kinds)-1] != "pong" {
		t.Errorf("%v", h.kinds)
	}
}

func TestNewTextEndsTheOneBefore(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	c.send("synthesize-start", nil)
	c.send("synthesize-chunk", fields{"text": strings.Repeat(story, 3)})
	c.until("audio-chunk")
	c.send("synthesize-start", nil)
	c.send("synthesize-chunk", fields{"text": phrase})
	c.send("synthesize-stop", nil)
	first := c.until("audio-stop")
	if len(first.pcm) >= len(streamedPCM(t, story)) {
		t.Error("the first text was spoken on")
	}
	h := c.until("synthesize-stopped")
	h.expect(t, streamed...)
	if !bytes.Equal(h.pcm, streamedPCM(t, phrase)) {
		t.Error("other sound than of the second text alone")
	}
}

func TestErrorsEndAnUtteranceAndNotTheConnection(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{TextChars: 100, Sound: 2 * time.Second}})
	c := dial(t, serve(t, service, Options{}))
	for name, one := range map[string]struct {
		data fields
		code string
	}{
		"too long":       {fields{"text": strings.Repeat("ä", 101)}, "InvalidEvent"},
		"no text":        {fields{"voice": fields{"name": "slt"}}, "InvalidEvent"},
		"text of 3":      {fields{"text": 3}, "InvalidEvent"},
		"too much sound": {fields{"text": story[:99]}, "SynthesisError"},
	} {
		c.send("synthesize", one.data)
		h := c.until("audio-stop")
		if end := h.kinds[len(h.kinds)-2:]; !slices.Equal(end, []string{"error", "audio-stop"}) || h.problem["code"] != one.code || h.problem["text"] == "" {
			t.Errorf("%s: %v %v", name, h.kinds, h.problem)
		}
		c.send("synthesize-start", nil)
		c.send("synthesize-chunk", one.data)
		c.send("synthesize-chunk", fields{"text": "."})
		c.send("synthesize", one.data)
		c.send("synthesize-stop", nil)
		h = c.until("synthesize-stopped")
		if end := h.kinds[len(h.kinds)-3:]; !slices.Equal(end, []string{"error", "audio-stop", "synthesize-stopped"}) || h.problem["code"] != one.code {
			t.Errorf("%s, streamed: %v %v", name, h.kinds, h.problem)
		}
	}
	c.send("synthesize", fields{"text": "One."})
	c.until("audio-stop").expect(t, whole...)
}

func TestVoiceThatCannotBeLoaded(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "ann.safetensors"), []byte("not a voice"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{VoicesDir: folder}), Options{}))
	c.send("synthesize", fields{"text": "One.", "voice": fields{"name": "ann"}})
	h := c.until("audio-stop")
	h.expect(t, "error", "audio-stop")
	if h.problem["code"] != "VoiceLoadError" || h.problem["text"] != "Failed to load voice: ann" {
		t.Errorf("%v", h.problem)
	}
}

func TestTheEngineFails(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	c := dial(t, serve(t, servertest.Service(t, engine, server.Options{}), Options{}))
	c.send("synthesize-start", nil)
	c.send("synthesize-chunk", fields{"text": strings.Repeat(story, 3)})
	c.until("audio-chunk")
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	h := c.until("synthesize-stopped")
	if end := h.kinds[len(h.kinds)-3:]; !slices.Equal(end, []string{"error", "audio-stop", "synthesize-stopped"}) || h.problem["code"] != "SynthesisError" {
		t.Errorf("%v %v", h.kinds, h.problem)
	}
}

func TestBadBytesEndTheConnection(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	if _, err := c.conn.Write([]byte("{\"type\": \"a\", \"data_length\": 1e3}\n")); err != nil {
		t.Fatal(err)
	}
	if e := c.next(); e.kind != "error" || e.data["code"] != "InvalidEvent" {
		t.Errorf("%v", e)
	}
	if _, err := c.tryNext(); err == nil {
		t.Error("the connection is still open")
	}
}

func TestTooManyRequestsEndTheConnection(t *testing.T) {
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{}), Options{}))
	c.send("synthesize", fields{"text": strings.Repeat(story, 3)})
	for range utterancesWaiting {
		c.send("synthesize", fields{"text": "One."})
	}
	for e, err := c.tryNext(); err == nil; e, err = c.tryNext() {
		if e.kind == "audio-stop" {
			t.Fatal("the first request was spoken to its end")
		}
	}
}

func TestClientThatLeavesEndsItsSpeech(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{MaxStreams: 1, MaxQueue: pockettts.NoQueue})
	address := serve(t, servertest.Service(t, engine, server.Options{}), Options{})
	before, err := engine.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, streaming := range []bool{false, true} {
		c := dial(t, address)
		if streaming {
			c.send("synthesize-start", nil)
			c.send("synthesize-chunk", fields{"text": strings.Repeat(story, 10)})
		} else {
			c.send("synthesize", fields{"text": strings.Repeat(story, 10)})
		}
		c.until("audio-chunk")
		c.conn.Close()
		servertest.Until(t, "the memory of the stream is free", func() bool {
			after, err := engine.Memory(t.Context())
			return err == nil && after.Allocated == before.Allocated
		})
	}
	c := dial(t, address) // the only place is free again
	c.send("synthesize", fields{"text": "One."})
	c.until("audio-stop").expect(t, whole...)
}

func TestIdleConnectionIsClosed(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{Idle: 200 * time.Millisecond}})
	address := serve(t, service, Options{})
	idle, half := dial(t, address), dial(t, address)
	if _, err := half.conn.Write([]byte(`{"type": "des`)); err != nil {
		t.Fatal(err)
	}
	waits := dial(t, address)
	waits.send("synthesize-start", nil)
	for name, c := range map[string]*client{"says nothing": idle, "stops in a line": half, "never ends its text": waits} {
		if e, err := c.tryNext(); err != io.EOF {
			t.Errorf("who %s: %v %v", name, e, err)
		}
	}
}

func TestOneConnectionTooManyIsClosed(t *testing.T) {
	address := serve(t, servertest.Service(t, nil, server.Options{}), Options{Connections: 2})
	var held []*client
	for range 2 {
		c := dial(t, address)
		c.send("ping", nil)
		c.until("pong")
		held = append(held, c)
	}
	if _, err := dial(t, address).tryNext(); err == nil {
		t.Error("there is a third connection")
	}
	held[0].conn.Close()
	servertest.Until(t, "a place is free", func() bool {
		c := dial(t, address)
		defer c.conn.Close()
		out, _ := appendEvent(nil, "ping", nil, nil)
		_, _ = c.conn.Write(out)
		_, err := c.tryNext()
		return err == nil
	})
}

func TestServiceThatLoads(t *testing.T) {
	service, err := server.New(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	c := dial(t, serve(t, service, Options{Voices: []string{"slt"}}))
	c.send("synthesize", fields{"text": "One."})
	c.send("describe", nil)
	if e := c.next(); e.kind != "info" || !strings.Contains(fmt.Sprint(e.data), "name:slt") {
		t.Errorf("%v", e)
	}
	if err := service.Start(t.Context(), servertest.Engine(t), nil); err != nil {
		t.Fatal(err)
	}
	c.until("audio-stop").expect(t, whole...)
}

func TestTheEndOfTheServer(t *testing.T) {
	door, err := New(servertest.Service(t, nil, server.Options{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := Listen("unix://" + path)
	if err != nil {
		t.Skip("no Unix sockets: ", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(ctx, listener) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t, conn, bufio.NewReader(conn)}
	c.send("synthesize", fields{"text": strings.Repeat(story, 10)})
	c.until("audio-chunk")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for err == nil {
		_, err = c.tryNext()
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestSocketThatWasLeftBehind by a server that was killed is taken; one where somebody listens, or another file, is not.
func TestSocketThatWasLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets: ", err)
	}
	if _, err := Listen("unix://" + path); err == nil || !strings.Contains(err.Error(), "another server listens there") {
		t.Errorf("in use: %v", err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	left.Close()
	listener, err := Listen("unix://" + path)
	if err != nil {
		t.Fatalf("left behind: %v", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Errorf("nobody listens: %v", err)
	} else {
		conn.Close()
	}
	listener.Close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix://" + path); err == nil {
		t.Error("a file is no socket")
	}
	if data, err := os.ReadFile(path); string(data) != "mine" {
		t.Errorf("the file: %q %v", data, err)
	}
}

// Standard input may end before anything has been said.
func TestPipe(t *testing.T) {
	door, err := New(servertest.Service(t, nil, server.Options{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var in, out bytes.Buffer
	for _, one := range []struct {
		kind string
		data any
	}{{"describe", nil}, {"synthesize", fields{"text": phrase}}, {"synthesize-start", nil}, {"synthesize-chunk", fields{"text": "One."}}} {
		data, err := appendEvent(nil, one.kind, one.data, nil)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(data)
	}
	door.ServePipe(t.Context(), &in, &out)
	c := &client{t: t, r: bufio.NewReader(&out)}
	c.until("audio-stop").expect(t, append([]string{"info"}, whole...)...)
	c.until("synthesize-stopped").expect(t, streamed...)
}

func TestDots(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	c := dial(t, serve(t, service, Options{Prefix: Dots}))
	full := servertest.PCM(t, nil, "... "+phrase, pockettts.SpeakOptions{})
	c.send("synthesize", fields{"text": phrase})
	h := c.until("audio-stop")
	h.expect(t, whole...)
	// The end is that of the speech with dots; what is cut is what cut says.
	if len(h.pcm) >= len(full) || !bytes.Equal(full[len(full)-len(h.pcm):], h.pcm) {
		t.Fatalf("%d bytes of %d are not its end", len(h.pcm), len(full))
	}
	x := make([]float32, 24000)
	for n := range min(len(x), len(full)/2) {
		x[n] = float32(int16(uint16(full[2*n])|uint16(full[2*n+1])<<8)) / 32767
	}
	if cut := (Trim{}).withDefaults().cut(x, 24000); len(full)-len(h.pcm) != 2*cut {
		t.Errorf("%d samples are cut, want %d", (len(full)-len(h.pcm))/2, cut)
	}
	// As it comes it is spoken when all of it is there.
	c.send("synthesize-start", nil)
	for _, part := range []string{"The quick ", "brown ", "fox."} {
		c.send("synthesize-chunk", fields{"text": part})
	}
	c.send("synthesize-stop", nil)
	again := c.until("synthesize-stopped")
	again.expect(t, streamed...)
	if !bytes.Equal(again.pcm, h.pcm) {
		t.Error("streamed it sounds otherwise")
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRecordingsAndLog(t *testing.T) {
	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	folder := t.TempDir()
	c := dial(t, serve(t, servertest.Service(t, nil, server.Options{Logger: logger}), Options{DebugDir: folder}))
	c.send("synthesize", fields{"text": phrase})
	h := c.until("audio-stop")
	files, err := filepath.Glob(filepath.Join(folder, "debug_slt_????????_??????_??????.wav"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	servertest.Until(t, "the recording is whole", func() bool {
		data, err := os.ReadFile(files[0])
		return err == nil && bytes.Equal(data, append(wav.AppendHeader(nil, 24000, uint32(len(h.pcm))), h.pcm...))
	})
	for _, line := range []string{"DEBUG STREAM: sent 1024 samples", "DEBUG STREAM: sent 896 samples"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("no line %q", line)
		}
	}
	c.send("synthesize", fields{"text": "One.", "voice": fields{"name": strings.Repeat("n", 10_000)}})
	c.until("audio-stop").expect(t, whole...)
	if !strings.Contains(log.String(), "no such voice") || strings.Contains(log.String(), strings.Repeat("n", 81)) {
		t.Error("an unknown voice is worth a warning, of one line")
	}
	if strings.Contains(log.String(), "quick") {
		t.Error("the log has the text")
	}
}

// The client is the Python library's own.
func TestPythonClient(t *testing.T) {
	path := python(t)
	address := serve(t, servertest.Service(t, nil, server.Options{}), Options{})
	args := append([]string{filepath.Join(root, "tests/wyoming/client.py"), "tcp://" + address}, strings.SplitAfter(story, " ")...)
	cmd := exec.CommandContext(t.Context(), path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	type sound struct {
		Kinds  []string
		Rate   int
		Bytes  int
		SHA256 string
	}
	var result struct {
		Info            []map[string]any
		Pong            string
		Whole, Streamed sound
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatal(err)
	}
	if info := fmt.Sprint(result.Info); !strings.Contains(info, "installed:true program:pocket-tts streaming:true voices:[[slt true [en]") || result.Pong != "here" {
		t.Errorf("%s, pong %q", info, result.Pong)
	}
	for name, one := range map[string]struct {
		got   sound
		want  []byte
		kinds []string
	}{
		"whole":    {result.Whole, servertest.PCM(t, nil, story, pockettts.SpeakOptions{}), whole},
		"streamed": {result.Streamed, streamedPCM(t, story), streamed},
	} {
		sum := sha256.Sum256(one.want)
		if one.got.Rate != 24000 || one.got.SHA256 != hex.EncodeToString(sum[:]) || !slices.Equal(one.got.Kinds, one.kinds) {
			t.Errorf("%s: %+v, want %d bytes with sha256 %x", name, one.got, len(one.want), sum)
		}
	}
}

func TestOptionsAndAddressesThatAreRefused(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	for _, options := range []Options{
		{Prefix: "commas"}, {Connections: -1}, {Trim: Trim{Min: 2 * time.Second}}, {Trim: Trim{Gap: -1}}, {Trim: Trim{Max: time.Hour}},
	} {
		if _, err := New(service, options); err == nil {
			t.Errorf("%+v is taken", options)
		}
	}
	for _, uri := range []string{"", "tcp://localhost", "udp://localhost:1", "unix://", "localhost:10201", "tcp://[::1"} {
		if l, err := Listen(uri); err == nil {
			l.Close()
			t.Errorf("%s is taken", uri)
		}
	}
}
