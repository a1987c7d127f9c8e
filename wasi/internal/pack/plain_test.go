//go:build unix

package pack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyPlainFilesAreOpened(t *testing.T) {
	fifo := func(path string) string {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, packFS(goodManifest)); err != nil {
		t.Fatal(err)
	}
	tokenizer := filepath.Join(folder, "tokenizer.json")
	if err := os.Remove(tokenizer); err != nil {
		t.Fatal(err)
	}
	fifo(tokenizer)
	p, err := OpenFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, fileErr := p.Read(p.Files[1], 100)

	other := t.TempDir()
	fifo(filepath.Join(other, "pack.json"))
	_, manifestErr := OpenFolder(other)
	_, configErr := OpenConfig(fifo(filepath.Join(other, "c.yaml")))
	write(t, filepath.Join(other, "d.yaml"), "weights_path: c.yaml")
	_, namedErr := OpenConfig(filepath.Join(other, "d.yaml"))
	for name, c := range map[string]struct{ err, is error }{
		"a file": {fileErr, ErrPack}, "pack.json": {manifestErr, ErrPack},
		"a configuration": {configErr, ErrConfig}, "a file of one": {namedErr, ErrConfig},
	} {
		if !errors.Is(c.err, c.is) || !strings.Contains(c.err.Error(), "expected a plain file, found a FIFO") {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	if _, err := OpenConfig(other); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "found a folder") {
		t.Errorf("a folder: %v", err)
	}
}
