// Lines on stderr: `LEVEL: message`.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// printable shows what a terminal would act on: names and addresses come from others. Control characters (C0, C1), and
// those that turn or break the order of what is read.
func printable(text string) string {
	return unsafe.ReplaceAllStringFunc(strings.ToValidUTF8(text, "\ufffd"), func(found string) string {
		r, _ := utf8.DecodeRuneInString(found)
		return fmt.Sprintf("\\u%04x", r)
	})
}

var unsafe = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x{9f}\x{61c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}]`)

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
		text := attr.Value.String()
		if attr.Value.Kind() == slog.KindString && strings.ContainsAny(text, " =\"\n") { // of a client's making, it could look like other values
			text = strconv.Quote(text)
		}
		fmt.Fprintf(&line, " %s=%s", attr.Key, text)
		return true
	}
	for _, attr := range h.attrs {
		add(attr)
	}
	record.Attrs(add)
	h.status.clear()
	_, err := fmt.Fprintln(os.Stderr, printable(strings.ReplaceAll(line.String(), "\n", " ")))
	return err
}

func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineHandler{h.quiet, h.debug, h.status, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h lineHandler) WithGroup(string) slog.Handler { return h }
