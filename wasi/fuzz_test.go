package pockettts

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// refused tells whether an error is one of those with which the engine refuses what it is given.
func refused(err error, sentinels ...error) bool {
	return slices.ContainsFunc(append(sentinels, ErrMemory), func(sentinel error) bool { return errors.Is(err, sentinel) })
}

// FuzzVoice: a voice file is a voice, with which the model speaks, or refused. It never makes the sandbox trap.
func FuzzVoice(f *testing.F) {
	e := load(f, Options{PackFS: fixturePack(f, "pointwise2m"), MaxMemory: 64 << 20})
	good := read(f, fixtures, "pointwise2m", "voice.safetensors")
	f.Add(good)
	f.Add(good[:100])
	f.Add([]byte("\x08\x00\x00\x00\x00\x00\x00\x00{}      "))
	f.Fuzz(func(t *testing.T, data []byte) {
		voice, err := e.LoadVoice(t.Context(), bytes.NewReader(data))
		if err != nil {
			if !refused(err, ErrVoice) {
				t.Errorf("no refusal: %v", err)
			}
			return
		}
		defer voice.Close()
		s, err := e.Speak(t.Context(), "Hi.", SpeakOptions{Voice: voice})
		if err == nil {
			_, err = s.next()
			s.Close()
		}
		if err != nil && !refused(err, ErrVoice, ErrNumeric) {
			t.Errorf("speaking with it: %v", err)
		}
	})
}

// FuzzText: every text is spoken or refused, whatever the numbers beside it.
func FuzzText(f *testing.F) {
	e := load(f, Options{PackFS: fixturePack(f, "pointwise2m"), MaxMemory: 64 << 20})
	f.Add("Hello there. This is a test.", 50, float32(0.3))
	f.Add("\xff", 1, float32(0))
	f.Add("1.5 \u2026 \u0130\u00df\n\r  ,;:-", 4, float32(1))
	f.Fuzz(func(t *testing.T, text string, tokens int, temperature float32) {
		s, err := e.Speak(t.Context(), text, SpeakOptions{MaxTokens: &tokens, Temperature: &temperature})
		for range 3 {
			if err == nil {
				_, err = s.next()
			}
		}
		if s != nil {
			s.Close()
		}
		if err != nil && !refused(err, ErrArgument, ErrTextEmpty, ErrTextEncoding, ErrTextTooLong, ErrNumeric) {
			t.Errorf("%q, %d tokens, temperature %g: %v", text, tokens, temperature, err)
		}
	})
}
