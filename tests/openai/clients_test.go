// Package openai runs the official clients, in Go and in Python, against the program as it is installed.
package openai

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const (
	key      = "sk-test"
	sentence = "Hello there."
)

var address string

func TestMain(m *testing.M) { os.Exit(withServer(m.Run)) }

var listening = regexp.MustCompile(`Listening on (http://\S+) `)

func withServer(run func() int) int {
	folder, err := os.MkdirTemp("", "pocket-tts")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "pocket-tts")
	build := exec.Command("go", "build", "-o", program, "./cmd/pocket-tts")
	build.Dir = "../../wasi"
	if output, err := build.CombinedOutput(); err != nil {
		panic(string(output))
	}
	cmd := exec.Command(program, "serve", "--port", "0", "--api-key", key)
	cmd.Env = []string{"HOME=" + os.TempDir(), "XDG_CACHE_HOME=" + filepath.Join(os.TempDir(), "pocket-tts-wasm-tests")}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		panic(err)
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	ready := make(chan string, 1)
	go func() {
		defer close(ready)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if found := listening.FindStringSubmatch(lines.Text()); found != nil {
				ready <- found[1]
			}
		}
	}()
	select {
	case address = <-ready:
	case <-time.After(time.Minute):
	}
	if address == "" {
		panic("the server does not listen")
	}
	return run()
}

func client(key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(address+"/v1/"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func asked(change func(*openai.AudioSpeechNewParams)) openai.AudioSpeechNewParams {
	params := openai.AudioSpeechNewParams{
		Model: openai.SpeechModelTTS1, Input: sentence, Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")},
		ResponseFormat: openai.AudioSpeechNewParamsResponseFormatPCM,
	}
	if change != nil {
		change(&params)
	}
	return params
}

func speak(t *testing.T, change func(*openai.AudioSpeechNewParams)) []byte {
	t.Helper()
	c := client(key)
	response, err := c.Audio.Speech.New(t.Context(), asked(change))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSpeech(t *testing.T) {
	pcm := speak(t, nil)
	if len(pcm)%3840 != 0 || len(pcm) < 24000 {
		t.Errorf("%d bytes", len(pcm))
	}
	wav := speak(t, func(p *openai.AudioSpeechNewParams) {
		p.ResponseFormat = openai.AudioSpeechNewParamsResponseFormatWAV
		p.Voice = openai.AudioSpeechNewParamsVoiceUnion{OfAudioSpeechNewsVoiceID: &openai.AudioSpeechNewParamsVoiceID{ID: "slt"}}
	})
	if !bytes.Equal(wav[44:], pcm) {
		t.Errorf("wav: %d bytes, pcm: %d", len(wav), len(pcm))
	}
	slow := speak(t, func(p *openai.AudioSpeechNewParams) { p.Speed = openai.Float(0.5) })
	if len(slow) < 2*len(pcm)-4 || len(slow) > 2*len(pcm)+4 {
		t.Errorf("at half speed: %d bytes of %d", len(slow), len(pcm))
	}
	var heard []byte
	events := speak(t, func(p *openai.AudioSpeechNewParams) { p.StreamFormat = openai.AudioSpeechNewParamsStreamFormatSSE })
	for line := range strings.SplitSeq(strings.TrimSpace(string(events)), "\n\n") {
		var event struct{ Type, Audio string }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &event); err != nil {
			t.Fatal(err)
		}
		part, err := base64.StdEncoding.DecodeString(event.Audio)
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, part...)
	}
	if !bytes.Equal(heard, pcm) {
		t.Errorf("events: %d bytes, pcm: %d", len(heard), len(pcm))
	}
}

func TestErrors(t *testing.T) {
	for status, call := range map[int]func() error{
		400: func() error {
			c := client(key)
			_, err := c.Audio.Speech.New(t.Context(), asked(func(p *openai.AudioSpeechNewParams) { p.Input = " " }))
			return err
		},
		401: func() error {
			c := client("wrong")
			_, err := c.Models.List(t.Context())
			return err
		},
		404: func() error {
			c := client(key)
			_, err := c.Models.Get(t.Context(), "nothing")
			return err
		},
	} {
		var failure *openai.Error
		if err := call(); !errors.As(err, &failure) || failure.StatusCode != status || failure.Message == "" || failure.Type != "invalid_request_error" {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestModels(t *testing.T) {
	c := client(key)
	page, err := c.Models.List(t.Context())
	if err != nil || len(page.Data) != 2 || page.Data[0].ID != "pocket-tts" {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestPython runs client.py in what install.sh installed.
func TestPython(t *testing.T) {
	python, err := exec.Command("./install.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), strings.TrimSpace(string(python)), "client.py", address, key).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	t.Logf("%s", output)
}
