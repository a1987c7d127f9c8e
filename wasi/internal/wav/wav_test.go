package wav

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
)

const streamHeader = "524946462494357757415645666d74201000000001000100c05d000080bb000002001000646174610094" + "3577"

func frame(value float32) []float32 {
	samples := make([]float32, 1920)
	for n := range samples {
		samples[n] = value
	}
	return samples
}

func TestStreamKeepsPlaceholderSizes(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, 24000, 0)
	if err := w.Write(frame(0.5)); err != nil {
		t.Fatal(err)
	}
	if out.Len() != HeaderBytes+3840 {
		t.Errorf("after one frame %d bytes have gone out, want %d", out.Len(), HeaderBytes+3840)
	}
	if err := w.Write(frame(0.5)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := out.Bytes()
	if got := hex.EncodeToString(data[:HeaderBytes]); got != streamHeader {
		t.Errorf("header\n%s, want\n%s", got, streamHeader)
	}
	if len(data) != 17324 || !bytes.Equal(data[len(data)-9600:], make([]byte, 9600)) {
		t.Errorf("%d bytes, want 17324 that end with 9600 zeros", len(data))
	}
}

func TestFileGetsItsTrueSizes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.wav")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := NewWriter(file, 24000, 0)
	if err := w.Write(frame(0.5)); err != nil {
		t.Fatal(err)
	}
	early, _ := os.ReadFile(path)
	if got := hex.EncodeToString(early[40:44]); got != "000f0000" { // 3840: the first write
		t.Errorf("the first header declares %s", got)
	}
	if err := errors.Join(w.Write(frame(-2)), w.Close()); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if got := hex.EncodeToString(data[4:8]) + hex.EncodeToString(data[40:44]); len(data) != 17324 || got != "a443000080430000" {
		t.Errorf("%d bytes with sizes %s, want 17324 with a4430000 80430000", len(data), got)
	}
}

func TestFileStartsWhereItsHandleStands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.wav")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("before"); err != nil {
		t.Fatal(err)
	}
	w := NewWriter(file, 24000, 0)
	if err := errors.Join(w.Write(frame(0)), w.Close()); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if string(data[:10]) != "beforeRIFF" || hex.EncodeToString(data[10:14]) != "a4340000" {
		t.Errorf("unexpected start %q", data[:16])
	}
}

func TestHeaderWaitsForTheFirstAudio(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, 24000, 3000)
	for n, want := range []int{0, HeaderBytes + 2*3840, HeaderBytes + 3*3840} {
		if err := w.Write(frame(0)); err != nil {
			t.Fatal(err)
		}
		if out.Len() != want {
			t.Errorf("after frame %d: %d bytes, want %d", n+1, out.Len(), want)
		}
	}
	var never bytes.Buffer
	if err := NewWriter(&never, 24000, 0).Abort(); err != nil || never.Len() != 0 {
		t.Errorf("a failure before the first audio wrote %d bytes, %v", never.Len(), err)
	}
	var short bytes.Buffer
	w = NewWriter(&short, 24000, 3000)
	if err := errors.Join(w.Write(frame(0)), w.Close()); err != nil || short.Len() != HeaderBytes+3840+9600 {
		t.Errorf("a text shorter than what is held back: %d bytes, %v", short.Len(), err)
	}
}

func TestAbortedFileDeclaresWhatItHas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.wav")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := NewWriter(file, 24000, 0)
	if err := errors.Join(w.Write(frame(0)), w.Write(frame(0)), w.Abort()); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if len(data) != HeaderBytes+2*3840 || hex.EncodeToString(data[40:44]) != "001e0000" {
		t.Errorf("%d bytes, data size %x", len(data), data[40:44])
	}
}

func TestSamplesAreClampedAndTruncated(t *testing.T) {
	nan := float32(math.NaN())
	in := []float32{0, 1, -1, 1.5, -1.5, 0.5, -0.5, 1.0 / 32767 * 1.9, -1.0 / 32767 * 1.9, nan, float32(math.Inf(1))}
	want := []int16{0, 32767, -32767, 32767, -32767, 16383, -16383, 1, -1, 0, 32767}
	got := AppendPCM(nil, in)
	for n, value := range want {
		if sample := int16(uint16(got[2*n]) | uint16(got[2*n+1])<<8); sample != value {
			t.Errorf("%g became %d, want %d", in[n], sample, value)
		}
	}
}

func TestWriteErrorsStay(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer pipe.Close()
	w := NewWriter(pipe, 24000, 0)
	if first, second := w.Write(frame(0)), w.Close(); first == nil || second == nil {
		t.Errorf("writing into a closed pipe: %v, then %v", first, second)
	}
}
