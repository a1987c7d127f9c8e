package server_test

import (
	"bytes"
	"log/slog"
	"os"
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
