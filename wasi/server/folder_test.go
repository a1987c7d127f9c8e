package server_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

// TestFilesThatMakeNoVoice: the operator is told, once, of what lies in the folder and is not used.
func TestFilesThatMakeNoVoice(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"a.mp3", "b.WAV", "c.safetensors", "c.wav", "d.txt", "my voice.safetensors", "E.SAFETENSORS"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	servertest.Service(t, nil, server.Options{VoicesDir: folder, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, `files="E.SAFETENSORS, a.mp3, b.WAV, my voice.safetensors"`) {
		t.Errorf("%s", text)
	}
}

// TestFilesBehindVoicesOfThePack are named: whoever put them there wonders why they sound as before.
func TestFilesBehindVoicesOfThePack(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "slt.safetensors"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	servertest.Service(t, nil, server.Options{VoicesDir: folder, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, `files=slt.safetensors`) {
		t.Errorf("%s", text)
	}
}

// TestWhatIsNoFileIsNoVoice: nobody waits for a FIFO, nor reads a folder.
func TestWhatIsNoFileIsNoVoice(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "b.safetensors"), 0o700); err != nil {
		t.Fatal(err)
	}
	if mkfifo, err := exec.LookPath("mkfifo"); err == nil {
		if err := exec.CommandContext(t.Context(), mkfifo, filepath.Join(folder, "a.safetensors")).Run(); err != nil {
			t.Fatal(err)
		}
	}
	service := servertest.Service(t, nil, server.Options{VoicesDir: folder})
	for _, name := range []string{"a", "b"} {
		if _, err := service.Speak(t.Context(), server.Request{Text: "a", Voice: name}); service.HasVoice(name) || problem(err) != server.VoiceUnknown {
			t.Errorf("%s: %v", name, err)
		}
	}
}
