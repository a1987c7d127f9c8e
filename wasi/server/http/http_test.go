package http_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

const (
	streamHeader = "524946462494357757415645666d74201000000001000100c05d000080bb0000020010006461746100943577"
	sentence     = "Hello there."
	missing      = `{"detail":[{"type":"missing","loc":["body","text"],"msg":"Field required","input":null}]}`
)

// long is speech of minutes: more than any socket holds.
var long = strings.Repeat("This sentence is spoken again and again, until somebody has heard enough. ", 200)

func serve(t *testing.T, engine *pockettts.Engine, options server.Options) (string, *server.Service) {
	t.Helper()
	service := servertest.Service(t, engine, options)
	return servertest.Serve(t, service, ttshttp.New(service, ttshttp.Options{Text: "Say <this>."})), service
}

// file is a part of a form.
type file struct {
	field, name string
	data        []byte
}

// multipartForm makes a form as curl -F and browsers do.
func multipartForm(t *testing.T, fields map[string]string, files ...file) (string, []byte) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range fields {
		if err := form.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		part, err := form.CreateFormFile(file.field, file.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(file.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return form.FormDataContentType(), body.Bytes()
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

func ask(t *testing.T, method, address, kind string, body []byte, change ...func(*http.Request)) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for _, one := range change {
		one(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, data, err}
}

func speak(t *testing.T, address string, fields map[string]string, files ...file) answer {
	t.Helper()
	kind, body := multipartForm(t, fields, files...)
	return ask(t, http.MethodPost, address+"/tts", kind, body)
}

func detail(text string) string { return `{"detail":"` + text + `"}` }

// TestRoutes is the table of the reference, row by row.
func TestRoutes(t *testing.T) {
	address, _ := serve(t, nil, server.Options{})
	for _, row := range []struct {
		method, path, body string
		status             int
		allow              string
	}{
		{"GET", "/health", `{"status":"healthy"}`, 200, ""},
		{"POST", "/health", detail("Method Not Allowed"), 405, "GET"},
		{"HEAD", "/health", "", 405, "GET"},
		{"HEAD", "/", "", 405, "GET"},
		{"POST", "/", detail("Method Not Allowed"), 405, "GET"},
		{"GET", "/tts", detail("Method Not Allowed"), 405, "POST"},
		{"GET", "/tts/", detail("Not Found"), 404, ""},
		{"GET", "/v1/models", detail("Not Found"), 404, ""},
		{"POST", "/nothing", detail("Not Found"), 404, ""},
	} {
		got := ask(t, row.method, address+row.path, "", nil)
		if got.status != row.status || string(got.body) != row.body || got.header.Get("Allow") != row.allow ||
			got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %q %v", row.method, row.path, got.status, got.body, got.header)
		}
	}
}

func TestForms(t *testing.T) {
	address, _ := serve(t, nil, server.Options{})
	form := func(pairs ...string) []byte {
		values := url.Values{}
		for n := 0; n < len(pairs); n += 2 {
			values.Set(pairs[n], pairs[n+1])
		}
		return []byte(values.Encode())
	}
	const urlencoded = "application/x-www-form-urlencoded"
	both, bothBody := multipartForm(t, map[string]string{"text": "a", "voice_url": "slt"}, file{"voice_wav", "a.wav", []byte("x")})
	onlyVoice, onlyVoiceBody := multipartForm(t, map[string]string{"voice_url": "slt"})
	named := detail("voice_url must start with http://, https://, or hf://")
	refused := detail("this server fetches no voices from URLs (--allow-voice-url)")
	for _, row := range []struct {
		name, kind string
		data       []byte
		status     int
		body       string
	}{
		{"no body", "", nil, 422, missing},
		{"JSON", "application/json", []byte(`{"text":"a"}`), 422, missing},
		{"no text", urlencoded, form("voice_url", "slt"), 422, missing},
		{"no text, multipart", onlyVoice, onlyVoiceBody, 422, missing},
		{"empty text", urlencoded, form("text", ""), 422, missing},
		{"blank text", urlencoded, form("text", " \t\n"), 400, detail("Text cannot be empty")},
		{"broken multipart", "multipart/form-data; boundary=x", []byte("nothing"), 400, detail("There was an error parsing the body")},
		{"both voices", both, bothBody, 400, detail("Cannot provide both voice_url and voice_wav")},
		{"no such voice", urlencoded, form("text", "a", "voice_url", "nobody"), 400, named},
		{"a path", urlencoded, form("text", "a", "voice_url", "/etc/passwd"), 400, named},
		{"a path up", urlencoded, form("text", "a", "voice_url", "../../etc/passwd"), 400, named},
		{"a file URL", urlencoded, form("text", "a", "voice_url", "file:///etc/passwd"), 400, named},
		{"NUL", urlencoded, form("text", "a", "voice_url", "slt\x00"), 400, named},
		{"a backslash", urlencoded, form("text", "a", "voice_url", `..\slt`), 400, named},
		{"metadata", urlencoded, form("text", "a", "voice_url", "http://169.254.169.254/"), 400, refused},
		{"https", urlencoded, form("text", "a", "voice_url", "https://example.com/voice.wav"), 400, refused},
		{"hub", urlencoded, form("text", "a", "voice_url", "hf://x/y/z"), 400, refused},
	} {
		got := ask(t, http.MethodPost, address+"/tts", row.kind, row.data)
		if got.status != row.status || string(got.body) != row.body || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", row.name, got.status, got.body)
		}
	}
}

// TestSpeech: the bytes of the command line, and the engine's own samples between header and silence.
func TestSpeech(t *testing.T) {
	address, _ := serve(t, nil, server.Options{})
	want := servertest.PCM(t, nil, sentence, pockettts.SpeakOptions{})
	voice, err := starter.FS().Open("voices/slt.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer voice.Close()
	data, err := io.ReadAll(voice)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]answer{
		"multipart":         speak(t, address, map[string]string{"text": sentence}),
		"a voice by name":   speak(t, address, map[string]string{"text": sentence, "voice_url": "slt"}),
		"no file chosen":    speak(t, address, map[string]string{"text": sentence, "voice_url": ""}, file{"voice_wav", "", nil}),
		"an uploaded voice": speak(t, address, map[string]string{"text": sentence}, file{"voice_wav", "mine.safetensors", data}),
		"urlencoded": ask(t, http.MethodPost, address+"/tts", "application/x-www-form-urlencoded",
			[]byte(url.Values{"text": {sentence}}.Encode())),
	} {
		if got.status != 200 || got.err != nil || got.header.Get("Content-Type") != "audio/wav" ||
			got.header.Get("Content-Disposition") != "attachment; filename=generated_speech.wav" || got.header.Get("Content-Length") != "" {
			t.Fatalf("%s: %d %v %v %s", name, got.status, got.err, got.header, got.body[:min(200, len(got.body))])
		}
		if header := hex.EncodeToString(got.body[:44]); header != streamHeader {
			t.Errorf("%s: header %s", name, header)
		}
		if !bytes.Equal(got.body[44:len(got.body)-9600], want) || !bytes.Equal(got.body[len(got.body)-9600:], make([]byte, 9600)) {
			t.Errorf("%s: %d bytes are not the engine's %d and the silence", name, len(got.body), len(want))
		}
	}
}

func TestBrokenVoicesAreTheClientsFault(t *testing.T) {
	address, _ := serve(t, nil, server.Options{AllowCloning: true})
	text := map[string]string{"text": "a"}
	for _, row := range []struct {
		file   file
		status int
		says   string
	}{
		{file{"voice_wav", "a.safetensors", []byte("no voice")}, 400, "from a file"},
		{file{"voice_wav", "a.mp3", []byte("ID3")}, 400, "expected a voice file (.safetensors) or a recording (.wav)"},
		{file{"voice_wav", "a.flac", []byte("fLaC")}, 400, "expected a voice file (.safetensors) or a recording (.wav)"},
		{file{"voice_wav", "a.wav", nil}, 403, "untrained filler"}, // the starter voice clones nobody
	} {
		got := speak(t, address, text, row.file)
		if got.status != row.status || !strings.Contains(string(got.body), row.says) {
			t.Errorf("%s: %d %s", row.file.name, got.status, got.body)
		}
	}
	fixture := servertest.Fixture(t, "../../..")
	engine := servertest.Load(t, pockettts.Options{Config: fixture + "/config.yaml"})
	service, err := server.New(server.Options{AllowCloning: true})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	own, err := os.Open(fixture + "/voice.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	voice, err := engine.LoadVoice(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), engine, voice); err != nil {
		t.Fatal(err)
	}
	address = servertest.Serve(t, service, ttshttp.New(service, ttshttp.Options{}))
	if got := speak(t, address, text, file{"voice_wav", "a.wav", nil}); got.status != 400 {
		t.Errorf("0 bytes: %d %s", got.status, got.body)
	}
	// A header that promises an hour, and does not keep it.
	bomb := append([]byte("RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\xc0\x5d\x00\x00\x80\xbb\x00\x00\x02\x00\x10\x00data\xff\xff\xff\xff"),
		make([]byte, 48000)...)
	if got := speak(t, address, text, file{"voice_wav", "a.wav", bomb}); got.status != 200 && got.status != 400 {
		t.Errorf("bomb: %d %s", got.status, got.body)
	}
}

func TestCloningIsTheOperatorsChoice(t *testing.T) {
	address, _ := serve(t, nil, server.Options{})
	got := speak(t, address, map[string]string{"text": "a"}, file{"voice_wav", "a.WAV", []byte("RIFF")})
	if got.status != 403 || !strings.Contains(string(got.body), "--allow-cloning") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// firstBytes begins a request and reads its header and first frame.
func firstBytes(t *testing.T, address string) *http.Response {
	t.Helper()
	response, err := http.PostForm(address+"/tts", url.Values{"text": {long}})
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 {
		data, _ := io.ReadAll(response.Body)
		t.Fatalf("%d %s", response.StatusCode, data)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 44+3840)); err != nil {
		t.Fatal(err)
	}
	return response
}

func streams(engine *pockettts.Engine) int {
	open, _ := engine.Streams()
	return open
}

// TestSoundComesWhileItIsMade, and a client that goes away ends it.
func TestSoundComesWhileItIsMade(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	address, _ := serve(t, engine, server.Options{})
	response := firstBytes(t, address)
	if streams(engine) != 1 {
		t.Error("minutes of speech were made before the first of them was sent")
	}
	response.Body.Close()
	servertest.Until(t, "the stream of a client that is gone ends", func() bool { return streams(engine) == 0 })
	if got := speak(t, address, map[string]string{"text": sentence}); got.status != 200 || got.err != nil {
		t.Errorf("afterwards: %d %v", got.status, got.err)
	}
}

func TestSlowReaderIsCutOff(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	address, _ := serve(t, engine, server.Options{Limits: server.Limits{Idle: 200 * time.Millisecond}})
	response := firstBytes(t, address)
	defer response.Body.Close()
	servertest.Until(t, "the stream of a client that does not read ends", func() bool { return streams(engine) == 0 })
	if _, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Error("the client takes it for whole")
	}
}

func TestLaterFailureBreaksTheBodyOff(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	address, _ := serve(t, engine, server.Options{Limits: server.Limits{Sound: 2 * time.Second}})
	got := speak(t, address, map[string]string{"text": long})
	if got.status != 200 || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("%d, %v", got.status, got.err)
	}
	if len(got.body) > 44+2*48000+3840 {
		t.Errorf("%d bytes of more than two seconds", len(got.body))
	}
	servertest.Until(t, "the stream ends", func() bool { return streams(engine) == 0 })
}

func TestTimeIsBounded(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	address, _ := serve(t, engine, server.Options{Limits: server.Limits{Time: 300 * time.Millisecond}})
	response := firstBytes(t, address)
	defer response.Body.Close()
	servertest.Until(t, "the stream ends", func() bool { return streams(engine) == 0 })
	if _, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Error("the client takes it for whole")
	}
}

// endless is a body of so many bytes whose length is not announced.
func endless(bytes int64) io.Reader { return io.LimitReader(zeros{}, bytes) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLargeBodiesAreRefused(t *testing.T) {
	address, _ := serve(t, nil, server.Options{})
	kind, head := multipartForm(t, map[string]string{"text": "a"}, file{"voice_wav", "a.wav", nil})
	head = head[:bytes.LastIndex(head, []byte("\r\n--"))]
	for name, length := range map[string]int64{"announced": int64(len(head)) + 30<<20, "not announced": -1} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/tts", io.MultiReader(bytes.NewReader(head), endless(30<<20)))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = length
		request.Header.Set("Content-Type", kind)
		response, err := new(http.Transport).RoundTrip(request)
		if err != nil { // the server does not listen to the end; whether the client still hears it is a matter of luck
			t.Logf("%s: %v", name, err)
			continue
		}
		data, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != 413 {
			t.Errorf("%s: %d %s", name, response.StatusCode, data)
		}
	}
	for _, text := range []string{strings.Repeat("a ", 500_000), strings.Repeat("é", 16385)} {
		if got := speak(t, address, map[string]string{"text": text}); got.status != 413 {
			t.Errorf("%d bytes of text: %d %s", len(text), got.status, got.body)
		}
	}
}

// TestFullQueue: one stream at a time and nobody waits.
func TestFullQueue(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{MaxStreams: 1, MaxQueue: pockettts.NoQueue})
	address, _ := serve(t, engine, server.Options{})
	response := firstBytes(t, address)
	defer response.Body.Close()
	got := speak(t, address, map[string]string{"text": "a"})
	if got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// TestWaitingForATurn: who waits for longer than Limits.Idle is not cut off.
func TestWaitingForATurn(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{MaxStreams: 1})
	address, _ := serve(t, engine, server.Options{Limits: server.Limits{Idle: 100 * time.Millisecond}})
	first, err := engine.Speak(t.Context(), sentence, pockettts.SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int)
	go func() {
		response, err := http.PostForm(address+"/tts", url.Values{"text": {sentence}})
		if err != nil {
			answered <- 0
			return
		}
		response.Body.Close()
		answered <- response.StatusCode
	}()
	servertest.Until(t, "the request waits", func() bool {
		_, waiting := engine.Streams()
		return waiting == 1
	})
	time.Sleep(300 * time.Millisecond)
	first.Close()
	if status := <-answered; status != 200 {
		t.Errorf("%d", status)
	}
}

func TestRequestsAtOnceSayTheSame(t *testing.T) {
	address, _ := serve(t, nil, server.Options{})
	want := speak(t, address, map[string]string{"text": sentence}).body
	results := make(chan []byte)
	for range 4 {
		go func() {
			response, err := http.PostForm(address+"/tts", url.Values{"text": {sentence}})
			if err != nil {
				results <- nil
				return
			}
			defer response.Body.Close()
			data, _ := io.ReadAll(response.Body)
			results <- data
		}()
	}
	for range 4 {
		if !bytes.Equal(<-results, want) {
			t.Error("one of several at once differs")
		}
	}
}

func TestPage(t *testing.T) {
	address, _ := serve(t, nil, server.Options{})
	for path, kind := range map[string]string{"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css"} {
		got := ask(t, http.MethodGet, address+path, "", nil)
		if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), kind) ||
			!strings.HasPrefix(got.header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		for _, foreign := range []string{"http://", "https://", "//cdn", "style=", "onclick", "<script>"} {
			if strings.Contains(string(got.body), foreign) {
				t.Errorf("%s contains %s", path, foreign)
			}
		}
	}
	page := string(ask(t, http.MethodGet, address+"/", "", nil).body)
	for _, part := range []string{"Say &lt;this&gt;.", `name="text"`, "<option>slt</option>", `name="voice_url"`} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
}

func TestKey(t *testing.T) {
	address, _ := serve(t, nil, server.Options{APIKey: "secret"})
	with := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	for _, path := range []string{"/", "/health", "/page.js"} {
		if got := ask(t, http.MethodGet, address+path, "", nil); got.status != 200 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if page := ask(t, http.MethodGet, address+"/", "", nil); strings.Contains(string(page.body), "slt") {
		t.Error("the page tells everybody which voices there are")
	}
	form := []byte(url.Values{"text": {"a"}}.Encode())
	for value, status := range map[string]int{"": 401, "Bearer wrong": 401, "Basic secret": 401, "secret": 401, "Bearer secret": 200, "bearer secret": 200} {
		got := ask(t, http.MethodPost, address+"/tts", "application/x-www-form-urlencoded", form, with(value))
		if got.status != status || status == 401 && (!strings.HasPrefix(string(got.body), `{"detail":"`) || got.header.Get("WWW-Authenticate") == "") {
			t.Errorf("%q: %d %s", value, got.status, got.body[:min(100, len(got.body))])
		}
	}
	if got := ask(t, http.MethodGet, address+"/metrics", "", nil); got.status != 401 {
		t.Errorf("/metrics: %d", got.status)
	}
	if got := ask(t, http.MethodGet, address+"/nothing", "", nil); got.status != 401 {
		t.Errorf("/nothing: %d", got.status)
	}
}

func TestHostIsChecked(t *testing.T) {
	address, _ := serve(t, nil, server.Options{Hosts: []string{"tts.example", "192.168.1.5", "FD00:0::5", "xn--bcher-kva.example."}})
	port := address[strings.LastIndex(address, ":"):]
	for host, status := range map[string]int{
		"localhost" + port: 200, "LOCALHOST": 200, "127.0.0.1" + port: 200, "[::1]" + port: 200, "tts.example": 200, "TTS.example" + port: 200,
		"evil.example" + port: 403, "evil.example": 403, "localhost.evil.example": 403, "192.168.1.1": 403, "169.254.169.254": 403,
		"192.168.1.5" + port: 200, "[fd00::5]" + port: 200, "[fd00::6]" + port: 403, "xn--bcher-kva.example": 200,
	} {
		got := ask(t, http.MethodGet, address+"/health", "", nil, func(r *http.Request) { r.Host = host })
		if got.status != status || status == 403 && !strings.Contains(string(got.body), "(--allow-host)") {
			t.Errorf("%s: %d %s", host, got.status, got.body)
		}
	}
}

func TestOrigins(t *testing.T) {
	own, _ := serve(t, nil, server.Options{})
	named, _ := serve(t, nil, server.Options{Origins: []string{"https://app.example"}})
	all, _ := serve(t, nil, server.Options{Origins: []string{"*"}})
	form := []byte(url.Values{"text": {"a"}}.Encode())
	for _, row := range []struct {
		address, origin string
		status          int
		allowed         string
	}{
		{own, own, 200, ""}, // its own page
		{own, "https://app.example", 403, ""},
		{own, "null", 403, ""},
		{named, "https://app.example", 200, "https://app.example"},
		{named, "https://app.example.evil", 403, ""},
		{named, "http://app.example", 403, ""},
		{all, "https://anything.example", 200, "*"},
	} {
		origin := func(r *http.Request) { r.Header.Set("Origin", row.origin) }
		got := ask(t, http.MethodPost, row.address+"/tts", "application/x-www-form-urlencoded", form, origin)
		if got.status != row.status || got.header.Get("Access-Control-Allow-Origin") != row.allowed {
			t.Errorf("POST from %s: %d %v", row.origin, got.status, got.header)
		}
		preflight := ask(t, http.MethodOptions, row.address+"/tts", "", nil, origin, func(r *http.Request) {
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization")
			r.Header.Set("Access-Control-Request-Private-Network", "true")
		})
		if row.allowed == "" {
			if preflight.status != 400 || string(preflight.body) != "Disallowed CORS origin\n" {
				t.Errorf("preflight from %s: %d %s", row.origin, preflight.status, preflight.body)
			}
			continue
		}
		header := preflight.header
		if preflight.status/100 != 2 || header.Get("Access-Control-Allow-Origin") != row.allowed ||
			header.Get("Access-Control-Allow-Private-Network") != "true" || header.Get("Access-Control-Allow-Headers") == "" {
			t.Errorf("preflight from %s: %d %v", row.origin, preflight.status, header)
		}
		if credentials := header.Get("Access-Control-Allow-Credentials") == "true"; credentials != (row.allowed != "*") {
			t.Errorf("preflight from %s: credentials %t", row.origin, credentials)
		}
	}
}

func TestVoicesOfAFolder(t *testing.T) {
	outside, folder := t.TempDir(), t.TempDir()
	copyVoice := func(path string) {
		t.Helper()
		voice, err := starter.FS().Open("voices/slt.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		defer voice.Close()
		data, err := io.ReadAll(voice)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copyVoice(filepath.Join(folder, "mine.safetensors"))
	copyVoice(filepath.Join(outside, "secret.safetensors"))
	copyVoice(filepath.Join(folder, "bad name.safetensors"))
	if err := os.Symlink(filepath.Join(outside, "secret.safetensors"), filepath.Join(folder, "link.safetensors")); err != nil {
		t.Log(err) // not everywhere
	}
	address, _ := serve(t, nil, server.Options{VoicesDir: folder})
	want := speak(t, address, map[string]string{"text": sentence}).body
	if got := speak(t, address, map[string]string{"text": sentence, "voice_url": "mine"}); got.status != 200 || !bytes.Equal(got.body, want) {
		t.Errorf("mine: %d %d bytes", got.status, len(got.body))
	}
	for _, name := range []string{"link", "bad name", "secret", "mine.safetensors", "../" + filepath.Base(outside) + "/secret", "./mine", "MINE"} {
		if got := speak(t, address, map[string]string{"text": "a", "voice_url": name}); got.status != 400 {
			t.Errorf("%s: %d %s", name, got.status, got.body[:min(100, len(got.body))])
		}
	}
	// A voice that comes later is there at once.
	copyVoice(filepath.Join(folder, "later.safetensors"))
	if got := speak(t, address, map[string]string{"text": "a", "voice_url": "later"}); got.status != 200 {
		t.Errorf("later: %d %s", got.status, got.body)
	}
}

func TestBeforeTheModelIsThere(t *testing.T) {
	service, err := server.New(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	address := servertest.Serve(t, service, ttshttp.New(service, ttshttp.Options{}))
	if got := ask(t, http.MethodGet, address+"/health", "", nil); got.status != 503 || string(got.body) != `{"status":"loading"}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := speak(t, address, map[string]string{"text": "a"}); got.status != 503 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if err := service.Start(t.Context(), servertest.Engine(t), nil); err != nil {
		t.Fatal(err)
	}
	if got := speak(t, address, map[string]string{"text": "a"}); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestLogsAndFigures(t *testing.T) {
	var log bytes.Buffer
	service := servertest.Service(t, nil, server.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	address := servertest.Serve(t, service, ttshttp.New(service, ttshttp.Options{}))
	speak(t, address, map[string]string{"text": "The password is swordfish."})
	speak(t, address, map[string]string{"text": "swordfish", "voice_url": "swordfish"})
	figures := string(ask(t, http.MethodGet, address+"/metrics", "", nil).body)
	for _, line := range []string{
		`pocket_tts_requests_total{door="http",result="done"} 1`, `pocket_tts_first_sound_seconds_count{door="http"} 1`,
		`pocket_tts_sound_seconds_total{door="http"} `, "pocket_tts_speeches 0", "go_goroutines ",
	} {
		if !strings.Contains(figures, line) {
			t.Errorf("the figures lack %s", line)
		}
	}
	if err := service.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(log.String(), `"msg":"request"`); lines < 3 || strings.Contains(log.String(), "swordfish") {
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
}
