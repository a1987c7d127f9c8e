// Events: with --json-events every line on stderr is a JSON object, for programs that show how far a speech is.

package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

// events writes what happens. A nil one writes nothing.
type events struct {
	mu    sync.Mutex
	to    io.Writer
	quiet bool      // no log lines
	last  time.Time // that a download was told of
}

// The events, by the order of a run. Times are in seconds; samples are those at the speed that was asked for.
type (
	logEvent struct {
		Type    string            `json:"type"` // log
		Level   string            `json:"level"`
		Message string            `json:"message"`
		Values  map[string]string `json:"values,omitempty"`
	}
	downloadEvent struct {
		Type   string `json:"type"` // download
		Pack   string `json:"pack"`
		File   string `json:"file"`
		Loaded int64  `json:"loaded"` // bytes
		Total  *int64 `json:"total"`  // null where that is not known
	}
	loadedEvent struct {
		Type      string  `json:"type"` // loaded
		Pack      string  `json:"pack"`
		Precision string  `json:"precision"`
		Rate      int     `json:"sample_rate"`
		Took      float64 `json:"took"`
	}
	frameEvent struct {
		Type    string `json:"type"`  // frame: it is in the output
		Chunk   int    `json:"chunk"` // of the text, from 0
		Step    int    `json:"step"`  // of the chunk, from 0
		Samples int    `json:"samples"`
		Total   int    `json:"total_samples"` // this frame's included
	}
	doneEvent struct {
		Type    string  `json:"type"` // done: the output is whole
		Output  string  `json:"output"`
		Samples int     `json:"total_samples"`
		Seconds float64 `json:"seconds"`
		First   float64 `json:"first_frame"`
		Took    float64 `json:"took"`
	}
	errorEvent struct {
		Type    string `json:"type"` // error: the last line
		Message string `json:"message"`
	}
)

func (e *events) emit(event any) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	encoder := json.NewEncoder(e.to)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(event) // a reader of stderr that has gone is no reason to stop
}

// download is a pockettts.Options.Progress.
func (e *events) download(p pockettts.Progress) {
	e.mu.Lock()
	due := p.Loaded == p.Total || time.Since(e.last) >= statusEvery
	if due {
		e.last = time.Now()
	}
	e.mu.Unlock()
	if due {
		event := downloadEvent{"download", p.Pack, p.File, p.Loaded, &p.Total}
		if p.Total < 0 {
			event.Total = nil
		}
		e.emit(event)
	}
}

// eventHandler makes events of log lines.
type eventHandler struct {
	events *events
	attrs  []slog.Attr
}

func (h eventHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError || !h.events.quiet && level >= slog.LevelInfo
}

func (h eventHandler) Handle(_ context.Context, record slog.Record) error {
	event := logEvent{Type: "log", Level: record.Level.String(), Message: record.Message}
	add := func(attr slog.Attr) bool {
		if event.Values == nil {
			event.Values = map[string]string{}
		}
		event.Values[attr.Key] = attr.Value.String()
		return true
	}
	for _, attr := range h.attrs {
		add(attr)
	}
	record.Attrs(add)
	h.events.emit(event)
	return nil
}

func (h eventHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return eventHandler{h.events, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h eventHandler) WithGroup(string) slog.Handler { return h }

// told is an error whose line on stderr is an event.
type told struct {
	error
	events *events
}

func (t told) Unwrap() error { return t.error }

// orError is an error of a run that has events.
func (e *events) orError(err error) error {
	if e == nil || err == nil {
		return err
	}
	return told{err, e}
}
