// Package wav writes the WAV files of the reference byte for byte: 16 bit, mono, a header that goes out together with
// the first audio, 4800 zero samples at the end.
//
// What cannot be rewound (a pipe, a socket) gets a header with placeholder sizes of two billion bytes that are never
// corrected. What can (a file) gets a header that declares the first write, corrected on Close.
package wav

import (
	"encoding/binary"
	"io"
)

const (
	// HeaderBytes is the length of the header.
	HeaderBytes = 44
	// TailSamples is the silence that ends every file: 200 ms at 24 kHz.
	TailSamples = 4800

	// The data size declared by a stream that cannot be rewound: 10^9 samples.
	placeholder = 2_000_000_000
	// Bytes of the RIFF chunk beside the samples.
	riffOverhead = HeaderBytes - 8
)

// AppendHeader appends a header that declares dataBytes bytes of samples.
func AppendHeader(dst []byte, rate uint32, dataBytes uint32) []byte {
	little := binary.LittleEndian
	dst = append(dst, "RIFF"...)
	dst = little.AppendUint32(dst, riffOverhead+dataBytes)
	dst = append(dst, "WAVEfmt "...)
	dst = little.AppendUint32(dst, 16)     // bytes of the format chunk
	dst = little.AppendUint16(dst, 1)      // PCM
	dst = little.AppendUint16(dst, 1)      // mono
	dst = little.AppendUint32(dst, rate)   // samples a second
	dst = little.AppendUint32(dst, 2*rate) // bytes a second
	dst = little.AppendUint16(dst, 2)      // bytes a sample
	dst = little.AppendUint16(dst, 16)     // bits
	dst = append(dst, "data"...)
	return little.AppendUint32(dst, dataBytes)
}

// AppendPCM appends samples as 16-bit little-endian integers: clamped to [-1, 1], times 32767, truncated. What is not
// a number becomes silence.
func AppendPCM(dst []byte, samples []float32) []byte {
	for _, x := range samples {
		switch {
		case x > 1:
			x = 1
		case x < -1:
			x = -1
		case x != x:
			x = 0
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(int16(x*32767)))
	}
	return dst
}

// Writer writes one WAV file.
type Writer struct {
	w       io.Writer
	seeker  io.WriteSeeker // nil when w cannot be rewound
	start   int64          // of the header, in seeker
	rate    uint32
	hold    int    // bytes of samples before the header goes out
	pending []byte // samples held back
	begun   bool
	data    int64 // bytes of samples written
	err     error
}

// NewWriter writes to w, which can be rewound if it says so itself: not by its type, but by answering Seek.
// No header goes out before holdSamples samples can follow it.
func NewWriter(w io.Writer, rate uint32, holdSamples int) *Writer {
	out := &Writer{w: w, rate: rate, hold: 2 * holdSamples}
	if seeker, ok := w.(io.WriteSeeker); ok {
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			out.seeker, out.start = seeker, start
		}
	}
	return out
}

// Written is the length of the file so far; 0 until the header has gone out.
func (w *Writer) Written() int64 {
	if !w.begun {
		return 0
	}
	return HeaderBytes + w.data
}

// Write appends samples.
func (w *Writer) Write(samples []float32) error {
	w.pending = AppendPCM(w.pending, samples)
	if !w.begun && len(w.pending) < w.hold {
		return w.err
	}
	return w.flush()
}

func (w *Writer) flush() error {
	if w.err != nil || len(w.pending) == 0 {
		return w.err
	}
	out := w.pending
	if !w.begun {
		declared := uint32(placeholder)
		if w.seeker != nil {
			declared = uint32(len(w.pending))
		}
		// One write: header and first audio leave together.
		out = append(AppendHeader(nil, w.rate, declared), w.pending...)
		w.begun = true
	}
	if _, err := w.w.Write(out); err != nil {
		w.err = err
		return err
	}
	w.data += int64(len(w.pending))
	w.pending = w.pending[:0]
	return nil
}

// Close writes what is held back and the silence at the end, and corrects the header where it can.
func (w *Writer) Close() error {
	w.pending = append(w.pending, make([]byte, 2*TailSamples)...)
	if err := w.flush(); err != nil {
		return err
	}
	return w.patch()
}

// Abort ends a file that will not be completed: whatever audio there is stays, without the silence, and the header
// is corrected where that is possible. Nothing is written if nothing was.
func (w *Writer) Abort() error {
	if len(w.pending) > 0 {
		_ = w.flush()
	}
	if !w.begun {
		return nil
	}
	return w.patch()
}

func (w *Writer) patch() error {
	if w.seeker == nil {
		return nil
	}
	// 32 bits are the format's own limit, 24 hours and 51 minutes; the header then declares as much as it can.
	data := uint32(min(w.data, 0xFFFFFFFF-riffOverhead))
	var size [4]byte
	for _, field := range []struct {
		at    int64
		value uint32
	}{{4, riffOverhead + data}, {HeaderBytes - 4, data}} {
		binary.LittleEndian.PutUint32(size[:], field.value)
		if _, err := w.seeker.Seek(w.start+field.at, io.SeekStart); err != nil {
			return err
		}
		if _, err := w.seeker.Write(size[:]); err != nil {
			return err
		}
	}
	_, err := w.seeker.Seek(w.start+HeaderBytes+w.data, io.SeekStart)
	return err
}
