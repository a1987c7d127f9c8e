// Instances of the guest: who may use one when, and how all of them end together.

package pockettts

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

// worker is an instance of the guest with a model, or a part of one, in it.
type worker struct {
	set    *loaded
	parts  uint32
	guest  *guest.Instance
	model  guest.Handle
	info   guest.ModelInfo
	voices map[*Voice]guest.Handle

	// turn is taken by whoever uses the guest: a channel, because those who wait for one are served in order and can
	// give up when their context ends.
	turn   chan struct{}
	closed bool

	taken int // how many streams speak with it; loaded.dealing guards it
}

// loaded is all the instances that make one engine. When one of them traps, all of them end.
type loaded struct {
	workers []*worker
	speaker *worker   // the first: makes latents and voices
	whole   []*worker // those that speak; the others only make sound
	info    guest.ModelInfo
	dealing sync.Mutex

	fault atomic.Pointer[fault]
	open  atomic.Int32  // instances that are not closed
	gone  chan struct{} // closed with the last of them
}

// take picks the instance that the fewest streams speak with, for one more. give must follow.
func (l *loaded) take() *worker {
	l.dealing.Lock()
	defer l.dealing.Unlock()
	w := slices.MinFunc(l.whole, func(a, b *worker) int { return a.taken - b.taken })
	w.taken++
	return w
}

// helper picks an instance that no stream has, to make sound in, or none: rather one that can do nothing else. Unless it is
// nil, give must follow.
func (l *loaded) helper() *worker {
	l.dealing.Lock()
	defer l.dealing.Unlock()
	return l.unused()
}

// decoding picks an instance to make sound of what the speaker speaks, or none where it should do so itself. Unless it is
// nil, give must follow.
func (l *loaded) decoding(speaker *worker) *worker {
	l.dealing.Lock()
	defer l.dealing.Unlock()
	others := l.workers[len(l.whole):]
	if len(others) == 0 {
		return l.unused()
	}
	w := slices.MinFunc(others, func(a, b *worker) int { return a.taken - b.taken })
	if w.taken >= speaker.taken && speaker.parts&guest.PartMimiDecoder != 0 {
		return nil
	}
	w.taken++
	return w
}

// unused is helper at the caller's turn at l.dealing.
func (l *loaded) unused() *worker {
	for _, w := range slices.Backward(l.workers) {
		if w.taken == 0 {
			w.taken++
			return w
		}
	}
	return nil
}

func (l *loaded) give(workers []*worker) {
	l.dealing.Lock()
	defer l.dealing.Unlock()
	for _, w := range workers {
		w.taken--
	}
}

// fault is why a set of instances has ended.
type fault struct {
	err error
	by  any // whose call it was
}

// over says why these instances can no longer be used; nil while they can. Only the one whose call it was hears the
// details of a crash.
func (l *loaded) over(by any) error {
	switch f := l.fault.Load(); {
	case f == nil:
		return nil
	case by != nil && by == f.by || f.err == ErrClosed:
		return f.err
	default:
		return fmt.Errorf("%w while it served another call", ErrCrashed)
	}
}

// end closes all instances, each as soon as nobody uses it; gone says when that is done.
func (l *loaded) end(err error) {
	l.fault.CompareAndSwap(nil, &fault{err: err})
	l.sweep()
}

// sweep closes the instances that nobody uses. Whoever uses one sweeps when they leave.
func (l *loaded) sweep() {
	for _, w := range l.workers {
		select {
		case w.turn <- struct{}{}:
		default:
			continue
		}
		if !w.closed {
			w.closed = true
			_ = w.guest.Close(context.Background()) // an instance without imports has nothing that could fail to close
			if l.open.Add(-1) == 0 {
				close(l.gone)
			}
		}
		<-w.turn
	}
}

// use runs a function when it is the caller's turn. `by` is whose call it is.
func (w *worker) use(ctx context.Context, by any, call func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer w.leave(by)
	if err := w.set.over(by); err != nil {
		return &missed{err}
	}
	return explain(call(), "")
}

// leave ends a turn. After a crash the whole set goes, so that nobody can meet it again.
func (w *worker) leave(by any) {
	if dead := w.guest.Dead(); dead != nil && !w.closed {
		w.set.fault.CompareAndSwap(nil, &fault{dead, by})
	}
	<-w.turn
	if w.set.fault.Load() != nil {
		w.set.sweep()
	}
}

// missed is the error of a call that was not made, as the instance had ended before.
type missed struct{ error }

func (m *missed) Unwrap() error { return m.error }

// weightBytes is what the weights of all instances take.
func (l *loaded) weightBytes() uint64 {
	var total uint64
	for _, w := range l.workers {
		total += w.info.WeightBytes
	}
	return total
}
