// Loading: a fresh instance of the guest, the files of the pack streamed into it.

package pockettts

import (
	"context"
	"fmt"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// Limits of what is read into memory as a whole.
const (
	tokenizerLimit = 64 << 20
	voiceLimit     = 64 << 20
	audioLimit     = 256 << 20
)

// loaded is an instance with a model in it, and the voices that it knows.
type loaded struct {
	guest  *guest.Instance
	model  guest.Handle
	info   guest.ModelInfo
	voices map[*Voice]guest.Handle
}

// load makes a fresh instance of the engine's model.
func (e *Engine) load(ctx context.Context) (*loaded, error) {
	instance, err := e.module.Instantiate(ctx)
	if err != nil {
		return nil, explain(err, "")
	}
	l := &loaded{guest: instance, voices: map[*Voice]guest.Handle{}}
	if l.model, err = e.loadModel(ctx, instance); err == nil {
		l.info, err = instance.ModelInfo(ctx, l.model)
	}
	if err != nil {
		_ = instance.Close(context.WithoutCancel(ctx))
		return nil, explain(err, e.pack.Where)
	}
	return l, nil
}

func (e *Engine) loadModel(ctx context.Context, instance *guest.Instance) (guest.Handle, error) {
	parts, precision := guest.PartAll, guest.PrecisionF32
	if e.options.NoCloning || e.pack.Cloning != nil && !e.pack.Cloning.Available {
		parts &^= guest.PartMimiEncoder
	}
	if wanted := e.options.Precision; wanted == Q8 || wanted == "" && e.pack.Precision == string(Q8) {
		precision = guest.PrecisionQ8
	}
	handle, err := instance.PackOpen(ctx, e.pack.Config, parts, precision)
	if err != nil {
		return 0, explain(err, e.pack.Where+": configuration")
	}
	// The tokenizer is small and goes first: one that does not fit is known before the long read.
	for _, file := range e.pack.WithRole(pack.RoleTokenizer) {
		if err := e.loadTokenizer(ctx, instance, handle, file); err != nil {
			return 0, explain(err, e.pack.Where+": "+file.Path)
		}
	}
	for _, file := range e.pack.Files {
		if !file.Role.IsWeights() {
			continue
		}
		if err := e.loadWeights(ctx, instance, handle, file); err != nil {
			return 0, explain(err, e.pack.Where+": "+file.Path)
		}
	}
	return instance.PackClose(ctx, handle)
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

func (e *Engine) loadWeights(ctx context.Context, instance *guest.Instance, handle guest.Handle, file pack.File) error {
	r, size, err := e.pack.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	kind := guest.FileBundle
	switch file.Role {
	case pack.RoleWeightsFlowLM:
		kind = guest.FileFlowLM
	case pack.RoleWeightsMimi:
		kind = guest.FileMimi
	}
	return instance.PackFile(ctx, handle, kind, uint64(size), r)
}

// voice returns the handle of a voice in this instance, loading it on its first use.
func (e *Engine) voice(ctx context.Context, l *loaded, v *Voice) (guest.Handle, error) {
	switch {
	case v.engine != e:
		return 0, fmt.Errorf("%w: %s belongs to another Engine", ErrVoice, v.name)
	case v.closed.Load():
		return 0, fmt.Errorf("voice %s: %w", v.name, ErrClosed)
	}
	if handle, ok := l.voices[v]; ok {
		return handle, nil
	}
	data := v.data
	if v.file != nil {
		var err error
		if data, err = e.pack.Read(*v.file, voiceLimit); err != nil {
			return 0, err
		}
	}
	handle, err := l.guest.VoiceLoad(ctx, l.model, data)
	if err != nil {
		return 0, explain(err, "voice "+v.name)
	}
	l.voices[v] = handle
	return handle, nil
}
