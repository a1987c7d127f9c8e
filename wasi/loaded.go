// Loading: fresh instances of the guest, the files of the pack streamed into them.

package pockettts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// Limits of what is read into memory as a whole.
const (
	tokenizerLimit = 64 << 20
	voiceLimit     = 64 << 20
	audioLimit     = 256 << 20
)

// layout says how many instances there are, and what for.
type layout struct {
	instances int // that speak a piece of text: 1, or 2, of which one makes latents and the other sound
	parallel  int // over which the pieces of a text are spread, if there are several
	workers   int // whole ones; what is missing to parallel only makes sound
	reason    string
}

// twoFrom is the work of the language model in a frame from which on two instances are chosen. Measured with
// BenchmarkParts, a second core can make models of 2.7e6 and less 1.08 times as fast in q8 and at most 1.24 times in f32,
// and is left to others; models of 1.3e7 and more 1.2 to 1.5 times. The JavaScript package decides by the same rule.
const twoFrom = 4e6

// frameWork is how many products of weights the language model's transformer makes in a frame; 0 when the configuration
// does not say, which the engine will refuse.
func frameWork(config []byte) float64 {
	var c struct {
		FlowLM struct {
			Transformer struct {
				Width  float64 `json:"d_model"`
				Scale  float64 `json:"hidden_scale"`
				Layers float64 `json:"num_layers"`
			} `json:"transformer"`
		} `json:"flow_lm"`
	}
	if json.Unmarshal(config, &c) != nil {
		return 0
	}
	t := c.FlowLM.Transformer
	return t.Layers * (4 + 2*t.Scale) * t.Width * t.Width
}

func chooseLayout(options Options, p *pack.Pack) layout {
	chosen := layout{options.Instances, max(1, options.Parallel), max(1, options.Workers), "asked for"}
	switch {
	case chosen.instances != 0:
	case runtime.GOMAXPROCS(0) == 1:
		chosen.instances, chosen.reason = 1, "one core"
	case frameWork(p.Config) < twoFrom:
		chosen.instances, chosen.reason = 1, "small model"
	default:
		chosen.instances, chosen.reason = 2, "several cores"
	}
	return chosen
}

// workers makes the instances of a layout, with nothing in them.
func (e *Engine) workers() *loaded {
	const whole = guest.PartFlowLM | guest.PartMimiDecoder
	parts := slices.Repeat([]uint32{whole}, e.layout.workers)
	for len(parts) < e.layout.parallel {
		parts = append(parts, guest.PartMimiDecoder)
	}
	if len(parts) == 1 && e.layout.instances > 1 {
		parts = []uint32{guest.PartFlowLM, guest.PartMimiDecoder}
	}
	if !e.options.NoCloning && (e.pack.Cloning == nil || e.pack.Cloning.Available) {
		parts[0] |= guest.PartMimiEncoder
	}
	l := &loaded{gone: make(chan struct{})}
	for _, these := range parts {
		l.workers = append(l.workers, &worker{
			set: l, parts: these, voices: map[*Voice]guest.Handle{}, turn: make(chan struct{}, 1),
		})
	}
	l.speaker, l.whole = l.workers[0], l.workers[:e.layout.workers]
	l.open.Store(int32(len(l.workers)))
	return l
}

// load makes fresh instances of the engine's model. Where the cache of downloads turns out to be damaged, it is mended once.
func (e *Engine) load(ctx context.Context) (*loaded, error) {
	l, err := e.tryLoad(ctx)
	if err != nil && ctx.Err() == nil && e.pack.Recheck(ctx) {
		e.options.Logger.Warn(fmt.Sprintf("The copy in the cache was damaged and is fetched again: %v", err))
		l, err = e.tryLoad(ctx)
	}
	return l, err
}

// fetch makes sure that all files of the model are at hand.
func (e *Engine) fetch(ctx context.Context, workers []*worker) error {
	for _, file := range e.pack.Files {
		needed := file.Role == pack.RoleTokenizer || slices.ContainsFunc(workers, func(w *worker) bool { return w.needs(file) })
		if needed {
			if err := e.pack.Fetch(ctx, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// tryLoad reads every file once, ahead of the instances and while the engine is compiled.
func (e *Engine) tryLoad(ctx context.Context) (*loaded, error) {
	l := e.workers()
	if err := e.fetch(ctx, l.workers); err != nil {
		return nil, err
	}
	var reading, loading sync.WaitGroup
	defer reading.Wait()
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	feeds := e.feeds(run, &reading, l.workers)
	if e.module == nil {
		module, err := guest.Compile(ctx, guest.Config{
			CacheDir: e.options.CacheDir, MaxMemory: e.options.MaxMemory, Logger: e.options.Logger,
		})
		if err != nil {
			return nil, explain(err, "")
		}
		e.module = module
	}
	failures := make([]error, len(l.workers))
	for n, w := range l.workers {
		loading.Go(func() {
			if failures[n] = e.loadWorker(run, w, feeds[n]); failures[n] != nil {
				cancel() // the others need not go on
			}
		})
	}
	loading.Wait()
	if err := firstFailure(ctx, failures); err != nil {
		for _, w := range l.workers {
			if w.guest != nil {
				_ = w.guest.Close(context.WithoutCancel(ctx))
			}
		}
		return nil, err
	}
	l.info = l.speaker.info
	return l, nil
}

// firstFailure leaves out those that followed from another one.
func firstFailure(ctx context.Context, failures []error) error {
	if err := ctx.Err(); err != nil && errors.Join(failures...) != nil {
		return err
	}
	var first error
	for _, err := range failures {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

// feeds begins to read the weights. For each worker there is a reader for every file that it needs.
func (e *Engine) feeds(ctx context.Context, group *sync.WaitGroup, workers []*worker) []map[string]*feed {
	feeds := make([]map[string]*feed, len(workers))
	for n := range feeds {
		feeds[n] = map[string]*feed{}
	}
	for _, file := range e.pack.Files {
		if !file.Role.IsWeights() {
			continue
		}
		r, size, err := e.pack.Open(file)
		var readers []*feed
		for n, w := range workers {
			if w.needs(file) {
				feeds[n][file.Path] = &feed{size: size, err: err}
				readers = append(readers, feeds[n][file.Path])
			}
		}
		if err == nil {
			for n, r := range relay(ctx, group, r, len(readers)) {
				readers[n].Reader = r
			}
		}
	}
	return feeds
}

// feed is a weights file on its way into an instance.
type feed struct {
	io.Reader
	size int64
	err  error // of opening it
}

// needs tells whether the worker's parts are in a weights file.
func (w *worker) needs(file pack.File) bool {
	switch file.Role {
	case pack.RoleWeightsFlowLM:
		return w.parts&guest.PartFlowLM != 0
	case pack.RoleWeightsMimi:
		return w.parts&(guest.PartMimiDecoder|guest.PartMimiEncoder) != 0
	case pack.RoleEncoder:
		return w.parts&guest.PartMimiEncoder != 0
	}
	return file.Role.IsWeights()
}

// loadWorker makes an instance and loads its parts of the model.
func (e *Engine) loadWorker(ctx context.Context, w *worker, feeds map[string]*feed) (err error) {
	if w.guest, err = e.module.Instantiate(ctx); err != nil {
		return explain(err, "")
	}
	if w.model, err = e.loadModel(ctx, w, feeds); err == nil {
		w.info, err = w.guest.ModelInfo(ctx, w.model)
	}
	return explain(err, e.pack.Where)
}

func (e *Engine) loadModel(ctx context.Context, w *worker, feeds map[string]*feed) (guest.Handle, error) {
	wanted := e.options.Precision
	if wanted == "" {
		wanted = Precision(e.pack.Precision)
	}
	if wanted == "" {
		wanted = Q8
	}
	precision := uint32(max(0, slices.Index(precisions[:], wanted)))
	handle, err := w.guest.PackOpen(ctx, e.pack.Config, w.parts, precision)
	if err != nil {
		return 0, explain(err, e.pack.Where+": configuration")
	}
	// The tokenizer is small and goes first: one that does not fit is known before the long read.
	for _, file := range e.pack.WithRole(pack.RoleTokenizer) {
		if w.parts&guest.PartFlowLM == 0 {
			break
		}
		if err := e.loadTokenizer(ctx, w.guest, handle, file); err != nil {
			return 0, explain(err, e.pack.Where+": "+file.Path)
		}
	}
	// Beside a bundle an encoder comes last; the engine would take it for a whole Mimi.
	files := slices.SortedStableFunc(slices.Values(e.pack.Files), func(a, b pack.File) int {
		return last(a.Role) - last(b.Role)
	})
	for _, file := range files {
		if feed := feeds[file.Path]; feed != nil {
			if err := loadWeights(ctx, w.guest, handle, file, feed); err != nil {
				return 0, explain(err, e.pack.Where+": "+file.Path)
			}
		}
	}
	return w.guest.PackClose(ctx, handle)
}

func last(role pack.Role) int {
	if role == pack.RoleEncoder {
		return 1
	}
	return 0
}

func (e *Engine) loadTokenizer(ctx context.Context, instance *guest.Instance, handle guest.Handle, file pack.File) error {
	data, err := e.pack.Read(file, tokenizerLimit)
	if err != nil {
		return err
	}
	kind := guest.TokenizerSentencePiece
	if file.TokenizerKind() == pack.KindJSON {
		kind = guest.TokenizerJSON
	}
	return instance.PackTokenizer(ctx, handle, kind, data)
}

func loadWeights(ctx context.Context, instance *guest.Instance, handle guest.Handle, file pack.File, from *feed) error {
	if from.err != nil {
		return from.err
	}
	kind := guest.FileBundle
	switch file.Role {
	case pack.RoleWeightsFlowLM:
		kind = guest.FileFlowLM
	case pack.RoleWeightsMimi, pack.RoleEncoder:
		kind = guest.FileMimi
	}
	return instance.PackFile(ctx, handle, kind, uint64(from.size), from)
}

// voice returns the handle of a voice in an instance, loading it on its first use. It is the caller's turn.
func (e *Engine) voice(ctx context.Context, w *worker, v *Voice) (guest.Handle, error) {
	switch {
	case v.engine == nil:
		return 0, fmt.Errorf("%w: expected one of this Engine, found the zero Voice", ErrVoice)
	case v.engine != e:
		return 0, fmt.Errorf("%w: %s belongs to another Engine", ErrVoice, v.name)
	case v.closed.Load():
		return 0, fmt.Errorf("voice %s: %w", v.name, ErrClosed)
	}
	if handle, ok := w.voices[v]; ok {
		return handle, nil
	}
	var handle guest.Handle
	var err, unread error
	if v.file == nil {
		handle, err = w.guest.VoiceLoad(ctx, w.model, v.data)
	} else {
		handle, err = w.guest.VoiceRead(ctx, w.model, func(room func(int) ([]byte, error)) error {
			var refused error
			err := e.pack.Fill(*v.file, voiceLimit, func(size int) (view []byte, err error) {
				view, refused = room(size)
				return view, refused
			})
			if refused == nil {
				unread = err
			}
			return err
		})
	}
	switch {
	case unread != nil: // it says which file
		return 0, unread
	case err != nil:
		return 0, explain(err, "voice "+v.name)
	}
	w.voices[v] = handle
	return handle, nil
}
