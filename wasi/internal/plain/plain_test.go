//go:build unix

package plain

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOpen: a FIFO that nobody writes to is refused, and not waited for.
func TestOpen(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	err := errors.Join(syscall.Mkfifo(at("fifo"), 0o600), os.Mkdir(at("folder"), 0o700), os.WriteFile(at("file"), []byte("here"), 0o600),
		os.Symlink("fifo", at("link")), os.Symlink("file", at("alias")))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{"fifo": "a FIFO", "link": "a FIFO", "folder": "a folder", "file": "", "alias": "", "nothing": "no such file"} {
		below, info, err := OpenIn(root, name)
		check(t, name, want, below, err)
		if want == "" && info.Size() != 4 {
			t.Errorf("%s: %d bytes", name, info.Size())
		}
		file, err := Open(at(name))
		check(t, name, want, file, err)
	}
	if _, err := Open(at("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func check(t *testing.T, name, want string, file *os.File, err error) {
	t.Helper()
	if want != "" {
		if err == nil || !strings.Contains(err.Error(), want) || file != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer file.Close()
	if data, err := io.ReadAll(file); err != nil || string(data) != "here" {
		t.Errorf("%s: %v %q", name, err, data)
	}
}
