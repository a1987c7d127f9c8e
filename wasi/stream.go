// Speaking: a Stream is a session of the guest that is advanced one frame at a time.

package pockettts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

// Frame is 80 ms of speech.
type Frame struct {
	Samples []float32 // mono; values may go beyond [-1, 1] and are clamped where integers are made of them
	Chunk   int       // the piece of the text that it belongs to
	Step    int       // its number within the piece
}

// Stream is speech that is made as it is read. It must be closed, unless it was read to its end or its context is
// cancelled, which closes it too. Use one of Read, WriteTo and Frames on a stream.
type Stream struct {
	engine  *Engine
	ctx     context.Context
	loaded  *loaded
	strict  bool
	format  Format
	session guest.Handle
	codec   guest.Handle
	unwatch func() bool // stops waiting for the context

	mu     sync.Mutex // held while a frame is made: Close waits for it
	latent []float32
	frames int          // of the chunk so far
	end    error        // why there are no more frames: io.EOF or an error
	out    bytes.Buffer // bytes made and not yet read
	writer *wav.Writer  // into out
	ended  bool         // the end of the file is in out
}

var (
	_ io.ReadCloser = (*Stream)(nil)
	_ io.WriterTo   = (*Stream)(nil)
)

// Speak prepares a text and returns its speech. Nothing is spoken before the first read. The context governs the
// whole stream: cancelled, it ends before the next frame with the context's error.
func (e *Engine) Speak(ctx context.Context, text string, options SpeakOptions) (*Stream, error) {
	ctx = orBackground(ctx)
	s := &Stream{engine: e, ctx: ctx, strict: options.RequireEnd, format: options.Format}
	err := e.do(ctx, func(l *loaded) error { return s.open(ctx, l, text, options) })
	if err != nil {
		return nil, err
	}
	s.writer = wav.NewWriter(&s.out, uint32(e.info.SampleRate), 0)
	s.mu.Lock() // the function may run before its own stop function is known
	defer s.mu.Unlock()
	s.unwatch = context.AfterFunc(ctx, func() { s.stop(ctx.Err()) })
	return s, nil
}

func (s *Stream) open(ctx context.Context, l *loaded, text string, options SpeakOptions) error {
	voice, err := s.engine.handleOf(ctx, l, options.Voice)
	if err != nil {
		return err
	}
	settings, err := l.guest.OptionsInit(ctx, l.model)
	if err != nil {
		return err
	}
	if err := options.apply(&settings); err != nil {
		return err
	}
	if s.session, err = l.guest.SessionOpen(ctx, l.model, voice, text, settings); err != nil {
		return err
	}
	s.loaded, s.latent = l, make([]float32, l.info.LatentWidth)
	if s.codec, err = l.guest.CodecOpen(ctx, l.model); err == nil {
		err = s.warnOfLongChunks(ctx)
	}
	if err != nil {
		s.free(ctx)
	}
	return err
}

func (s *Stream) warnOfLongChunks(ctx context.Context) error {
	count, err := s.loaded.guest.SessionChunkCount(ctx, s.session)
	for n := range count {
		var chunk guest.Chunk
		if chunk, err = s.loaded.guest.SessionChunk(ctx, s.session, n); err != nil {
			break
		}
		if chunk.OverLimit != 0 {
			s.engine.options.Logger.Warn(fmt.Sprintf("Chunk %d has %d tokens, more than max-tokens, and cannot be cut; it may not be spoken well",
				n+1, chunk.Tokens))
		}
	}
	return err
}

// free closes what the stream holds in the guest; it is the caller's turn.
func (s *Stream) free(ctx context.Context) {
	for _, handle := range []guest.Handle{s.session, s.codec} {
		if handle != 0 {
			// Refused only when the instance is dead, and its memory gone.
			_ = s.loaded.guest.CloseHandle(ctx, handle)
		}
	}
	s.session, s.codec = 0, 0
}

// next makes a frame. The error is io.EOF after the last one, and stays.
func (s *Stream) next() (Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return Frame{}, s.end
	}
	if s.engine == nil { // a zero Stream, not one of Speak
		return Frame{}, ErrClosed
	}
	if err := s.ctx.Err(); err != nil {
		return Frame{}, s.finish(err)
	}
	var frame Frame
	err := s.engine.doWith(s.ctx, s.loaded, func() (err error) {
		frame, err = s.advance()
		return err
	})
	if err != nil {
		return Frame{}, s.finish(err)
	}
	return frame, nil
}

// advance makes a frame when it is the stream's turn.
func (s *Stream) advance() (Frame, error) {
	// A cancellation is looked at between frames; within one, all calls see it through.
	ctx, g := context.WithoutCancel(s.ctx), s.loaded.guest
	for {
		status, event, err := g.SessionStep(ctx, s.session, s.latent)
		if err != nil {
			return Frame{}, err
		}
		switch status {
		case guest.OK:
			s.frames = int(event.Step) + 1
			samples := make([]float32, s.loaded.info.SamplesPerFrame)
			err := g.CodecDecode(ctx, s.codec, s.latent, 1, samples)
			return Frame{samples, int(event.Chunk), int(event.Step)}, err
		case guest.ChunkEnd:
			if event.Truncated != 0 {
				problem := fmt.Sprintf("Chunk %d reached its length limit (%d frames) without finding its end", event.Chunk+1, s.frames)
				if s.strict {
					return Frame{}, fmt.Errorf("%w: %s", ErrNoEnd, problem)
				}
				s.engine.options.Logger.Warn(problem)
			}
			if err := g.CodecReset(ctx, s.codec); err != nil {
				return Frame{}, err
			}
		case guest.Done:
			return Frame{}, io.EOF
		default:
			return Frame{}, fmt.Errorf("%w: unknown status %d", ErrState, status)
		}
	}
}

// finish ends the stream, for whatever reason, and gives its memory back. mu is held.
func (s *Stream) finish(reason error) error {
	if s.end != nil {
		return s.end
	}
	s.end = reason
	if s.engine == nil {
		return reason
	}
	s.unwatch()
	ctx := context.WithoutCancel(s.ctx)
	// Refused when the instance is gone, and the memory with it.
	_ = s.engine.doWith(ctx, s.loaded, func() error {
		s.free(ctx)
		return nil
	})
	return reason
}

func (s *Stream) stop(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.finish(reason)
}

// Close ends the stream and frees its memory in the sandbox. It may be called at any time, from any goroutine, and
// again.
func (s *Stream) Close() error {
	s.stop(ErrClosed)
	return nil
}

// Frames yields the frames as they are made. An error comes last, with an empty frame. The stream is closed when the
// loop ends, in whichever way.
func (s *Stream) Frames() iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		defer s.Close()
		for {
			frame, err := s.next()
			if err == io.EOF {
				return
			}
			if !yield(frame, err) || err != nil {
				return
			}
		}
	}
}

// Read reads the stream as a WAV file, or as samples (SpeakOptions.Format).
func (s *Stream) Read(p []byte) (int, error) {
	for s.out.Len() == 0 && len(p) > 0 {
		if s.ended {
			return 0, io.EOF
		}
		if err := s.produce(s.writer); err != nil {
			return 0, err
		}
	}
	return s.out.Read(p)
}

// produce makes a frame, or the end of the file, and appends it to out or writes it through writer.
func (s *Stream) produce(writer *wav.Writer) error {
	frame, err := s.next()
	switch {
	case err == io.EOF:
		s.ended = true
		if s.format != PCM {
			return writer.Close()
		}
		return nil
	case err != nil:
		return err
	case s.format == PCM:
		s.out.Write(wav.AppendPCM(s.out.AvailableBuffer(), frame.Samples))
		return nil
	}
	return writer.Write(frame.Samples)
}

// WriteTo writes the whole stream, frame by frame. Where w can seek (a file), a WAV header gets its true sizes at the
// end; after an error, those of what was written.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	defer s.Close()
	if s.engine == nil {
		return 0, ErrClosed
	}
	if s.format == PCM || s.writer.Written() > 0 {
		return s.drain(w)
	}
	writer := wav.NewWriter(w, uint32(s.engine.info.SampleRate), 0)
	for !s.ended {
		if err := s.produce(writer); err != nil {
			_ = writer.Abort()
			return writer.Written(), err
		}
	}
	return writer.Written(), nil
}

// drain writes what Read would return.
func (s *Stream) drain(w io.Writer) (int64, error) {
	var total int64
	for {
		n, err := s.out.WriteTo(w)
		total += n
		if err != nil || s.ended {
			return total, err
		}
		if err := s.produce(s.writer); err != nil {
			return total, err
		}
	}
}
