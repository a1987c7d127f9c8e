package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/mewkiz/flac"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/local"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/openai"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/speakws"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/voicereader"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/wyoming"
)

// What every door is asked to say, by a model whose noise can be heard, in several chunks.
const (
	doorText   = "One two three. Four five six, seven eight. Nine ten eleven twelve."
	doorSeed   = 7
	doorTokens = 12
)

var doorFlags = []string{"--seed", "7", "--max-tokens", "12", "--temperature", "0.5"}

// doorService has the engine of the test in it.
func doorService(t *testing.T) (*server.Service, *pockettts.Engine, pockettts.SpeakOptions) {
	t.Helper()
	engine, err := pockettts.Load(t.Context(), pockettts.Options{Config: fixture + "/config.yaml", CacheDir: filepath.Join(os.TempDir(), "pocket-tts-wasm-tests")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	file, err := os.Open(fixture + "/voice.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	voice, err := engine.LoadVoice(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	options := pockettts.SpeakOptions{Seed: pockettts.Value(uint64(doorSeed)), MaxTokens: pockettts.Value(doorTokens), Temperature: pockettts.Value(float32(0.5))}
	service, err := server.New(server.Options{Speak: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	if err := service.Start(t.Context(), engine, voice); err != nil {
		t.Fatal(err)
	}
	options.Voice, options.Format = voice, pockettts.PCM
	return service, engine, options
}

// TestEveryDoorSaysTheSame: same chunks, voice and seed, the same samples, from the command line and through every door. What
// the table in server/README.md says of the silence at the end is looked at here, too.
func TestEveryDoorSaysTheSame(t *testing.T) {
	service, engine, options := doorService(t)
	chunks, want := 0, []byte(nil)
	stream, err := engine.Speak(t.Context(), doorText, options)
	if err != nil {
		t.Fatal(err)
	}
	for frame, err := range stream.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		chunks, want = frame.Chunk+1, wav.AppendPCM(want, frame.Samples)
	}
	if chunks < 3 {
		t.Fatalf("%d chunks prove little", chunks)
	}

	mux := http.NewServeMux()
	mux.Handle("/v1/", openai.New(service, openai.Options{}))
	mux.Handle("/api/v1/speak", speakws.New(service))
	mux.Handle("/synthesize", local.New(service, local.Options{}))
	mux.Handle("/", ttshttp.New(service, ttshttp.Options{}))
	address := serveDoor(t, func(ctx context.Context, l net.Listener) error { return service.Serve(ctx, l, mux) })
	home, err := wyoming.New(service, wyoming.Options{})
	if err != nil {
		t.Fatal(err)
	}
	homeAddress := serveDoor(t, home.Serve)

	speech := func(fields string) []byte {
		return postTo(t, "http://"+address+"/v1/audio/speech", `{"input":"`+doorText+`"`+fields+`}`)
	}
	for name, one := range map[string]struct {
		bytes []byte
		tail  bool // it ends with 200 ms of silence
	}{
		"generate, to stdout":    {headless(t, say(t, append([]string{"--text", doorText}, doorFlags...)...)), true},
		"generate, to a file":    {headless(t, sayToFile(t)), true},
		"http":                   {headless(t, formTo(t, "http://"+address+"/tts", url.Values{"text": {doorText}})), true},
		"openai, pcm":            {speech(`,"response_format":"pcm"`), false},
		"openai, pcm, whole":     {speech(`,"response_format":"pcm","stream":false`), false},
		"openai, wav":            {headless(t, speech(`,"response_format":"wav"`)), false},
		"openai, wav, whole":     {headless(t, speech(`,"response_format":"wav","stream":false`)), false},
		"openai, flac":           {unpack(t, speech(`,"response_format":"flac"`)), false},
		"openai, events":         {deltas(t, speech(`,"stream_format":"sse"`)), false},
		"speak-ws":               {overWebSocket(t, address, ``), false},
		"speak-ws, whole":        {overWebSocket(t, address, `,"stream":false`), false},
		"speak-ws, binary":       {overWebSocket(t, address, `,"binary":true`), false},
		"speak-ws, its own seed": {overWebSocket(t, address, `,"seed":7`), false},
		"wyoming":                {overWyoming(t, homeAddress, event("synthesize", doorText)), false},
		"local":                  {headless(t, postTo(t, "http://"+address+"/synthesize", `{"text":"`+doorText+`"}`)), false},
		"local, its own seed":    {headless(t, postTo(t, "http://"+address+"/synthesize", `{"text":"`+doorText+`","seed":7,"response":"audio"}`)), false},
	} {
		silence := make([]byte, 2*wav.TailSamples)
		if rest, found := bytes.CutSuffix(one.bytes, silence); one.tail && found {
			one.bytes = rest
		} else if one.tail {
			t.Errorf("%s: no silence at the end", name)
		}
		if !bytes.Equal(one.bytes, want) {
			t.Errorf("%s: %d bytes, the engine says %d others", name, len(one.bytes), len(want))
		}
	}
	if other := overWebSocket(t, address, `,"seed":8`); bytes.Equal(other, want) {
		t.Error("another seed says the same: this test proves nothing")
	}

	// Text that comes in parts has a chunk for each sentence: as Engine.SpeakParts has it.
	parts := make(chan string, 1)
	parts <- doorText
	close(parts)
	stream, err = engine.SpeakParts(t.Context(), parts, options)
	if err != nil {
		t.Fatal(err)
	}
	byParts, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	streamed := overWyoming(t, homeAddress, event("synthesize-start", "")+event("synthesize-chunk", doorText)+event("synthesize-stop", ""))
	if !bytes.Equal(streamed, byParts) {
		t.Errorf("wyoming, streamed: %d bytes, the engine says %d others", len(streamed), len(byParts))
	}

	// VoiceReader's chunks are its own, and each is what the engine says of it.
	reader, err := voicereader.New(service, voicereader.Options{Token: "secret", DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	readerAddress := serveDoor(t, reader.Serve)
	for name, settings := range map[string]string{"voicereader": ``, "voicereader, in frames": `,"settings":{"chunking":{"stream_frames":true}}`} {
		said := overVoiceReader(t, readerAddress, settings)
		if len(said) < 3 {
			t.Errorf("%s: %d chunks prove little", name, len(said))
		}
		for piece, pcm := range said {
			stream, err := engine.Speak(t.Context(), piece, options)
			if err != nil {
				t.Fatal(err)
			}
			want, err := io.ReadAll(stream)
			if err != nil || !bytes.Equal(pcm, want) {
				t.Errorf("%s: %q: %d bytes, the engine says %d others, %v", name, piece, len(pcm), len(want), err)
			}
		}
	}
}

func serveDoor(t *testing.T, serve func(context.Context, net.Listener) error) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func readAnswer(t *testing.T, response *http.Response, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %v %.200s", response.Status, err, data)
	}
	return data
}

func postTo(t *testing.T, address, body string) []byte {
	t.Helper()
	response, err := http.Post(address, "application/json", strings.NewReader(body))
	return readAnswer(t, response, err)
}

func formTo(t *testing.T, address string, form url.Values) []byte {
	t.Helper()
	response, err := http.PostForm(address, form)
	return readAnswer(t, response, err)
}

func sayToFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "said.wav")
	r := runWith(t, "", append(append([]string{"generate", "--output-path", path, "-q", "--text", doorText}, model...), doorFlags...)...)
	data, err := os.ReadFile(path)
	if r.code != 0 || err != nil {
		t.Fatalf("exit %d, %s, %v", r.code, r.stderr, err)
	}
	return data
}

// headless takes the header off.
func headless(t *testing.T, file []byte) []byte {
	t.Helper()
	if len(file) < wav.HeaderBytes || string(file[:4]) != "RIFF" {
		t.Fatalf("no WAV file: %.100q", file)
	}
	return file[wav.HeaderBytes:]
}

func unpack(t *testing.T, file []byte) (pcm []byte) {
	t.Helper()
	// The decoder remarks on every frame at 24 kHz.
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	stream, err := flac.New(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := stream.ParseNext()
		if err == io.EOF {
			return pcm
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range frame.Subframes[0].Samples {
			pcm = append(pcm, byte(sample), byte(sample>>8))
		}
	}
}

func deltas(t *testing.T, events []byte) (pcm []byte) {
	t.Helper()
	for line := range strings.Lines(string(events)) {
		var event struct{ Audio string }
		if data, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(data), &event) == nil {
			part, err := base64.StdEncoding.DecodeString(event.Audio)
			if err != nil {
				t.Fatal(err)
			}
			pcm = append(pcm, part...)
		}
	}
	return pcm
}

func overWebSocket(t *testing.T, address, fields string) (pcm []byte) {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+address+"/api/v1/speak", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(64 << 20)
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"synthesize","text":"`+doorText+`"`+fields+`}`)); err != nil {
		t.Fatal(err)
	}
	for {
		kind, data, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if kind == websocket.MessageBinary {
			pcm = append(pcm, data...)
			continue
		}
		var message struct {
			Type string
			Data []byte
		}
		if err := json.Unmarshal(data, &message); err != nil || message.Type == "error" {
			t.Fatalf("%v %s", err, data)
		}
		if message.Type == "complete" {
			return pcm
		}
		pcm = append(pcm, message.Data...)
	}
}

// overVoiceReader returns the sound of each piece of the text.
func overVoiceReader(t *testing.T, address, settings string) map[string][]byte {
	t.Helper()
	header := http.Header{"Authorization": {"Bearer secret"}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/speak", strings.NewReader(`{"text":"`+doorText+`"`+settings+`}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	var job struct {
		URL string `json:"ws_url"`
	}
	if err := json.Unmarshal(readAnswer(t, response, err), &job); err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.Dial(t.Context(), job.URL, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(64 << 20)
	said := map[string][]byte{}
	for {
		var message struct {
			Type  string
			Audio struct {
				Data []byte `json:"data_base64"`
			}
			Range struct {
				Start int `json:"start_char"`
				End   int `json:"end_char"`
			} `json:"text_range"`
		}
		_, data, err := conn.Read(t.Context())
		if err == nil {
			err = json.Unmarshal(data, &message)
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case message.Type == "JOB_DONE":
			return said
		case message.Type == "AUDIO_CHUNK":
			piece := doorText[message.Range.Start:message.Range.End]
			said[piece] = append(said[piece], message.Audio.Data...)
		case message.Type != "JOB_STARTED":
			t.Fatalf("%s", data)
		}
	}
}

func event(kind, text string) string {
	data, _ := json.Marshal(map[string]any{"type": kind, "data": map[string]string{"text": text}})
	return string(data) + "\n"
}

// overWyoming sends events and returns the sound up to the audio-stop.
func overWyoming(t *testing.T, address, events string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, events); err != nil {
		t.Fatal(err)
	}
	kinds, _, pcm := wyomingAnswer(t, conn)
	if kinds != "audio-start audio-chunk audio-stop " {
		t.Errorf("%s", kinds)
	}
	return pcm
}
