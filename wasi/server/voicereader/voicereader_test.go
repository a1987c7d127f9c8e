package voicereader

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/upgrade"
)

const (
	token = "a token of this test"
	story = "The quick brown fox jumps over the lazy dog. It runs into the woods! Nobody knows why."
	ghost = "00000000-0000-4000-8000-000000000001"
)

// client is one of the API: HTTP and a WebSocket, as VoiceReader's own are.
type client struct {
	t       testing.TB
	door    *Door
	address string
	token   string
}

// start serves a door with the starter voice, unless there is a service.
func start(t testing.TB, service *server.Service, options Options) *client {
	t.Helper()
	if service == nil {
		service = servertest.Service(t, nil, server.Options{AllowCloning: true})
	}
	options.Token = token
	if options.DataDir == "" {
		options.DataDir = t.TempDir()
	}
	door, err := New(service, options)
	if err != nil {
		t.Fatal(err)
	}
	address := servertest.Serve(t, service, door)
	t.Cleanup(func() {
		if err := door.Close(); err != nil {
			t.Error(err)
		}
	})
	return &client{t, door, address, token}
}

// ask sends a request and returns its status and its body.
func (c *client) ask(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.address+"/v1"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "bearer "+c.token)
	return c.send(request)
}

func (c *client) send(request *http.Request) (int, map[string]any) {
	c.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(data, &body); err != nil || response.Header.Get("Content-Type") != "application/json" {
		c.t.Fatalf("%s %s: %s, %q: %v", request.Method, request.URL.Path, response.Status, data, err)
	}
	return response.StatusCode, body
}

// must is ask for what must go well.
func (c *client) must(method, path, body string) map[string]any {
	c.t.Helper()
	status, answer := c.ask(method, path, body)
	if status != http.StatusOK {
		c.t.Fatalf("%s %s: %d, %v", method, path, status, answer)
	}
	return answer
}

// code is that of an error.
func code(answer map[string]any) string {
	body, _ := answer["error"].(map[string]any)
	text, _ := body["code"].(string)
	return text
}

// speak starts a job.
func (c *client) speak(fields string) (id, url string) {
	c.t.Helper()
	answer := c.must(http.MethodPost, "/speak", "{"+fields+"}")
	return answer["job_id"].(string), answer["ws_url"].(string)
}

func quoted(text string) string {
	data, _ := json.Marshal(text)
	return `"text":` + string(data)
}

type message struct {
	Type  string `json:"type"`
	Job   string `json:"job_id"`
	Seq   int    `json:"seq"`
	Audio *struct {
		Format   string `json:"format"`
		Rate     int    `json:"sample_rate"`
		Channels int    `json:"channels"`
		Data     []byte `json:"data_base64"`
	} `json:"audio"`
	Range *struct {
		Index int `json:"chunk_index"`
		Start int `json:"start_char"`
		End   int `json:"end_char"`
	} `json:"text_range"`
	Error *struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Details map[string]any `json:"details"`
	} `json:"error"`
}

// dial subscribes to a job.
func (c *client) dial(url string) *websocket.Conn {
	c.t.Helper()
	conn, _, err := websocket.Dial(c.t.Context(), url, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + c.token}}})
	if err != nil {
		c.t.Fatal(err)
	}
	conn.SetReadLimit(64 << 20)
	c.t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func (c *client) next(conn *websocket.Conn) (message, []byte, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	kind, data, err := conn.Read(ctx)
	if err != nil {
		return message{}, nil, err
	}
	var m message
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil || kind != websocket.MessageText {
		c.t.Fatalf("%v %.200q: %v", kind, data, err)
	}
	return m, data, nil
}

// rest reads up to the end of a connection, which must be a good one.
func (c *client) rest(conn *websocket.Conn) (messages []message, raw []string) {
	c.t.Helper()
	for {
		m, data, err := c.next(conn)
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				c.t.Errorf("the end of the stream: %v", err)
			}
			return messages, raw
		}
		messages, raw = append(messages, m), append(raw, string(data))
	}
}

// say speaks, checks what every stream must be, and returns the sound.
func (c *client) say(fields string) (pcm []byte, audio []message) {
	c.t.Helper()
	id, url := c.speak(fields)
	messages, _ := c.rest(c.dial(url))
	return c.check(id, messages, jobDone)
}

func (c *client) check(id string, messages []message, end string) (pcm []byte, audio []message) {
	c.t.Helper()
	if len(messages) < 2 || messages[0].Type != jobStarted || messages[len(messages)-1].Type != end {
		c.t.Fatalf("%d messages: %+v", len(messages), messages)
	}
	for n, m := range messages {
		if m.Job != id {
			c.t.Errorf("%s of job %s, expected %s", m.Type, m.Job, id)
		}
		if n == 0 || n == len(messages)-1 {
			continue
		}
		if m.Type != audioChunk || m.Seq != n || m.Audio == nil || m.Range == nil || m.Audio.Format != "pcm_s16le" || m.Audio.Rate != 24000 || m.Audio.Channels != 1 {
			c.t.Fatalf("message %d: %+v", n, m)
		}
		pcm, audio = append(pcm, m.Audio.Data...), append(audio, m)
	}
	return pcm, audio
}

// TestTheExchange is what VoiceReader's smoke test does, with both ways to bring the token.
func TestTheExchange(t *testing.T) {
	c := start(t, nil, Options{})
	health := c.must(http.MethodGet, "/health", "")
	running := health["runtime"].(map[string]any)
	able := health["capabilities"].(map[string]any)
	if health["engine_version"] != Version || health["active_model_id"] != "starter" || health["device"] != "cpu" || running["backend"] != "kyutai_pocket_tts" ||
		running["model_loaded"] != true || running["fallback_active"] != false || able["supports_voice_clone"] != false || able["supports_audio_chunk_stream"] != true ||
		able["supports_true_streaming_inference"] != true || fmt.Sprint(able["languages"]) != "[en]" {
		t.Errorf("%v", health)
	}
	voices := c.must(http.MethodGet, "/voices", "")["voices"].([]any)
	first := voices[0].(map[string]any)
	if len(voices) != 1 || first["voice_id"] != "0" || first["created_at"] != "1970-01-01T00:00:00Z" || len(first) != 6 {
		t.Errorf("%v", voices)
	}
	const text = "VoiceReader standalone engine smoke test using the default built-in voice."
	want := servertest.PCM(t, nil, text, pockettts.SpeakOptions{})
	for name, options := range map[string]*websocket.DialOptions{
		"header":       {HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}},
		"sub-protocol": {Subprotocols: []string{upgrade.KeyProtocol, "a.token"}},
	} {
		c := c
		if name == "sub-protocol" { // a token there is one word
			service := servertest.Service(t, nil, server.Options{APIKey: "another key"})
			door, err := New(service, Options{Token: "a.token", DataDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer door.Close()
			c = &client{t, door, servertest.Serve(t, service, door), "a.token"}
		}
		id, url := c.speak(`"voice_id":"0",` + quoted(text))
		if url != strings.Replace(c.address, "http://", "ws://", 1)+"/v1/stream/"+id {
			t.Errorf("%s: %s", name, url)
		}
		conn, response, err := websocket.Dial(t.Context(), url, options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.SetReadLimit(64 << 20)
		if selected := response.Header.Get("Sec-WebSocket-Protocol"); selected != map[string]string{"sub-protocol": upgrade.KeyProtocol}[name] {
			t.Errorf("%s: selected %q", name, selected)
		}
		messages, raw := c.rest(conn)
		pcm, audio := c.check(id, messages, jobDone)
		if !bytes.Equal(pcm, want) || len(audio) != 1 || audio[0].Range.Start != 0 || audio[0].Range.End != len(text) {
			t.Errorf("%s: %d bytes in %d messages, expected %d", name, len(pcm), len(audio), len(want))
		}
		if raw[0] != `{"type":"JOB_STARTED","job_id":"`+id+`"}` || raw[2] != `{"type":"JOB_DONE","job_id":"`+id+`"}` {
			t.Errorf("%s: %s %s", name, raw[0], raw[2])
		}
	}
}

// TestErrors is the table of the protocol, row by row, and the edges of every range.
func TestErrors(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{AllowCloning: true, Limits: server.Limits{TextChars: 1000, UploadBytes: 4096}})
	c := start(t, service, Options{})
	done, url := c.speak(quoted("One."))
	c.rest(c.dial(url))
	settings := func(field string) string { return `{"text":"a","settings":{` + field + `}}` }
	clone := func(fields string) string {
		return `{"display_name":"a","ref_audio":{"wav_base64":"AAAA"},` + fields + `}`
	}
	for _, row := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/speak", ``, 400, codeInvalid},
		{"POST", "/speak", `{`, 400, codeInvalid},
		{"POST", "/speak", `[]`, 400, codeInvalid},
		{"POST", "/speak", `"text"`, 400, codeInvalid},
		{"POST", "/speak", `{"text":7}`, 400, codeInvalid},
		{"POST", "/speak", `{"text":null}`, 400, codeInvalid},
		{"POST", "/speak", `{"text":""}`, 400, codeEmpty},
		{"POST", "/speak", `{"text":" \n\u00a0\u001c"}`, 400, codeEmpty},
		{"POST", "/speak", `{"text":"` + strings.Repeat("ä", 1001) + `"}`, 413, codeInvalid},
		{"POST", "/speak", `{"text":"` + strings.Repeat("a", 5000) + `"}`, 413, codeInvalid},
		{"POST", "/speak", `{"text":"a","voice_id":"nobody"}`, 400, codeInvalid},
		{"POST", "/speak", `{"text":"a","voice_id":7}`, 400, codeInvalid},
		{"POST", "/speak", `{"text":"a","voice_id":"../../etc"}`, 400, codeInvalid},
		{"POST", "/speak", `{"text":"a","voice_id":"` + ghost + `"}`, 404, codeVoice},
		{"POST", "/speak", settings(`"rate":0.2`), 400, codeInvalid},
		{"POST", "/speak", settings(`"rate":4.1`), 400, codeInvalid},
		{"POST", "/speak", settings(`"rate":"fast"`), 400, codeInvalid},
		{"POST", "/speak", settings(`"pitch":0.4`), 400, codeInvalid},
		{"POST", "/speak", settings(`"pitch":2.1`), 400, codeInvalid},
		{"POST", "/speak", settings(`"volume":-0.1`), 400, codeInvalid},
		{"POST", "/speak", settings(`"volume":2.1`), 400, codeInvalid},
		{"POST", "/speak", settings(`"chunking":{"max_chars":99}`), 400, codeInvalid},
		{"POST", "/speak", settings(`"chunking":{"max_chars":2001}`), 400, codeInvalid},
		{"POST", "/speak", settings(`"chunking":{"max_chars":150.5}`), 400, codeInvalid},
		{"POST", "/speak", settings(`"chunking":{"stream_frames":1}`), 400, codeInvalid},
		{"POST", "/speak", settings(`"chunking":[]`), 400, codeInvalid},
		{"GET", "/speak", ``, 405, codeInvalid},
		{"GET", "/nothing", ``, 404, codeNotFound},
		{"POST", "/cancel", `{}`, 400, codeInvalid},
		{"POST", "/cancel", `{"job_id":"x"}`, 400, codeInvalid},
		{"POST", "/cancel", `{"job_id":"` + ghost + `"}`, 404, codeJob},
		{"POST", "/jobs/" + ghost + "/playback", `{"rate":1}`, 404, codeJob},
		{"POST", "/jobs/" + done + "/playback", `{"rate":1}`, 404, codeJob},
		{"POST", "/jobs/" + done + "/playback", `{}`, 400, codeInvalid},
		{"POST", "/jobs/" + done + "/playback", `{"rate":5}`, 400, codeInvalid},
		{"PATCH", "/voices/0", `{"description":"a"}`, 403, codeForbidden},
		{"DELETE", "/voices/0", ``, 403, codeForbidden},
		{"PATCH", "/voices/" + ghost, `{"description":"a"}`, 404, codeVoice},
		{"PATCH", "/voices/" + ghost, `{}`, 400, codeInvalid},
		{"PATCH", "/voices/" + ghost, `{"other":1}`, 400, codeInvalid},
		{"PATCH", "/voices/" + ghost, `{"display_name":" "}`, 400, codeInvalid},
		{"PATCH", "/voices/" + ghost, `{"display_name":"` + strings.Repeat("ä", 81) + `"}`, 400, codeInvalid},
		{"PATCH", "/voices/" + ghost, `{"description":"` + strings.Repeat("ä", 241) + `"}`, 400, codeInvalid},
		{"PATCH", "/voices/nobody", `{"description":"a"}`, 404, codeVoice},
		{"DELETE", "/voices/nobody", ``, 404, codeVoice},
		{"DELETE", "/voices/" + ghost, ``, 404, codeVoice},
		{"DELETE", "/voices/%2e%2e%2f%2e%2e", ``, 404, codeVoice},
		{"POST", "/voices/clone", `{}`, 400, codeInvalid},
		{"POST", "/voices/clone", clone(`"display_name":""`), 400, codeInvalid},
		{"POST", "/voices/clone", clone(`"display_name":"` + strings.Repeat("a", 81) + `"`), 400, codeInvalid},
		{"POST", "/voices/clone", clone(`"description":"` + strings.Repeat("a", 241) + `"`), 400, codeInvalid},
		{"POST", "/voices/clone", clone(`"ref_audio":{}`), 400, codeInvalid},
		{"POST", "/voices/clone", clone(`"options":{"normalize_audio":"no"}`), 400, codeInvalid},
		{"POST", "/voices/clone", clone(`"language":"en"`), 409, codeModel}, // the starter voice cannot
		{"POST", "/models/activate", `{"synth_backend":"espeak"}`, 400, codeInvalid},
		{"POST", "/models/activate", `{"synth_backend":"qwen"}`, 409, codeModel},
		{"POST", "/models/activate", `{"kyutai_model_name":"somebody/else"}`, 409, codeModel},
		{"POST", "/models/prefetch", `{"mode":"most"}`, 400, codeInvalid},
		{"POST", "/warmup", `{"wait":"yes"}`, 400, codeInvalid},
		{"POST", "/warmup", `{"reason":"` + strings.Repeat("a", 1001) + `"}`, 400, codeInvalid},
		{"POST", "/models/activate", `{"reason":"` + strings.Repeat("a", 1001) + `"}`, 400, codeInvalid},
		{"POST", "/models/activate", `{"kyutai_voice_prompt":"` + strings.Repeat("a", 1001) + `"}`, 400, codeInvalid},
	} {
		status, answer := c.ask(row.method, row.path, row.body)
		body, _ := answer["error"].(map[string]any)
		text, _ := body["message"].(string)
		details, isObject := body["details"].(map[string]any)
		if status != row.status || code(answer) != row.code || text == "" || !isObject || len(body) != 3 || len(answer) != 1 {
			t.Errorf("%s %s %.90s: %d %v, expected %d %s", row.method, row.path, row.body, status, answer, row.status, row.code)
		}
		if listed, _ := details["errors"].([]any); row.code == codeInvalid && row.status == 400 && len(listed) == 0 {
			t.Errorf("%s %s %.90s: no details: %v", row.method, row.path, row.body, answer)
		}
	}
	// All that is wrong is said at once, and where.
	_, answer := c.ask("POST", "/speak", `{"text":3,"settings":{"rate":9,"chunking":{"max_chars":1}}}`)
	if said := fmt.Sprint(answer); !strings.Contains(said, "[body text]") || !strings.Contains(said, "[body settings rate]") || !strings.Contains(said, "[body settings chunking max_chars]") {
		t.Error(said)
	}
	// The edges of the ranges are inside, and voice "0" has many names.
	for _, fields := range []string{
		`"settings":{"rate":0.25,"pitch":0.5,"volume":0,"chunking":{"max_chars":100}}`, `"settings":{"rate":4,"pitch":2,"volume":2,"chunking":{"max_chars":2000}}`,
		`"voice_id":0`, `"voice_id":""`, `"voice_id":null,"settings":null,"language":"xx"`, `"voice_id":" 0 "`,
	} {
		c.speak(quoted("A.") + "," + fields)
	}
}

// TestWhoMayAsk: nobody without the token, no page of another origin, nobody by another name of this machine.
func TestWhoMayAsk(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{APIKey: "key of the service", Origins: []string{"https://app.example"}})
	c := start(t, service, Options{})
	for _, given := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + token, token, "Bearer " + token + "x", "Bearer key of the service", "Bearer " + strings.Repeat("a", 20000)} {
		for _, path := range []string{"/health", "/voices", "/nothing", "/stream/" + ghost} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.address+"/v1"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header["Authorization"] = []string{given}
			if status, answer := c.send(request); status != 401 || code(answer) != codeUnauthorized {
				t.Errorf("%.40q %s: %d %v", given, path, status, answer)
			}
		}
	}
	_, url := c.speak(quoted("One."))
	for name, row := range map[string]struct {
		url     string
		options websocket.DialOptions
		status  int
	}{
		"no token":               {url, websocket.DialOptions{}, 401},
		"a wrong token":          {url, websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer x"}}}, 401},
		"a wrong sub-protocol":   {url, websocket.DialOptions{Subprotocols: []string{upgrade.KeyProtocol, "x"}}, 401},
		"only the sub-protocol":  {url, websocket.DialOptions{Subprotocols: []string{upgrade.KeyProtocol}}, 401},
		"no such job":            {c.address + "/v1/stream/" + ghost, websocket.DialOptions{}, 404},
		"no id":                  {c.address + "/v1/stream/x", websocket.DialOptions{}, 404},
		"a foreign page":         {url, websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://evil.example"}}}, 403},
		"a foreign name":         {url, websocket.DialOptions{Host: "evil.example"}, 403},
		"a page that was named":  {url, websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://app.example"}}}, 101},
		"a page of this machine": {url, websocket.DialOptions{HTTPHeader: http.Header{"Origin": {c.address}}}, 101},
	} {
		if row.status != 401 {
			if row.options.HTTPHeader == nil {
				row.options.HTTPHeader = http.Header{}
			}
			row.options.HTTPHeader.Set("Authorization", "Bearer "+token)
		}
		conn, response, err := websocket.Dial(t.Context(), row.url, &row.options)
		if response == nil || response.StatusCode != row.status {
			t.Errorf("%s: %v %v", name, response, err)
		}
		if conn != nil {
			conn.CloseNow()
		}
	}
	for _, options := range []Options{{DataDir: t.TempDir()}, {Token: "x"}, {Token: "x", DataDir: t.TempDir(), Backend: "espeak"}, {Token: "x", DataDir: t.TempDir(), ClonePaths: []string{"no/such"}}} {
		if door, err := New(service, options); !errors.Is(err, pockettts.ErrArgument) {
			t.Errorf("%+v: %v", options, err)
			door.Close()
		}
	}
}

// samplesOf reads 16-bit samples.
func samplesOf(pcm []byte) []float64 {
	samples := make([]float64, len(pcm)/2)
	for n := range samples {
		samples[n] = float64(int16(binary.LittleEndian.Uint16(pcm[2*n:])))
	}
	return samples
}

// fundamental is the median pitch of the voiced parts, in Hz: the best autocorrelation of each 40 ms, parabola through its top.
func fundamental(pcm []byte) float64 {
	const rate, window, low, high = 24000, 960, 80, 350
	samples := samplesOf(pcm)
	var found []float64
	for at := 0; at+2*window < len(samples); at += window / 2 {
		part := samples[at : at+2*window]
		score := func(lag int) float64 {
			var product, a, b float64
			for n := range window {
				x, y := part[n], part[n+lag]
				product, a, b = product+x*y, a+x*x, b+y*y
			}
			if a < 1e7*window/1000 || b == 0 {
				return 0
			}
			return product / math.Sqrt(a*b)
		}
		best, at := 0.0, 0
		for lag := rate / high; lag <= rate/low; lag++ {
			if s := score(lag); s > best {
				best, at = s, lag
			}
		}
		if best > 0.85 {
			before, after := score(at-1), score(at+1)
			found = append(found, rate/(float64(at)+(before-after)/(2*(before-2*best+after))))
		}
	}
	slices.Sort(found)
	if len(found) == 0 {
		return 0
	}
	return found[len(found)/2]
}

func TestRateAndVolume(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of speech")
	}
	c := start(t, nil, Options{})
	const text = "The quick brown fox jumps over the lazy dog, and it runs into the woods, and nobody there knows why it does."
	settings := func(fields string) string { return quoted(text) + `,"settings":{` + fields + `}` }
	normal, _ := c.say(quoted(text))
	fast, _ := c.say(settings(`"rate":2.0`))
	if ratio := float64(len(normal)) / float64(len(fast)); math.Abs(ratio/2-1) > 0.02 {
		t.Errorf("at rate 2 there are %d bytes of %d", len(fast), len(normal))
	}
	was, is := fundamental(normal), fundamental(fast)
	t.Logf("%d and %d bytes, %.1f and %.1f Hz", len(normal), len(fast), was, is)
	if was < 80 || math.Abs(is/was-1) > 0.02 {
		t.Errorf("the voice has %.1f Hz, at rate 2 %.1f Hz", was, is)
	}
	if slow, _ := c.say(settings(`"rate":0.5`)); math.Abs(float64(len(slow))/float64(len(normal))/2-1) > 0.02 {
		t.Errorf("at rate 0.5 there are %d bytes of %d", len(slow), len(normal))
	}
	if silent, _ := c.say(settings(`"volume":0,"pitch":1.5`)); !bytes.Equal(silent, make([]byte, len(normal))) {
		t.Error("volume 0 is not silence of the same length")
	}
	loud, _ := c.say(settings(`"volume":2`))
	clipped := 0
	for n, x := range samplesOf(loud) {
		want := min(max(2*samplesOf(normal[2*n : 2*n+2])[0], -32767), 32767)
		if math.Abs(x-want) > 2 {
			t.Fatalf("sample %d: %g at volume 2, expected %g", n, x, want)
		}
		if math.Abs(x) == 32767 {
			clipped++
		}
	}
	if clipped == 0 {
		t.Log("nothing was clipped")
	}
	if got := appendSound(nil, []float32{0.75, -0.75, 0.25}, 2); !bytes.Equal(got, wav.AppendPCM(nil, []float32{1, -1, 0.5})) {
		t.Errorf("clipped to %v", got)
	}
}

func TestFramesAreSentAsTheyAreMade(t *testing.T) {
	c := start(t, nil, Options{})
	whole, pieces := c.say(quoted(story))
	if len(pieces) != 3 {
		t.Fatalf("%d chunks", len(pieces))
	}
	var alone []byte
	for _, text := range []string{"The quick brown fox jumps over the lazy dog.", "It runs into the woods!", "Nobody knows why."} {
		alone = append(alone, servertest.PCM(t, nil, text, pockettts.SpeakOptions{})...)
	}
	if !bytes.Equal(whole, alone) {
		t.Error("the chunks are not what the engine says of each of them")
	}
	frames, parts := c.say(quoted(story) + `,"settings":{"chunking":{"stream_frames":true}}`)
	if !bytes.Equal(whole, frames) || len(parts) != len(whole)/3840 {
		t.Errorf("%d bytes in %d parts, expected %d", len(frames), len(parts), len(whole))
	}
	for _, part := range parts {
		if *part.Range != *pieces[part.Range.Index].Range {
			t.Errorf("%+v, expected %+v", part.Range, pieces[part.Range.Index].Range)
		}
	}
}

// covers checks that ranges, in order, cover every character of a text that is no space, once.
func covers(t *testing.T, text string, ranges [][2]int) {
	t.Helper()
	runes, at := []rune(strip(text)), 0
	for _, r := range ranges {
		if r[0] < at || r[1] <= r[0] || r[1] > len(runes) {
			t.Fatalf("%.40q: range %v after %d, of %d", text, r, at, len(runes))
		}
		if skipped := string(runes[at:r[0]]); strip(skipped) != "" {
			t.Errorf("%.40q: %q is left out", text, skipped)
		}
		at = r[1]
	}
	if rest := string(runes[at:]); strip(rest) != "" {
		t.Errorf("%.40q: %q is left out", text, rest)
	}
}

func TestChunks(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("word ", 60))
	for _, row := range []struct {
		text string
		most int
		want []string
	}{
		{"One. Two. Three. Four. Five.", 200, []string{"One.", "Two.", "Three.", "Four.", "Five."}},
		{"It is 3.14, e.g. pi: yes; no?! Oh", 200, []string{"It is 3.", "14, e.", "g.", "pi:", "yes;", "no?!", "Oh"}},
		{"a\n\nb", 200, []string{"a", "b"}},
		{"... Hello...", 200, []string{"...", "Hello..."}},
		{"你好。世界！真的？是", 200, []string{"你好。", "世界！", "真的？", "是"}},
		{strings.Repeat("A", 450), 200, []string{strings.Repeat("A", 200), strings.Repeat("A", 200), strings.Repeat("A", 50)}},
		{words + "s", 100, []string{words[:99], words[:99], words[:99] + "s"}},
		{words + "ss", 100, []string{words[:99], words[:99], words[:94], "wordss"}},
		{"äöü " + strings.Repeat("ß", 99), 100, []string{"äöü", strings.Repeat("ß", 99)}},
		{"aaaa " + strings.Repeat("b", 95) + " cc", 100, []string{"aaaa", strings.Repeat("b", 95) + " cc"}}, // a space just behind the limit
		{"no end", 200, []string{"no end"}},
	} {
		var got []string
		var ranges [][2]int
		for _, piece := range cut(row.text, row.most) {
			got, ranges = append(got, piece.text), append(ranges, [2]int{piece.start, piece.end})
			if string([]rune(row.text)[piece.start:piece.end]) != piece.text {
				t.Errorf("%.40q: %q is not at %d to %d", row.text, piece.text, piece.start, piece.end)
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%.40q: %q", row.text, got)
		}
		covers(t, row.text, ranges)
	}
}

// TestRangesOfTheStream are of the text without the space around it, in code points.
func TestRangesOfTheStream(t *testing.T) {
	c := start(t, nil, Options{})
	const text = "\n  Café déjà vu — naïve!  Zoë 🙂 said: no…  ???  好。 End\u00a0"
	_, audio := c.say(quoted(text))
	var ranges [][2]int
	for n, m := range audio {
		if m.Range.Index != n || len(m.Audio.Data) == 0 {
			t.Errorf("%d: %+v, %d bytes", n, m.Range, len(m.Audio.Data))
		}
		ranges = append(ranges, [2]int{m.Range.Start, m.Range.End})
	}
	covers(t, text, ranges)
	if last := ranges[len(ranges)-1]; last[1] != utf8.RuneCountInString(strip(text)) || len(ranges) != 5 {
		t.Errorf("%v", ranges)
	}
}

var endless = strings.Repeat("This sentence is spoken again and again, until somebody has heard enough. ", 200)

// TestANewJobEndsTheOneBefore, and who comes late hears what the others heard.
func TestANewJobEndsTheOneBefore(t *testing.T) {
	c := start(t, nil, Options{})
	first, firstURL := c.speak(quoted(endless))
	conn := c.dial(firstURL)
	heard := 0
	for heard < 3 { // JOB_STARTED and two chunks
		if _, _, err := c.next(conn); err != nil {
			t.Fatal(err)
		}
		heard++
	}
	second, secondURL := c.speak(quoted(story))
	messages, raw := c.rest(conn)
	if last := messages[len(messages)-1]; last.Type != jobCanceled || last.Job != first {
		t.Errorf("the first ends with %+v", last)
	}
	live, liveRaw := c.rest(c.dial(secondURL))
	c.check(second, live, jobDone)
	if _, late := c.rest(c.dial(secondURL)); !slices.Equal(late, liveRaw) {
		t.Error("who comes late hears something else")
	}
	late, lateRaw := c.rest(c.dial(firstURL))
	if len(late) != heard+len(messages) || !slices.Equal(lateRaw[heard:], raw) {
		t.Errorf("of the first, %d messages were live and %d are kept", heard+len(messages), len(late))
	}
	// No chunk was cut: each is what the engine says of its text.
	want := servertest.PCM(t, nil, "This sentence is spoken again and again, until somebody has heard enough.", pockettts.SpeakOptions{})
	_, audio := c.check(first, late, jobCanceled)
	for _, m := range audio {
		if !bytes.Equal(m.Audio.Data, want) {
			t.Errorf("chunk %d has %d bytes, expected %d", m.Range.Index, len(m.Audio.Data), len(want))
		}
	}
	if answer := c.must("POST", "/cancel", `{"job_id":"`+first+`"}`); answer["canceled"] != true {
		t.Errorf("cancelling what is over: %v", answer)
	}
}

// TestCancelTakesAFrame: the stream ends at once, and so does the work.
func TestCancelTakesAFrame(t *testing.T) {
	engine := servertest.Engine(t)
	c := start(t, nil, Options{})
	// One chunk of 200 characters, many frames.
	id, url := c.speak(quoted(strings.Repeat("word ", 40)) + `,"settings":{"rate":0.25}`)
	conn := c.dial(url)
	servertest.Until(t, "it speaks", func() bool { open, _ := engine.Streams(); return open == 1 })
	c.must("POST", "/cancel", `{"job_id":"`+id+`"}`)
	messages, _ := c.rest(conn)
	if _, audio := c.check(id, messages, jobCanceled); len(audio) != 0 {
		t.Errorf("a chunk that was not spoken to its end: %+v", audio)
	}
	servertest.Until(t, "nobody speaks", func() bool { open, _ := engine.Streams(); return open == 0 })
	// The next one is not in its way.
	c.say(quoted("One."))
}

// TestALimitOfSoundIsThatOfTheJob, not of each chunk; what was said before is heard.
func TestALimitOfSoundIsThatOfTheJob(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{Sound: 5 * time.Second}})
	c := start(t, service, Options{})
	id, url := c.speak(quoted(strings.Repeat("Here is one more sentence. ", 12)))
	messages, _ := c.rest(c.dial(url))
	pcm, audio := c.check(id, messages, jobError)
	if last := messages[len(messages)-1]; len(audio) == 0 || len(pcm) > 5*48000 || last.Error.Code != codeInference || !strings.Contains(last.Error.Message, "5s") || last.Error.Details == nil {
		t.Errorf("%d chunks, %d bytes, %+v", len(audio), len(pcm), last.Error)
	}
}

func TestSixtyFourJobsAreKept(t *testing.T) {
	c := start(t, nil, Options{})
	var ids []string
	for range jobsKept + 3 {
		id, _ := c.speak(quoted("A."))
		ids = append(ids, id)
	}
	for n, id := range ids {
		status, answer := c.ask("POST", "/cancel", `{"job_id":"`+id+`"}`)
		if known := n >= 3; known != (status == 200) || !known && code(answer) != codeJob {
			t.Errorf("job %d: %d %v", n, status, answer)
		}
	}
}

// TestSoundThatIsKeptHasABound: the oldest go first.
func TestSoundThatIsKeptHasABound(t *testing.T) {
	made := func(bytes int, over bool) *job {
		j := &job{more: make(chan struct{})}
		j.publish(event{kind: jobStarted})
		j.publish(event{kind: audioChunk, pcm: make([]byte, bytes)})
		if over {
			j.publish(event{kind: jobDone})
		}
		return j
	}
	old, middle, fresh, active := made(1, true), made(soundKept-10, true), made(9, true), made(1, false)
	d := &Door{jobs: []*job{old, middle, fresh, active}}
	d.prune()
	if !slices.Equal(d.jobs, []*job{middle, fresh, active}) {
		t.Errorf("%d are left", len(d.jobs))
	}
	large := made(soundKept, false)
	d.jobs = append(d.jobs, large)
	d.prune()
	if !slices.Equal(d.jobs, []*job{active, large}) {
		t.Errorf("%d are left", len(d.jobs))
	}
}

// TestPlaybackChangesFromTheNextChunk, never within one.
func TestPlaybackChangesFromTheNextChunk(t *testing.T) {
	c := start(t, nil, Options{})
	id, url := c.speak(quoted(strings.Repeat("Here is one more sentence. ", 12)))
	conn := c.dial(url)
	for range 2 {
		if _, _, err := c.next(conn); err != nil {
			t.Fatal(err)
		}
	}
	if answer := c.must("POST", "/jobs/"+id+"/playback", `{"volume":0,"rate":2,"pitch":1}`); answer["updated"] != true {
		t.Errorf("%v", answer)
	}
	messages, _ := c.rest(conn)
	normal := len(servertest.PCM(t, nil, "Here is one more sentence.", pockettts.SpeakOptions{}))
	silent := 0
	for _, m := range messages[:len(messages)-1] {
		data := m.Audio.Data
		if bytes.Equal(data, make([]byte, len(data))) {
			silent++
			if math.Abs(float64(2*len(data))/float64(normal)-1) > 0.05 {
				t.Errorf("%d bytes at rate 2, %d at 1", len(data), normal)
			}
		} else if len(data) != normal || silent > 0 {
			t.Errorf("chunk %d: %d bytes with sound, after %d without", m.Range.Index, len(data), silent)
		}
	}
	if silent == 0 {
		t.Error("nothing has changed")
	}
}

// narrow is a listener whose connections hold little that was not read.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return conn, err
}

// TestSlowReadersAreSentAway with 1013, and hear all of it when they come again.
func TestSlowReadersAreSentAway(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of speech")
	}
	c := start(t, nil, Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.door.service.Serve(ctx, narrow{listener}, c.door) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	c.address = "http://" + listener.Addr().String()
	id, url := c.speak(quoted(endless) + `,"settings":{"chunking":{"stream_frames":true}}`)
	dialer := &net.Dialer{}
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(4096)
			}
			return conn, err
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(64 << 20)
	j, err := c.door.find(id)
	if err != nil {
		t.Fatal(err)
	}
	servertest.Until(t, "it is far ahead", func() bool { _, _, count, _ := j.from(0); return count > queued+50 })
	c.must("POST", "/cancel", `{"job_id":"`+id+`"}`)
	heard := 0
	for err == nil {
		if _, _, err = c.next(conn); err == nil {
			heard++
		}
	}
	_, _, all, _ := j.from(0)
	if websocket.CloseStatus(err) != websocket.StatusTryAgainLater || heard >= all-queued {
		t.Errorf("after %d of %d messages: %v", heard, all, err)
	}
	messages, _ := c.rest(c.dial(url))
	if c.check(id, messages, jobCanceled); len(messages) != all {
		t.Errorf("%d messages, expected %d", len(messages), all)
	}
}

func TestWarmUp(t *testing.T) {
	c := start(t, nil, Options{WarmUpText: "Warm."})
	state := func() map[string]any {
		return c.must("GET", "/health", "")["runtime"].(map[string]any)["warmup"].(map[string]any)
	}
	if s := state(); s["status"] != warmthNone || s["runs"] != 0.0 || s["last_reason"] != nil || s["last_error"] != nil || len(s) != 7 {
		t.Errorf("%v", s)
	}
	answer := c.must("POST", "/warmup", `{"wait":true,"reason":"a test"}`)
	s := answer["warmup"].(map[string]any)
	if answer["accepted"] != true || s["status"] != warmthReady || s["runs"] != 1.0 || s["last_reason"] != "a test" || s["last_completed_at"] == nil || s["last_duration_ms"] == nil {
		t.Errorf("%v", answer)
	}
	if answer := c.must("POST", "/warmup", ``); answer["accepted"] != false {
		t.Errorf("ready, and not forced: %v", answer)
	}
	if answer := c.must("POST", "/warmup", `{"force":true,"wait":true}`); answer["accepted"] != true || state()["runs"] != 2.0 {
		t.Errorf("forced: %v", answer)
	}
	early := start(t, nil, Options{WarmUp: true, WarmUpText: "Warm."})
	servertest.Until(t, "it is warm", func() bool { return early.door.warmth.snapshot().Status == warmthReady })
	if reason := early.door.warmth.snapshot().Reason; reason == nil || *reason != "startup" {
		t.Errorf("%v", reason)
	}
	broken := start(t, nil, Options{WarmUpText: " "})
	if s := broken.must("POST", "/warmup", `{"wait":true}`)["warmup"].(map[string]any); s["status"] != warmthError || s["last_error"] == nil {
		t.Errorf("a warm-up that fails: %v", s)
	}
}

func TestActivate(t *testing.T) {
	c := start(t, nil, Options{Voice: "alba", WarmUpText: "Warm.", Models: []string{"mine"}})
	id, url := c.speak(quoted(endless))
	if status, answer := c.ask("POST", "/models/activate", ``); status != 409 || code(answer) != codeProgress {
		t.Errorf("while a job is spoken: %d %v", status, answer)
	}
	c.must("POST", "/cancel", `{"job_id":"`+id+`"}`)
	answer := c.must("POST", "/models/activate", `{"synth_backend":"mock","active_model_id":"mock-model-v2","kyutai_voice_prompt":"slt","kyutai_sample_rate":24000,"qwen_dtype":"x"}`)
	running := answer["runtime"].(map[string]any)
	if answer["reloaded"] != true || answer["warmup_accepted"] != true || answer["active_model_id"] != "starter" || running["backend"] != "kyutai_pocket_tts" ||
		running["warmup"].(map[string]any)["status"] != warmthReady || !strings.Contains(running["detail"].(string), "mock") {
		t.Errorf("%v", answer)
	}
	if status, answer := c.ask("POST", "/cancel", `{"job_id":"`+id+`"}`); status != 404 {
		t.Errorf("a job of before: %d %v", status, answer)
	}
	if _, response, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}}); err == nil || response.StatusCode != 404 {
		t.Errorf("its stream: %v", err)
	}
	for _, name := range []string{"starter", "mine", DefaultModel} {
		c.must("POST", "/models/activate", `{"kyutai_model_name":"`+name+`","warmup_wait":false}`)
	}
	c.say(quoted("One."))
	fallen := start(t, nil, Options{Backend: "qwen"})
	if running := fallen.must("GET", "/health", "")["runtime"].(map[string]any); running["fallback_active"] != true || !strings.Contains(running["detail"].(string), "qwen") {
		t.Errorf("%v", running)
	}
}

func TestPrefetch(t *testing.T) {
	fails := false
	c := start(t, nil, Options{Prefetch: func(context.Context) (map[string]string, error) {
		if fails {
			return nil, errors.New("no network in /secret/place")
		}
		return map[string]string{"english": "/models/english"}, nil
	}})
	for body, want := range map[string]string{``: "[]", `{"mode":"qwen_base"}`: "[]", `{"mode":" ALL "}`: "[english]"} {
		answer := c.must("POST", "/models/prefetch", body)
		if fmt.Sprint(answer["downloaded"]) != want || answer["ok"] != true || answer["data_dir"] == "" || !strings.HasSuffix(answer["models_dir"].(string), "models") || len(answer) != 7 {
			t.Errorf("%s: %v", body, answer)
		}
	}
	fails = true
	if status, answer := c.ask("POST", "/models/prefetch", `{"mode":"all"}`); status != 409 || code(answer) != codeModel || strings.Contains(fmt.Sprint(answer), "secret") {
		t.Errorf("%d %v", status, answer)
	}
}

// TestBeforeTheModelIsThere: health says so, and the rest waits for it.
func TestBeforeTheModelIsThere(t *testing.T) {
	service, err := server.New(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	c := start(t, service, Options{WarmUp: true, WarmUpText: "Warm."})
	if running := c.must("GET", "/health", "")["runtime"].(map[string]any); running["model_loaded"] != false {
		t.Errorf("%v", running)
	}
	for _, path := range []string{"/speak", "/models/activate"} {
		if status, answer := c.ask("POST", path, `{"text":"a"}`); status != 409 || code(answer) != codeModel {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
	if err := service.Start(t.Context(), servertest.Engine(t), nil); err != nil {
		t.Fatal(err)
	}
	c.say(quoted("One."))
	servertest.Until(t, "it is warm", func() bool { return c.door.warmth.snapshot().Status == warmthReady })
}

// TestQuit: the client is answered, the stream ends, the listener too.
func TestQuit(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	door, err := New(service, Options{Token: token, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(t.Context(), listener) }()
	c := &client{t, door, "http://" + listener.Addr().String(), token}
	_, url := c.speak(quoted(endless))
	conn := c.dial(url)
	if answer := c.must("POST", "/quit", `{}`); answer["quitting"] != true {
		t.Errorf("%v", answer)
	}
	for err == nil {
		_, _, err = c.next(conn)
	}
	if status := websocket.CloseStatus(err); status != websocket.StatusGoingAway && status != websocket.StatusNormalClosure {
		t.Errorf("the stream ends with %v", err)
	}
	if err := <-ended; !errors.Is(err, ErrQuit) {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.DialTimeout("tcp", listener.Addr().String(), time.Second); err == nil {
		t.Error("it still listens")
	}
	if err := door.start(&job{more: make(chan struct{})}); err == nil {
		t.Error("it takes jobs")
	}
}
