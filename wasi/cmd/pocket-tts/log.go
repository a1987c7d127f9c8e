// Lines on stderr: `LEVEL: message`.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

type lineHandler struct {
	quiet  bool
	debug  bool
	status *status // below the lines; nil where there is none
	attrs  []slog.Attr
}

func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError || !h.quiet && level >= slog.LevelInfo || h.debug
}

func (h lineHandler) Handle(_ context.Context, record slog.Record) error {
	level := record.Level.String()
	if record.Level == slog.LevelWarn {
		level = "WARNING" // Python's name for it
	}
	var line strings.Builder
	fmt.Fprintf(&line, "%s: %s", level, record.Message)
	add := func(attr slog.Attr) bool {
		fmt.Fprintf(&line, " %s=%v", attr.Key, attr.Value)
		return true
	}
	for _, attr := range h.attrs {
		add(attr)
	}
	record.Attrs(add)
	h.status.clear()
	_, err := fmt.Fprintln(os.Stderr, line.String())
	return err
}

func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineHandler{h.quiet, h.debug, h.status, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h lineHandler) WithGroup(string) slog.Handler { return h }
