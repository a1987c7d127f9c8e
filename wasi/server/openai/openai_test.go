package openai_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mewkiz/flac"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/openai"
)

const sentence = "Hello there."

var long = strings.Repeat("This sentence is spoken again and again, until somebody has heard enough. ", 50)

type object = map[string]any

func serve(t *testing.T, engine *pockettts.Engine, options server.Options) string {
	t.Helper()
	service := servertest.Service(t, engine, options)
	return servertest.Serve(t, service, openai.New(service, openai.Options{OtherModels: []string{"french", "german"}}))
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

func ask(t *testing.T, method, address string, body []byte) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, data, err}
}

func speak(t *testing.T, address string, fields object) answer {
	t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, http.MethodPost, address+"/v1/audio/speech", body)
}

// with adds fields to a request that is right.
func with(fields object) object {
	all := object{"model": "tts-1", "input": sentence, "voice": "alloy"}
	for name, value := range fields {
		all[name] = value
	}
	return all
}

func little(data []byte) uint32 { return binary.LittleEndian.Uint32(data) }

func TestFormats(t *testing.T) {
	address := serve(t, nil, server.Options{})
	want := servertest.PCM(t, nil, sentence, pockettts.SpeakOptions{})

	for name, fields := range map[string]object{
		"pcm": {"response_format": "pcm"}, "pcm, whole": {"response_format": "pcm", "stream": false}, "no model, no voice": {"response_format": "pcm", "model": nil, "voice": nil},
		"voice by id": {"response_format": "pcm", "voice": object{"id": "slt"}}, "fields of others": {"response_format": "pcm", "normalization_options": object{}, "lang_code": "a"},
		"speed 1": {"response_format": "pcm", "speed": 1}, "instructions": {"response_format": "pcm", "instructions": "Speak like a pirate."},
	} {
		got := speak(t, address, with(fields))
		if got.status != 200 || got.header.Get("Content-Type") != "audio/pcm" || !bytes.Equal(got.body, want) {
			t.Errorf("%s: %d %v, %d bytes, expected %d", name, got.status, got.header, len(got.body), len(want))
		}
		if whole := got.header.Get("Content-Length") != ""; whole != (name == "pcm, whole") {
			t.Errorf("%s: Content-Length %q", name, got.header.Get("Content-Length"))
		}
	}

	stream := speak(t, address, with(object{"response_format": "wav"}))
	if stream.header.Get("Content-Type") != "audio/wav" || little(stream.body[4:]) != 0xFFFFFFFF || little(stream.body[40:]) != 0xFFFFFFDB || !bytes.Equal(stream.body[44:], want) {
		t.Errorf("wav: %v % x", stream.header, stream.body[:44])
	}
	if unnamed := speak(t, address, with(nil)); !bytes.Equal(unnamed.body, stream.body) || unnamed.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("no format: %d %v", unnamed.status, unnamed.header)
	}
	whole := speak(t, address, with(object{"response_format": "wav", "stream": false}))
	if int(little(whole.body[4:])) != len(whole.body)-8 || int(little(whole.body[40:])) != len(whole.body)-44 || !bytes.Equal(whole.body[44:], want) ||
		whole.header.Get("Content-Length") != strconv.Itoa(len(whole.body)) {
		t.Errorf("wav, whole: %v % x", whole.header, whole.body[:44])
	}

	for name, fields := range map[string]object{"flac": {"response_format": "flac"}, "flac, whole": {"response_format": "flac", "stream": false}} {
		got := speak(t, address, with(fields))
		if got.status != 200 || got.header.Get("Content-Type") != "audio/flac" || len(got.body) >= len(want) {
			t.Fatalf("%s: %d %v, %d bytes", name, got.status, got.header, len(got.body))
		}
		decoded, samples := readFLAC(t, got.body)
		if !bytes.Equal(samples, want) {
			t.Errorf("%s: %d bytes of other samples, expected %d", name, len(samples), len(want))
		}
		if known := decoded.Info.NSamples == uint64(len(want)/2); known != (name == "flac, whole") {
			t.Errorf("%s: declares %d samples", name, decoded.Info.NSamples)
		}
	}
}

func readFLAC(t *testing.T, data []byte) (*flac.Stream, []byte) {
	t.Helper()
	stream, err := flac.New(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var samples []byte
	for {
		frame, err := stream.ParseNext()
		if err == io.EOF {
			return stream, samples
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range frame.Subframes[0].Samples {
			samples = binary.LittleEndian.AppendUint16(samples, uint16(sample))
		}
	}
}

func TestSpeed(t *testing.T) {
	address := serve(t, nil, server.Options{})
	plain := len(speak(t, address, with(object{"response_format": "pcm"})).body) / 2
	for _, speed := range []float64{0.25, 2, 4} {
		got := len(speak(t, address, with(object{"response_format": "pcm", "speed": speed})).body) / 2
		if want := float64(plain) / speed; float64(got) < want-1 || float64(got) > want+1 {
			t.Errorf("at %g: %d samples of %d", speed, got, plain)
		}
	}
}

func TestEvents(t *testing.T) {
	address := serve(t, nil, server.Options{})
	want := servertest.PCM(t, nil, sentence, pockettts.SpeakOptions{})
	for format, header := range map[string]int{"": 0, "pcm": 0, "wav": 44} {
		fields := with(object{"stream_format": "sse"})
		if format != "" {
			fields["response_format"] = format
		}
		got := speak(t, address, fields)
		if got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%q: %d %v", format, got.status, got.header)
		}
		var audio []byte
		deltas, done := 0, object(nil)
		for event := range strings.SplitSeq(strings.TrimSuffix(string(got.body), "\n\n"), "\n\n") {
			data, found := strings.CutPrefix(event, "data: ")
			var body struct {
				Type, Audio string
				Usage       object
			}
			if err := json.Unmarshal([]byte(data), &body); err != nil || !found || done != nil {
				t.Fatalf("%q: %q: %v", format, event, err)
			}
			if body.Type == "speech.audio.done" {
				done = body.Usage
				continue
			}
			part, err := base64.StdEncoding.DecodeString(body.Audio)
			if err != nil || body.Type != "speech.audio.delta" || len(part) == 0 {
				t.Fatalf("%q: %q: %v", format, event, err)
			}
			audio = append(audio, part...)
			deltas++
		}
		if !bytes.Equal(audio[header:], want) || deltas != len(want)/3840 && format == "pcm" {
			t.Errorf("%q: %d bytes in %d deltas, expected %d", format, len(audio), deltas, len(want))
		}
		in, out := done["input_tokens"].(float64), done["output_tokens"].(float64)
		if in < 1 || out != float64(len(want)/3840) || done["total_tokens"] != in+out {
			t.Errorf("%q: %v", format, done)
		}
	}
}

// TestFailuresInEvents: an event says so, where a body would break off.
func TestFailuresInEvents(t *testing.T) {
	address := serve(t, nil, server.Options{Limits: server.Limits{Sound: time.Second}})
	got := speak(t, address, object{"input": long, "stream_format": "sse"})
	events := strings.Split(strings.TrimSuffix(string(got.body), "\n\n"), "\n\n")
	last := events[len(events)-1]
	if got.err != nil || len(events) < 2 || !strings.HasPrefix(last, `data: {"type":"error","error":{"message":"the speech is longer than 1s","type":"invalid_request_error","param":null,"code":null}}`) {
		t.Errorf("%v, %d events, %s", got.err, len(events), last)
	}
	if got := speak(t, address, object{"input": long}); !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("body: %v", got.err)
	}
	if got := speak(t, address, object{"input": long, "stream": false}); got.status != 413 {
		t.Errorf("whole: %d %s", got.status, got.body)
	}
}

func TestErrors(t *testing.T) {
	address := serve(t, nil, server.Options{})
	for name, row := range map[string]struct {
		fields object
		status int
		param  any
	}{
		"no input":            {object{"input": nil}, 400, "input"},
		"blank":               {object{"input": " \n"}, 400, "input"},
		"a number":            {object{"input": 5}, 400, "input"},
		"4097":                {object{"input": strings.Repeat("é", 4097)}, 413, "input"},
		"a million":           {object{"input": strings.Repeat("a ", 500_000)}, 413, "input"},
		"two million":         {object{"input": strings.Repeat("a ", 1_000_000)}, 413, nil},
		"no such voice":       {object{"voice": "nobody"}, 404, "voice"},
		"a path":              {object{"voice": "../../etc/passwd"}, 404, "voice"},
		"a file":              {object{"voice": "file:///etc/passwd"}, 404, "voice"},
		"metadata":            {object{"voice": "http://169.254.169.254/"}, 400, "voice"},
		"hub":                 {object{"voice": "hf://x/y/z"}, 400, "voice"},
		"a list":              {object{"voice": []string{"slt"}}, 400, "voice"},
		"an object":           {object{"voice": object{"name": "slt"}}, 400, "voice"},
		"mp3":                 {object{"response_format": "mp3"}, 400, "response_format"},
		"opus":                {object{"response_format": "opus"}, 400, "response_format"},
		"ogg":                 {object{"response_format": "ogg"}, 400, "response_format"},
		"speed 0":             {object{"speed": 0}, 400, "speed"},
		"speed 4.1":           {object{"speed": 4.1}, 400, "speed"},
		"speed fast":          {object{"speed": "fast"}, 400, "speed"},
		"stream format":       {object{"stream_format": "ws"}, 400, "stream_format"},
		"stream":              {object{"stream": "yes"}, 400, "stream"},
		"long instructions":   {object{"instructions": strings.Repeat("a", 4097)}, 400, "instructions"},
		"another model":       {object{"model": "french"}, 404, "model"},
		"a model of a number": {object{"model": 1}, 400, "model"},
	} {
		got := speak(t, address, with(row.fields))
		var body struct{ Error object }
		if err := json.Unmarshal(got.body, &body); err != nil || got.status != row.status || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, got.status, got.body[:min(300, len(got.body))])
			continue
		}
		_, hasCode := body.Error["code"]
		if len(body.Error) != 4 || !hasCode || body.Error["param"] != row.param || body.Error["message"] == "" || body.Error["type"] != "invalid_request_error" {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	for name, body := range map[string]string{"nothing": "", "a form": "input=a", "a list": "[]", "null": "null", "two": `{"input":"a"}{}`} {
		if got := ask(t, http.MethodPost, address+"/v1/audio/speech", []byte(body)); got.status != 400 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestRoutes(t *testing.T) {
	address := serve(t, nil, server.Options{})
	for _, row := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/v1/audio/speech", 405}, {"POST", "/v1/models", 405}, {"POST", "/v1/audio/voices", 501}, {"GET", "/v1/nothing", 404},
		{"GET", "/v1/models/nothing", 404}, {"GET", "/v1/models/pocket-tts", 200}, {"GET", "/v1/models/starter", 200},
	} {
		got := ask(t, row.method, address+row.path, nil)
		if got.status != row.status || got.header.Get("Content-Type") != "application/json" || row.status == 405 && got.header.Get("Allow") == "" {
			t.Errorf("%s %s: %d %s", row.method, row.path, got.status, got.body)
		}
	}
}

func TestLists(t *testing.T) {
	address := serve(t, nil, server.Options{})
	var models struct {
		Object string
		Data   []struct {
			ID, Object string
			Created    int64
			OwnedBy    string `json:"owned_by"`
		}
	}
	if err := json.Unmarshal(ask(t, http.MethodGet, address+"/v1/models", nil).body, &models); err != nil {
		t.Fatal(err)
	}
	if models.Object != "list" || len(models.Data) != 2 || models.Data[0].ID != "pocket-tts" || models.Data[1].ID != "starter" ||
		models.Data[0].Object != "model" || models.Data[0].Created == 0 || models.Data[0].OwnedBy == "" {
		t.Errorf("%+v", models)
	}
	first := ask(t, http.MethodGet, address+"/v1/voices", nil).body
	const license = `"MIT AND LicenseRef-CMU-Flite (see LICENSE)"`
	if want := `{"data":[{"id":"slt","name":"slt","object":"voice","type":"builtin","language":"en","license":` + license + `}],"object":"list",` +
		`"voices":[{"id":"slt","name":"slt","description":"A voice of the model, ` + license[1:] + `}]}`; string(first) != want {
		t.Errorf("%s\nexpected %s", first, want)
	}
	for _, path := range []string{"/v1/audio/voices", "/voices"} {
		if other := ask(t, http.MethodGet, address+path, nil).body; !bytes.Equal(first, other) {
			t.Errorf("%s: %s", path, other)
		}
	}
	if legacy := ask(t, http.MethodGet, address+"/v1/voices?legacy=true", nil).body; !bytes.Contains(legacy, []byte(`"voices":["slt"]`)) {
		t.Errorf("%s", legacy)
	}
}

func TestKey(t *testing.T) {
	address := serve(t, nil, server.Options{APIKey: "secret"})
	for _, path := range []string{"/v1/models", "/v1/voices", "/v1/nothing"} {
		got := ask(t, http.MethodGet, address+path, nil)
		if got.status != 401 || !bytes.Contains(got.body, []byte(`"type":"invalid_request_error","param":null,"code":null}}`)) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestFullQueueAndLoading(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{MaxStreams: 1, MaxQueue: pockettts.NoQueue})
	address := serve(t, engine, server.Options{})
	stream, err := engine.Speak(t.Context(), long, pockettts.SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := speak(t, address, with(nil))
	if got.status != 429 || got.header.Get("Retry-After") == "" || !bytes.Contains(got.body, []byte(`"rate_limit_error"`)) {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	stream.Close()
	if got := speak(t, address, with(nil)); got.status != 200 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
	service, err := server.New(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	empty := servertest.Serve(t, service, openai.New(service, openai.Options{}))
	if got := speak(t, empty, with(nil)); got.status != 503 || !bytes.Contains(got.body, []byte(`"server_error"`)) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestEventsComeWhileTheyAreMade: the first of minutes of speech is there while the rest is not, and a client that goes
// away ends it.
func TestEventsComeWhileTheyAreMade(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	service := servertest.Service(t, engine, server.Options{})
	address := servertest.Serve(t, service, openai.New(service, openai.Options{InputChars: 10_000}))
	body, err := json.Marshal(object{"input": strings.Repeat(long, 2), "stream_format": "sse"})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(address+"/v1/audio/speech", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, `data: {"type":"speech.audio.delta"`) {
		t.Errorf("%q, %v", line, err)
	}
	if open, _ := engine.Streams(); open != 1 {
		t.Errorf("%d streams are open", open)
	}
	response.Body.Close()
	servertest.Until(t, "the stream ends", func() bool {
		open, _ := engine.Streams()
		return open == 0
	})
}
