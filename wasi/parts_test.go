package pockettts

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

const partsText = `One two three. Four five! Six? Seven eight nine.`

// parts is a channel with all of a text in it.
func parts(text ...string) <-chan string {
	out := make(chan string, len(text))
	for _, part := range text {
		out <- part
	}
	close(out)
	return out
}

// spokenParts collects samples as 16-bit integers, and the frames of each chunk.
func spokenParts(t testing.TB, e *Engine, from <-chan string, options SpeakOptions) (pcm []byte, chunks []int) {
	t.Helper()
	stream, err := e.SpeakParts(t.Context(), from, options)
	if err != nil {
		t.Fatal(err)
	}
	for frame, err := range stream.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		if frame.Step == 0 {
			chunks = append(chunks, 0)
		}
		if frame.Chunk != len(chunks)-1 || frame.Step != chunks[frame.Chunk] {
			t.Fatalf("step %d of chunk %d after %v", frame.Step, frame.Chunk, chunks)
		}
		chunks[frame.Chunk]++
		pcm = wav.AppendPCM(pcm, frame.Samples)
	}
	return pcm, chunks
}

// lsd6 speaks with noise, so a wrong seed would be heard.
func TestPartsAreTheSameSamplesAsTheSameChunks(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	limited := speech(t, e, partsText, SpeakOptions{MaxTokens: Value(8), Seed: Value(uint64(7))})
	whole, chunks := spokenParts(t, e, parts(partsText), SpeakOptions{Seed: Value(uint64(7))})
	if !bytes.Equal(whole, limited) || len(chunks) != 4 {
		t.Errorf("%d bytes in chunks of %v, want %d in 4", len(whole), chunks, len(limited))
	}
	letters, same := spokenParts(t, e, parts(strings.Split(partsText, "")...), SpeakOptions{Seed: Value(uint64(7))})
	if !bytes.Equal(letters, whole) || !slices.Equal(same, chunks) {
		t.Error("the division into parts matters")
	}
	if other, _ := spokenParts(t, e, parts(partsText), SpeakOptions{Seed: Value(uint64(8))}); bytes.Equal(other, whole) {
		t.Error("the seed does not matter")
	}
}

func TestSentenceIsSpokenBeforeTheNextHasCome(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	text := make(chan string, 2)
	stream, err := e.SpeakParts(t.Context(), text, SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text <- "One two three. "
	text <- "" // nothing follows for now
	last := -1
	for frame, err := range stream.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		if last < 0 { // it is spoken; go on
			text <- "Next."
			close(text)
		}
		last = frame.Chunk
	}
	if last != 1 {
		t.Errorf("the last chunk is %d, want 1", last)
	}
}

func TestPartsEnd(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	t.Run("with nothing to speak", func(t *testing.T) {
		for _, text := range []<-chan string{parts(), parts(" \n", "\n "), parts("")} {
			stream, err := e.SpeakParts(t.Context(), text, SpeakOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.next(); !errors.Is(err, ErrTextEmpty) {
				t.Errorf("%v", err)
			}
		}
		if _, chunks := spokenParts(t, e, parts("One two.\n\n", "   \n\n", "\n\nThree four."), SpeakOptions{}); len(chunks) != 2 {
			t.Errorf("empty pieces between two sentences: chunks of %v", chunks)
		}
	})
	t.Run("while they wait for more", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan string)
		stream, err := e.SpeakParts(ctx, waiting, SpeakOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := stream.next(); err != context.Canceled {
			t.Error(err)
		}
		closed, err := e.SpeakParts(t.Context(), waiting, SpeakOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Millisecond, func() { closed.Close() })
		if _, err := closed.next(); err != ErrClosed {
			t.Error(err)
		}
	})
	t.Run("with their engine", func(t *testing.T) {
		e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
		stream, err := e.SpeakParts(t.Context(), make(chan string), SpeakOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Millisecond, func() { e.Close() })
		if _, err := stream.next(); err != ErrClosed {
			t.Error(err)
		}
	})
	t.Run("in the middle, and give their memory back", func(t *testing.T) {
		before, err := e.Memory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stream, err := e.SpeakParts(t.Context(), parts(partsText), SpeakOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for frame, err := range stream.Frames() {
			if err != nil {
				t.Fatal(err)
			}
			if frame.Chunk == 1 {
				break
			}
		}
		if after, err := e.Memory(t.Context()); err != nil || after.Allocated != before.Allocated {
			t.Errorf("%d bytes, %d before, %v", after.Allocated, before.Allocated, err)
		}
	})
	t.Run("with the limit of a text", func(t *testing.T) {
		endless := make(chan string, 200)
		for range cap(endless) {
			endless <- strings.Repeat(" ", 64<<10) // nothing to speak
		}
		stream, err := e.SpeakParts(t.Context(), endless, SpeakOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = stream.next()
		}
		if !errors.Is(err, ErrTextTooLong) {
			t.Error(err)
		}
	})
}

func TestPartsHaveOnePlaceInTheQueue(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), MaxStreams: 1, MaxQueue: NoQueue})
	for range 3 {
		if _, chunks := spokenParts(t, e, parts(partsText), SpeakOptions{}); len(chunks) != 4 {
			t.Errorf("chunks of %v", chunks)
		}
	}
	stream, err := e.SpeakParts(t.Context(), make(chan string), SpeakOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Speak(t.Context(), "One.", SpeakOptions{}); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	stream.Close()
	speech(t, e, "One.", SpeakOptions{})
}

func TestPartsThatAreRefused(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	if _, err := e.SpeakParts(t.Context(), nil, SpeakOptions{}); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, err := e.SpeakParts(t.Context(), parts("a"), SpeakOptions{RNG: RNGTorch}); !errors.Is(err, ErrArgument) || !strings.Contains(err.Error(), "RNG: ") {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.SpeakParts(t.Context(), parts("a"), SpeakOptions{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
