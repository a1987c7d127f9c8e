//go:build unix

package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestVoiceMustBeAPlainFile(t *testing.T) {
	for _, name := range []string{"fifo.safetensors", "fifo.wav"} {
		path := filepath.Join(t.TempDir(), name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		r := runWith(t, "", "generate", "-q", "--text", "a", "--output-path", "-", "--config", model[1], "--voice", path)
		if r.code != 1 || !bytes.Contains(r.stderr, []byte(path+": expected a plain file, found a FIFO\n")) {
			t.Errorf("%s: exit %d, stderr %q", name, r.code, r.stderr)
		}
	}
}
