package hub

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// hubOf is a server with the layout of the hub, and options that ask it.
func hubOf(t *testing.T) (*server, Options) {
	s := serve(t)
	o := options(t, t.TempDir())
	o.Hubs = []string{s.URL + "/{repository}/resolve/{revision}/{path}"}
	return s, o
}

func (s *server) put(path string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = data
}

func wantFile(t *testing.T, address string, o Options, want []byte) {
	t.Helper()
	if got, err := File(t.Context(), address, 1<<20, o); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d, %v", address, len(got), len(want), err)
	}
}

func TestFileIsKeptAsFarAsItsNameSays(t *testing.T) {
	s, o := hubOf(t)
	first, second := noise(1, 5000), noise(2, 5000)
	pinned, newest, site := "hf://me/voices/a.wav@"+commit, "hf://me/voices/a.wav", s.URL+"/a.wav"
	paths := []string{"/me/voices/resolve/" + commit + "/a.wav", "/me/voices/resolve/main/a.wav", "/a.wav"}
	for _, path := range paths {
		s.put(path, first)
	}
	for _, address := range []string{pinned, newest, site} {
		wantFile(t, address, o, first)
	}
	for _, path := range paths {
		s.put(path, second)
	}
	wantFile(t, pinned, o, first)
	wantFile(t, newest, o, second)
	wantFile(t, site, o, second)
	wantFile(t, site+"?key=secret", o, second)
	if kept, err := (Store{o.Folder}).List(); err != nil || len(kept) != 3 || !kept[0].Alone() || !kept[1].Alone() || !kept[2].Alone() {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	// A copy that is damaged is not used, and fetched again.
	damaged := filepath.Join(o.Folder, keyOf(pinned))
	if err := os.WriteFile(damaged, make([]byte, len(first)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFile(t, pinned, o, second)
	if _, err := File(t.Context(), pinned, 100, o); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "expected at most 100 bytes, found 5000") {
		t.Errorf("a limit: %v", err)
	}
	if _, err := File(t.Context(), site, 100, o); !errors.Is(err, pack.ErrPack) {
		t.Errorf("a limit: %v", err)
	}
	s.Close()
	wantFile(t, newest, o, second)
	wantFile(t, site, o, second)
	if _, err := File(t.Context(), site+"?key=secret", 1<<20, o); !errors.Is(err, pack.ErrNetwork) || strings.Contains(err.Error(), "secret") {
		t.Errorf("with a query: %v", err)
	}
}

func TestAddressesOfFiles(t *testing.T) {
	for text, path := range map[string]string{
		"hf://me/voices/deep/a.wav@" + commit: "deep/a.wav", "hf://me/voices/a.wav": "a.wav", "https://x.org/v/a.wav?b=c.yaml": "/v/a.wav", "HTTP://x.org/a": "/a",
	} {
		if err := CheckFile(text); err != nil || FilePath(text) != path {
			t.Errorf("%s: %q, %v", text, FilePath(text), err)
		}
	}
	for _, text := range []string{"hf://me/voices", "hf://me", "ftp://x.org/a", "file:///a", "https:///a", "hf://me/voices/../a", "a.wav", "https://x.org:x/"} {
		if CheckFile(text) == nil || FilePath(text) != text {
			t.Errorf("%s is one: %q", text, FilePath(text))
		}
	}
	if shown := ShownAddress("https://me:secret@x.org/a.wav?key=secret"); shown != "https://x.org/a.wav" {
		t.Errorf("%s", shown)
	}
	if _, err := File(t.Context(), "hf://me/voices/a.wav", 1, Options{}); !IsArgument(err) || !strings.Contains(err.Error(), "POCKET_TTS_CACHE") {
		t.Errorf("without a folder: %v", err)
	}
}

// TestSharedFolder: what the hub's own programs have fetched is read, unless it is not what it should be.
func TestSharedFolder(t *testing.T) {
	s, o := hubOf(t)
	o.Shared = t.TempDir()
	data, other := noise(1, 5000), noise(2, 5000)
	shared := filepath.Join(o.Shared, "models--me--voices")
	put := func(path string, data []byte) {
		path = filepath.Join(shared, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put("snapshots/"+commit+"/deep/a.wav", data)
	put("refs/main", []byte(commit))
	put("refs/broken", []byte("../../x"))
	offline := o
	offline.Offline = true
	wantFile(t, "hf://me/voices/deep/a.wav@"+commit, o, data)
	wantFile(t, "hf://me/voices/deep/a.wav", offline, data)
	if asked, _ := s.seen(); len(asked) > 0 {
		t.Errorf("asked for %v", asked)
	}
	for _, address := range []string{"hf://me/voices/b.wav@" + commit, "hf://me/voices/deep/a.wav@broken", "hf://me/voices/deep/a.wav@other", "hf://me/voices/deep@" + commit} {
		if _, err := File(t.Context(), address, 1<<20, offline); !errors.Is(err, pack.ErrNetwork) {
			t.Errorf("%s: %v", address, err)
		}
	}
	// A hub that can be asked has the last word on what may change.
	s.put("/me/voices/resolve/main/deep/a.wav", other)
	wantFile(t, "hf://me/voices/deep/a.wav", o, other)
	// One that has the wrong bytes is passed by when that comes out.
	s.put("/me/voices/resolve/"+commit+"/deep/a.wav", data)
	put("snapshots/"+commit+"/deep/a.wav", other)
	r, err := known()
	if err != nil {
		t.Fatal(err)
	}
	source, err := newSource(o, r)
	if err != nil {
		t.Fatal(err)
	}
	file := pack.File{Path: "deep/a.wav", SHA256: sumOf(data)}
	source.find = func(pack.File) ([]*remote, error) {
		at, _, _ := fileAddress("hf://me/voices/deep/a.wav@" + commit)
		wanted := source.hubRemote(*at, "test")
		wanted.sha256 = file.SHA256
		return []*remote{wanted}, nil
	}
	p := pack.New(pack.Manifest{Files: []pack.File{file}}, "test", source)
	if _, err := content(t.Context(), p, file.Path); !errors.Is(err, pack.ErrPack) || !p.Recheck(t.Context()) {
		t.Fatalf("damage is not seen: %v", err)
	}
	wantContent(t, p, file.Path, data)
	if left, err := os.ReadFile(filepath.Join(shared, "snapshots", commit, "deep", "a.wav")); err != nil || !bytes.Equal(left, other) {
		t.Errorf("somebody else's folder was changed: %v", err)
	}
}

func TestSharedFolderOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", "/home/me")
	t.Setenv("USERPROFILE", "/home/me")
	for _, row := range [][2]string{
		{"", "/home/me/.cache/huggingface/hub"}, {"XDG_CACHE_HOME", "/x/huggingface/hub"}, {"HF_HOME", "/x/hub"}, {"HF_HUB_CACHE", "/x"},
	} {
		if row[0] != "" {
			t.Setenv(row[0], "/x")
		}
		if got := filepath.ToSlash(SharedFolder()); got != row[1] {
			t.Errorf("%s: %s", row[0], got)
		}
	}
}
