package pockettts

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
)

// servePack serves the files of a pack below /pack/ and counts what is asked for.
func servePack(t *testing.T, files fstest.MapFS) (address string, asked *atomic.Int64, server *httptest.Server) {
	t.Helper()
	asked = new(atomic.Int64)
	handler := http.StripPrefix("/pack/", http.FileServerFS(files))
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/pack", asked, server
}

func TestPackAtAnAddressSpeaksLikeItsFolder(t *testing.T) {
	files := fixturePack(t, "lsd6")
	address, asked, server := servePack(t, files)
	want := speech(t, load(t, Options{PackFS: files}), sentence, SpeakOptions{})
	folder := t.TempDir()
	var last Progress
	e := load(t, Options{Pack: address, PackDir: folder, Progress: func(p Progress) { last = p }})
	if last.Pack != address+"/" || last.Loaded != last.Total || last.Total == 0 {
		t.Errorf("the last progress is %+v", last)
	}
	if !bytes.Equal(want, speech(t, e, sentence, SpeakOptions{})) {
		t.Error("it speaks differently")
	}
	// A damaged copy is seen while it is loaded, and fetched again.
	before := asked.Load()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if info, err := entry.Info(); err == nil && info.Size() > 100_000 && !strings.Contains(entry.Name(), ".") {
			data := read(t, path)
			data[len(data)/2] ^= 1
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(want, speech(t, load(t, Options{Pack: address, PackDir: folder}), sentence, SpeakOptions{})) {
		t.Error("after damage it speaks differently")
	}
	if now := asked.Load(); now < before+2 {
		t.Errorf("%d requests after damage", now-before)
	}
	server.Close()
	for _, offline := range []bool{false, true} {
		if !bytes.Equal(want, speech(t, load(t, Options{Pack: address, PackDir: folder, Offline: offline}), sentence, SpeakOptions{})) {
			t.Error("without a network it speaks differently")
		}
	}
	if _, err := tryLoad(t, Options{Pack: address, PackDir: t.TempDir(), Offline: true}); !errors.Is(err, ErrNetwork) {
		t.Errorf("offline with an empty cache: %v", err)
	}
}

func TestPacksByNameAreKnown(t *testing.T) {
	if names := PackNames(); len(names) < 20 {
		t.Errorf("packs: %v", names)
	}
	for _, name := range []string{"english", "hf://someone/something"} {
		if _, err := tryLoad(t, Options{Pack: name, PackDir: t.TempDir(), Offline: true}); !errors.Is(err, ErrNetwork) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, options := range map[string]Options{
		"template": {Pack: "english", Hub: []string{"nowhere"}}, "address": {Pack: "ftp://x/y"}, "token": {Pack: "english", Token: "\n"},
	} {
		options.PackDir = t.TempDir()
		if _, err := tryLoad(t, options); !errors.Is(err, ErrArgument) || strings.Count(err.Error(), ErrArgument.Error()) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A name that was mistyped is looked for as a folder, which nobody had in mind.
	if _, err := tryLoad(t, Options{Pack: "englisch"}); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "neither a folder nor the name of an official pack") {
		t.Errorf("%v", err)
	}
}
