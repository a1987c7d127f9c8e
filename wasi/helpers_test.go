package pockettts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

const (
	fixtures = "../tests/golden/fixtures"
	sentence = "Hello there. This is a test of the small model."
)

// Every test also runs with other layouts: go test -args -instances 2 -parallel-chunks 2
var (
	testInstances = flag.Int("instances", 0, "Options.Instances where a test does not set it")
	testParallel  = flag.Int("parallel-chunks", 0, "Options.Parallel where a test does not set it")
)

// testCache keeps compiled code between tests, away from the user's.
var testCache = filepath.Join(os.TempDir(), "pocket-tts-wasm-tests")

// inRepository skips a test where the module was downloaded by itself: the fixtures lie beside it.
func inRepository(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("../wasm/engine/pocket_tts.h"); err != nil {
		t.Skip("outside of the repository")
	}
}

func read(t testing.TB, parts ...string) []byte {
	t.Helper()
	inRepository(t)
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fixturePack makes a pack out of a fixture: random weights, a voice named ann, and a recording beside it.
func fixturePack(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	inRepository(t)
	folder := filepath.Join(fixtures, name)
	p, err := pack.OpenConfig(filepath.Join(folder, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	manifest := map[string]any{"format": 1, "name": name, "config": p.Config, "default_voice": "ann"}
	var entries []any
	add := func(file, role, voice string) {
		data := read(t, folder, file)
		sum := sha256.Sum256(data)
		entries = append(entries, map[string]any{
			"path": file, "role": role, "name": voice, "bytes": len(data), "sha256": hex.EncodeToString(sum[:]), "license": "MIT",
		})
		files[file] = &fstest.MapFile{Data: data}
	}
	for _, file := range p.Files {
		add(filepath.Base(file.Path), string(file.Role), "")
	}
	add("voice.safetensors", "voice", "ann")
	manifest["files"] = entries
	data, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	files["pack.json"] = &fstest.MapFile{Data: data}
	return files
}

// load opens an engine that the test closes.
func load(t testing.TB, options Options) *Engine {
	t.Helper()
	e, err := tryLoad(t, options)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func tryLoad(t testing.TB, options Options) (*Engine, error) {
	t.Helper()
	options.CacheDir = testCache
	if options.Instances == 0 {
		options.Instances = *testInstances
	}
	if options.Parallel == 0 {
		options.Parallel = *testParallel
	}
	e, err := Load(context.Background(), options)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, nil
}

// speech collects the samples of a text as 16-bit integers.
func speech(t testing.TB, e *Engine, text string, options SpeakOptions) []byte {
	t.Helper()
	data, err := trySpeech(e, text, options)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func trySpeech(e *Engine, text string, options SpeakOptions) ([]byte, error) {
	stream, err := e.Speak(context.Background(), text, options)
	if err != nil {
		return nil, err
	}
	return readPCM(stream)
}

func readPCM(stream *Stream) ([]byte, error) {
	defer stream.Close()
	var data []byte
	for frame, err := range stream.Frames() {
		if err != nil {
			return data, err
		}
		data = wav.AppendPCM(data, frame.Samples)
	}
	return data, nil
}
