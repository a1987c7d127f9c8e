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

// TestRecordingsThatMakeNoVoice: the operator is told, once, of what lies in the folder and is not used.
func TestRecordingsThatMakeNoVoice(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"a.mp3", "b.WAV", "c.safetensors", "d.txt"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	servertest.Service(t, nil, server.Options{VoicesDir: folder, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, `files="a.mp3, b.WAV"`) {
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
