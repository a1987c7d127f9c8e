package server_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

// TestSoundFollowsFromTheText: a "word" of accents would be spoken for minutes; what can be said is said to its end.
func TestSoundFollowsFromTheText(t *testing.T) {
	if testing.Short() {
		t.Skip("speaks for a minute")
	}
	accents := "e" + strings.Repeat("\u0301", 500)
	for name, one := range map[string]struct {
		request server.Request
		want    server.Problem
		least   time.Duration
		most    time.Duration
	}{
		"accents":                 {server.Request{Text: accents}, server.TooMuchSound, 10 * time.Second, 11 * time.Second},
		"accents, in parts, fast": {server.Request{Parts: parts(accents), Rate: 4}, server.TooMuchSound, 2 * time.Second, 3 * time.Second},
		"a story, in parts":       {server.Request{Parts: parts(strings.Repeat("Nobody knows why, and \u0301 nobody asks. ", 10))}, "", 15 * time.Second, 60 * time.Second},
		"short words":             {server.Request{Text: strings.Repeat("I. O. A. U. ", 5)}, "", time.Second, 30 * time.Second},
		"numbers":                 {server.Request{Text: "7777777 9999999 1000000"}, "", time.Second, 20 * time.Second},
	} {
		service := servertest.Service(t, nil, server.Options{})
		speech, err := service.Speak(t.Context(), one.request)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = speech.Next()
		}
		if err != io.EOF && one.want == "" || one.want != "" && problem(err) != one.want || speech.Duration() < one.least || speech.Duration() > one.most {
			t.Errorf("%s: %s, %v", name, speech.Duration(), err)
		}
		speech.Close()
	}
}

// parts is a text that comes in pieces.
func parts(text string) <-chan string {
	pieces := strings.SplitAfter(text, "\u0301")
	coming := make(chan string, len(pieces))
	for _, piece := range pieces {
		coming <- piece
	}
	close(coming)
	return coming
}
