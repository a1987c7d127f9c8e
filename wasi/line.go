// The ways in which a Stream gets its frames: by turns in one instance, from two instances side by side, or from
// several pieces of the text at once.

package pockettts

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

// source makes the frames of a stream in their order. The error is io.EOF after the last.
type source interface {
	next(ctx context.Context) (piece, error)
}

// piece is a frame, or the end of a chunk.
type piece struct {
	frame     Frame
	end       bool
	truncated bool // with end: it was cut off at its length limit
	frames    int  // with end: how many it had
	err       error
}

// line is a session and a decoder that belong together. Methods with a context wait for turns.
type line struct {
	stream  *Stream
	speaker *worker
	decoder *worker
	session guest.Handle
	codec   guest.Handle
	frames  int // of the chunk so far
}

// latent is what a step of the session answered.
type latent struct {
	values []float32
	status guest.Status
	event  guest.Event
	err    error
}

// free closes what the line holds. Refused only where the instance has ended, and its memory with it.
func (l *line) free() {
	ctx := context.Background()
	for _, held := range []struct {
		w      *worker
		handle *guest.Handle
	}{{l.speaker, &l.session}, {l.decoder, &l.codec}} {
		if *held.handle != 0 {
			_ = held.w.use(ctx, l.stream, func() error { return held.w.guest.CloseHandle(ctx, *held.handle) })
			*held.handle = 0
		}
	}
}

// open prepares the text. It is the caller's turn at the speaker.
func (l *line) open(ctx context.Context, voice *Voice, text string, options SpeakOptions) error {
	w := l.speaker
	handle, err := l.stream.engine.handleOf(ctx, w, voice)
	if err != nil {
		return err
	}
	settings, err := w.guest.OptionsInit(ctx, w.model)
	if err != nil {
		return err
	}
	if err := options.apply(&settings); err != nil {
		return err
	}
	l.session, err = w.guest.SessionOpen(ctx, w.model, handle, text, settings)
	return err
}

// openCodec makes the decoder. It is the caller's turn there.
func (l *line) openCodec(ctx context.Context) (err error) {
	l.codec, err = l.decoder.guest.CodecOpen(ctx, l.decoder.model)
	return err
}

// step makes a latent. It is the caller's turn at the speaker.
func (l *line) step(ctx context.Context) (made latent) {
	made.values = make([]float32, l.speaker.info.LatentWidth)
	made.status, made.event, made.err = l.speaker.guest.SessionStep(ctx, l.session, made.values)
	if made.err == nil && made.status != guest.OK && made.status != guest.ChunkEnd && made.status != guest.Done {
		made.err = fmt.Errorf("%w: unknown status %d", ErrState, made.status)
	}
	return made
}

// decode makes sound of latents that follow each other in one chunk. It is the caller's turn at the decoder.
func (l *line) decode(ctx context.Context, latents []latent) ([]piece, error) {
	size := int(l.decoder.info.SamplesPerFrame)
	width := len(latents[0].values)
	values, samples := make([]float32, 0, width*len(latents)), make([]float32, size*len(latents))
	for _, one := range latents {
		values = append(values, one.values...)
	}
	if err := l.decoder.guest.CodecDecode(ctx, l.codec, values, len(latents), samples); err != nil {
		return nil, err
	}
	pieces := make([]piece, len(latents))
	for n, one := range latents {
		own := samples[n*size : (n+1)*size : (n+1)*size]
		pieces[n] = piece{frame: Frame{own, int(one.event.Chunk), int(one.event.Step)}}
	}
	l.frames = int(latents[len(latents)-1].event.Step) + 1
	return pieces, nil
}

// finish ends a chunk: the next one starts afresh. It is the caller's turn at the decoder.
func (l *line) finish(ctx context.Context, end latent) (piece, error) {
	done := piece{frame: Frame{Chunk: int(end.event.Chunk)}, end: true, truncated: end.event.Truncated != 0, frames: l.frames}
	l.frames = 0
	return done, l.decoder.guest.CodecReset(ctx, l.codec)
}

// soundOf makes sound of a block that may be empty, and of the end of its chunk, if that comes behind it. It is the caller's
// turn at the decoder.
func (l *line) soundOf(ctx context.Context, block []latent, end *latent) (pieces []piece, err error) {
	if len(block) > 0 {
		if pieces, err = l.decode(ctx, block); err != nil {
			return nil, err
		}
	}
	if end != nil {
		var done piece
		done, err = l.finish(ctx, *end)
		pieces = append(pieces, done)
	}
	return pieces, err
}

// serial makes a frame when it is asked for one, in one instance.
type serial struct{ *line }

func (s serial) next(ctx context.Context) (made piece, err error) {
	err = s.speaker.use(ctx, s.stream, func() (err error) {
		made, err = s.both(context.WithoutCancel(ctx)) // a cancellation is looked at between frames
		return err
	})
	return made, err
}

// both makes a latent and its sound. It is the caller's turn at the instance.
func (l *line) both(ctx context.Context) (piece, error) {
	made := l.step(ctx)
	switch {
	case made.err != nil:
		return piece{}, made.err
	case made.status == guest.Done:
		return piece{}, io.EOF
	case made.status == guest.ChunkEnd:
		return l.finish(ctx, made)
	}
	pieces, err := l.decode(ctx, []latent{made})
	if err != nil {
		return piece{}, err
	}
	return pieces[0], nil
}

// Bounds of what is made ahead of the reader.
const (
	// latentsAhead lets the speaker go on into the next chunk, whose text takes it as long as several frames, while
	// the decoder works off what there is.
	latentsAhead = 32
	// framesAhead is sound that nobody has read yet.
	framesAhead = 8
	// largestBlock bounds the frames that are decoded in one call. Larger ones were not faster (BenchmarkParts).
	largestBlock = 4
	// frameTime is how long a frame sounds.
	frameTime = 80 * time.Millisecond
)

// pipeline makes latents in one instance and sound in another, each in a goroutine of its own.
type pipeline struct {
	*line
	start   sync.Once
	latents chan latent
	frames  chan piece
	heard   sync.Once
	sounded chan struct{} // closed when the first latent has become sound
}

func newPipeline(l *line) *pipeline {
	return &pipeline{
		line: l, latents: make(chan latent, latentsAhead), frames: make(chan piece, framesAhead), sounded: make(chan struct{}),
	}
}

func (p *pipeline) next(ctx context.Context) (piece, error) {
	p.start.Do(func() {
		p.stream.group.Go(func() { p.speak(ctx) })
		p.stream.group.Go(func() { p.sound(ctx) })
	})
	return receive(ctx, p.frames)
}

// speak fills the queue of latents; the last one has the status Done or an error. It goes on when the first sound is
// there: where cores are scarce, nothing may delay that.
func (p *pipeline) speak(ctx context.Context) {
	for first := true; ; first = false {
		var made latent
		if err := p.speaker.use(ctx, p.stream, func() error {
			made = p.step(context.WithoutCancel(ctx))
			return made.err
		}); err != nil {
			made.err = err
		}
		if !send(ctx, p.latents, made) || made.err != nil || made.status == guest.Done {
			return
		}
		if first {
			if _, err := receive(ctx, p.sounded); err != io.EOF {
				return
			}
		}
	}
}

// sound empties the queue of latents. It takes one by one as long as they come one by one, and more at a time, twice
// as many each time, when they queue up: nothing ever waits for a block to fill.
func (p *pipeline) sound(ctx context.Context) {
	defer close(p.frames)
	for size := 1; ; {
		block, after, err := p.gather(ctx, size)
		if err != nil {
			return // it was cancelled
		}
		var pieces []piece
		began := time.Now()
		var end *latent
		if after != nil && after.err == nil && after.status == guest.ChunkEnd {
			end = after
		}
		if end != nil || len(block) > 0 {
			err = p.decoder.use(ctx, p.stream, func() (err error) {
				began = time.Now() // waiting for the turn is no work
				pieces, err = p.soundOf(context.WithoutCancel(ctx), block, end)
				return err
			})
		}
		took := time.Since(began)
		if err == nil && after != nil {
			err = after.err
		}
		if err != nil {
			pieces = append(pieces, piece{err: err})
		}
		for _, made := range pieces {
			if !send(ctx, p.frames, made) {
				return
			}
		}
		p.heard.Do(func() { close(p.sounded) })
		if err != nil || after != nil && after.status == guest.Done {
			return
		}
		size = nextBlock(size, len(block), len(p.latents), took)
	}
}

// nextBlock is how many latents may be decoded at once, after a block of `taken` that left `waiting` in the queue. No
// block should take longer than a frame lasts: a cancellation has to wait for it.
func nextBlock(size, taken, waiting int, took time.Duration) int {
	if taken == size && waiting >= size && 2*took <= frameTime {
		return min(2*size, largestBlock)
	}
	return size
}

// gather takes up to `size` latents of frames, as many as there are and at least one, and what comes after them if it
// is something else.
func (p *pipeline) gather(ctx context.Context, size int) (block []latent, after *latent, err error) {
	for len(block) < size && after == nil {
		if len(block) > 0 && len(p.latents) == 0 {
			break
		}
		one, err := receive(ctx, p.latents)
		switch {
		case err != nil:
			return nil, nil, err
		case one.err != nil || one.status != guest.OK:
			after = &one
		default:
			block = append(block, one)
		}
	}
	return block, after, nil
}

// receive waits for something, or the end of the context. A closed channel is io.EOF.
func receive[T any](ctx context.Context, from <-chan T) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case got, ok := <-from:
		if !ok && ctx.Err() != nil { // closed for that reason
			return none, ctx.Err()
		}
		if !ok {
			return none, io.EOF
		}
		return got, nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// send is false when the context ended first.
func send[T any](ctx context.Context, to chan<- T, value T) bool {
	select {
	case to <- value:
		return true
	case <-ctx.Done():
		return false
	}
}
