// An utterance: a text, whole or as it comes, and the events of its speech.

package wyoming

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// chunkSamples is what an audio-chunk carries, the last one of a frame less.
const chunkSamples = 1024

// errAbandoned ends an utterance whose client has begun another one.
var errAbandoned = errors.New("another utterance has begun")

// errSilent ends an utterance that has nothing to say, which is no error.
var errSilent = errors.New("nothing to speak")

type utterance struct {
	c         *connection
	streaming bool
	asked     string // name of a voice
	ctx       context.Context
	cancel    context.CancelCauseFunc // with a reason that the client is told
	inbox     *inbox

	// Of the connection's reader.
	markup *markup
	ended  sync.Once

	rate    int
	started bool // audio-start has been sent
	debug   *recording
}

// add takes the text of an event in.
func (u *utterance) add(data map[string]json.RawMessage) {
	part, err := text(data, "text")
	if err == nil {
		if u.markup != nil {
			part = u.markup.push(part)
		}
		err = u.inbox.push(part)
	} else {
		err = server.Refuse(server.Invalid, "%s", err)
	}
	if err != nil {
		u.cancel(err)
	}
}

// end ends the text.
func (u *utterance) end() {
	u.ended.Do(func() {
		if u.markup != nil {
			if err := u.inbox.push(u.markup.end()); err != nil {
				u.cancel(err)
			}
		}
		u.c.complete.Add(1)
		u.inbox.end()
	})
}

// over takes back what the utterance counted for. The reader may still end it: once is enough.
func (u *utterance) over() {
	u.ended.Do(func() { u.c.complete.Add(1) })
	u.c.complete.Add(-1)
	u.cancel(nil)
}

// run speaks, and ends as the protocol wants it.
func (u *utterance) run() {
	err := u.speak()
	if u.debug != nil {
		u.debug.close()
	}
	c := u.c
	if c.ctx.Err() != nil {
		return // nobody listens
	}
	if cause := context.Cause(u.ctx); err != nil && cause != nil {
		err = cause // rather than what followed from it
	}
	var failed bool
	switch refusal := server.Explain(err); {
	case err == nil, errors.Is(err, errSilent):
	case errors.Is(err, errAbandoned):
	case refusal.Problem == server.TextEmpty:
	default:
		failed = true
		c.log.Warn("Wyoming: speaking failed", "problem", refusal.Problem, "error", err)
		if c.send("error", u.problem(refusal), nil) != nil {
			return
		}
	}
	if u.started || failed || !u.streaming {
		if c.send("audio-stop", stopped{}, nil) != nil {
			return
		}
	}
	if u.streaming && !errors.Is(err, errAbandoned) {
		_ = c.send("synthesize-stopped", nil, nil) // its failure ends the connection
	}
}

// problem says in the protocol's words why there was no speech.
func (u *utterance) problem(refusal *server.Error) problem {
	switch refusal.Problem {
	case server.Invalid, server.TextTooLong:
		return problem{refusal.Message, codeEvent}
	case server.VoiceUnknown, server.VoiceBroken, server.VoiceRefused, server.NoCloning:
		return problem{"Failed to load voice: " + u.voice(), codeVoice}
	}
	return problem{refusal.Message, codeSynthesis}
}

// voice is the name of the voice that is asked for; empty for the service's own.
func (u *utterance) voice() string {
	if u.asked == "" {
		return ""
	}
	voices := u.c.server.service.Voices()
	for _, name := range []string{u.asked, strings.TrimPrefix(u.asked, "pocket-tts-")} {
		if slices.ContainsFunc(voices, func(v server.Voice) bool { return v.Name == name }) {
			return name
		}
	}
	return ""
}

func (u *utterance) speak() error {
	s := u.c.server
	dots := s.options.Prefix == Dots
	begin := u.inbox.some
	if dots || !u.streaming {
		begin = u.inbox.all
	}
	first, err := begin(u.ctx)
	if err != nil {
		return err
	}
	if strings.TrimSpace(first) == "" {
		return errSilent
	}
	if err := u.ready(); err != nil {
		return err
	}
	request := server.Request{Door: "wyoming", Voice: u.voice()}
	if request.Voice == "" && u.asked != "" {
		u.c.log.Warn("Wyoming: there is no such voice; the default voice speaks", "voice", server.Short(u.asked, 80))
	}
	switch {
	case dots:
		request.Text = "... " + oneLine(first)
		request.TextChars = s.service.Limits().TextChars + len("... ")
	case !u.streaming:
		request.Text = oneLine(first)
	default:
		parts := make(chan string)
		request.Parts = parts
		u.c.utterances.Go(func() { u.inbox.pour(u.ctx, first, parts) })
	}
	speech, err := s.service.Speak(u.ctx, request)
	if err != nil {
		return err
	}
	defer speech.Close()
	u.rate = speech.SampleRate()
	if dir := s.options.DebugDir; dir != "" {
		u.debug = record(dir, u.spokenVoice(request.Voice), u.rate, u.c.log)
	}
	if dots {
		return u.trimmed(speech)
	}
	return u.rest(speech)
}

// ready waits for the model while it loads.
func (u *utterance) ready() error {
	for {
		err := u.c.server.service.Ready()
		if err == nil || server.Explain(err).Problem != server.Loading {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-u.ctx.Done():
			return context.Cause(u.ctx)
		}
	}
}

// spokenVoice is the name of the voice that speaks.
func (u *utterance) spokenVoice(asked string) string {
	for _, voice := range u.c.server.service.Voices() {
		if asked == "" && voice.Default {
			return voice.Name
		}
	}
	return asked
}

// rest sends what is left of the speech, each frame when it is made.
func (u *utterance) rest(speech *server.Speech) error {
	for {
		frame, err := speech.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := u.audio(frame); err != nil {
			return err
		}
	}
}

// trimmed sends the speech without the dots.
func (u *utterance) trimmed(speech *server.Speech) error {
	trim := u.c.server.options.Trim
	var window []float32
	for len(window) < trim.window(u.rate) {
		frame, err := speech.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		window = append(window, frame...)
	}
	if err := u.audio(window[trim.cut(window[:min(len(window), trim.window(u.rate))], u.rate):]); err != nil {
		return err
	}
	return u.rest(speech)
}

type format struct {
	Rate      int  `json:"rate"`
	Width     int  `json:"width"`
	Channels  int  `json:"channels"`
	Timestamp *int `json:"timestamp"`
}

// audio sends samples.
func (u *utterance) audio(samples []float32) error {
	if len(samples) == 0 {
		return nil
	}
	described := format{Rate: u.rate, Width: 2, Channels: 1}
	if !u.started {
		if err := u.c.send("audio-start", described, nil); err != nil {
			return err
		}
		u.started = true
	}
	if u.debug != nil {
		u.debug.write(samples)
	}
	for chunk := range slices.Chunk(samples, chunkSamples) {
		if err := u.ctx.Err(); err != nil {
			return context.Cause(u.ctx)
		}
		if err := u.c.send("audio-chunk", described, wav.AppendPCM(nil, chunk)); err != nil {
			return err
		}
		u.c.log.Debug(fmt.Sprintf("DEBUG STREAM: sent %d samples", len(chunk)))
	}
	return nil
}
