package callers

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-audio/wav"
)

const (
	fixture  = "../golden/fixtures/lsd6"
	sentence = "Hello world. This is a test."
	// of a sound whose length was not known when it began
	header = "524946462494357757415645666d74201000000001000100c05d000080bb0000020010006461746100943577"
)

var program string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "pocket-tts")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(folder, "pocket-tts")
	build := exec.Command("go", "build", "-o", program, "./cmd/pocket-tts")
	build.Dir = "../../wasi"
	if output, err := build.CombinedOutput(); err != nil {
		panic(string(output))
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func environment(cache string) []string {
	return []string{"HOME=" + os.TempDir(), "XDG_CACHE_HOME=" + cache, "HF_HUB_OFFLINE=1"}
}

// client is one of the program, with a cache of compiled code that the tests share.
func client(c Client) *Client {
	c.Program = program
	if c.Environment == nil {
		c.Environment = environment(filepath.Join(os.TempDir(), "pocket-tts-wasm-tests"))
	}
	return NewClient(c, 2)
}

// random is the model with random weights.
func random(c Client) *Client {
	c.Config, c.Voice = fixture+"/config.yaml", fixture+"/voice.safetensors"
	return client(c)
}

func sound(t *testing.T, c *Client) *Sound {
	t.Helper()
	s, err := c.Generate(t.Context(), sentence)
	if err != nil {
		t.Fatal(err)
	}
	if s.Rate != 24000 || s.Channels != 1 || s.SampleBits != 16 || hex.EncodeToString(s.Data[:44]) != header || (len(s.Data)-44-9600)%3840 != 0 {
		t.Fatalf("%d Hz, %d channels, %d bits, %d bytes, %x", s.Rate, s.Channels, s.SampleBits, len(s.Data), s.Data[:44])
	}
	return s
}

func TestStarterVoice(t *testing.T) {
	s := sound(t, client(Client{Quiet: true}))
	// A decoder that reads to the end has every sample, whatever the header says.
	decoded, err := wav.NewDecoder(bytes.NewReader(s.Data)).FullPCMBuffer()
	if err != nil || len(decoded.Data) != (len(s.Data)-44)/2 {
		t.Fatalf("%v: %d samples of %d bytes", err, len(decoded.Data), len(s.Data))
	}
	var most int
	for _, x := range decoded.Data {
		most = max(most, x, -x)
	}
	if most < 1000 {
		t.Errorf("the loudest sample is %d", most)
	}
}

// TestOptions: every option of the caller does what the same option does on the command line of version 4.
func TestOptions(t *testing.T) {
	plain := sound(t, random(Client{}))
	for flags, c := range map[string]Client{
		"--temperature 0.8":        {Temperature: 0.8},
		"--sampler-decode-steps 3": {LSDDecodeSteps: 3},
		"--noise-clamp 0.25":       {NoiseClamp: 0.25},
		"--eos-threshold -2000":    {EOSThreshold: -2000},
		"--frames-after-eos 9":     {FramesAfterEOS: 9},
		"--max-tokens 8":           {MaxTokens: 8},
	} {
		with := random(c)
		named, err := client(Client{}).run(t.Context(), []byte(sentence), append(random(Client{}).arguments(), strings.Fields(flags)...)...)
		if got := sound(t, with).Data; err != nil || !bytes.Equal(got, named) || bytes.Equal(got, plain.Data) {
			t.Errorf("%v: %v: %d bytes, %d, without it %d", with.arguments(), err, len(got), len(named), len(plain.Data))
		}
	}
}

func TestFailures(t *testing.T) {
	for name, row := range map[string]struct {
		text   string
		client Client
		want   string
	}{
		"no text":  {" \n", Client{}, "ERROR: No input received from stdin.\n"},
		"voice":    {sentence, Client{Voice: "nobody"}, "ERROR: --voice nobody: neither a voice of this pack (slt) nor a file.\n"},
		"config":   {sentence, Client{Config: "no.yaml"}, "ERROR: no.yaml: not found: no such file or directory\n"},
		"language": {sentence, Client{Config: "no.json"}, "ERROR: ValueError: Config should be a path to a YAML file ending with .yaml\n"},
	} {
		_, err := client(row.client).Generate(t.Context(), row.text)
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 1 || exit.Text != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := random(Client{}).Generate(ctx, strings.Repeat(sentence+" ", 2000)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}

// TestManyProcesses share caches that were empty: each speaks, and nothing half-written is left.
func TestManyProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the engine several times")
	}
	cache := t.TempDir()
	c := NewClient(Client{Program: program, Config: fixture + "/config.yaml", Voice: fixture + "/voice.safetensors", Environment: environment(cache)}, 3)
	want := sound(t, random(Client{})).Data
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if s, err := c.Generate(t.Context(), sentence); err != nil || !bytes.Equal(s.Data, want) {
				t.Errorf("%v", err)
			}
		})
	}
	group.Wait()
	files := 0
	_ = filepath.WalkDir(cache, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if files++; strings.Contains(entry.Name(), "tmp") {
				t.Errorf("left: %s", path)
			}
		}
		return nil
	})
	if files == 0 {
		t.Error("nothing is kept")
	}
	if s, err := c.Generate(t.Context(), sentence); err != nil || !bytes.Equal(s.Data, want) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestExportVoice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "voice.safetensors")
	c := random(Client{Quiet: true})
	if err := c.ExportVoice(t.Context(), fixture+"/voice.wav", path); err != nil {
		t.Fatal(err)
	}
	c.Voice = path
	exported := sound(t, c)
	if c.Voice = fixture + "/voice.wav"; !bytes.Equal(exported.Data, sound(t, c).Data) {
		t.Error("it speaks differently")
	}
	var exit *ExitError
	if err := c.ExportVoice(t.Context(), "no.wav", path); !errors.As(err, &exit) || exit.Code != 1 || !strings.HasPrefix(exit.Text, "ERROR: ") {
		t.Errorf("%v", err)
	}
}

func TestServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	var log bytes.Buffer
	c := random(Client{Log: &log})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := c.Start(ctx, "localhost", port)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	defer server.Stop()
	want := sound(t, c).Data
	cloned := random(Client{})
	cloned.Voice = fixture + "/voice.wav"
	for file, want := range map[string][]byte{"": want, fixture + "/voice.safetensors": want, fixture + "/voice.wav": sound(t, cloned).Data} {
		if s, err := server.Generate(ctx, sentence, "", file); err != nil || !bytes.Equal(s.Data, want) {
			t.Errorf("%q: %v", file, err)
		}
	}
	var exit *ExitError
	if _, err := server.Generate(ctx, sentence, "https://example.com/voice.wav", ""); !errors.As(err, &exit) || exit.Code != 400 || !strings.Contains(exit.Text, "--allow-voice-url") {
		t.Errorf("a voice at an address: %v", err)
	}
	server.Stop()
	if server.Health(ctx) == nil {
		t.Error("it is still there")
	}
}

// TestTheirs runs the tests of a wrapper for Go, which look for the program in PATH, in a checkout that is not part of this project.
func TestTheirs(t *testing.T) {
	checkout := os.Getenv("GO_CALL_POCKET_TTS")
	if checkout == "" {
		t.Skip("GO_CALL_POCKET_TTS: a folder with go-call-pocket-tts")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "./...")
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+string(os.PathListSeparator)+os.Getenv("PATH"))
	output, err := cmd.CombinedOutput()
	if t.Logf("%s", output); err != nil || !bytes.Contains(output, []byte("--- PASS: TestGenerate_Golden")) || !bytes.Contains(output, []byte("--- PASS: TestServerClient_Golden")) {
		t.Error(err)
	}
}
