// Speaking for a request: bounded in text, sound and time, counted, and over at the latest when the service closes.

package server

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

// Request is what a client wants to hear.
type Request struct {
	Door   string  // who asks, for the figures: "http", "openai", ...
	Text   string  // UTF-8
	Voice  string  // by name, or a URL that Options.AllowVoiceURLs lets in; empty: the service's
	Upload *Upload // a voice of the client's own, instead of Voice
	Rate   float32 // speed of the speech, 0.25 to 4; 0 is 1
	Seed   *uint64 // nil: the service's
	// TextChars > 0 is the door's own limit, in place of Limits.TextChars.
	TextChars   int
	Temperature *float32 // variance of the noise; nil: the service's
	// Held is a voice that the door keeps, instead of Voice; it stays open.
	Held *pockettts.Voice
	// Parts, where it is not nil, is a text that is still coming (pockettts.Engine.SpeakParts), instead of Text. The door
	// bounds its length.
	Parts <-chan string
}

// Speech is what a request made the engine say, frame by frame. It must be closed. One goroutine may call Next at a
// time; Close may be called from any.
type Speech struct {
	service *Service
	door    string
	stream  *pockettts.Stream
	ctx     context.Context
	cancel  context.CancelFunc
	release func()
	unwatch func() bool
	asked   time.Time

	mu      sync.Mutex // held while a frame is waited for
	next    func() (pockettts.Frame, error, bool)
	stop    func()
	end     error // io.EOF, or why there is no more
	frames  int
	samples int
	closing sync.Once

	rate  float32
	signs atomic.Int64 // of the text, as far as it is known
}

// What a text can take to be said where Limits.Sound does not say, at Rate 1: speech has about 15 letters a second; numbers,
// abbreviations and Chinese have the fewest.
const (
	soundAtLeast = 10 * time.Second
	soundOfSign  = 500 * time.Millisecond
	soundAtMost  = 30 * time.Minute
)

// signs counts what is said of a text: letters, digits, signs; not the accents above them, nor white space.
func signs(text string) (count int64) {
	for _, r := range text {
		if !unicode.In(r, unicode.M, unicode.C, unicode.Z) {
			count++
		}
	}
	return count
}

// most is how long the speech may be.
func (s *Speech) most() time.Duration {
	if limit := s.service.limits.Sound; limit > 0 {
		return limit
	}
	natural := soundAtLeast + time.Duration(s.signs.Load())*soundOfSign
	return min(time.Duration(float64(natural)/float64(s.rate)), soundAtMost)
}

// count hands parts of a text on, and counts what is in them.
func (s *Speech) count(parts <-chan string) <-chan string {
	counted := make(chan string)
	go func() {
		for {
			select {
			case part, more := <-parts:
				if !more {
					close(counted)
					return
				}
				s.signs.Add(signs(part))
				select {
				case counted <- part:
				case <-s.ctx.Done():
					return
				}
			case <-s.ctx.Done():
				return
			}
		}
	}()
	return counted
}

// timeUp is the cause of a context that ended for Limits.Time.
var timeUp = Refuse(TimeUp, "the request took too long")

// Speak prepares what a request asks for. It waits for its turn where the engine has a queue, and no longer than the
// context lasts, which governs the whole speech. Errors are [*Error]s. Nothing is spoken before the first Next.
func (s *Service) Speak(ctx context.Context, request Request) (*Speech, error) {
	speech, err := s.speak(ctx, request)
	if err != nil {
		refusal := Explain(err)
		s.report(request.Door, refusal)
		s.figures.requests.WithLabelValues(request.Door, string(refusal.Problem)).Inc()
		return nil, refusal
	}
	return speech, nil
}

func (s *Service) speak(ctx context.Context, request Request) (_ *Speech, err error) {
	asked := time.Now()
	if err := s.Ready(); err != nil {
		return nil, err
	}
	most := s.limits.TextChars
	if request.TextChars > 0 {
		most = request.TextChars
	}
	switch {
	case request.Parts != nil:
	case strings.TrimSpace(request.Text) == "":
		return nil, Refuse(TextEmpty, "the text is empty")
	case len(request.Text) > most && utf8.RuneCountInString(request.Text) > most:
		return nil, Refuse(TextTooLong, "the text is too long: at most %d characters", most)
	}
	// The group must not grow while Close waits for it.
	s.mu.Lock()
	if s.run.Err() != nil {
		s.mu.Unlock()
		return nil, Refuse(Closed, "The server is closing.")
	}
	s.group.Add(1)
	s.mu.Unlock()

	speech := &Speech{service: s, door: request.Door, asked: asked, release: func() {}, rate: request.Rate}
	preset(&speech.rate, 1)
	speech.signs.Store(signs(request.Text))
	speech.ctx, speech.cancel = context.WithTimeoutCause(ctx, s.limits.Time, timeUp)
	speech.unwatch = context.AfterFunc(s.run, speech.cancel)
	defer func() {
		if err != nil {
			err = speech.explain(err)
			speech.leave()
		}
	}()
	started := s.engine.Load()
	voice, release, err := s.voice(speech.ctx, started, request)
	if err != nil {
		return nil, err
	}
	speech.release = release
	options := s.options.Speak
	options.Voice, options.Format, options.Rate = voice, pockettts.PCM, request.Rate
	if request.Seed != nil {
		options.Seed = request.Seed
	}
	if request.Temperature != nil {
		options.Temperature = request.Temperature
	}
	if request.Parts != nil {
		speech.stream, err = started.engine.SpeakParts(speech.ctx, speech.count(request.Parts), options)
	} else {
		speech.stream, err = started.engine.Speak(speech.ctx, request.Text, options)
	}
	if err != nil {
		return nil, err
	}
	speech.next, speech.stop = iter.Pull2(speech.stream.Frames())
	s.figures.open.Inc()
	return speech, nil
}

// report tells the operator of faults that the client hears nothing of.
func (s *Service) report(door string, refusal *Error) {
	if refusal.Problem == Failed {
		s.log.Error("speech failed", "door", door, "error", refusal.cause)
	}
}

// SampleRate is that of the samples, in Hz.
func (s *Speech) SampleRate() int { return s.service.Engine().Info().SampleRate }

// Tokens is the length of the text in tokens of the model.
func (s *Speech) Tokens() int { return s.stream.Tokens() }

// Frames is the number of frames that Next has returned.
func (s *Speech) Frames() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames
}

// Next makes the next samples: mono, beyond [-1, 1] where they have to be clamped; 80 ms of them at Rate 1. The error is
// io.EOF after the last, and else an [*Error]; it stays.
func (s *Speech) Next() ([]float32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return nil, s.end
	}
	frame, err, more := s.next()
	switch {
	case !more:
		s.end = io.EOF
		if s.ctx.Err() != nil { // closed from elsewhere
			s.end = s.explain(s.ctx.Err())
		}
		return nil, s.end
	case err != nil:
		s.end = s.explain(err)
		return nil, s.end
	}
	if s.frames == 0 {
		s.service.figures.first.WithLabelValues(s.door).Observe(time.Since(s.asked).Seconds())
	}
	s.frames++
	s.samples += len(frame.Samples)
	s.service.figures.sound.WithLabelValues(s.door).Add(float64(len(frame.Samples)) / float64(s.SampleRate()))
	if most := s.most(); s.Duration() > most {
		s.end = Refuse(TooMuchSound, "the speech is longer than %s", most.Round(time.Second/10))
		return nil, s.end
	}
	return frame.Samples, nil
}

// Duration is the length of the sound so far. It belongs to the goroutine that calls Next.
func (s *Speech) Duration() time.Duration {
	return time.Duration(float64(s.samples) / float64(s.SampleRate()) * float64(time.Second))
}

// explain makes an Error of the end of a speech.
func (s *Speech) explain(err error) error {
	switch {
	case s.service.run.Err() != nil && errors.Is(err, context.Canceled):
		return &Error{Closed, "The server is closing.", err}
	case context.Cause(s.ctx) == timeUp && !errors.Is(err, timeUp):
		return timeUp
	}
	return Explain(err)
}

// Close ends the speech, within a frame, and frees what it holds. Closing again does nothing.
func (s *Speech) Close() error {
	s.closing.Do(func() {
		_ = s.stream.Close() // never fails; a Next in progress gives up
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stop()
		result := "done"
		var refusal *Error
		switch {
		case s.end == nil:
			result = string(Cancelled)
			s.end = Refuse(Cancelled, "the speech was closed")
		case errors.As(s.end, &refusal):
			result = string(refusal.Problem)
			s.service.report(s.door, refusal)
		}
		s.service.figures.requests.WithLabelValues(s.door, result).Inc()
		s.service.figures.open.Dec()
		s.leave()
	})
	return nil
}

// leave gives back what speak took.
func (s *Speech) leave() {
	s.unwatch()
	s.cancel()
	s.release()
	s.service.group.Done()
}
