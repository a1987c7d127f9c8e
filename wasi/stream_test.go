package pockettts

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

const streamHeader = "524946462494357757415645666d74201000000001000100c05d000080bb00000200100064617461009435" + "77"

func speak(t *testing.T, e *Engine, text string, options SpeakOptions) *Stream {
	t.Helper()
	s, err := e.Speak(t.Context(), text, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStreamReadsAsWAVAndPCM(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	pcm := speech(t, e, sentence, SpeakOptions{})
	if len(pcm) == 0 || len(pcm)%3840 != 0 {
		t.Fatalf("%d bytes, want whole frames", len(pcm))
	}
	file, err := io.ReadAll(struct{ io.Reader }{speak(t, e, sentence, SpeakOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(file[:wav.HeaderBytes]); got != streamHeader {
		t.Errorf("header %s", got)
	}
	if tail := file[len(file)-9600:]; len(file) != 44+len(pcm)+9600 || !bytes.Equal(file[44:44+len(pcm)], pcm) || !bytes.Equal(tail, make([]byte, 9600)) {
		t.Error("the file is not header, frames, 4800 zeros")
	}
	raw, err := io.ReadAll(struct{ io.Reader }{speak(t, e, sentence, SpeakOptions{Format: PCM})})
	if err != nil || !bytes.Equal(raw, pcm) {
		t.Errorf("PCM: %d bytes, want %d, %v", len(raw), len(pcm), err)
	}
}

func TestHeaderArrivesWithTheFirstFrame(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	s := speak(t, e, sentence, SpeakOptions{})
	buffer := make([]byte, 1<<20)
	n, err := s.Read(buffer)
	if err != nil || n != wav.HeaderBytes+3840 {
		t.Errorf("the first read gave %d bytes, %v", n, err)
	}
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Errorf("an empty read gave %d, %v", n, err)
	}
}

func TestWriteToCorrectsTheSizesOfAFile(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	pcm := speech(t, e, sentence, SpeakOptions{})
	path := filepath.Join(t.TempDir(), "out.wav")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(file, speak(t, e, sentence, SpeakOptions{}))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	data := read(t, path)
	if want := wav.AppendHeader(nil, 24000, uint32(len(pcm)+9600)); int(n) != len(data) || !bytes.Equal(data[:44], want) {
		t.Errorf("%d bytes reported, %d written, header %x", n, len(data), data[:44])
	}
	// Into something that cannot seek, and after a first read: what Read would give.
	var pipe bytes.Buffer
	s := speak(t, e, sentence, SpeakOptions{})
	start := make([]byte, 10)
	if _, err := io.ReadFull(s, start); err != nil {
		t.Fatal(err)
	}
	if n, err := s.WriteTo(&pipe); err != nil || int(n) != 34+len(pcm)+9600 || !bytes.HasPrefix(pipe.Bytes(), []byte("WAVE")[2:]) {
		t.Errorf("%d bytes after the first ten, %v", n, err)
	}
}

func TestWriteToStopsWithItsDestination(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	r, w := io.Pipe()
	go func() {
		_, _ = io.ReadFull(r, make([]byte, 100))
		r.CloseWithError(errors.New("heard enough"))
	}()
	s := speak(t, e, strings.Repeat(sentence+" ", 50), SpeakOptions{})
	if _, err := s.WriteTo(w); err == nil || err.Error() != "heard enough" {
		t.Errorf("got %v", err)
	}
	if _, err := s.next(); !errors.Is(err, ErrClosed) {
		t.Errorf("the stream goes on: %v", err)
	}
}

func TestSameRequestSameSamples(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	base := speech(t, e, sentence, SpeakOptions{})
	for name, c := range map[string]struct {
		options SpeakOptions
		same    bool
	}{
		"again":             {SpeakOptions{}, true},
		"seed 42":           {SpeakOptions{Seed: Value(uint64(42))}, true},
		"defaults spelled":  {SpeakOptions{RNG: RNGChunk, DecodeSteps: Value(1), MaxTokens: Value(50), NoiseClamp: Value(float32(0))}, true},
		"torch, one piece":  {SpeakOptions{RNG: RNGTorch}, true},
		"seed 43":           {SpeakOptions{Seed: Value(uint64(43))}, false},
		"no noise":          {SpeakOptions{Temperature: Value(float32(0))}, false},
		"clamped noise":     {SpeakOptions{NoiseClamp: Value(float32(0.3))}, false},
		"more steps":        {SpeakOptions{DecodeSteps: Value(4)}, false},
		"more after end":    {SpeakOptions{FramesAfterEOS: Value(20)}, false},
		"pieces":            {SpeakOptions{MaxTokens: Value(8)}, false},
		"pieces with torch": {SpeakOptions{MaxTokens: Value(8), RNG: RNGTorch}, false},
		"later end":         {SpeakOptions{EOSThreshold: Value(float32(1e9))}, false},
	} {
		if got := speech(t, e, sentence, c.options); bytes.Equal(got, base) != c.same {
			t.Errorf("%s: equal to the defaults is %v, want %v", name, !c.same, c.same)
		}
	}
}

func TestFramesSayWhereTheyBelong(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	chunk, step := 0, -1
	for frame, err := range speak(t, e, sentence, SpeakOptions{MaxTokens: Value(8)}).Frames() {
		if err != nil {
			t.Fatal(err)
		}
		if frame.Chunk != chunk {
			if frame.Chunk != chunk+1 {
				t.Fatalf("piece %d follows piece %d", frame.Chunk, chunk)
			}
			chunk, step = frame.Chunk, -1
		}
		if step++; frame.Step != step || len(frame.Samples) != 1920 {
			t.Fatalf("piece %d: step %d with %d samples, want step %d", chunk, frame.Step, len(frame.Samples), step)
		}
		if frame.Step == 0 && frame.Samples[0] != 0 {
			t.Error("a piece does not fade in")
		}
	}
	if chunk == 0 {
		t.Error("one piece only")
	}
}

func TestLeavingTheLoopClosesTheStream(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	if _, err := e.Voice(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	before, err := e.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := speak(t, e, sentence, SpeakOptions{})
	for range s.Frames() {
		break
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("reading on: %v", err)
	}
	if after, err := e.Memory(t.Context()); err != nil || after.Allocated != before.Allocated {
		t.Errorf("%d bytes before, %d after, %v", before.Allocated, after.Allocated, err)
	}
}

func TestCancellationTakesEffectWithinAFrame(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	long := strings.Repeat(sentence+" ", 200)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := e.Speak(ctx, long, SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	frames := 0
	for _, err := range s.Frames() {
		if frames++; frames == 3 {
			cancel()
		}
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			break
		}
	}
	if frames != 4 { // three frames and the error
		t.Errorf("the loop ran %d times", frames)
	}
}

func TestCancelledStreamIsFreedWithoutItsReader(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	if _, err := e.Voice(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	before, err := e.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := e.Speak(ctx, sentence, SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 200 {
		after, err := e.Memory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.Allocated == before.Allocated {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("a cancelled stream keeps its memory")
}

func TestCloseFromAnotherGoroutine(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	s := speak(t, e, strings.Repeat(sentence+" ", 200), SpeakOptions{})
	go func() {
		time.Sleep(5 * time.Millisecond)
		s.Close()
	}()
	_, err := io.Copy(io.Discard, struct{ io.Reader }{s})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPieceWithoutAnEnd(t *testing.T) {
	var log bytes.Buffer
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	never := SpeakOptions{EOSThreshold: Value(float32(1e9))}
	if len(speech(t, e, "Hi.", never)) == 0 || !strings.Contains(log.String(), "length limit") {
		t.Errorf("the warning is %q", log.String())
	}
	never.RequireEnd = true
	data, err := trySpeech(e, "Hi.", never)
	if !errors.Is(err, ErrNoEnd) || len(data) == 0 {
		t.Errorf("%d bytes and then %v", len(data), err)
	}
}
