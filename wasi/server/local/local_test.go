package local

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

const sentence = "Hello there."

func serve(t *testing.T, options server.Options) string {
	t.Helper()
	service := servertest.Service(t, nil, options)
	return servertest.Serve(t, service, New(service, Options{Version: "7"}))
}

type answered struct {
	status int
	header http.Header
	body   []byte
}

func ask(t *testing.T, method, address, body string, header ...string) answered {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		request.Header.Set(header[n], header[n+1])
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header, data}
}

// file is what the engine itself says as a WAV file of its true size, without silence.
func file(t *testing.T, text string) []byte {
	pcm := servertest.PCM(t, nil, text, pockettts.SpeakOptions{})
	return append(wav.AppendHeader(nil, 24000, uint32(len(pcm))), pcm...)
}

func TestRoutes(t *testing.T) {
	address := serve(t, server.Options{})
	for _, row := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/health", `{"success":true,"data":"healthy"}`, 200},
		{"GET", "/", `{"success":true,"data":{"name":"TTS Server","version":"7","status":"running","framework":"pocket-tts"}}`, 200},
		{"POST", "/models/download", `{"success":false,"error":"Models cannot be fetched through this server: pocket-tts packs pull NAME does that."}`, 501},
		{"POST", "/health", `{"error":"Expected GET, found POST."}`, 405},
		{"GET", "/synthesize", `{"error":"Expected POST, found GET."}`, 405},
		{"GET", "/models/download", `{"error":"Expected POST, found GET."}`, 405},
		{"GET", "/v1/models", `{"error":"There is no GET /v1/models here."}`, 404},
		{"GET", "/audio/x.mp3", `{"error":"Expected /audio/ID.wav: this server writes nothing but WAV."}`, 400},
		{"GET", "/audio/", `{"error":"Expected /audio/ID.wav: this server writes nothing but WAV."}`, 400},
		{"GET", "/audio/x.wav", `{"error":"There is no such file here, or not any more: files are kept for an hour at most."}`, 404},
		{"GET", "/audio/..%2f..%2fetc%2fpasswd.wav", `{"error":"There is no such file here, or not any more: files are kept for an hour at most."}`, 404},
	} {
		got := ask(t, row.method, address+row.path, `{"model_id":"x"}`)
		if got.status != row.status || string(got.body) != row.body || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s %v", row.method, row.path, got.status, got.body, got.header)
		}
	}
}

// made is the answer with a URL.
type made struct {
	ID     string `json:"file_id"`
	URL    string `json:"url"`
	Cached bool   `json:"cached"`
}

func TestBothForms(t *testing.T) {
	address := serve(t, server.Options{})
	want := file(t, sentence)
	body := `{"text":"` + sentence + `","format":"wav","unknown":[1]}`
	for name, header := range map[string][]string{
		"nothing said":        nil,
		"curl":                {"Accept", "*/*"},
		"sound":               {"Accept", "audio/wav, application/json"},
		"everything but JSON": {"Accept", "application/json;q=0, */*"},
	} {
		got := ask(t, http.MethodPost, address+"/synthesize", body, header...)
		if got.status != 200 || !bytes.Equal(got.body, want) || got.header.Get("Content-Type") != "audio/wav" || got.header.Get("X-Voice") != "slt" {
			t.Errorf("%s: %d %v, %d bytes, want %d", name, got.status, got.header, len(got.body), len(want))
		}
	}
	id := regexp.MustCompile(`^[A-Z2-7]{26}$`)
	var known string
	for n, one := range []struct{ body, accept string }{
		{`{"text":"Two forms."}`, "application/json"},
		{`{"text":"Two forms."}`, "application/json, text/plain, */*"},
		{`{"text":"Two forms.","response":"url"}`, "audio/wav"},
		{`{"text":"Two forms.","voice":null,"response":null,"speed":null}`, "application/json"},
	} {
		got := ask(t, http.MethodPost, address+"/synthesize", one.body, "Accept", one.accept)
		var answer made
		if err := json.Unmarshal(got.body, &answer); err != nil || got.status != 200 || !id.MatchString(answer.ID) ||
			answer.URL != address+"/audio/"+answer.ID+".wav" || answer.Cached != (n > 0) || n > 0 && answer.ID != known {
			t.Errorf("%s: %d %s", one.body, got.status, got.body)
		}
		known = answer.ID
	}
	spoken := ask(t, http.MethodPost, address+"/synthesize", `{"text":"Two forms.","response":"audio"}`, "Accept", "application/json")
	fetched := ask(t, http.MethodGet, address+"/audio/"+known+".wav", "")
	if fetched.status != 200 || !bytes.Equal(fetched.body, file(t, "Two forms.")) || !bytes.Equal(fetched.body, spoken.body) || fetched.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("the file: %d %v, %d and %d bytes", fetched.status, fetched.header, len(fetched.body), len(spoken.body))
	}
	part := ask(t, http.MethodGet, address+"/audio/"+known+".wav", "", "Range", "bytes=4-43")
	if part.status != 206 || !bytes.Equal(part.body, fetched.body[4:44]) {
		t.Errorf("a range: %d, %d bytes", part.status, len(part.body))
	}
	// The name by which the client knows this server.
	var answer made
	got := ask(t, http.MethodPost, address+"/synthesize", `{"text":"Two forms.","response":"url"}`, "Host", "localhost:9527")
	if _ = json.Unmarshal(got.body, &answer); answer.URL != "http://localhost:9527/audio/"+known+".wav" {
		t.Errorf("%s", got.body)
	}
}

// TestKeyOfTheCache: what changes the sound makes another file.
func TestKeyOfTheCache(t *testing.T) {
	folder := t.TempDir()
	voice := filepath.Join(folder, "mine.safetensors")
	copyVoice(t, voice)
	address := serve(t, server.Options{VoicesDir: folder})
	known := map[string]bool{}
	get := func(fields string) made {
		t.Helper()
		got := ask(t, http.MethodPost, address+"/synthesize", `{"response":"url",`+fields+`}`)
		var answer made
		if err := json.Unmarshal(got.body, &answer); err != nil || got.status != 200 {
			t.Fatalf("%s: %d %s", fields, got.status, got.body)
		}
		return answer
	}
	for _, fields := range []string{`"text":"One."`, `"text":"Two."`, `"text":"One.","seed":7`, `"text":"One.","seed":0`, `"text":"One.","speed":1.5`, `"text":"One.","voice":"mine"`} {
		first, again := get(fields), get(fields)
		if first.Cached || known[first.ID] || !again.Cached || again.ID != first.ID {
			t.Errorf("%s: %+v, then %+v", fields, first, again)
		}
		known[first.ID] = true
	}
	// The file of a voice is another one.
	if err := os.Chtimes(voice, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if again := get(`"text":"One.","voice":"mine"`); again.Cached || known[again.ID] {
		t.Errorf("of another voice: %+v", again)
	}
}

func copyVoice(t *testing.T, to string) {
	t.Helper()
	voice, err := starter.FS().Open("voices/slt.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer voice.Close()
	data, err := io.ReadAll(voice)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestVoices: every name is spoken, by whom the answer says.
func TestVoices(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"estelle", "george", "cosette"} {
		copyVoice(t, filepath.Join(folder, name+".safetensors"))
	}
	address := serve(t, server.Options{VoicesDir: folder})
	for asked, want := range map[string]string{
		"slt": "slt", "george": "george", "cosette": "cosette", "nobody": "slt", "": "slt",
		"af_heart": "slt", "bf_emma": "slt", "am_adam": "george", "bm_lewis": "george", "ff_siwi": "estelle",
		"jf_alpha": "slt", "zm_yunxi": "george", "im_nicola": "george", "af_sky.4+af_nicole.5": "slt",
		"af": "slt", "xf_heart": "slt", "../../etc/passwd": "slt", `..\\x`: "slt", `a\u0000`: "slt", "file:///etc/passwd": "slt",
	} {
		got := ask(t, http.MethodPost, address+"/synthesize", `{"text":"One.","voice":"`+asked+`"}`)
		if got.status != 200 || got.header.Get("X-Voice") != want {
			t.Errorf("%s: %d, %q speaks, want %q", asked, got.status, got.header.Get("X-Voice"), want)
		}
	}
	for _, place := range []string{"http://169.254.169.254/", "https://example.com/a.wav", "hf://x/y/z"} {
		got := ask(t, http.MethodPost, address+"/synthesize", `{"text":"One.","voice":"`+place+`"}`)
		if got.status != 400 || !strings.Contains(string(got.body), "--allow-voice-url") {
			t.Errorf("%s: %d %s", place, got.status, got.body)
		}
	}
}

func TestRefusals(t *testing.T) {
	address := serve(t, server.Options{Limits: server.Limits{TextChars: 50, Sound: 3 * time.Second}})
	for body, want := range map[string]int{
		``: 400, `[]`: 400, `null`: 400, `{"text":`: 400, `{}`: 400, `{"text":7}`: 400, `{"text":null}`: 400, `{"text":""}`: 400, `{"text":" \n"}`: 400,
		`{"text":"a","voice":7}`: 400, `{"text":"a","format":"mp3"}`: 400, `{"text":"a","response":"file"}`: 400, `{"text":"a","speed":9}`: 400,
		`{"text":"a","speed":0}`: 400, `{"text":"a","seed":-1}`: 400, `{"text":"a","seed":"1"}`: 400,
		`{"text":"` + strings.Repeat("é", 51) + `"}`:                      413,
		`{"text":"` + strings.Repeat("One two. ", 5) + `"}`:               413, // of sound
		`{"text":"a","more":"` + strings.Repeat("a", requestBytes) + `"}`: 413,
	} {
		got := ask(t, http.MethodPost, address+"/synthesize", body)
		var answer map[string]string
		if err := json.Unmarshal(got.body, &answer); err != nil || got.status != want || answer["error"] == "" || len(answer) != 1 {
			t.Errorf("%.80s: %d %s", body, got.status, got.body)
		}
	}
}

// TestCharactersOfManyBytes: nothing is cut inside of one, whatever the length.
func TestCharactersOfManyBytes(t *testing.T) {
	address := serve(t, server.Options{Limits: server.Limits{Sound: 2 * time.Second}})
	for _, text := range []string{strings.Repeat("漢字。", 333) + "漢", strings.Repeat("👩‍👩‍👧", 20)} {
		got := ask(t, http.MethodPost, address+"/synthesize", `{"text":"`+text+`"}`)
		if got.status != 413 || !strings.Contains(string(got.body), "longer than 2s") {
			t.Errorf("%.12s...: %d %s", text, got.status, got.body[:min(200, len(got.body))])
		}
	}
	if got := ask(t, http.MethodPost, address+"/synthesize", `{"text":"é"}`); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestWhoMayAsk(t *testing.T) {
	locked := serve(t, server.Options{APIKey: "secret", Origins: []string{"https://app.example"}})
	for path, want := range map[string]int{"GET /": 200, "GET /health": 200, "POST /synthesize": 401, "GET /audio/x.wav": 401, "POST /models/download": 401, "GET /x": 401} {
		method, path, _ := strings.Cut(path, " ")
		if got := ask(t, method, locked+path, `{"text":"One."}`); got.status != want {
			t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
		}
	}
	got := ask(t, http.MethodPost, locked+"/synthesize", `{"text":"One."}`, "Authorization", "Bearer secret", "Origin", "https://app.example")
	if got.status != 200 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example" || got.header.Get("Access-Control-Expose-Headers") != "X-Voice" {
		t.Errorf("%d %v", got.status, got.header)
	}
	preflight := ask(t, http.MethodOptions, locked+"/synthesize", "", "Origin", "https://app.example", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "content-type", "Access-Control-Request-Private-Network", "true")
	if preflight.status/100 != 2 || preflight.header.Get("Access-Control-Allow-Private-Network") != "true" {
		t.Errorf("%d %v", preflight.status, preflight.header)
	}
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Host", "evil.example"}} {
		if got := ask(t, http.MethodPost, locked+"/synthesize", `{"text":"One."}`, append(header, "Authorization", "Bearer secret")...); got.status != 403 {
			t.Errorf("%v: %d %s", header, got.status, got.body)
		}
	}
}

func TestBeforeTheModelIsThere(t *testing.T) {
	service, err := server.New(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	address := servertest.Serve(t, service, New(service, Options{}))
	if got := ask(t, http.MethodGet, address+"/health", ""); got.status != 503 || string(got.body) != `{"success":false,"error":"The model is loading."}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := ask(t, http.MethodGet, address+"/", ""); got.status != 200 || !strings.Contains(string(got.body), `"status":"loading"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := ask(t, http.MethodPost, address+"/synthesize", `{"text":"One."}`); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if err := service.Start(t.Context(), servertest.Engine(t), nil); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, http.MethodGet, address+"/health", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestFullQueue(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{MaxStreams: 1, MaxQueue: pockettts.NoQueue})
	service := servertest.Service(t, engine, server.Options{})
	address := servertest.Serve(t, service, New(service, Options{}))
	taken, err := engine.Speak(t.Context(), sentence, pockettts.SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if got := ask(t, http.MethodPost, address+"/synthesize", `{"text":"One."}`); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// TestClientThatLeavesEndsItsSpeech, though nothing has been written to it.
func TestClientThatLeavesEndsItsSpeech(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	service := servertest.Service(t, engine, server.Options{})
	place, err := url.Parse(servertest.Serve(t, service, New(service, Options{})))
	if err != nil {
		t.Fatal(err)
	}
	conn := servertest.Send(t, place.Host, "POST /synthesize HTTP/1.1\r\nHost: localhost\r\n", `{"text":"`+strings.Repeat("This is said again and again. ", 300)+`"}`)
	servertest.Until(t, "it speaks", func() bool { return servertest.Frames(t, service) > 0 })
	conn.Close()
	servertest.Until(t, "the stream ends", func() bool {
		open, _ := engine.Streams()
		return open == 0
	})
}

// hearing is a log that is read while it is written.
type hearing struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *hearing) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *hearing) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// TestLongNamesDoNotFillTheLog: a client says how long the name of a voice is.
func TestLongNamesDoNotFillTheLog(t *testing.T) {
	log := new(hearing)
	address := serve(t, server.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	got := ask(t, "POST", address+"/synthesize", `{"text":"Hello.","voice":"`+strings.Repeat("n", 100_000)+`"}`)
	if text := log.String(); got.status != 200 || !strings.Contains(text, "Another voice speaks") || len(text) > 2000 {
		t.Errorf("%d, %d bytes: %.300s", got.status, len(text), text)
	}
}

func TestCacheForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(1000, time.Hour)
		key := func(n byte) [32]byte { return [32]byte{n} }
		one := c.add(key(1), make([]byte, 400))
		if again := c.add(key(1), make([]byte, 400)); again != one || c.bytes != 400 {
			t.Errorf("the same again: %p %p, %d bytes", one, again, c.bytes)
		}
		two := c.add(key(2), make([]byte, 400))
		if c.named(one.id) != one { // now the other one is the older
			t.Error("one is gone")
		}
		three := c.add(key(3), make([]byte, 400))
		if c.find(key(1)) != one || c.find(key(2)) != nil || c.named(two.id) != nil || c.find(key(3)) != three || c.bytes != 800 {
			t.Errorf("over the limit: %d bytes", c.bytes)
		}
		c.add(key(4), make([]byte, 1000))
		if c.bytes != 1000 || len(c.byKey) != 1 || len(c.byID) != 1 || c.order.Len() != 1 {
			t.Errorf("one that fills it: %d bytes, %d files", c.bytes, len(c.byID))
		}
		time.Sleep(59 * time.Minute)
		if c.find(key(4)) == nil {
			t.Error("gone before its time")
		}
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if len(c.byID) != 1 {
			t.Error("gone before an hour without being asked for")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if c.bytes != 0 || len(c.byKey) != 0 || len(c.byID) != 0 || c.order.Len() != 0 {
			t.Errorf("after its time: %d bytes, %d files", c.bytes, len(c.byID))
		}
	})
}

func TestSizesAreTrue(t *testing.T) {
	got := ask(t, http.MethodPost, serve(t, server.Options{})+"/synthesize", `{"text":"One."}`)
	little := binary.LittleEndian
	if n := uint32(len(got.body)); little.Uint32(got.body[4:]) != n-8 || little.Uint32(got.body[40:]) != n-44 || little.Uint32(got.body[24:]) != 24000 {
		t.Errorf("%d bytes: % x", n, got.body[:44])
	}
}

// FuzzRequest: whatever a body says, it is refused or asks for something that can be done.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"text":"Hello.","voice":"af_heart","format":"wav"}`, `{"text":"a","response":"url","seed":18446744073709551615,"speed":0.25}`, `{"text":"\ud800"}`,
		`{"text":"a","speed":1e39}`, `{"text":"a","speed":0}`, `{"TEXT":"a"}`, `{"text":"a","text":" "}`, `[]`, `null`, `{"text":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		asked, err := read(data)
		if err != nil {
			return
		}
		if strings.TrimSpace(asked.text) == "" || asked.speed != 0 && !(asked.speed >= 0.25 && asked.speed <= 4) {
			t.Errorf("%q: %+v", data, asked)
		}
	})
}
