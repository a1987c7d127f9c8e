// A request: what it asks for, and the messages of its speech.

package speakws

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// Codes of errors.
const (
	codeSynthesis   = "SYNTHESIS_ERROR"
	codeUnavailable = "TTS_UNAVAILABLE"
	codeInvalid     = "INVALID_REQUEST"
	codeEmpty       = "EMPTY_TEXT"
	codeLong        = "TEXT_TOO_LONG"
	codeVoice       = "VOICE_NOT_FOUND"
	codeLanguage    = "LANGUAGE_NOT_AVAILABLE"
	codeQueue       = "QUEUE_FULL"
	codeCancelled   = "CANCELED"
)

// wholeSound bounds sound that is kept until it is complete ("stream": false).
const wholeSound = 10 * time.Minute

// documented is a voice of the protocol's own example: the default voice, where there is none of the name.
const documented = "makima"

type request struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	id             string
	ask            server.Request
	whole          bool // one audio message for all
	floats, binary bool
	code, problem  string // why it cannot be spoken
}

// request reads a synthesize. What is wrong with it is said in its turn.
func (s *session) request(message map[string]json.RawMessage) *request {
	r := &request{ask: server.Request{Door: "speak-ws"}}
	refuse := func(code, format string, arguments ...any) {
		if r.code == "" {
			r.code, r.problem = code, fmt.Sprintf(format, arguments...)
		}
	}
	read := func(key, expected string, to any) bool {
		raw, ok := message[key]
		if !ok || string(raw) == "null" {
			return false
		}
		if json.Unmarshal(raw, to) != nil {
			refuse(codeInvalid, "%s: expected %s", key, expected)
			return false
		}
		return true
	}
	read("id", "a string", &r.id)
	if !read("text", "a string", &r.ask.Text) {
		refuse(codeInvalid, "text: expected a string")
	}
	read("voice", "a string", &r.ask.Voice)
	if r.ask.Voice == documented && !s.service.HasVoice(documented) {
		r.ask.Voice = ""
	}
	var language string
	if read("language", "a string", &language) && !s.speaks(language) {
		refuse(codeLanguage, "language: this server speaks %q, found %q", s.service.Language(), language)
	}
	stream := true
	read("stream", "true or false", &stream)
	r.whole = !stream
	encoding := "pcm16"
	read("encoding", `"pcm16" or "pcm32f"`, &encoding)
	if encoding != "pcm16" && encoding != "pcm32f" {
		refuse(codeInvalid, `encoding: expected "pcm16" or "pcm32f", found %q`, encoding)
	}
	r.floats = encoding == "pcm32f"
	read("binary", "true or false", &r.binary)
	var seed uint64
	if read("seed", "a whole number from 0", &seed) {
		r.ask.Seed = &seed
	}
	var temperature float32
	if read("temperature", "a number", &temperature) {
		r.ask.Temperature = &temperature
	}
	if read("speed", "a number", &r.ask.Rate) && !(r.ask.Rate >= 0.25 && r.ask.Rate <= 4) {
		refuse(codeInvalid, "speed: expected 0.25 to 4, found %g", r.ask.Rate)
	}
	return r
}

// languages are codes by the names that clients use.
var languages = map[string]string{
	"english": "en", "dutch": "nl", "french": "fr", "german": "de", "italian": "it", "portuguese": "pt", "spanish": "es",
}

// speaks tells whether the loaded model speaks a language: by its English name, its code, or the name of a configuration.
func (s *session) speaks(language string) bool {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(language)), "_")
	if code, ok := languages[name]; ok {
		name = code
	}
	name, _, _ = strings.Cut(name, "-")
	return name == s.service.Language()
}

// speakAll answers requests in their order, until the connection ends.
func (s *session) speakAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.asked:
			s.current.Store(r)
			err := s.speak(ctx, r)
			s.current.Store(nil)
			r.cancel(nil)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				if s.leaving.CompareAndSwap(false, true) {
					close(s.left)
					s.cancel() // what cannot be written to is read no more
				}
				return
			}
		}
	}
}

// speak answers a request. An error is one of the connection.
func (s *session) speak(ctx context.Context, r *request) error {
	if r.code != "" {
		return s.failed(ctx, r, r.code, r.problem)
	}
	said, err := s.sound(r)
	var cut connectionError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &cut):
		return cut.error
	case errors.Is(context.Cause(r.ctx), errCancelled) && err != nil:
		return s.failed(ctx, r, codeCancelled, "The request was cancelled.")
	case err != nil:
		refusal := server.Explain(err)
		return s.failed(ctx, r, code(refusal.Problem), refusal.Message)
	}
	return s.write(struct {
		Type     string `json:"type"`
		Duration int64  `json:"duration_ms"`
		ID       string `json:"id,omitempty"`
	}{"complete", said, r.id}, nil)
}

func (s *session) failed(ctx context.Context, r *request, code, text string) error {
	s.problem(r.id, code, text)
	return ctx.Err()
}

// code says in the protocol's words why there was no speech.
func code(problem server.Problem) string {
	switch problem {
	case server.TextEmpty:
		return codeEmpty
	case server.TextTooLong:
		return codeLong
	case server.VoiceUnknown, server.VoiceBroken, server.VoiceRefused, server.NoCloning:
		return codeVoice
	case server.Invalid:
		return codeInvalid
	case server.Busy:
		return codeQueue
	case server.Loading, server.Closed:
		return codeUnavailable
	}
	return codeSynthesis
}

// connectionError is a failure to write, which ends more than the request.
type connectionError struct{ error }

// sound speaks and sends; it returns the duration in milliseconds. The last samples are held back until it is known that they
// are the last.
func (s *session) sound(r *request) (int64, error) {
	speech, err := s.service.Speak(r.ctx, r.ask)
	if err != nil {
		return 0, err
	}
	defer speech.Close()
	rate, count := speech.SampleRate(), 0
	var held []float32
	for {
		samples, err := speech.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		count += len(samples)
		if r.whole {
			if speech.Duration() > wholeSound {
				return 0, server.Refuse(server.TooMuchSound, "the speech is longer than %s; longer ones are streamed", wholeSound)
			}
			held = append(held, samples...)
			continue
		}
		if len(held) > 0 {
			if err := s.audio(r, held, rate, false); err != nil {
				return 0, err
			}
		}
		held = samples
	}
	if len(held) > 0 {
		if err := s.audio(r, held, rate, true); err != nil {
			return 0, err
		}
	}
	return int64(math.Round(float64(count) * 1000 / float64(rate))), nil
}

// audio sends samples, unless the request was cancelled meanwhile.
func (s *session) audio(r *request, samples []float32, rate int, final bool) error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	message := struct {
		Type     string `json:"type"`
		Data     []byte `json:"data,omitempty"`
		Bytes    int    `json:"bytes,omitempty"`
		Rate     int    `json:"sample_rate"`
		Encoding string `json:"encoding"`
		Final    bool   `json:"final"`
		ID       string `json:"id,omitempty"`
	}{Type: "audio", Rate: rate, Encoding: "pcm16", Final: final, ID: r.id}
	var data, separate []byte
	if r.floats {
		message.Encoding = "pcm32f"
		for _, x := range samples {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
	} else {
		data = wav.AppendPCM(nil, samples)
	}
	if r.binary {
		message.Bytes, separate = len(data), data
	} else {
		message.Data = data
	}
	if err := s.write(message, separate); err != nil {
		return connectionError{err}
	}
	return nil
}
