package pockettts

import (
	"errors"
	"io"
	"math"
	"testing"
)

// TestRate: the length follows, the frames come as they are made, and all ways to read say the same.
func TestRate(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	plain := speech(t, e, sentence, SpeakOptions{})
	if same := speech(t, e, sentence, SpeakOptions{Rate: 1}); string(same) != string(plain) {
		t.Error("at 1 it is something else")
	}
	for _, rate := range []float32{0.25, 0.8, 2, 4} {
		got := speech(t, e, sentence, SpeakOptions{Rate: rate})
		if want := 2 * int(math.Round(float64(len(plain)/2)/float64(rate))); len(got) != want {
			t.Errorf("at %g: %d bytes, expected %d", rate, len(got), want)
		}
		stream, err := e.Speak(t.Context(), sentence, SpeakOptions{Rate: rate, Format: PCM})
		if err != nil {
			t.Fatal(err)
		}
		if stream.Tokens() == 0 {
			t.Error("no tokens")
		}
		data, err := io.ReadAll(stream)
		if err != nil || string(data) != string(got) {
			t.Errorf("at %g: read %d bytes, %v", rate, len(data), err)
		}
	}
	for _, rate := range []float32{-1, 0.2, 4.1, float32(math.NaN())} {
		if _, err := e.Speak(t.Context(), sentence, SpeakOptions{Rate: rate}); !errors.Is(err, ErrArgument) {
			t.Errorf("at %g: %v", rate, err)
		}
	}
	memory, err := e.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := e.Speak(t.Context(), sentence, SpeakOptions{Rate: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range stream.Frames() {
		break
	}
	after, err := e.Memory(t.Context())
	if err != nil || after.Allocated != memory.Allocated {
		t.Errorf("%d bytes before a stream that was left, %d after it, %v", memory.Allocated, after.Allocated, err)
	}
}
