// Stderr: lines for people and logs, and on a terminal a line below them that says how far something is.

package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

const (
	// How often a line on a terminal changes, and how often a log hears of a download.
	statusEvery  = 100 * time.Millisecond
	loggingEvery = 5 * time.Second
)

// status is the last line of a terminal. A nil one shows nothing.
type status struct {
	mu    sync.Mutex
	last  time.Time
	shown bool
}

// newConsole makes what writes to stderr. The status is nil where stderr is no terminal, and with quiet.
func newConsole(quiet bool) (*slog.Logger, *status) {
	var s *status
	if !quiet && term.IsTerminal(int(os.Stderr.Fd())) {
		s = new(status)
	}
	return slog.New(lineHandler{quiet: quiet, status: s}), s
}

// show replaces the line, not too often.
func (s *status) show(format string, arguments ...any) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown && time.Since(s.last) < statusEvery {
		return
	}
	text := printable(strings.ReplaceAll(fmt.Sprintf(format, arguments...), "\n", " "))
	if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil && width > 1 && len([]rune(text)) >= width {
		text = string([]rune(text)[:width-1]) // a longer one could not be taken back
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text)
	s.shown, s.last = true, time.Now()
}

// clear takes the line back.
func (s *status) clear() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		s.shown = false
	}
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// downloads tells how far downloads are: on a terminal all the time, elsewhere in a line every few seconds.
func downloads(log *slog.Logger, s *status) func(pockettts.Progress) {
	began, file, logged := time.Now(), "", time.Now()
	var from int64
	return func(p pockettts.Progress) {
		if p.File != file {
			began, file, from = time.Now(), p.File, p.Loaded
		}
		text := fmt.Sprintf("%s: %s: %s", p.Pack, p.File, megabytes(p.Loaded))
		if p.Total >= 0 {
			text += " of " + megabytes(p.Total)
		}
		if seconds := time.Since(began).Seconds(); seconds > 0.5 {
			text += fmt.Sprintf(", %s/s", megabytes(int64(float64(p.Loaded-from)/seconds)))
		}
		switch {
		case p.Loaded == p.Total:
			s.clear()
		case s != nil:
			s.show("%s", text)
		case time.Since(logged) > loggingEvery:
			logged = time.Now()
			log.Info(text)
		}
	}
}
