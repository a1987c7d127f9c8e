// The Engine: one compiled module, the instances with the model in them, and what callers do with them.

package pockettts

import (
	"context"
	"errors"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// Engine is a loaded model. It must be closed. The zero Engine is a closed one.
type Engine struct {
	options Options
	pack    *pack.Pack
	module  *guest.Module
	layout  layout
	info    Info
	queue   *queue // of streams

	// gate is taken by whoever looks at what follows, and kept while a model is loaded.
	gate    chan struct{}
	current *loaded // nil before the first load
	closed  bool
}

// Info describes a loaded model.
type Info struct {
	Name            string    // of the pack
	SampleRate      int       // Hz
	SamplesPerFrame int       // the unit of streaming and of cancellation: 80 ms
	Precision       Precision // at work
	CanClone        bool      // CloneVoice works
	WeightBytes     uint64    // working weights in memory, of all instances
	Instances       int       // of the sandbox that speak a piece of text: 1, or 2 side by side
	InstancesReason string    // why so many: "asked for", "one core", "small model", "several cores"
	Parallel        int       // instances over which the pieces of a text are spread
	Workers         int       // whole instances, for many callers
	EngineVersion   string
}

// Memory is what the sandbox takes, all instances together.
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
	e := &Engine{options: options, gate: make(chan struct{}, 1), queue: newQueue(options.MaxStreams, options.MaxQueue)}
	if e.pack, err = openPack(ctx, options); err != nil {
		return nil, err
	}
	e.layout = chooseLayout(options, e.pack)
	if err := e.do(ctx, func(w *worker) error { return e.describe(ctx, w) }); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	// Whoever never speaks with it does not need it; for the others Speak says what is wrong.
	if err := e.fetchVoice(ctx, ""); err != nil {
		options.Logger.Debug("the default voice is not at hand", "reason", err)
	}
	return e, nil
}

func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

func openPack(ctx context.Context, options Options) (*pack.Pack, error) {
	switch {
	case hub.IsRemote(options.Pack):
		return openRemote(ctx, options, hub.Open, options.Pack)
	case options.Pack != "":
		return hub.OpenFolder(options.Pack)
	case options.Config != "":
		return openRemote(ctx, options, hub.OpenConfig, options.Config)
	}
	return pack.OpenFS(options.PackFS, "pack")
}

// openRemote opens what may have files somewhere else.
func openRemote(
	ctx context.Context, options Options, open func(context.Context, string, hub.Options) (*pack.Pack, error), name string,
) (*pack.Pack, error) {
	from := hub.Options{
		Folder: options.PackDir, Shared: hub.SharedFolder(), Token: options.Token, Offline: options.Offline, HTTP: options.HTTPClient, Logger: options.Logger,
	}
	if len(options.Hub) > 0 {
		from.Hubs = options.Hub
	}
	if options.Progress != nil {
		from.Progress = func(p hub.Progress) { options.Progress(Progress(p)) }
	}
	return open(ctx, name, from)
}

func (e *Engine) describe(ctx context.Context, w *worker) error {
	l := w.set
	version, err := w.guest.Version(ctx)
	e.info = Info{
		Name:            e.pack.Name,
		SampleRate:      int(l.info.SampleRate),
		SamplesPerFrame: int(l.info.SamplesPerFrame),
		Precision:       precisions[l.info.Precision],
		CanClone:        l.info.CanClone != 0,
		WeightBytes:     l.weightBytes(),
		Instances:       e.layout.instances,
		InstancesReason: e.layout.reason,
		Parallel:        e.layout.parallel,
		Workers:         e.layout.workers,
		EngineVersion:   version,
	}
	return err
}

// Info describes the loaded model.
func (e *Engine) Info() Info { return e.info }

// Memory measures the sandbox.
func (e *Engine) Memory(ctx context.Context) (Memory, error) {
	ctx = orBackground(ctx)
	for {
		memory, err := e.measure(ctx)
		var m *missed
		if !errors.As(err, &m) { // else it crashed while this call waited
			return memory, err
		}
	}
}

func (e *Engine) measure(ctx context.Context) (Memory, error) {
	var memory Memory
	l, err := e.instances(ctx)
	if err != nil {
		return memory, err
	}
	for _, w := range l.workers {
		err := w.use(ctx, nil, func() error {
			allocated, err := w.guest.AllocatedBytes(ctx)
			memory.Reserved += w.guest.MemoryBytes()
			memory.Allocated += allocated
			return err
		})
		if err != nil {
			return Memory{}, err
		}
	}
	return memory, nil
}

// Streams counts the streams that are open and the calls of Speak that wait for one of them to end.
func (e *Engine) Streams() (open, waiting int) {
	if e.gate == nil {
		return 0, 0
	}
	return e.queue.count()
}

// Close waits for the calls in progress (of a stream: a frame, or the few that are made at once) and frees everything. Streams that are still open, and
// calls that wait, end with ErrClosed. Closing again does nothing.
func (e *Engine) Close() error {
	if e.gate == nil {
		return nil
	}
	e.queue.close()
	e.gate <- struct{}{}
	defer func() { <-e.gate }()
	if e.closed {
		return nil
	}
	e.closed = true
	if l := e.current; l != nil {
		l.end(ErrClosed)
		<-l.gone
	}
	var err error
	if e.module != nil {
		err = e.module.Close(context.Background())
	}
	return errors.Join(err, e.pack.Close())
}

// enter takes the gate of an engine that is open. Without an error, `<-e.gate` must follow.
func (e *Engine) enter(ctx context.Context) error {
	if e.gate == nil { // never loaded
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case e.gate <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if e.closed {
		<-e.gate
		return ErrClosed
	}
	return nil
}

// instances returns those in use, or loads the model into fresh ones: the first time, and after a crash.
func (e *Engine) instances(ctx context.Context) (*loaded, error) {
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-e.gate }()
	if l := e.current; l != nil {
		if l.fault.Load() == nil {
			return l, nil
		}
		select { // never the memory of both
		case <-l.gone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	fresh, err := e.load(ctx)
	if err != nil {
		return nil, err
	}
	e.current = fresh
	return fresh, nil
}

// do runs a function on the first instance, when it is the caller's turn.
func (e *Engine) do(ctx context.Context, call func(*worker) error) error {
	for {
		l, err := e.instances(ctx)
		if err != nil {
			return err
		}
		err = l.speaker.use(ctx, nil, func() error { return call(l.speaker) })
		var m *missed
		if !errors.As(err, &m) { // else it crashed while this call waited
			return err
		}
	}
}
