// Voices: those of the pack by name, others from files, new ones from audio.

package pockettts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// Voice is a voice of an Engine. It stays good when the sandbox has to be replaced after a crash: it keeps what it
// was made from.
type Voice struct {
	engine *Engine
	name   string
	file   *pack.File // of a voice in the pack
	data   []byte     // a voice file, of every other voice
	closed atomic.Bool
}

// VoiceInfo describes a voice of the pack.
type VoiceInfo struct {
	Name    string
	License string // of the voice, when the pack says so
	Default bool   // spoken when none is asked for
}

// Name is the voice's name in its pack, or what it was made from.
func (v *Voice) Name() string { return v.name }

// Close frees the memory that the voice takes in the sandbox; streams that speak with it go on. The voices of the
// pack belong to the Engine: closing one does nothing.
func (v *Voice) Close() error {
	if v.engine == nil || v.file != nil || v.closed.Swap(true) {
		return nil
	}
	ctx := context.Background()
	if v.engine.enter(ctx) != nil {
		return nil // the engine is closed
	}
	l := v.engine.current
	<-v.engine.gate
	if l == nil {
		return nil
	}
	var errs []error
	for _, w := range l.workers {
		err := w.use(ctx, nil, func() error {
			handle, ok := w.voices[v]
			if !ok {
				return nil
			}
			delete(w.voices, v)
			return w.guest.CloseHandle(ctx, handle)
		})
		var m *missed
		if !errors.As(err, &m) { // else its memory is gone
			errs = append(errs, explain(err, "voice "+v.name))
		}
	}
	return errors.Join(errs...)
}

// Voices lists the voices of the pack.
func (e *Engine) Voices() []VoiceInfo {
	if e.pack == nil {
		return nil
	}
	files := e.pack.WithRole(pack.RoleVoice)
	infos := make([]VoiceInfo, len(files))
	for n, file := range files {
		infos[n] = VoiceInfo{file.Name, file.License, file.Name == e.defaultVoice()}
	}
	return infos
}

// defaultVoice is the one that the manifest names, or the only one.
func (e *Engine) defaultVoice() string {
	return e.pack.DefaultVoiceName()
}

// Voice returns a voice of the pack; the empty name is the default voice.
func (e *Engine) Voice(ctx context.Context, name string) (*Voice, error) {
	ctx = orBackground(ctx)
	var voice *Voice
	find := func() error {
		if err := e.fetchVoice(ctx, name); err != nil {
			return err
		}
		return e.do(ctx, func(w *worker) (err error) {
			voice, err = e.packVoice(ctx, w, name)
			return err
		})
	}
	err := find()
	if errors.Is(err, ErrPack) && e.pack.Recheck(ctx) { // the copy in the cache was damaged
		err = find()
	}
	return voice, err
}

// fetchVoice makes sure that a voice of the pack is at hand, before anybody's turn is taken. The empty name is the default
// voice; of one that there is not, packVoice tells.
func (e *Engine) fetchVoice(ctx context.Context, name string) error {
	if e.pack == nil || !e.pack.Remote() {
		return nil
	}
	if name == "" {
		name = e.defaultVoice()
	}
	file, ok := e.pack.Voice(name)
	if !ok {
		return nil
	}
	return e.pack.Fetch(ctx, file)
}

func (e *Engine) packVoice(ctx context.Context, w *worker, name string) (*Voice, error) {
	if name == "" {
		if name = e.defaultVoice(); name == "" {
			return nil, fmt.Errorf("%w: %s has no default voice; %s", ErrNotFound, e.pack.Where, e.voiceNames())
		}
	}
	file, ok := e.pack.Voice(name)
	if !ok {
		return nil, fmt.Errorf("%w: no voice %q in %s; %s", ErrNotFound, name, e.pack.Where, e.voiceNames())
	}
	for known := range w.voices {
		if known.file != nil && known.name == name {
			return known, nil
		}
	}
	voice := &Voice{engine: e, name: name, file: &file}
	if _, err := e.voice(ctx, w, voice); err != nil {
		return nil, err
	}
	return voice, nil
}

func (e *Engine) voiceNames() string {
	infos := e.Voices()
	if len(infos) == 0 {
		return "it has no voices of its own"
	}
	names := make([]string, len(infos))
	for n, info := range infos {
		names[n] = info.Name
	}
	return "its voices: " + strings.Join(names, ", ")
}

// LoadVoice reads a voice file (.safetensors) of any generation, made for the loaded model; at most 64 MiB.
func (e *Engine) LoadVoice(ctx context.Context, r io.Reader) (*Voice, error) {
	ctx = orBackground(ctx)
	data, err := e.readLimited(ctx, r, voiceLimit, ErrVoice)
	if err != nil {
		return nil, err
	}
	voice := &Voice{engine: e, name: "from a file", data: data}
	err = e.do(ctx, func(w *worker) error {
		_, err := e.voice(ctx, w, voice)
		return err
	})
	if err != nil {
		return nil, err
	}
	return voice, nil
}

// CloneOptions says how to make a voice from audio.
type CloneOptions struct {
	// MaxSeconds > 0 takes only the beginning. More than two minutes are never taken.
	MaxSeconds float32
}

// CloneVoice makes a voice from speech in a WAV file (any rate, any number of channels, at most
// 256 MiB). It fails with ErrCloning
// where the model cannot do that.
func (e *Engine) CloneVoice(ctx context.Context, r io.Reader, options CloneOptions) (*Voice, error) {
	ctx = orBackground(ctx)
	if e.pack != nil && e.pack.Cloning != nil && !e.pack.Cloning.Available {
		reason := e.pack.Cloning.Reason
		if reason == "" {
			reason = "the pack says so, and not why"
		}
		return nil, fmt.Errorf("%w: %s: %s", ErrCloning, e.pack.Name, reason)
	}
	audio, err := e.readLimited(ctx, r, audioLimit, ErrAudio)
	if err != nil {
		return nil, err
	}
	voice := &Voice{engine: e, name: "from audio"}
	err = e.do(ctx, func(w *worker) error {
		handle, err := w.guest.VoiceFromWAV(ctx, w.model, audio, options.MaxSeconds)
		if err != nil {
			return err
		}
		// Kept as a file, should the sandbox have to be replaced.
		if voice.data, err = w.guest.VoiceExport(ctx, handle); err != nil {
			return errors.Join(err, w.guest.CloseHandle(ctx, handle))
		}
		w.voices[voice] = handle
		return nil
	})
	if err != nil {
		return nil, err
	}
	return voice, nil
}

// ExportVoice writes a voice as a voice file that LoadVoice, and the reference, can read. A nil voice is the pack's
// default voice.
func (e *Engine) ExportVoice(ctx context.Context, voice *Voice, w io.Writer) error {
	ctx = orBackground(ctx)
	if w == nil {
		return fmt.Errorf("%w: expected a writer, found nil", ErrArgument)
	}
	if voice == nil {
		if err := e.fetchVoice(ctx, ""); err != nil {
			return err
		}
	}
	var data []byte
	err := e.do(ctx, func(w *worker) error {
		handle, err := e.handleOf(ctx, w, voice)
		if err != nil {
			return err
		}
		data, err = w.guest.VoiceExport(ctx, handle)
		return err
	})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// readLimited reads what a caller hands over. Nothing is read for an engine that is closed or a context that is over.
func (e *Engine) readLimited(ctx context.Context, r io.Reader, limit int64, tooLong error) ([]byte, error) {
	if r == nil {
		return nil, fmt.Errorf("%w: expected a reader, found nil", ErrArgument)
	}
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	<-e.gate // reading takes no turn
	data, err := io.ReadAll(io.LimitReader(untilDone{ctx, r}, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: expected at most %d bytes, found more", tooLong, limit)
	}
	return data, err
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// handleOf is the handle of a voice; nil is the default voice.
func (e *Engine) handleOf(ctx context.Context, w *worker, voice *Voice) (guest.Handle, error) {
	if voice == nil {
		var err error
		if voice, err = e.packVoice(ctx, w, ""); err != nil {
			return 0, err
		}
	}
	return e.voice(ctx, w, voice)
}
