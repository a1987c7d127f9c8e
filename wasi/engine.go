// The Engine: one compiled module, one instance with the model in it, and the turns in which callers use it.

package pockettts

import (
	"context"
	"errors"
	"fmt"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// Engine is a loaded model. It must be closed. The zero Engine is a closed one.
type Engine struct {
	options Options
	pack    *pack.Pack
	module  *guest.Module
	info    Info

	// turn is taken by whoever uses what follows: a channel, because those who wait for one are served in order and
	// can give up when their context ends.
	turn    chan struct{}
	current *loaded // nil after a crash, until somebody needs it
	closed  bool
}

// Info describes a loaded model.
type Info struct {
	Name            string    // of the pack
	SampleRate      int       // Hz
	SamplesPerFrame int       // the unit of streaming and of cancellation: 80 ms
	Precision       Precision // of the large matrices
	CanClone        bool      // CloneVoice works
	WeightBytes     uint64    // working weights in memory
	EngineVersion   string
}

// Memory is what the sandbox takes.
type Memory struct {
	Reserved  uint64 // linear memory; it grows and never shrinks
	Allocated uint64 // of that, what weights, voices and open streams hold right now
}

// Load compiles the engine (or takes it from the cache) and streams a model into it. Sizes and checksums of the pack
// are verified on the way. A nil context, here and elsewhere, is context.Background().
func Load(ctx context.Context, options Options) (*Engine, error) {
	ctx = orBackground(ctx)
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{options: options, turn: make(chan struct{}, 1)}
	if e.pack, err = openPack(options); err != nil {
		return nil, err
	}
	e.module, err = guest.Compile(ctx, guest.Config{
		CacheDir: options.CacheDir, MaxMemory: options.MaxMemory, Logger: options.Logger,
	})
	if err != nil {
		return nil, errors.Join(explain(err, ""), e.pack.Close())
	}
	if err := e.do(ctx, func(l *loaded) error { return e.describe(ctx, l) }); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

func openPack(options Options) (*pack.Pack, error) {
	switch {
	case options.Pack != "":
		return pack.OpenFolder(options.Pack)
	case options.Config != "":
		return pack.OpenConfig(options.Config)
	}
	return pack.OpenFS(options.PackFS, "pack")
}

func (e *Engine) describe(ctx context.Context, l *loaded) error {
	version, err := l.guest.Version(ctx)
	e.info = Info{
		Name:            e.pack.Name,
		SampleRate:      int(l.info.SampleRate),
		SamplesPerFrame: int(l.info.SamplesPerFrame),
		Precision:       F32,
		CanClone:        l.info.CanClone != 0,
		WeightBytes:     l.info.WeightBytes,
		EngineVersion:   version,
	}
	if l.info.Precision == guest.PrecisionQ8 {
		e.info.Precision = Q8
	}
	return err
}

// Info describes the loaded model.
func (e *Engine) Info() Info { return e.info }

// Memory measures the sandbox.
func (e *Engine) Memory(ctx context.Context) (Memory, error) {
	ctx = orBackground(ctx)
	var memory Memory
	err := e.do(ctx, func(l *loaded) (err error) {
		memory.Reserved = l.guest.MemoryBytes()
		memory.Allocated, err = l.guest.AllocatedBytes(ctx)
		return err
	})
	return memory, err
}

// Close waits for the call in progress (of a stream: one frame) and frees everything. Streams that are still open end
// with ErrClosed. Closing again does nothing.
func (e *Engine) Close() error {
	if e.turn == nil {
		return nil
	}
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	if e.closed {
		return nil
	}
	e.closed, e.current = true, nil
	// The module closes its instances.
	return errors.Join(e.module.Close(context.Background()), e.pack.Close())
}

// enter waits for the caller's turn. Without an error, leave must follow.
func (e *Engine) enter(ctx context.Context) error {
	if e.turn == nil { // never loaded
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if e.closed {
		<-e.turn
		return ErrClosed
	}
	return nil
}

// leave ends a turn. An instance that crashed during it is thrown away here, so that nobody can meet it again.
func (e *Engine) leave() {
	if e.current != nil && e.current.guest.Dead() != nil {
		_ = e.current.guest.Close(context.Background())
		e.current = nil
	}
	<-e.turn
}

// do runs a function on the loaded model when it is the caller's turn, loading the model first if there is none.
func (e *Engine) do(ctx context.Context, use func(*loaded) error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	if e.current == nil {
		fresh, err := e.load(ctx)
		if err != nil {
			return err
		}
		e.current = fresh
	}
	return explain(use(e.current), "")
}

// doWith is do for what lives in a certain instance, and is lost when that one crashed.
func (e *Engine) doWith(ctx context.Context, l *loaded, use func() error) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	if e.current != l {
		return fmt.Errorf("%w while it served another call", ErrCrashed)
	}
	return explain(use(), "")
}
