package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

var readerListens = regexp.MustCompile(`INFO: Listening on (http://\S+) \(([a-z, ]+)\)`)

// reader is a program that serves VoiceReader's API, and a client of it.
type reader struct {
	t         *testing.T
	cmd       *exec.Cmd
	addresses map[string]string // by the names of the doors
	log       *bytes.Buffer     // complete when it has ended
	ended     chan struct{}
}

const readerToken = "secret"

// startReader starts a program and waits for so many listeners.
func startReader(t *testing.T, listeners int, environment []string, stdin string, args ...string) *reader {
	t.Helper()
	r := &reader{t, process(t, args...), map[string]string{}, new(bytes.Buffer), make(chan struct{})}
	r.cmd.Env = append(r.cmd.Env, environment...)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	input, err := r.cmd.StdinPipe() // stays open: a line is enough
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(input, stdin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	})
	found := make(chan []string, 8)
	go func() {
		defer close(r.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(r.log, lines.Text())
			if match := readerListens.FindStringSubmatch(lines.Text()); match != nil {
				found <- match
			}
		}
	}()
	for range listeners {
		select {
		case match := <-found:
			r.addresses[match[2]] = match[1]
		case <-r.ended:
			t.Fatalf("it ended: %s", r.log)
		case <-time.After(time.Minute):
			t.Fatal("it does not listen")
		}
	}
	return r
}

func (r *reader) ask(method, path, body string) map[string]any {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.addresses["voicereader"]+"/v1"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+readerToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != 200 {
		r.t.Fatalf("%s %s: %s %v %v", method, path, response.Status, answer, err)
	}
	return answer
}

// say speaks with a voice and returns the sound.
func (r *reader) say(voice string) (pcm []byte) {
	r.t.Helper()
	job := r.ask("POST", "/speak", `{"text":"Hello world.","voice_id":"`+voice+`"}`)
	conn, _, err := websocket.Dial(r.t.Context(), job["ws_url"].(string), &websocket.DialOptions{Subprotocols: []string{"auth.bearer.v1", readerToken}})
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(64 << 20)
	for last := ""; ; {
		_, data, err := conn.Read(r.t.Context())
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure || last != "JOB_DONE" {
				r.t.Errorf("after %s: %v", last, err)
			}
			return pcm
		}
		var message struct {
			Type  string `json:"type"`
			Audio struct {
				Data []byte `json:"data_base64"`
			} `json:"audio"`
		}
		if err := json.Unmarshal(data, &message); err != nil {
			r.t.Fatal(err)
		}
		last, pcm = message.Type, append(pcm, message.Audio.Data...)
	}
}

// wait waits until the program has ended and returns its exit code.
func (r *reader) wait() int {
	r.t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	<-r.ended
	_ = r.cmd.Wait() // the code says it
	return r.cmd.ProcessState.ExitCode()
}

// TestVoiceReaderStartsAsItsEngineDid: the command line of the application, a token on stdin, a voice that outlives a kill, and the
// end that the application asks for.
func TestVoiceReaderStartsAsItsEngineDid(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	line, err := json.Marshal(map[string]any{"token": readerToken, "port": 0, "data_dir": data})
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--server", "--port", "1", "--bootstrap-stdin"}, model...)
	r := startReader(t, 1, []string{"SPEAK_SELECTION_ENGINE_TOKEN=another"}, string(line)+"\n", args...)
	if pcm := r.say("0"); !bytes.Equal(pcm, spokenPCM(t)) {
		t.Errorf("%d bytes, not those of generate", len(pcm))
	}
	recording, err := os.ReadFile(fixture + "/voice.wav")
	if err != nil {
		t.Fatal(err)
	}
	id := r.ask("POST", "/voices/clone", `{"display_name":"Mine","ref_audio":{"wav_base64":"`+base64.StdEncoding.EncodeToString(recording)+`"}}`)["voice_id"].(string)
	said := r.say(id)
	_ = r.cmd.Process.Kill() // no farewell
	r.wait()

	r = startReader(t, 1, nil, "", append([]string{"voicereader", "--port", "0", "--token", readerToken, "--data-dir", data}, model...)...)
	if voices := fmt.Sprint(r.ask("GET", "/voices", "")); !strings.Contains(voices, id) || !strings.Contains(voices, "Mine") {
		t.Errorf("after a restart: %s", voices)
	}
	if again := r.say(id); !bytes.Equal(said, again) || len(said) == 0 {
		t.Errorf("after a restart it says %d bytes, before %d", len(again), len(said))
	}
	r.ask("POST", "/quit", "{}")
	if code := r.wait(); code != 0 || strings.Contains(r.log.String(), readerToken) {
		t.Errorf("exit %d: %s", code, r.log)
	}
}

// TestVoiceReaderBesideOthers: a door of serve with a listener of its own, which a client can end, and nothing else with it.
func TestVoiceReaderBesideOthers(t *testing.T) {
	r := startReader(t, 2, []string{"VOICEREADER_WARMUP_ON_STARTUP=false"}, "",
		append([]string{"serve", "--port", "0", "--with", "openai,voicereader", "--voicereader-port", "0", "--api-key", readerToken, "--data-dir", t.TempDir()}, model...)...)
	if pcm := r.say("0"); !bytes.Equal(pcm, spokenPCM(t)) {
		t.Errorf("%d bytes, not those of generate", len(pcm))
	}
	if health := r.ask("GET", "/health", ""); health["runtime"].(map[string]any)["warmup"].(map[string]any)["status"] != "not_started" {
		t.Errorf("%v", health)
	}
	r.ask("POST", "/quit", "")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get(r.addresses["voicereader"])
		if err != nil {
			break
		}
		response.Body.Close()
		if time.Now().After(end) {
			t.Fatal("it still listens")
		}
	}
	response, err := http.Get(r.addresses["http, openai"] + "/health")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if runtime.GOOS != "windows" {
		if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := r.wait(); code != 0 {
			t.Errorf("exit %d: %s", code, r.log)
		}
	}
}

// TestVoiceReaderFindsItsModel below models in the data folder, with its voice, where the environment names it.
func TestVoiceReaderFindsItsModel(t *testing.T) {
	data := t.TempDir()
	folder := filepath.Join(data, "models", "someone", "tiny")
	if err := os.MkdirAll(filepath.Join(folder, "embeddings"), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"config.yaml": "voicereader-pocket-tts.yaml", "model.safetensors": "model.safetensors", "tokenizer.model": "tokenizer.model", "voice.safetensors": "embeddings/anna.safetensors"} {
		content, err := os.ReadFile(filepath.Join(fixture, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, to), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"voicereader", "--port", "0", "--token-env", "MINE", "--data-dir", data}
	r := startReader(t, 1, []string{"MINE=" + readerToken, "VOICEREADER_KYUTAI_MODEL=someone/tiny", "VOICEREADER_KYUTAI_VOICE_PROMPT=anna"}, "", args...)
	if pcm := r.say("0"); !bytes.Equal(pcm, spokenPCM(t)) {
		t.Errorf("%d bytes, not those of generate", len(pcm))
	}
	r.ask("POST", "/models/activate", `{"kyutai_model_name":"someone/tiny"}`)
	// What cannot be found is no reason to be silent.
	r = startReader(t, 1, []string{"MINE=" + readerToken, "VOICEREADER_KYUTAI_MODEL=someone/else", "VOICEREADER_SYNTH_BACKEND=qwen"}, "", args...)
	if health := r.ask("GET", "/health", ""); health["active_model_id"] != "starter" || health["runtime"].(map[string]any)["fallback_active"] != true {
		t.Errorf("%v", health)
	}
	if answer := r.ask("POST", "/models/prefetch", `{"mode":"all"}`); fmt.Sprint(answer["downloaded"]) != "[]" {
		t.Errorf("%v", answer)
	}
	r.ask("POST", "/quit", "")
	if code := r.wait(); code != 0 || !strings.Contains(r.log.String(), "WARNING: VOICEREADER_KYUTAI_MODEL: someone/else is neither") {
		t.Errorf("exit %d: %s", code, r.log)
	}
}

func TestVoiceReaderIsNotStartedWithWhatIsWrong(t *testing.T) {
	data := t.TempDir()
	blocked := filepath.Join(data, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args        []string
		stdin       string
		environment string
		code        int
		says        string
	}{
		{[]string{"voicereader"}, "", "", 1, "ERROR: VoiceReader's API needs a token: --token, or SPEAK_SELECTION_ENGINE_TOKEN in the environment."},
		{[]string{"--server", "--bootstrap-stdin"}, "", "", 1, "needs a token"},
		{[]string{"--server", "--bootstrap-stdin"}, `{"token": 7}` + "\n", "", 1, "ERROR: --bootstrap-stdin: expected a line"},
		{[]string{"--server", "--bootstrap-stdin"}, `{"port": 70000}`, "", 1, "ERROR: --bootstrap-stdin: expected a line"},
		{[]string{"serve", "--with", "voicereader"}, "", "", 1, "needs a token"},
		{[]string{"voicereader", "--token", "x"}, "", "VOICEREADER_SYNTH_BACKEND=espeak", 1, "'espeak' is not one of"},
		{[]string{"voicereader", "--token", "x", "--data-dir", blocked, "--port", "0"}, "", "", 1, "ERROR: --data-dir " + blocked},
		{[]string{"voicereader", "--token", "x", "--data-dir", data, "--port", "0", "--clone-path-allow", "no/such"}, "", "", 1, "ERROR: --clone-path-allow no/such: no such file"},
		{[]string{"voicereader", "--token", "x", "--voice", "nobody", "--data-dir", data}, "", "", 1, "ERROR: --voice nobody: neither a voice of this pack (slt)"},
		{[]string{"voicereader", "--port", "x"}, "", "", 2, "Invalid value for '--port': 'x' is not a port."},
		{[]string{"voicereader", "--bogus"}, "", "", 2, "No such option: --bogus"},
		{[]string{"voicereader", "extra"}, "", "", 2, "Got unexpected extra argument (extra)"},
	} {
		cmd := process(t, row.args...)
		if row.environment != "" {
			cmd.Env = append(cmd.Env, row.environment)
		}
		if r := finish(t, cmd, row.stdin); r.code != row.code || len(r.stdout) != 0 || !bytes.Contains(r.stderr, []byte(row.says)) {
			t.Errorf("%v: exit %d, stderr %s", row.args, r.code, r.stderr)
		}
	}
	if r := runWith(t, "", "voicereader", "--help"); r.code != 0 || !bytes.Contains(r.stdout, []byte("--bootstrap-stdin")) || !bytes.Contains(r.stdout, []byte("pocket-tts --server [OPTIONS]")) {
		t.Errorf("exit %d, %s", r.code, r.stdout)
	}
}

// TestVoiceReaderEndsWhileItWaitsForItsLine: nobody has to say it first.
func TestVoiceReaderEndsWhileItWaitsForItsLine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	cmd := process(t, "voicereader", "--bootstrap-stdin")
	if _, err := cmd.StdinPipe(); err != nil { // stays open
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
