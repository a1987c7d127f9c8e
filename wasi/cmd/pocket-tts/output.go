// Where the WAV goes: a file that is opened with the first audio, or stdout.

package main

import (
	"io"
	"os"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

type output struct {
	path   string
	rate   int
	hold   int // samples
	file   *os.File
	writer *wav.Writer
}

func newOutput(path string, rate int, holdSeconds float64) *output {
	return &output{path: path, rate: rate, hold: int(holdSeconds * float64(rate))}
}

func (o *output) write(samples []float32) error {
	if o.writer == nil {
		o.file = os.Stdout
		if o.path != "-" {
			file, err := os.Create(o.path)
			if err != nil {
				return err
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
	return o.writer.Write(samples)
}

// close completes the file.
func (o *output) close() error {
	if o.writer == nil {
		return nil
	}
	err := o.writer.Close()
	if closeErr := o.file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// abort keeps what was written, with the sizes that it has.
func (o *output) abort() {
	if o.writer == nil {
		return
	}
	// The error that is reported is the one that led here.
	_ = o.writer.Abort()
	_ = o.file.Close()
}
