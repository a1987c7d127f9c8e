// The loudness of a recording, before a voice is made of it.

package voicereader

import (
	"encoding/binary"
	"math"
)

const (
	peak             = 0.95
	recordingSeconds = 30 // of which voices are made
	// From here on sizes are those of streams, which did not know them: to the end of the file.
	sizeUnknown = 2_000_000_000
	// What no recording has is left to the engine.
	mostChannels, mostSampleRate = 64, 768_000
)

// normalise returns a recording as a WAV file of floats whose peak, in the part that a voice is made of, is 0.95. What it does not
// understand it returns as it is: the engine reads it next, and says what is wrong.
func normalise(file []byte) []byte {
	w, ok := parseWave(file)
	if !ok {
		return file
	}
	var loudest float64
	for at := 0; at < len(w.data); at += w.width {
		x := w.sample(w.data[at:])
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return file
		}
		loudest = max(loudest, math.Abs(x))
	}
	size := uint64(len(w.data)/w.width) * 4
	if loudest == 0 || size > math.MaxUint32-44 {
		return file
	}
	little := binary.LittleEndian
	out := make([]byte, 0, 44+size)
	out = append(out, "RIFF"...)
	out = little.AppendUint32(out, uint32(36+size))
	out = append(out, "WAVEfmt "...)
	out = little.AppendUint32(out, 16)
	out = little.AppendUint16(out, formatFloat)
	out = little.AppendUint16(out, uint16(w.channels))
	out = little.AppendUint32(out, w.rate)
	out = little.AppendUint32(out, w.rate*uint32(4*w.channels))
	out = little.AppendUint16(out, uint16(4*w.channels))
	out = little.AppendUint16(out, 32)
	out = append(out, "data"...)
	out = little.AppendUint32(out, uint32(size))
	for at := 0; at < len(w.data); at += w.width {
		out = little.AppendUint32(out, math.Float32bits(float32(w.sample(w.data[at:])*(peak/loudest))))
	}
	return out
}

// The formats of samples.
const (
	formatInteger    = 1
	formatFloat      = 3
	formatExtensible = 0xfffe
)

// wave is a WAV file: its first 30 seconds.
type wave struct {
	data     []byte // whole samples of all channels
	rate     uint32
	channels int
	width    int // bytes of a sample
	sample   func([]byte) float64
}

func parseWave(file []byte) (wave, bool) {
	var w wave
	little := binary.LittleEndian
	if len(file) < 12 || string(file[:4]) != "RIFF" || string(file[8:12]) != "WAVE" {
		return w, false
	}
	for at := 12; at+8 <= len(file); {
		name, size := string(file[at:at+4]), uint64(little.Uint32(file[at+4:]))
		body := file[at+8:]
		if size > uint64(len(body)) {
			if name != "data" || size < sizeUnknown {
				return w, false
			}
			size = uint64(len(body))
		}
		body = body[:size]
		switch name {
		case "fmt ":
			if !w.format(body) {
				return w, false
			}
		case "data":
			if w.sample == nil {
				return w, false
			}
			frame := w.width * w.channels
			frames := min(uint64(len(body)/frame), recordingSeconds*uint64(w.rate))
			w.data = body[:int(frames)*frame]
			return w, frames > 0
		}
		at += 8 + int(size+size%2)
	}
	return w, false
}

// format reads a fmt chunk.
func (w *wave) format(body []byte) bool {
	if len(body) < 16 {
		return false
	}
	little := binary.LittleEndian
	format := little.Uint16(body)
	if format == formatExtensible && len(body) >= 26 {
		format = little.Uint16(body[24:])
	}
	w.channels, w.rate = int(little.Uint16(body[2:])), little.Uint32(body[4:])
	frame, bits := int(little.Uint16(body[12:])), int(little.Uint16(body[14:]))
	w.width = bits / 8
	if w.channels == 0 || w.channels > mostChannels || w.rate == 0 || w.rate > mostSampleRate || bits%8 != 0 || frame != w.width*w.channels {
		return false
	}
	switch {
	case format == formatInteger && bits == 8:
		w.sample = func(b []byte) float64 { return (float64(b[0]) - 128) / 128 }
	case format == formatInteger && bits == 16:
		w.sample = func(b []byte) float64 { return float64(int16(little.Uint16(b))) / (1 << 15) }
	case format == formatInteger && bits == 24:
		w.sample = func(b []byte) float64 {
			return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}
	case format == formatInteger && bits == 32:
		w.sample = func(b []byte) float64 { return float64(int32(little.Uint32(b))) / (1 << 31) }
	case format == formatFloat && bits == 32:
		w.sample = func(b []byte) float64 { return float64(math.Float32frombits(little.Uint32(b))) }
	case format == formatFloat && bits == 64:
		w.sample = func(b []byte) float64 { return math.Float64frombits(little.Uint64(b)) }
	default:
		return false
	}
	return true
}
