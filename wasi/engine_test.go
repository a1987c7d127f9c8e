package pockettts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

func TestLoadDescribesTheModel(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	info := e.Info()
	if info.Name != "lsd6" || info.SampleRate != 24000 || info.SamplesPerFrame != 1920 || info.Precision != Q8 ||
		!info.CanClone || info.WeightBytes == 0 || info.EngineVersion == "" {
		t.Errorf("unexpected %+v", info)
	}
	if voices := e.Voices(); len(voices) != 1 || voices[0] != (VoiceInfo{"ann", "MIT", true}) {
		t.Errorf("voices %+v", voices)
	}
	memory, err := e.Memory(t.Context())
	if err != nil || memory.Allocated < info.WeightBytes || memory.Reserved < memory.Allocated {
		t.Errorf("memory %+v with weights of %d bytes, %v", memory, info.WeightBytes, err)
	}
}

func TestPackFolderAndConfigGiveTheSameSpeech(t *testing.T) {
	files, folder := fixturePack(t, "lsd6"), t.TempDir()
	if err := os.CopyFS(folder, files); err != nil {
		t.Fatal(err)
	}
	want := speech(t, load(t, Options{PackFS: files}), sentence, SpeakOptions{})
	if !bytes.Equal(want, speech(t, load(t, Options{Pack: folder}), sentence, SpeakOptions{})) {
		t.Error("a folder speaks differently")
	}
	byConfig := load(t, Options{Config: filepath.Join(fixtures, "lsd6", "config.yaml")})
	if _, err := byConfig.Speak(t.Context(), sentence, SpeakOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("speaking without any voice: %v", err)
	}
	voice, err := byConfig.LoadVoice(t.Context(), bytes.NewReader(files["voice.safetensors"].Data))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, speech(t, byConfig, sentence, SpeakOptions{Voice: voice})) {
		t.Error("a configuration file speaks differently")
	}
}

func TestPrecisionIsThePacksOwnOrAskedFor(t *testing.T) {
	files := fixturePack(t, "lsd6")
	manifest := files["pack.json"].Data
	weights := map[Precision]uint64{}
	for _, c := range []struct{ own, asked, want Precision }{
		{"", "", Q8}, {"", F32, F32}, {F32, "", F32}, {F32, Q8, Q8}, {Q4, "", Q4},
	} {
		data := manifest
		if c.own != "" {
			data = bytes.Replace(manifest, []byte(`"format":1`), fmt.Appendf(nil, `"format":1,"precision":"%s"`, c.own), 1)
		}
		files["pack.json"] = &fstest.MapFile{Data: data}
		info := load(t, Options{PackFS: files, Precision: c.asked}).Info()
		if info.Precision != c.want {
			t.Errorf("the pack says %q, asked for is %q: precision %q, want %q", c.own, c.asked, info.Precision, c.want)
		}
		weights[info.Precision] = info.WeightBytes
	}
	if weights[Q8] >= weights[F32] || weights[Q4] >= weights[Q8] {
		t.Errorf("bytes of weights: %v", weights)
	}
}

func TestLoadRefusesImpossibleOptions(t *testing.T) {
	files := fixturePack(t, "lsd6")
	for name, options := range map[string]Options{
		"nothing":     {},
		"two packs":   {PackFS: files, Pack: "pack"},
		"precision":   {PackFS: files, Precision: "q3"},
		"no memory":   {PackFS: files, MaxMemory: 1 << 20},
		"huge memory": {PackFS: files, MaxMemory: 1 << 40},
	} {
		if _, err := tryLoad(t, options); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tryLoad(t, Options{Pack: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing folder: %v", err)
	}
}

func TestLoadStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, Options{PackFS: fixturePack(t, "lsd6"), CacheDir: testCache}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	voice, err := e.Voice(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := e.Speak(t.Context(), sentence, SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
	_, memoryErr := e.Memory(t.Context())
	_, speakErr := e.Speak(t.Context(), sentence, SpeakOptions{})
	_, voiceErr := e.Voice(t.Context(), "ann")
	_, loadErr := e.LoadVoice(t.Context(), bytes.NewReader(nil))
	_, readErr := stream.next()
	for name, err := range map[string]error{
		"Memory": memoryErr, "Speak": speakErr, "Voice": voiceErr, "LoadVoice": loadErr, "a stream": readErr,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if err := errors.Join(stream.Close(), voice.Close()); err != nil {
		t.Errorf("closing what is closed: %v", err)
	}
}

func TestCallersTakeTurns(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	want := speech(t, e, sentence, SpeakOptions{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := trySpeech(e, sentence, SpeakOptions{})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes beside others, %d alone, %v", len(got), len(want), err)
			}
		})
		group.Go(func() {
			if _, err := e.Voice(context.Background(), "ann"); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			if stream, err := e.Speak(ctx, sentence, SpeakOptions{}); err == nil {
				for _, err := range stream.Frames() {
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				}
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestStreamsAdvanceBesideEachOther(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	first, err := e.Speak(t.Context(), sentence, SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := first.next(); err != nil {
		t.Fatal(err)
	}
	// The first stream is in the middle of its text, and holds nobody up.
	if len(speech(t, e, sentence, SpeakOptions{})) == 0 {
		t.Error("silence")
	}
}

// crash makes the instance of an engine trap: a count of latents far beyond what was handed over is outside of the
// engine's contract.
func crash(t *testing.T, e *Engine) error {
	t.Helper()
	l, err := e.instances(t.Context())
	if err != nil {
		return err
	}
	w := l.workers[len(l.workers)-1]
	return w.use(t.Context(), nil, func() error {
		codec, err := w.guest.CodecOpen(t.Context(), w.model)
		if err != nil {
			return err
		}
		return w.guest.CodecDecode(t.Context(), codec, make([]float32, w.info.LatentWidth), 1<<20, nil)
	})
}

func TestCrashedInstanceIsReplaced(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	want := speech(t, e, sentence, SpeakOptions{})
	cloned, err := e.CloneVoice(t.Context(), bytes.NewReader(read(t, fixtures, "lsd6", "voice.wav")), CloneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantCloned := speech(t, e, sentence, SpeakOptions{Voice: cloned})
	stream, err := e.Speak(t.Context(), sentence, SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.next(); err != nil {
		t.Fatal(err)
	}
	if err := crash(t, e); !errors.Is(err, ErrCrashed) {
		t.Fatalf("the crash is reported as %v", err)
	}
	for range 2 {
		if _, err := stream.next(); !errors.Is(err, ErrCrashed) {
			t.Errorf("the stream that was open: %v", err)
		}
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(want, speech(t, e, sentence, SpeakOptions{})) {
		t.Error("the new instance speaks differently")
	}
	if !bytes.Equal(wantCloned, speech(t, e, sentence, SpeakOptions{Voice: cloned})) {
		t.Error("the voice made from audio was lost")
	}
}

func TestMemoryIsCappedForHostileRequests(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), MaxMemory: smallestMemory})
	want := speech(t, e, sentence, SpeakOptions{})
	// One piece of thousands of tokens: the length limit of its speech, and with it the cache, grows beyond the cap.
	long := strings.Repeat("word ", 200_000)
	_, err := trySpeech(e, long, SpeakOptions{MaxTokens: Value(4096)})
	if !errors.Is(err, ErrMemory) && !errors.Is(err, ErrCrashed) {
		t.Errorf("got %v, want ErrMemory", err)
	}
	most := uint64(smallestMemory * len(e.current.workers))
	if memory, err := e.Memory(t.Context()); err != nil || memory.Reserved > most {
		t.Errorf("%d bytes of memory, the cap is %d, %v", memory.Reserved, most, err)
	}
	if !bytes.Equal(want, speech(t, e, sentence, SpeakOptions{})) {
		t.Error("afterwards it speaks differently")
	}
}

func TestRoundsOfLoadAndCloseLeaveNothingBehind(t *testing.T) {
	files := fixturePack(t, "pointwise2m")
	goroutines := runtime.NumGoroutine()
	var early, start uint64
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for round := range rounds {
		e, err := Load(t.Context(), Options{PackFS: files, CacheDir: testCache})
		if err != nil {
			t.Fatal(err)
		}
		memory, err := e.Memory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trySpeech(e, "Hi.", SpeakOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		switch {
		case round == 0:
			start = memory.Allocated
		case memory.Allocated != start:
			t.Fatalf("round %d starts with %d bytes, the first with %d", round, memory.Allocated, start)
		case round == 10:
			early = mappedBytes(t)
		}
	}
	if late := mappedBytes(t); late > early+256<<20 {
		t.Errorf("%d bytes of address space after 10 rounds, %d after 100", early, late)
	}
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if left := runtime.NumGoroutine(); left > goroutines {
		t.Errorf("%d goroutines at the start, %d at the end", goroutines, left)
	}
}

// mappedBytes is the address space of the process, in which a memory that was not given back would show at once.
func mappedBytes(t *testing.T) uint64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	runtime.GC()
	var pages uint64
	data := string(read(t, "/proc/self/statm"))
	for _, digit := range strings.Fields(data)[0] {
		pages = 10*pages + uint64(digit-'0')
	}
	return pages * uint64(os.Getpagesize())
}
