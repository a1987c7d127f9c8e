// Command paritydoor is the Go door of `make parity`: the engine under wazero behind the protocol of
// tests/parity/PROTOCOL.md, on stdin and stdout. Every verb is a few lines over one or two calls of the guest; there
// are no checks and no maths here.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

func main() {
	if err := serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "paritydoor: %v\n", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, in io.Reader, out io.Writer) error {
	config := guest.Config{MaxMemory: 4 << 30}
	if folder, err := os.UserCacheDir(); err == nil {
		config.CacheDir = filepath.Join(folder, "pocket-tts-wasm", "wazero")
	}
	module, err := guest.Compile(ctx, config)
	if err != nil {
		return err
	}
	defer module.Close(ctx)
	instance, err := module.Instantiate(ctx)
	if err != nil {
		return err
	}
	d := &door{guest: instance, widths: map[guest.Handle]int{}}
	reader, writer := bufio.NewReaderSize(in, 1<<20), bufio.NewWriterSize(out, 1<<20)
	for {
		request, err := readRequest(reader)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := d.answer(ctx, request)
		if err != nil { // the door itself is broken, the engine's refusals are answers
			return err
		}
		if err := answer.write(writer, request.ID); err != nil {
			return err
		}
	}
}

// request has the fields of every verb; those of other verbs stay empty.
type request struct {
	ID            int64        `json:"id"`
	Verb          string       `json:"verb"`
	Bytes         []int        `json:"bytes"`
	Model         guest.Handle `json:"model"`
	Voice         guest.Handle `json:"voice"`
	Session       guest.Handle `json:"session"`
	Codec         guest.Handle `json:"codec"`
	Object        guest.Handle `json:"object"`
	TokenizerKind string       `json:"tokenizerKind"`
	Precision     string       `json:"precision"`
	Files         []file       `json:"files"`
	MaxTokens     *int32       `json:"maxTokens"`
	MaxSeconds    float32      `json:"maxSeconds"`
	Options       options      `json:"options"`
	On            int          `json:"on"`
	Count         int          `json:"count"`
	Times         []float32    `json:"times"`
	Seed          uint64       `json:"seed"`
	Temperature   float32      `json:"temperature"`
	Clamp         float32      `json:"clamp"`
	Widths        []uint32     `json:"widths"`
	From          uint32       `json:"from"`
	To            uint32       `json:"to"`
	payloads      [][]byte
}

type file struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
}

type options struct {
	Seed           *uint64  `json:"seed"`
	Temperature    *float32 `json:"temperature"`
	EOSThreshold   *float32 `json:"eosThreshold"`
	NoiseClamp     *float32 `json:"noiseClamp"`
	DecodeSteps    *int32   `json:"decodeSteps"`
	FramesAfterEOS *int32   `json:"framesAfterEos"`
	MaxTokens      *int32   `json:"maxTokens"`
	RNG            string   `json:"rng"`
	DiscardDraws   *uint32  `json:"discardDraws"`
}

func (r *request) payload(n int) []byte {
	if n < len(r.payloads) {
		return r.payloads[n]
	}
	return nil
}

func (r *request) text() string { return string(r.payload(0)) }

// floats is nil for an empty payload, which means "the session's own" to the engine.
func (r *request) floats(n int) []float32 {
	data := r.payload(n)
	if len(data) == 0 {
		return nil
	}
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values
}

func readRequest(r *bufio.Reader) (*request, error) {
	line, err := r.ReadBytes('\n')
	if err == io.EOF && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	q := new(request)
	if err := json.Unmarshal(line, q); err != nil {
		return nil, fmt.Errorf("expected a line of JSON, found %.80q: %w", line, err)
	}
	for _, length := range q.Bytes {
		data := make([]byte, length)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		q.payloads = append(q.payloads, data)
	}
	return q, nil
}

// answer is fields and payloads.
type answer struct {
	fields   map[string]any
	payloads [][]byte
}

func fields(pairs ...any) *answer {
	a := &answer{fields: map[string]any{}}
	for n := 0; n < len(pairs); n += 2 {
		a.fields[pairs[n].(string)] = pairs[n+1]
	}
	return a
}

func (a *answer) with(data []byte) *answer {
	a.payloads = append(a.payloads, data)
	return a
}

func (a *answer) withFloats(values []float32) *answer {
	data := make([]byte, 0, 4*len(values))
	for _, value := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value))
	}
	return a.with(data)
}

func (a *answer) write(w *bufio.Writer, id int64) error {
	a.fields["id"] = id
	lengths := make([]int, len(a.payloads))
	for n, data := range a.payloads {
		lengths[n] = len(data)
	}
	a.fields["bytes"] = lengths
	line, err := json.Marshal(a.fields)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return err
	}
	for _, data := range a.payloads {
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return w.Flush()
}

// answer runs a verb. A refusal of the engine is an answer; an error is the end of the door.
func (d *door) answer(ctx context.Context, q *request) (*answer, error) {
	verb, ok := verbs[q.Verb]
	if !ok {
		return fields("error", map[string]any{"status": 0, "name": "UNSUPPORTED", "message": q.Verb}), nil
	}
	result, err := verb(d, ctx, q)
	var refusal *guest.Error
	if errors.As(err, &refusal) {
		return fields("error", map[string]any{"status": refusal.Status, "name": refusal.Name, "message": refusal.Message}), nil
	}
	return result, err
}
