package pockettts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	starter = "../../models/starter"
	fox     = "The quick brown fox jumps over the lazy dog."
)

func open(t *testing.T) (*Engine, *Voice) {
	t.Helper()
	engine, err := Open(starter)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	voice, err := engine.Voice("slt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(voice.Close)
	return engine, voice
}

func TestTheSameSamplesAsEverywhere(t *testing.T) {
	engine, voice := open(t)
	samples, err := engine.Speak(context.Background(), fox, voice)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("../../tests/hosts/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]struct {
		Frames int
		SHA256 string
	}
	if err := json.Unmarshal(data, &expected); err != nil {
		t.Fatal(err)
	}
	var wav bytes.Buffer
	if err := WriteWAV(&wav, samples); err != nil {
		t.Fatal(err)
	}
	want := expected["starter-q8"]
	sum := sha256.Sum256(wav.Bytes()[44:])
	if len(samples) != 1920*want.Frames || hex.EncodeToString(sum[:]) != want.SHA256 {
		t.Errorf("%d samples, sha256 %x; want %d, %s", len(samples), sum, 1920*want.Frames, want.SHA256)
	}
}

func TestErrorsAreTold(t *testing.T) {
	engine, voice := open(t)
	for what, c := range map[string]struct {
		call func() error
		want string
	}{
		"folder":    {func() error { _, err := Open("nowhere"); return err }, "nowhere: expected a folder"},
		"voice":     {func() error { _, err := engine.Voice("nobody"); return err }, "the name of a voice (slt)"},
		"recording": {func() error { _, err := engine.CloneVoice(make([]float32, 24000), 24000); return err }, "cloning not available"},
		"samples":   {func() error { _, err := engine.CloneVoice(nil, 24000); return err }, "null argument"},
		"empty":     {func() error { _, err := engine.Speak(context.Background(), " ", voice); return err }, "empty"},
		"UTF-8":     {func() error { _, err := engine.Speak(context.Background(), "\xff", voice); return err }, "UTF-8"},
		"zero":      {func() error { _, err := engine.Speak(context.Background(), "a\x00b", voice); return err }, "zero bytes"},
	} {
		if err := c.call(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
	}
}

func TestContextsEndCalls(t *testing.T) {
	engine, voice := open(t)
	long := strings.Repeat(fox+" ", 200)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := engine.Speak(ctx, fox, voice); !errors.Is(err, context.Canceled) {
		t.Errorf("one that had ended before: %v", err)
	}
	// From the callback, and from another goroutine.
	for _, same := range []bool{true, false} {
		ctx, cancel := context.WithCancel(context.Background())
		heard := 0
		err := engine.Stream(ctx, long, voice, func(samples []float32) {
			if heard++; heard != 3 {
				return
			}
			if same {
				cancel()
				return
			}
			done := make(chan struct{})
			go func() { cancel(); close(done) }()
			<-done
		})
		if !errors.Is(err, context.Canceled) || heard != 3 {
			t.Errorf("cancelled in the third frame: %v after %d frames", err, heard)
		}
	}
	// It works, and nothing of it is left.
	samples, err := engine.Speak(context.Background(), fox, voice)
	if err != nil || len(samples) != 37*1920 {
		t.Errorf("afterwards: %d samples, %v", len(samples), err)
	}
}

func TestPanicsOfTheListenerComeOut(t *testing.T) {
	engine, voice := open(t)
	heard := 0
	came := func() (came any) {
		defer func() { came = recover() }()
		_ = engine.Stream(context.Background(), strings.Repeat(fox+" ", 200), voice, func([]float32) {
			heard++
			panic("enough")
		})
		return nil
	}()
	if came != "enough" || heard != 1 {
		t.Errorf("got %v after %d frames", came, heard)
	}
	samples, err := engine.Speak(context.Background(), fox, voice)
	if err != nil || len(samples) != 37*1920 {
		t.Errorf("afterwards: %d samples, %v", len(samples), err)
	}
}

func TestManyGoroutinesOfWhichSomeGiveUp(t *testing.T) {
	engine, voice := open(t)
	want, err := engine.Speak(context.Background(), "Hello there.", voice)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			heard := 0
			var got []float32
			err := engine.Stream(ctx, "Hello there.", voice, func(samples []float32) {
				got = append(got, samples...)
				if heard++; heard == 2 && n%2 == 1 {
					cancel()
				}
			})
			switch {
			case n%2 == 1 && !errors.Is(err, context.Canceled):
				t.Errorf("%d: cancelled, got %v", n, err)
			case n%2 == 0 && (err != nil || !slices.Equal(got, want)):
				t.Errorf("%d: %v, %d samples, want %d", n, err, len(got), len(want))
			}
		})
	}
	group.Wait()
}

func TestClosedIsSaid(t *testing.T) {
	engine, voice := open(t)
	voice.Close()
	voice.Close()
	if _, err := engine.Speak(context.Background(), fox, voice); !errors.Is(err, ErrClosed) {
		t.Errorf("voice: %v", err)
	}
	engine.Close()
	engine.Close()
	if _, err := engine.Voice("slt"); !errors.Is(err, ErrClosed) {
		t.Errorf("engine: %v", err)
	}
}
