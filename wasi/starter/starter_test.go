package starter

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// original is the folder of which this package carries a copy. Only a module that was downloaded lacks it.
func original(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("../../wasm/engine/pocket_tts.h"); err != nil {
		t.Skip("outside of the repository")
	}
	return "../../models/starter"
}

func TestCopyEqualsTheOriginal(t *testing.T) {
	folder := original(t)
	p, err := pack.OpenFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := map[string]bool{"pack.json": true, "LICENSE": true}
	for _, file := range p.Files {
		want[file.Path] = true
	}
	err = fs.WalkDir(FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !want[path] {
			t.Errorf("%s is embedded and not part of the pack", path)
		}
		delete(want, path)
		embedded, err := fs.ReadFile(FS(), path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(folder, path))
		if err != nil {
			return err
		}
		if !bytes.Equal(embedded, data) {
			t.Errorf("%s differs from models/starter: run go generate ./starter", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range want {
		t.Errorf("%s is missing: run go generate ./starter", path)
	}
}

func TestPackIsWhole(t *testing.T) {
	p, err := pack.OpenFS(FS(), "starter")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range p.Files {
		if _, err := p.Read(file, 64<<20); err != nil {
			t.Error(err)
		}
		if file.License == "" || file.SHA256 == "" || file.Bytes == nil {
			t.Errorf("%s: licence, size and sha256 must be stated", file.Path)
		}
	}
	if p.DefaultVoice == "" {
		t.Error("no default voice")
	}
}
