package pockettts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// noContext is what a caller passes who has none.
var noContext context.Context

func TestZeroValuesAreClosed(t *testing.T) {
	var e Engine
	_, speakErr := e.Speak(noContext, "Hi.", SpeakOptions{})
	_, voiceErr := e.Voice(noContext, "ann")
	_, loadErr := e.LoadVoice(noContext, endless{})
	_, cloneErr := e.CloneVoice(noContext, endless{}, CloneOptions{})
	_, memoryErr := e.Memory(noContext)
	var s Stream
	_, readErr := s.Read(make([]byte, 1))
	_, writeErr := s.WriteTo(io.Discard)
	for name, err := range map[string]error{
		"Speak": speakErr, "Voice": voiceErr, "LoadVoice": loadErr, "CloneVoice": cloneErr, "Memory": memoryErr,
		"ExportVoice": e.ExportVoice(noContext, nil, io.Discard), "Stream.Read": readErr, "Stream.WriteTo": writeErr,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(e.Close(), s.Close(), new(Voice).Close()); err != nil || len(e.Voices()) != 0 {
		t.Errorf("closing: %v", err)
	}
}

func TestNilIsTheDefaultOrRefused(t *testing.T) {
	e, err := Load(noContext, Options{PackFS: fixturePack(t, "lsd6"), CacheDir: testCache})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.Speak(noContext, "Hi.", SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		t.Error(err)
	}
	ann, err := e.Voice(noContext, "ann")
	if err != nil {
		t.Fatal(err)
	}
	var named, preset bytes.Buffer
	if err := errors.Join(e.ExportVoice(noContext, ann, &named), e.ExportVoice(noContext, nil, &preset)); err != nil || !bytes.Equal(named.Bytes(), preset.Bytes()) {
		t.Errorf("a nil voice exports as another: %v", err)
	}
	_, loadErr := e.LoadVoice(noContext, nil)
	_, cloneErr := e.CloneVoice(noContext, nil, CloneOptions{})
	for _, err := range []error{loadErr, cloneErr, e.ExportVoice(noContext, ann, nil)} {
		if !errors.Is(err, ErrArgument) || !strings.Contains(err.Error(), "found nil") {
			t.Errorf("got %v", err)
		}
	}
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestEndlessReadersAreLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 320 MB")
	}
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	_, voiceErr := e.LoadVoice(t.Context(), endless{})
	_, audioErr := e.CloneVoice(t.Context(), endless{}, CloneOptions{})
	for want, err := range map[string]error{"at most 67108864 bytes, found more": voiceErr, "at most 268435456 bytes, found more": audioErr} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.LoadVoice(ctx, endless{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The package states the engine's ranges; an engine with others would show here.
func TestRangesAreTheEngines(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	for name, c := range map[string]struct{ good, bad SpeakOptions }{
		"Temperature: expected 0 to 100, found 101":             {SpeakOptions{Temperature: Value(float32(100))}, SpeakOptions{Temperature: Value(float32(101))}},
		"NoiseClamp: expected 0 (none) to 1e6, found 2e+06":     {SpeakOptions{NoiseClamp: Value(float32(1e6))}, SpeakOptions{NoiseClamp: Value(float32(2e6))}},
		"DecodeSteps: expected 1 to 1000, found 1001":           {SpeakOptions{DecodeSteps: Value(1000)}, SpeakOptions{DecodeSteps: Value(1001)}},
		"FramesAfterEOS: expected 0 to 10000, found 1073741824": {SpeakOptions{FramesAfterEOS: Value(10000)}, SpeakOptions{FramesAfterEOS: Value(1 << 30)}},
		"MaxTokens: expected 1 to 4096, found 5000":             {SpeakOptions{MaxTokens: Value(4096)}, SpeakOptions{MaxTokens: Value(5000)}},
	} {
		s, err := e.Speak(t.Context(), "Hi.", c.good)
		if err != nil {
			t.Errorf("%s: the largest is refused: %v", name, err)
		} else {
			s.Close()
		}
		if _, err := e.Speak(t.Context(), "Hi.", c.bad); !errors.Is(err, ErrArgument) || !strings.HasSuffix(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}
