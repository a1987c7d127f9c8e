// Package pockettts calls the native C library (wasm/capi) from Go, through cgo.
//
//	engine, err := pockettts.Open("models/starter")
//	if err != nil {
//		return err
//	}
//	defer engine.Close()
//	voice, err := engine.Voice("slt")
//	if err != nil {
//		return err
//	}
//	defer voice.Close()
//	samples, err := engine.Speak(ctx, "Hello there.", voice)
//
// It is an example, to be copied: the package in wasi does the same without cgo, in a sandbox. The library and its header are
// found through CGO_CFLAGS=-I... and CGO_LDFLAGS=-L... where they are not installed.
package pockettts

/*
#cgo LDFLAGS: -lpocket_tts
#include <stdlib.h>
#include "pocket_tts/pocket_tts_c.h"

// user_data is the number of a cgo.Handle: no pointer of Go's may stay with C, and no number may look like a pointer to Go.
extern void pocketTTSHear(float* samples, int count, int isFinal, uintptr_t handle);

static void hear(const float* samples, int count, int is_final, void* user_data) {
  pocketTTSHear((float*)samples, count, is_final, (uintptr_t)user_data);
}

static int speak(PocketTTSHandle tts, const char* text, VoiceHandle voice, int frames, uintptr_t handle) {
  StreamingConfig config = {frames, (void*)handle};
  return pocket_tts_generate_streaming(tts, text, voice, hear, &config);
}
*/
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"runtime/cgo"
	"strings"
	"sync"
	"unsafe"
)

// SampleRate is that of all speech, in Hz.
const SampleRate = 24000

// ErrClosed is returned by an Engine or a Voice that was closed.
var ErrClosed = errors.New("closed")

// Engine is a loaded model. It is safe for concurrent use; calls wait for one another.
type Engine struct {
	mu     sync.RWMutex // held for reading by calls, for writing by Close
	handle C.PocketTTSHandle
}

// Voice is what an Engine speaks with. It works with every Engine of the same model.
type Voice struct {
	mu     sync.RWMutex
	handle C.VoiceHandle
}

// checked runs a call of the library and, when it says that it failed, asks for the reason: that is kept for each thread of
// the system, which another goroutine must not get in between.
func checked(call func() bool) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if call() {
		return nil
	}
	return errors.New(C.GoString(C.pocket_tts_get_last_error()))
}

// text is a copy for C, which ends at the first zero. The caller frees it.
func text(s string) (*C.char, error) {
	if strings.ContainsRune(s, 0) {
		return nil, errors.New("expected text without zero bytes")
	}
	return C.CString(s), nil
}

// Open loads the pack in a folder.
func Open(folder string) (*Engine, error) {
	dir, err := text(folder)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(dir))
	var config C.PocketTTSConfigEx
	C.pocket_tts_config_ex_init(&config, C.sizeof_PocketTTSConfigEx)
	// A pointer of C's in a struct of Go's: allowed, and not kept by the library.
	config.models_dir = dir
	engine := &Engine{}
	err = checked(func() bool {
		engine.handle = C.pocket_tts_create_ex(&config)
		return engine.handle != nil
	})
	if err != nil {
		return nil, err
	}
	return engine, nil
}

// Close frees the model, once calls that are under way have ended.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	C.pocket_tts_destroy(e.handle)
	e.handle = nil
}

// Voice loads a voice: by the name that the pack has for it, from a .safetensors file or from a WAV recording.
func (e *Engine) Voice(source string) (*Voice, error) {
	path, err := text(source)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(path))
	return e.voice(func() C.VoiceHandle { return C.pocket_tts_encode_voice(e.handle, path) })
}

// CloneVoice makes a voice of mono samples at some rate.
func (e *Engine) CloneVoice(samples []float32, rate int) (*Voice, error) {
	data := (*C.float)(unsafe.SliceData(samples)) // read during the call only
	return e.voice(func() C.VoiceHandle {
		return C.pocket_tts_encode_voice_from_samples(e.handle, data, C.int(len(samples)), C.int(rate))
	})
}

func (e *Engine) voice(call func() C.VoiceHandle) (*Voice, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.handle == nil {
		return nil, ErrClosed
	}
	voice := &Voice{}
	err := checked(func() bool {
		voice.handle = call()
		return voice.handle != nil
	})
	if err != nil {
		return nil, err
	}
	return voice, nil
}

// Close frees the voice, once calls that are under way have ended.
func (v *Voice) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	C.pocket_tts_free_voice(v.handle)
	v.handle = nil
}

// Speak returns the samples of a text.
func (e *Engine) Speak(ctx context.Context, words string, voice *Voice) ([]float32, error) {
	var all []float32
	err := e.Stream(ctx, words, voice, func(samples []float32) { all = append(all, samples...) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Stream hands over the samples of a text while they are made, 80 ms at a time. They are the caller's. When the context ends,
// so does the call, within a frame, with its error.
func (e *Engine) Stream(ctx context.Context, words string, voice *Voice, hear func([]float32)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	input, err := text(words)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(input))
	e.mu.RLock()
	defer e.mu.RUnlock()
	voice.mu.RLock()
	defer voice.mu.RUnlock()
	if e.handle == nil || voice.handle == nil {
		return ErrClosed
	}
	l := &listener{ctx: ctx, engine: e.handle, hear: hear}
	handle := cgo.NewHandle(l)
	defer handle.Delete()
	// A call of the library cancels what is running, whoever started it: it has to be this call that is.
	stop := context.AfterFunc(ctx, l.cancel)
	err = checked(func() bool { return C.speak(e.handle, input, voice.handle, 1, C.uintptr_t(handle)) >= 0 })
	stop()
	l.end()
	if l.panicked != nil {
		panic(l.panicked)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// listener is a call that is under way.
type listener struct {
	ctx    context.Context
	engine C.PocketTTSHandle
	hear   func([]float32)

	panicked any // what came out of hear: it must not pass through the library, which would stay locked

	mu      sync.Mutex
	running bool // from its first callback on: calls of others may be before it in the queue
}

func (l *listener) cancel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		C.pocket_tts_cancel_streaming(l.engine)
	}
}

func (l *listener) end() {
	l.mu.Lock()
	l.running = false
	l.mu.Unlock()
}

//export pocketTTSHear
func pocketTTSHear(samples *C.float, count, isFinal C.int, handle C.uintptr_t) {
	l := cgo.Handle(handle).Value().(*listener)
	l.mu.Lock()
	l.running = isFinal == 0
	l.mu.Unlock()
	if l.panicked != nil {
		return
	}
	if l.ctx.Err() != nil { // also one that ended before this call had begun
		if isFinal == 0 {
			C.pocket_tts_cancel_streaming(l.engine)
		}
		return
	}
	if count > 0 {
		defer func() {
			if l.panicked = recover(); l.panicked != nil && isFinal == 0 {
				C.pocket_tts_cancel_streaming(l.engine)
			}
		}()
		// The samples are the library's, and gone when this returns.
		l.hear(append([]float32(nil), unsafe.Slice((*float32)(samples), int(count))...))
	}
}

// WriteWAV writes samples as a WAV file of 16 bits.
func WriteWAV(w io.Writer, samples []float32) error {
	size := uint32(2 * len(samples))
	out := make([]byte, 0, 44+size)
	out = append(out, "RIFF"...)
	out = binary.LittleEndian.AppendUint32(out, 36+size)
	out = append(out, "WAVEfmt "...)
	out = binary.LittleEndian.AppendUint32(out, 16)
	out = binary.LittleEndian.AppendUint16(out, 1) // integers
	out = binary.LittleEndian.AppendUint16(out, 1) // one channel
	out = binary.LittleEndian.AppendUint32(out, SampleRate)
	out = binary.LittleEndian.AppendUint32(out, 2*SampleRate)
	out = binary.LittleEndian.AppendUint16(out, 2)
	out = binary.LittleEndian.AppendUint16(out, 16)
	out = append(out, "data"...)
	out = binary.LittleEndian.AppendUint32(out, size)
	for _, x := range samples {
		out = binary.LittleEndian.AppendUint16(out, uint16(int16(min(1, max(-1, x))*32767))) // toward zero
	}
	_, err := w.Write(out)
	return err
}
