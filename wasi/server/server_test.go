package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

const sentence = "Hello there."

var long = strings.Repeat("This sentence is spoken again and again, until somebody has heard enough. ", 200)

func problem(err error) server.Problem {
	var refusal *server.Error
	if !errors.As(err, &refusal) {
		return ""
	}
	return refusal.Problem
}

func TestSpeechIsTheEngines(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	speech, err := service.Speak(t.Context(), server.Request{Door: "test", Text: sentence})
	if err != nil {
		t.Fatal(err)
	}
	defer speech.Close()
	var pcm []byte
	for {
		samples, err := speech.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		pcm = wav.AppendPCM(pcm, samples)
	}
	if want := servertest.PCM(t, nil, sentence, pockettts.SpeakOptions{}); string(pcm) != string(want) {
		t.Errorf("%d bytes, the engine says %d others", len(pcm), len(want))
	}
	if speech.Frames() != len(pcm)/3840 || speech.Tokens() == 0 {
		t.Errorf("%d frames, %d tokens", speech.Frames(), speech.Tokens())
	}
	if _, err := speech.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{TextChars: 10}})
	for want, request := range map[server.Problem]server.Request{
		server.TextEmpty:    {Text: " "},
		server.TextTooLong:  {Text: "éééééééééé."},
		server.VoiceUnknown: {Text: "a", Voice: "nobody"},
		server.VoiceRefused: {Text: "a", Voice: "https://example.com/a.wav"},
		server.Invalid:      {Text: "a", Rate: 5},
		server.NoCloning:    {Text: "a", Upload: &server.Upload{Name: "a.wav", Data: strings.NewReader("")}},
		server.VoiceBroken:  {Text: "a", Upload: &server.Upload{Name: "a.safetensors", Data: strings.NewReader("a")}},
		server.TooLarge:     {Text: "a", Upload: &server.Upload{Name: "a.safetensors", Data: io.LimitReader(zeros{}, 26<<20)}},
	} {
		if _, err := service.Speak(t.Context(), request); problem(err) != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	if speech, err := service.Speak(t.Context(), server.Request{Text: "ééééé ééé."}); err != nil {
		t.Error(err) // ten characters, of more bytes
	} else {
		speech.Close()
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := service.Speak(done, server.Request{Text: "a"}); problem(err) != server.Cancelled {
		t.Errorf("cancelled: %v", err)
	}
}

// TestRefusalsAreShort, whatever a client has said.
func TestRefusalsAreShort(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	for _, err := range []error{server.Refuse(server.Invalid, "format: found %q", long), fmt.Errorf("%w: tensor %s", pockettts.ErrVoice, long)} {
		if text := server.Explain(err).Message; len(text) > 1100 || !utf8.ValidString(text) || !strings.HasSuffix(text, "é...") {
			t.Errorf("%d bytes: %.100q", len(text), text)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestUnknownDefaultVoiceEndsTheStart(t *testing.T) {
	service, err := server.New(server.Options{Voice: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	if err := service.Start(t.Context(), servertest.Engine(t), nil); problem(err) != server.VoiceUnknown {
		t.Errorf("%v", err)
	}
	if _, err := service.Speak(t.Context(), server.Request{Text: "a"}); problem(err) != server.Loading {
		t.Errorf("%v", err)
	}
}

// TestSettingsThatNobodyCouldSpeakWith are the operator's mistake, and known before the first request.
func TestSettingsThatNobodyCouldSpeakWith(t *testing.T) {
	for name, speak := range map[string]pockettts.SpeakOptions{
		"MaxTokens": {MaxTokens: pockettts.Value(0)}, "Temperature": {Temperature: pockettts.Value(float32(-1))}, "RNG": {RNG: "dice"},
	} {
		service, err := server.New(server.Options{Speak: speak})
		if err != nil {
			t.Fatal(err)
		}
		defer service.Close()
		if err := service.Start(t.Context(), servertest.Engine(t), nil); !errors.Is(err, pockettts.ErrArgument) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	servertest.Service(t, nil, server.Options{})
	if open, waiting := servertest.Engine(t).Streams(); open != 0 || waiting != 0 {
		t.Errorf("%d streams are left open, %d wait", open, waiting)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, options := range map[string]server.Options{
		"a limit":              {Limits: server.Limits{Sound: -1}},
		"no folder":            {VoicesDir: "no/such/folder"},
		"an origin with path":  {Origins: []string{"https://example.com/"}},
		"an origin, no scheme": {Origins: []string{"example.com"}},
		"http":                 {AllowVoiceURLs: []string{"http://example.com/"}},
		"a host, no slash":     {AllowVoiceURLs: []string{"https://example.com"}},
		"a host with a port":   {Hosts: []string{"tts.example:8000"}},
		"a host with a scheme": {Hosts: []string{"https://tts.example"}},
		"any host":             {Hosts: []string{"*"}},
		"no host":              {Hosts: []string{""}},
	} {
		if _, err := server.New(options); !errors.Is(err, pockettts.ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCloseEndsSpeech: what is open ends at its next frame, and what comes later is refused.
func TestCloseEndsSpeech(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	speech, err := service.Speak(t.Context(), server.Request{Text: long})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := speech.Next(); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- service.Close() }()
	for err == nil {
		_, err = speech.Next()
	}
	if problem(err) != server.Closed {
		t.Errorf("%v", err)
	}
	speech.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := service.Speak(t.Context(), server.Request{Text: "a"}); problem(err) != server.Closed {
		t.Errorf("%v", err)
	}
}

// TestServeEndsWithItsContext: in mid-speech, without an error, and with nothing left behind.
func TestServeEndsWithItsContext(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	before := runtime.NumGoroutine()
	service, err := server.New(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), engine, nil); err != nil {
		t.Fatal(err)
	}
	listeners := make([]net.Listener, 2)
	doors := make([]func(context.Context) error, 2)
	for n := range doors {
		if listeners[n], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		doors[n] = func(ctx context.Context) error {
			return service.Serve(ctx, listeners[n], ttshttp.New(service, ttshttp.Options{}))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx, doors...) }()
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.PostForm("http://"+listeners[1].Addr().String()+"/tts", url.Values{"text": {long}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 3840)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Error("the client takes it for whole")
	}
	response.Body.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := service.Close(); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	if open, _ := engine.Streams(); open != 0 {
		t.Errorf("%d streams are open", open)
	}
	servertest.Until(t, "the goroutines return", func() bool { return runtime.NumGoroutine() <= before })
	if _, err := net.DialTimeout("tcp", listeners[0].Addr().String(), time.Second); err == nil {
		t.Error("it still listens")
	}
}

func TestOneDoorThatFailsEndsTheOthers(t *testing.T) {
	broken := errors.New("broken")
	err := server.Run(t.Context(), func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}, func(context.Context) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestOriginsOfUpgrades(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Origins: []string{"https://app.example"}})
	for origin, want := range map[string]bool{
		"": true, "http://localhost:8000": true, "https://app.example": true, "https://evil.example": false, "null": false,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8000/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", origin)
		if got := service.OriginAllowed(request); got != want {
			t.Errorf("%q: %t", origin, got)
		}
	}
}
