// Another speed: what a stream's lines make goes through a stretcher of the engine before anybody hears it.

package pockettts

import (
	"context"
	"io"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

// The speeds that the engine can make.
const (
	slowest = 0.25
	fastest = 4
)

// stretcher belongs to a stream; a nil one leaves frames as they are.
type stretcher struct {
	stream *Stream
	worker *worker
	handle guest.Handle
	last   Frame // that went in
	ended  bool
}

// openStretch makes the stretcher, where there is another speed.
func (s *Stream) openStretch(rate float32) error {
	if rate == 0 || rate == 1 {
		return nil
	}
	made := &stretcher{stream: s, worker: s.lines[0].decoder}
	err := made.use(s.ctx, func() (err error) {
		made.handle, err = made.worker.guest.StretchOpen(context.WithoutCancel(s.ctx), made.worker.info.SampleRate, rate)
		return err
	})
	if err == nil {
		s.stretch = made
	}
	return err
}

func (t *stretcher) use(ctx context.Context, call func() error) error {
	return t.worker.use(ctx, t.stream, call)
}

// stretched turns a frame into the samples that can be made with it too: none at first, later more or fewer than went in.
func (t *stretcher) stretched(ctx context.Context, frame Frame) (Frame, error) {
	if t == nil {
		return frame, nil
	}
	samples := frame.Samples
	t.last, frame.Samples = frame, nil
	err := t.use(ctx, func() error {
		ctx := context.WithoutCancel(ctx)
		if err := t.worker.guest.StretchWrite(ctx, t.handle, samples); err != nil {
			return err
		}
		return t.read(ctx, &frame)
	})
	return frame, err
}

// over tells whether rest was asked for.
func (t *stretcher) over() bool { return t != nil && t.ended }

// rest is what is still to be heard after the last frame; io.EOF when that is nothing.
func (t *stretcher) rest(ctx context.Context) (Frame, error) {
	if t == nil || t.over() {
		return Frame{}, io.EOF
	}
	t.ended = true
	frame := Frame{Chunk: t.last.Chunk, Step: t.last.Step + 1}
	err := t.use(ctx, func() error {
		ctx := context.WithoutCancel(ctx)
		if err := t.worker.guest.StretchEnd(ctx, t.handle); err != nil {
			return err
		}
		return t.read(ctx, &frame)
	})
	if err == nil && len(frame.Samples) == 0 {
		err = io.EOF
	}
	return frame, err
}

// read appends what can be made so far. It is the caller's turn.
func (t *stretcher) read(ctx context.Context, frame *Frame) error {
	for {
		samples, err := t.worker.guest.StretchRead(ctx, t.handle, int(t.worker.info.SamplesPerFrame))
		if err != nil || len(samples) == 0 {
			return err
		}
		frame.Samples = append(frame.Samples, samples...)
	}
}

// free gives the memory back. Refused only where the instance has ended.
func (t *stretcher) free() {
	if t != nil && t.handle != 0 {
		ctx := context.Background()
		_ = t.use(ctx, func() error { return t.worker.guest.CloseHandle(ctx, t.handle) })
		t.handle = 0
	}
}
