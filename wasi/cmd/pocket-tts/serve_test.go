package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// served is a `pocket-tts serve` that a test talks to.
type served struct {
	cmd     *exec.Cmd
	address string // http://127.0.0.1:PORT
	mu      sync.Mutex
	log     strings.Builder
	ended   chan struct{} // its stderr is at its end
}

var listening = regexp.MustCompile(`^INFO: Listening on (http://\S+) \((http[a-z, -]*)\)$`)

// startServer starts the program on a free port and waits until it listens.
func startServer(t *testing.T, args ...string) *served {
	t.Helper()
	return startServerIn(t, nil, args...)
}

// startServerIn has an environment besides that of process.
func startServerIn(t *testing.T, environment []string, args ...string) *served {
	t.Helper()
	cmd := process(t, append([]string{"serve", "--port", "0"}, args...)...)
	cmd.Env = append(cmd.Env, environment...)
	return launch(t, cmd, listening)
}

// launch starts a server and waits until its log says where it listens.
func launch(t *testing.T, cmd *exec.Cmd, listens *regexp.Regexp) *served {
	t.Helper()
	s := &served{cmd: cmd, ended: make(chan struct{})}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	ready := make(chan string, 8)
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			s.mu.Lock()
			fmt.Fprintln(&s.log, lines.Text())
			s.mu.Unlock()
			if found := listens.FindStringSubmatch(lines.Text()); found != nil {
				ready <- found[1]
			}
		}
	}()
	select {
	case s.address = <-ready:
	case <-s.ended:
		t.Fatalf("it ended: %s", s.logged())
	case <-time.After(time.Minute):
		t.Fatalf("it does not listen: %s", s.logged())
	}
	return s
}

func (s *served) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// door is the address of a door with a listener of its own.
func (s *served) door(t *testing.T, name string) string {
	t.Helper()
	found := regexp.MustCompile(`INFO: Listening on (\S+) \(` + name + `\)`).FindStringSubmatch(s.logged())
	if found == nil {
		t.Fatalf("no door %s: %s", name, s.logged())
	}
	return found[1]
}

// stop sends a signal and returns the exit code.
func (s *served) stop(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	<-s.ended
	_ = s.cmd.Wait() // the code says it
	return s.cmd.ProcessState.ExitCode()
}

func post(t *testing.T, address string, form url.Values) (*http.Response, []byte) {
	t.Helper()
	response, err := http.PostForm(address+"/tts", form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, data
}

// TestServerSaysWhatTheCommandLineSays, byte for byte, with the flags of callers of both generations.
func TestServerSaysWhatTheCommandLineSays(t *testing.T) {
	s := startServer(t, "--no-reload", "--voice", fixture+"/voice.safetensors", "--config", fixture+"/config.yaml", "--temperature", "0.5", "--seed", "7")
	response, data := post(t, s.address, url.Values{"text": {"Hello world."}})
	if response.StatusCode != 200 || !bytes.Equal(data, say(t, "--text", "Hello world.", "--temperature", "0.5", "--seed", "7")) {
		t.Errorf("%s, %d bytes", response.Status, len(data))
	}
	for path, status := range map[string]int{"/health": 200, "/": 200, "/v1/models": 200, "/metrics": 200, "/nothing": 404, "/v1/nothing": 404} {
		response, err := http.Get(s.address + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
	if runtime.GOOS != "windows" {
		if code := s.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit %d", code)
		}
	}
	if log := s.logged(); strings.Contains(log, "Hello") || !strings.Contains(log, "path=/tts status=200") || strings.Contains(log, "WARNING") {
		t.Errorf("%s", log)
	}
}

// TestServerEndsInMidSpeech: with exit code 0, and a client that sees that its speech is not whole.
func TestServerEndsInMidSpeech(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		s := startServer(t, "--with", "none", "--default-voice", "slt")
		response, err := http.PostForm(s.address+"/tts", url.Values{"text": {strings.Repeat("This is spoken for minutes, and nobody waits for it. ", 300)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, 4000)); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, response.Body)
			read <- err
		}()
		if code := s.stop(t, sig); code != 0 {
			t.Errorf("%s: exit %d\n%s", sig, code, s.logged())
		}
		if err := <-read; err == nil {
			t.Errorf("%s: the client takes it for whole", sig)
		}
		response.Body.Close()
		if response, err := http.Get(s.address + "/v1/models"); err == nil {
			response.Body.Close()
			t.Errorf("%s: it still listens", sig)
		}
	}
}

func TestServerIsNotStartedWithWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--port", "x"}, 2, "Invalid value for '--port': 'x' is not a port."},
		{[]string{"--port", "65536"}, 2, "is not a port"},
		{[]string{"--bogus"}, 2, "No such option: --bogus"},
		{[]string{"extra"}, 2, "Got unexpected extra argument (extra)"},
		{[]string{"--with", "fax"}, 2, "'fax' is not one of '"},
		{[]string{"--workers", "0"}, 2, "'0' is less than 1"},
		{[]string{"--port", "0", "--workers", "17"}, 1, "ERROR: --workers: expected 0 to 16, found 17\n"},
		{[]string{"--port", "0", "--max-tokens", "0"}, 1, "ERROR: --max-tokens: expected 1 to 4096, found 0\n"},
		{[]string{"--port", "0", "--temperature", "-1"}, 1, "ERROR: --temperature: expected 0 to 100, found -1\n"},
		{[]string{"--port", "0", "--default-voice", "nobody"}, 1, "ERROR: --default-voice nobody: neither a voice of this pack (slt)"},
		{[]string{"--port", "0", "--voice", "no.safetensors"}, 1, "ERROR: --default-voice no.safetensors: no such file"},
		{[]string{"--port", "0", "--api-key", ""}, 1, "ERROR: --api-key: expected a key"},
		{[]string{"--port", "0", "--api-key", " \n"}, 1, "ERROR: --api-key: expected a key"},
		{[]string{"--port", "0", "--with", "voicereader"}, 1, "ERROR: VoiceReader's API needs a token: --token, --api-key, or SPEAK_SELECTION_ENGINE_TOKEN in the environment.\n"},
		{[]string{"--port", "0", "--voices-dir", "no/such"}, 1, "ERROR: --voices-dir: no/such"},
		{[]string{"--port", "0", "--cors-origin", "example.com"}, 1, "ERROR: --cors-origin: expected"},
		{[]string{"--port", "0", "--allow-host", "tts.example:8000"}, 1, "ERROR: --allow-host: expected a name such as"},
		{[]string{"--port", "0", "--allow-voice-url", "https://example.com"}, 1, "ERROR: --allow-voice-url: expected"},
		{[]string{"--port", port, "--host", "127.0.0.1"}, 1, "address already in use"},
		{[]string{"--port", "0", "--with", "local", "--local-address", "127.0.0.1:" + port}, 1, "ERROR: --local-address 127.0.0.1:" + port + ": "},
		{[]string{"--port", "0", "--with", "local", "--local-address", "nowhere"}, 1, "ERROR: --local-address nowhere: "},
	} {
		r := runWith(t, "", append([]string{"serve"}, row.args...)...)
		if r.code != row.code || len(r.stdout) != 0 || !bytes.Contains(r.stderr, []byte(row.says)) || bytes.Contains(r.stderr, []byte("Listening")) {
			t.Errorf("%v: exit %d, stderr %s", row.args, r.code, r.stderr)
		}
	}
	if r := runWith(t, "", "serve", "--help"); r.code != 0 || !bytes.Contains(r.stdout, []byte("--default-voice")) || bytes.Contains(r.stdout, []byte("--output-path")) {
		t.Errorf("exit %d, %s", r.code, r.stdout)
	}
}

// TestServerOnOtherAddresses warns once, unless there is a key.
func TestServerOnOtherAddresses(t *testing.T) {
	const warning = "WARNING: 0.0.0.0 is not an address of this machine alone"
	open := startServer(t, "--host", "0.0.0.0")
	if log := open.logged(); strings.Count(log, "WARNING") != 1 || !strings.Contains(log, warning) {
		t.Errorf("%s", log)
	}
	locked := startServer(t, "--host", "0.0.0.0", "--api-key", "secret")
	if log := locked.logged(); strings.Contains(log, "WARNING") {
		t.Errorf("%s", log)
	}
	other := startServer(t, "--with", "local", "--local-address", "0.0.0.0:0")
	if log := other.logged(); strings.Count(log, "WARNING") != 1 || !strings.Contains(log, warning) {
		t.Errorf("%s", log)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(strings.Replace(locked.address, "[::]", "any", 1), "http://"), ":")
	response, _ := post(t, "http://127.0.0.1:"+port, url.Values{"text": {"a"}})
	if response.StatusCode != 401 {
		t.Errorf("%s", response.Status)
	}
}

// TestKeyFromAFile: what stands around it there, a line break for instance, is no part of it, as it is none of a header's.
func TestKeyFromAFile(t *testing.T) {
	locked := startServerIn(t, []string{"POCKET_TTS_API_KEY= secret\r\n"})
	for header, want := range map[string]int{"Bearer secret": 200, "Bearer other": 401, "": 401} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, locked.address+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", header)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%q: %s", header, response.Status)
		}
	}
}

// TestRecordingsMakeVoicesWhereOnlyThisMachineAsks: every listener counts that takes recordings, and is open.
func TestRecordingsMakeVoicesWhereOnlyThisMachineAsks(t *testing.T) {
	for line, want := range map[string]bool{
		"": true, "--host 127.0.0.2": true, "--host 0.0.0.0": false, "--host example.com": false,
		"--with local --local-address 0.0.0.0:9527": false, "--local-address 0.0.0.0:9527": true,
		"--with voicereader --voicereader-host 0.0.0.0": false, "--with voicereader --voicereader-host ::1": true,
		"--with voicereader": true, "--voicereader-host 0.0.0.0": true,
	} {
		o := new(serveOptions)
		if err := newServeFlags(o).Parse(strings.Fields(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got := o.onlyHere(); got != want {
			t.Errorf("%q: %t", line, got)
		}
	}
}
