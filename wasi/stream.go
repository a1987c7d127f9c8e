// Speaking: a Stream is what a session of the guest makes, frame by frame (line.go).

package pockettts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

// Frame is 80 ms of speech, unless SpeakOptions.Rate says otherwise.
type Frame struct {
	Samples []float32 // mono; values may go beyond [-1, 1] and are clamped where integers are made of them
	Chunk   int       // the piece of the text that it belongs to
	Step    int       // its number within the piece
}

// Stream is speech that is made as it is read. It must be closed, unless it was read to its end or its context is
// cancelled, which closes it too. Use one of Read, WriteTo and Frames on a stream.
type Stream struct {
	engine  *Engine
	ctx     context.Context // of the caller
	run     context.Context // of what works for the stream; ends with ctx and with Close
	cancel  context.CancelFunc
	group   sync.WaitGroup // what works for the stream
	loaded  *loaded
	lines   []*line
	taken   []*worker  // what it was dealt
	stretch *stretcher // of another speed
	tokens  int
	placed  bool // it has a place in the engine's queue
	strict  bool
	format  Format
	unwatch func() bool // stops waiting for the context

	mu     sync.Mutex // held while a frame is made or waited for: Close waits for it
	source source
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
// whole stream: cancelled, it ends before the next frame with the context's error. Where Options.MaxStreams streams are
// open, it waits until one of them has ended, or fails with ErrBusy where Options.MaxQueue calls wait already.
func (e *Engine) Speak(ctx context.Context, text string, options SpeakOptions) (*Stream, error) {
	ctx = orBackground(ctx)
	if e.gate == nil { // never loaded
		return nil, ErrClosed
	}
	if options.Voice == nil {
		if err := e.fetchVoice(ctx, ""); err != nil {
			return nil, err
		}
	}
	if err := e.queue.enter(ctx); err != nil {
		return nil, err
	}
	s, err := e.speak(ctx, text, options, true)
	if err != nil {
		e.queue.leave()
	}
	return s, err
}

// speak is Speak without the queue. The stream leaves the queue when it ends, if it has a place there.
func (e *Engine) speak(ctx context.Context, text string, options SpeakOptions, placed bool) (*Stream, error) {
	s := &Stream{engine: e, ctx: ctx, placed: placed, strict: options.RequireEnd, format: options.Format}
	err := s.open(text, options)
	for m := (*missed)(nil); errors.As(err, &m); { // a crash of another call came between
		err = s.open(text, options)
	}
	if err != nil {
		return nil, err
	}
	s.begin()
	return s, nil
}

// begin makes a stream that has its source ready for its first reader.
func (s *Stream) begin() {
	s.run, s.cancel = context.WithCancel(s.ctx)
	s.writer = wav.NewWriter(&s.out, uint32(s.engine.info.SampleRate), 0)
	s.mu.Lock() // the function may run before its own stop function is known
	defer s.mu.Unlock()
	s.unwatch = context.AfterFunc(s.ctx, func() { s.stop(s.ctx.Err()) })
}

// open makes the lines of the stream. After an error, nothing is left of them.
func (s *Stream) open(text string, options SpeakOptions) error {
	ctx := s.ctx
	set, err := s.engine.instances(ctx)
	if err != nil {
		return err
	}
	s.loaded = set
	whole := set.take()
	s.taken = append(s.taken, whole)
	first := s.line(whole)
	chunks := 0
	err = first.speaker.use(ctx, s, func() (err error) {
		if err := first.open(ctx, options.Voice, text, options); err != nil {
			return err
		}
		chunks, err = first.chunks(ctx)
		return err
	})
	if err == nil {
		err = s.openOthers(text, options, chunks)
	}
	if err != nil {
		s.free()
	}
	return err
}

// line adds one to the stream, in an instance that it was dealt.
func (s *Stream) line(w *worker) *line {
	l := &line{stream: s, speaker: w, decoder: w}
	s.lines = append(s.lines, l)
	return l
}

// openOthers makes what a text of so many chunks needs besides its first session, and the source of it all.
func (s *Stream) openOthers(text string, options SpeakOptions, chunks int) error {
	ctx, first := s.ctx, s.lines[0]
	many := min(chunks, s.engine.layout.parallel)
	if many > 1 && options.RNG == RNGTorch {
		s.engine.options.Logger.Info("Pieces are spoken one after the other: with the random stream torch, each draws where the last one ended")
		many = 1
	}
	// What other streams speak with is left to them: more lines there would make none of them faster. These only make sound.
	for range many - 1 {
		w := s.loaded.helper()
		if w == nil {
			break
		}
		s.taken = append(s.taken, w)
		for range min(linesPerHelper, chunks) {
			s.line(w)
		}
	}
	if len(s.lines) == 1 && s.engine.layout.instances > 1 {
		s.findDecoder(first)
	}
	switch {
	case len(s.lines) > 1:
		s.source = newParallel(s.lines, chunks)
	case first.speaker != first.decoder:
		s.source = newPipeline(first)
	default:
		s.source = serial{first}
	}
	// The other lines of a helper do so when they get a chunk.
	for n, l := range s.lines {
		if n > 1 && l.decoder == s.lines[n-1].decoder {
			continue
		}
		if err := l.decoder.use(ctx, s, func() error { return l.openCodec(ctx) }); err != nil {
			return err
		}
	}
	return s.openStretch(options.Rate)
}

// findDecoder finds the instance that makes sound of a line's latents: one that is there for it, if fewer streams have it
// than the line's own, or a whole one that nobody has.
func (s *Stream) findDecoder(l *line) {
	if w := s.loaded.decoding(l.speaker); w != nil {
		s.taken = append(s.taken, w)
		l.decoder = w
	}
}

// chunks counts the pieces of the text, and warns of those that are longer than they should be. It is the caller's
// turn.
func (l *line) chunks(ctx context.Context) (int, error) {
	count, err := l.speaker.guest.SessionChunkCount(ctx, l.session)
	l.stream.tokens = 0
	for n := range count {
		var chunk guest.Chunk
		if chunk, err = l.speaker.guest.SessionChunk(ctx, l.session, n); err != nil {
			break
		}
		l.stream.tokens += int(chunk.Tokens)
		if chunk.OverLimit != 0 {
			l.stream.engine.options.Logger.Warn(fmt.Sprintf("Chunk %d has %d tokens, more than max-tokens, and cannot be cut; it may not be spoken well",
				n+1, chunk.Tokens))
		}
	}
	return int(count), err
}

// free closes what the stream holds in the guest, when nothing works for it any more.
func (s *Stream) free() {
	if inner, ok := s.source.(io.Closer); ok {
		_ = inner.Close()
	}
	s.stretch.free()
	s.stretch = nil
	for _, l := range s.lines {
		l.free()
	}
	s.loaded.give(s.taken)
	s.lines, s.taken = nil, nil
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
	for {
		made, err := piece{}, io.EOF
		if !s.stretch.over() {
			made, err = s.advance()
		}
		if err == nil && !made.end {
			made.frame, err = s.stretch.stretched(s.run, made.frame)
		}
		if err == io.EOF {
			made.frame, err = s.stretch.rest(s.run)
		}
		switch {
		case err != nil:
			return Frame{}, s.finish(s.reason(err))
		case !made.end && len(made.frame.Samples) > 0:
			return made.frame, nil
		}
		if made.truncated {
			problem := fmt.Sprintf("Chunk %d reached its length limit (%d frames) without finding its end", made.frame.Chunk+1, made.frames)
			if s.strict {
				return Frame{}, s.finish(fmt.Errorf("%w: %s", ErrNoEnd, problem))
			}
			s.engine.options.Logger.Warn(problem)
		}
	}
}

// advance waits for the next piece. Nothing that was made before counts once the stream, the engine or its instances
// have ended.
func (s *Stream) advance() (piece, error) {
	if err := s.loaded.over(s); err != nil && s.run.Err() == nil {
		return piece{}, err
	}
	made, err := s.source.next(s.run)
	if err == nil {
		err = made.err
	}
	return made, s.reason(err)
}

// reason is why there is no more: before all else that the caller has ended the stream.
func (s *Stream) reason(err error) error {
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case s.run.Err() != nil:
		return ErrClosed
	}
	return err
}

// Tokens is the length of the prepared text in tokens of the model; of SpeakParts, of what has been spoken so far.
func (s *Stream) Tokens() int { return s.tokens }

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
	s.cancel()
	s.group.Wait() // a frame, or a few together
	s.free()
	if s.placed {
		s.engine.queue.leave()
	}
	return reason
}

func (s *Stream) stop(reason error) {
	if s.cancel != nil {
		s.cancel() // whoever waits for a frame gives up
	}
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
