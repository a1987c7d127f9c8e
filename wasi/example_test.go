package pockettts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// Speak into a file. It is written while the sound is made; its header is correct at the end.
func Example() {
	ctx := context.Background()
	engine, err := pockettts.Load(ctx, pockettts.Options{PackFS: starter.FS()})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	stream, err := engine.Speak(ctx, "The quick brown fox jumps over the lazy dog.", pockettts.SpeakOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()

	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	file, err := os.Create(filepath.Join(folder, "fox.wav"))
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	written, err := io.Copy(file, stream)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("more than a second of sound:", written > 48000)
	// Output: more than a second of sound: true
}

// Handle the sound frame by frame, 80 ms each, as it is made.
func ExampleStream_Frames() {
	ctx := context.Background()
	engine, err := pockettts.Load(ctx, pockettts.Options{PackFS: starter.FS()})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	stream, err := engine.Speak(ctx, "Hello.", pockettts.SpeakOptions{Seed: pockettts.Value(uint64(7))})
	if err != nil {
		log.Fatal(err)
	}
	for frame, err := range stream.Frames() { // closes the stream when it ends, here after the first frame
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(frame.Samples), "samples at", engine.Info().SampleRate, "Hz")
		break
	}
	// Output: 1920 samples at 24000 Hz
}

// Speak a text while it is written, by a language model for instance.
func ExampleEngine_SpeakParts() {
	ctx := context.Background()
	engine, err := pockettts.Load(ctx, pockettts.Options{PackFS: starter.FS()})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	tokens := make(chan string)
	go func() {
		defer close(tokens)
		for _, token := range []string{"Hel", "lo", " there.", " How", " are", " you?"} {
			tokens <- token
		}
	}()
	stream, err := engine.SpeakParts(ctx, tokens, pockettts.SpeakOptions{})
	if err != nil {
		log.Fatal(err)
	}
	sentence := -1
	for frame, err := range stream.Frames() {
		if err != nil {
			log.Fatal(err)
		}
		if frame.Chunk != sentence {
			sentence = frame.Chunk
			fmt.Println("sentence", sentence)
		}
	}
	// Output:
	// sentence 0
	// sentence 1
}

// Errors wrap a sentinel; their text says what was expected and what was found.
func ExampleEngine_LoadVoice() {
	ctx := context.Background()
	engine, err := pockettts.Load(ctx, pockettts.Options{PackFS: starter.FS()})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	_, err = engine.LoadVoice(ctx, strings.NewReader("this is no voice file"))
	fmt.Println(errors.Is(err, pockettts.ErrVoice))
	// Output: true
}

// Voices of a pack, and which one speaks when none is asked for.
func ExampleEngine_Voices() {
	engine, err := pockettts.Load(context.Background(), pockettts.Options{PackFS: starter.FS()})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	for _, voice := range engine.Voices() {
		fmt.Println(voice.Name, voice.Default)
	}
	// Output: slt true
}
