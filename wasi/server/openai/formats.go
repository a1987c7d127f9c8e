// The formats that can be written.

package openai

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

type format struct {
	contentType string
	stream      func(rate int) streamEncoder
	file        func(rate int) fileEncoder
}

// streamEncoder returns bytes as samples come.
type streamEncoder interface {
	write(samples []float32) ([]byte, error)
	end() ([]byte, error)
}

// fileEncoder returns all bytes at the end, with their true sizes.
type fileEncoder interface {
	write(samples []float32) error
	end() ([]byte, error)
}

var formats = map[string]format{
	"pcm": {
		"audio/pcm",
		func(int) streamEncoder { return &pcmStream{} },
		func(int) fileEncoder { return &pcmFile{} },
	},
	"wav": {
		"audio/wav",
		// No size is known: as much as the fields can hold.
		func(rate int) streamEncoder {
			return &pcmStream{header: wav.AppendHeader(nil, uint32(rate), math.MaxUint32-(wav.HeaderBytes-8))}
		},
		func(rate int) fileEncoder { return &pcmFile{rate: rate} },
	},
	"flac": {
		"audio/flac",
		func(rate int) streamEncoder { return newFLACStream(rate) },
		func(rate int) fileEncoder { return newFLACFile(rate) },
	},
}

// pcmStream writes 16-bit samples, after a header if there is one.
type pcmStream struct{ header []byte }

func (p *pcmStream) write(samples []float32) ([]byte, error) {
	out := wav.AppendPCM(p.header, samples)
	p.header = nil
	return out, nil
}

func (p *pcmStream) end() ([]byte, error) { return p.write(nil) }

type pcmFile struct {
	rate int // 0: no header
	data []byte
}

func (p *pcmFile) write(samples []float32) error {
	p.data = wav.AppendPCM(p.data, samples)
	return nil
}

func (p *pcmFile) end() ([]byte, error) {
	if p.rate == 0 {
		return p.data, nil
	}
	return append(wav.AppendHeader(nil, uint32(p.rate), uint32(len(p.data))), p.data...), nil
}

// flacBlock is the samples of a FLAC frame: a frame of speech, so that nothing waits.
const flacBlock = 1920

type flacEncoder struct {
	encoder *flac.Encoder
	err     error // of the header
	rate    int
	pending []byte // samples that are no block yet
}

// open writes the header.
func (f *flacEncoder) open(to io.Writer, rate int) {
	f.rate = rate
	f.encoder, f.err = flac.NewEncoder(to, &meta.StreamInfo{
		BlockSizeMin: flacBlock, BlockSizeMax: flacBlock, SampleRate: uint32(rate), NChannels: 1, BitsPerSample: 16,
	})
}

func (f *flacEncoder) add(samples []float32) error {
	f.pending = wav.AppendPCM(f.pending, samples)
	for f.err == nil && len(f.pending) >= 2*flacBlock {
		f.block(f.pending[:2*flacBlock])
		f.pending = f.pending[2*flacBlock:]
	}
	return f.err
}

// rest writes the last block, which may be short, and what is known at the end where the file can be rewound.
func (f *flacEncoder) rest() error {
	if f.err == nil && len(f.pending) > 0 {
		f.block(f.pending)
	}
	if f.err == nil {
		f.err = f.encoder.Close()
	}
	return f.err
}

func (f *flacEncoder) block(pcm []byte) {
	samples := make([]int32, len(pcm)/2)
	for n := range samples {
		samples[n] = int32(int16(binary.LittleEndian.Uint16(pcm[2*n:])))
	}
	f.err = f.encoder.WriteFrame(&frame.Frame{
		Header: frame.Header{
			HasFixedBlockSize: true, BlockSize: uint16(len(samples)), SampleRate: uint32(f.rate), Channels: frame.ChannelsMono, BitsPerSample: 16,
		},
		Subframes: []*frame.Subframe{{SubHeader: frame.SubHeader{Pred: frame.PredVerbatim}, Samples: samples, NSamples: len(samples)}},
	})
}

type flacStream struct {
	flacEncoder
	out bytes.Buffer
}

func newFLACStream(rate int) *flacStream {
	f := &flacStream{}
	f.open(&f.out, rate)
	return f
}

func (f *flacStream) write(samples []float32) ([]byte, error) {
	err := f.add(samples)
	return f.take(), err
}

func (f *flacStream) end() ([]byte, error) {
	err := f.rest()
	return f.take(), err
}

func (f *flacStream) take() []byte {
	data := bytes.Clone(f.out.Bytes())
	f.out.Reset()
	return data
}

type flacFile struct {
	flacEncoder
	out memoryFile
}

func newFLACFile(rate int) *flacFile {
	f := &flacFile{}
	f.open(&f.out, rate)
	return f
}

func (f *flacFile) write(samples []float32) error { return f.add(samples) }

func (f *flacFile) end() ([]byte, error) {
	err := f.rest()
	return f.out.data, err
}

// memoryFile is a file that can be rewound: the header gets length and checksum at the end.
type memoryFile struct {
	data []byte
	at   int
}

func (m *memoryFile) Write(p []byte) (int, error) {
	n := copy(m.data[m.at:], p)
	m.data = append(m.data, p[n:]...)
	m.at += len(p)
	return len(p), nil
}

func (m *memoryFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += int64(m.at)
	case io.SeekEnd:
		offset += int64(len(m.data))
	}
	if offset < 0 || offset > int64(len(m.data)) {
		return 0, io.ErrUnexpectedEOF
	}
	m.at = int(offset)
	return offset, nil
}
