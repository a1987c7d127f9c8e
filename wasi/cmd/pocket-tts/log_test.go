package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestLinesAreNotForged: what a client says stays one value of a line.
func TestLinesAreNotForged(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stderr := os.Stderr
	os.Stderr = file
	slog.New(lineHandler{}).Info("request", "voice", "a status=200\nERROR: \x1b[1m", "path", "/tts", "error", os.ErrNotExist)
	os.Stderr = stderr
	text, err := os.ReadFile(file.Name())
	if want := `INFO: request voice="a status=200\nERROR: \x1b[1m" path=/tts error=file does not exist` + "\n"; err != nil || string(text) != want {
		t.Errorf("%v %q", err, text)
	}
}
