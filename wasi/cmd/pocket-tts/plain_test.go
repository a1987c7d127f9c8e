//go:build unix

package main

import (
	"bytes"
	"os"
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

// TestExportReplacesFilesOnly: what is no file stays what it is, and a link goes on leading to its file.
func TestExportReplacesFilesOnly(t *testing.T) {
	folder := t.TempDir()
	fifo, file, link := filepath.Join(folder, "fifo"), filepath.Join(folder, "file"), filepath.Join(folder, "link")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	voice := firstVoice(t)
	for path, want := range map[string]string{fifo: "a FIFO", folder: "a folder"} {
		r := runWith(t, "", "export-voice", "-q", voice, path)
		if want = "ERROR: " + path + ": expected a plain file, found " + want + "\n"; r.code != 1 || string(r.stderr) != want {
			t.Errorf("exit %d, stderr %q, want %q", r.code, r.stderr, want)
		}
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if r := runWith(t, "", "export-voice", "-q", voice, link); r.code != 0 {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("%v", err)
	}
}
