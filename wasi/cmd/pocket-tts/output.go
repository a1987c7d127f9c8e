// Where the WAV goes: a file that is opened with the first audio, or stdout.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

// checkOutput refuses a path that no file can be written at, before anything is loaded. Nothing is created or cut.
func checkOutput(path string) error {
	if path == "-" {
		return nil
	}
	if path == "" {
		return failf("--output-path: expected a file or -, found an empty text")
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir() || err != nil && os.IsPathSeparator(path[len(path)-1]):
		return failf("--output-path %s: is a folder", path)
	case err == nil:
		return nil
	}
	if info, err = os.Stat(filepath.Dir(path)); err != nil {
		return failf("--output-path %s: %s", path, reasonOf(err))
	}
	if !info.IsDir() {
		return failf("--output-path %s: not a directory", path)
	}
	return nil
}

type output struct {
	mu     sync.Mutex // held while something is written: a signal may want to end the file
	path   string
	rate   int
	hold   int // samples
	file   *os.File
	writer *wav.Writer
}

// unfinished is the output that a signal should leave in order.
var unfinished atomic.Pointer[output]

func newOutput(path string, rate int, holdSeconds float64) *output {
	// Twice as many bytes must be countable.
	hold := int(min(holdSeconds*float64(rate), math.MaxInt/4))
	o := &output{path: path, rate: rate, hold: hold}
	unfinished.Store(o)
	return o
}

// named says which output an error is about.
func (o *output) named(err error) error {
	if err == nil {
		return nil
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	if o.path == "-" {
		return fmt.Errorf("stdout: %w", err)
	}
	return fmt.Errorf("--output-path %s: %w", o.path, err)
}

func (o *output) write(samples []float32) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writer == nil {
		o.file = os.Stdout
		if o.path != "-" {
			file, err := os.Create(o.path)
			if err != nil {
				return o.named(err)
			}
			o.file = file
		}
		var destination io.Writer = o.file
		if appends(o.file) {
			// Opened with `>>`: it can seek, but writes only at its end, so no header could be corrected.
			destination = struct{ io.Writer }{o.file}
		}
		o.writer = wav.NewWriter(destination, uint32(o.rate), o.hold)
	}
	return o.named(o.writer.Write(samples))
}

// close completes the file.
func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writer == nil {
		return nil
	}
	err := o.writer.Close()
	if closeErr := o.file.Close(); err == nil {
		err = closeErr
	}
	return o.named(err)
}

// abandon is abort for a program that ends now. An output that is stalled stays as it is: it is no file.
func (o *output) abandon() {
	if o.mu.TryLock() {
		o.end()
	}
}

// abort keeps what was written, with the sizes that it has.
func (o *output) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end()
}

func (o *output) end() {
	if o.writer == nil {
		return
	}
	// The error that is reported is the one that led here.
	_ = o.writer.Abort()
	_ = o.file.Close()
}
