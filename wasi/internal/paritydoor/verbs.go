// The verbs of the protocol.

package main

import (
	"context"
	"encoding/binary"
	"os"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

type door struct {
	guest  *guest.Instance
	widths map[guest.Handle]int // floats in a session's latents, samples in a codec's frames
}

var verbs = map[string]func(*door, context.Context, *request) (*answer, error){
	"hello":         (*door).hello,
	"model.open":    (*door).modelOpen,
	"close":         (*door).close,
	"tokenize":      (*door).tokenize,
	"detokenize":    (*door).detokenize,
	"prepare":       (*door).prepare,
	"plan":          (*door).plan,
	"voice.load":    (*door).voiceLoad,
	"voice.wav":     (*door).voiceWAV,
	"voice.export":  (*door).voiceExport,
	"session.open":  (*door).sessionOpen,
	"session.step":  (*door).sessionStep,
	"session.force": (*door).sessionForce,
	"codec.open":    (*door).codecOpen,
	"codec.fade":    (*door).codecFade,
	"codec.reset":   (*door).codecReset,
	"codec.decode":  (*door).codecDecode,
	"flow.velocity": (*door).flowVelocity,
	"probe":         (*door).probe,
	"probe.take":    (*door).probeTake,
	"normals":       (*door).normals,
	"wav.read":      (*door).wavRead,
	"resample":      (*door).resample,
	"pause":         (*door).pause,
}

func (d *door) hello(ctx context.Context, _ *request) (*answer, error) {
	version, err := d.guest.Version(ctx)
	return fields("door", "go", "version", version), err
}

func (d *door) modelOpen(ctx context.Context, q *request) (*answer, error) {
	precision, kind := guest.PrecisionF32, guest.TokenizerSentencePiece
	switch q.Precision {
	case "q8":
		precision = guest.PrecisionQ8
	case "q4":
		precision = guest.PrecisionQ4
	}
	if q.TokenizerKind == "json" {
		kind = guest.TokenizerJSON
	}
	pack, err := d.guest.PackOpen(ctx, q.payload(0), guest.PartAll, precision)
	if err != nil {
		return nil, err
	}
	err = d.guest.PackTokenizer(ctx, pack, kind, q.payload(1))
	for _, file := range q.Files {
		if err == nil {
			err = d.feed(ctx, pack, file)
		}
	}
	if err != nil {
		_ = d.guest.CloseHandle(ctx, pack) // what counts is why
		return nil, err
	}
	model, err := d.guest.PackClose(ctx, pack)
	if err != nil {
		return nil, err
	}
	info, err := d.guest.ModelInfo(ctx, model)
	return fields("model", model, "latentWidth", info.LatentWidth, "samplesPerFrame", info.SamplesPerFrame,
		"layers", info.Layers, "vocabulary", info.Vocabulary, "canClone", info.CanClone, "weightBytes", info.WeightBytes), err
}

func (d *door) feed(ctx context.Context, pack guest.Handle, entry file) error {
	opened, err := os.Open(entry.Path)
	if err != nil {
		return err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return err
	}
	kind := map[string]uint32{"bundle": guest.FileBundle, "flow_lm": guest.FileFlowLM, "mimi": guest.FileMimi}[entry.Kind]
	return d.guest.PackFile(ctx, pack, kind, uint64(info.Size()), opened)
}

func (d *door) close(ctx context.Context, q *request) (*answer, error) {
	delete(d.widths, q.Object)
	return fields(), d.guest.CloseHandle(ctx, q.Object)
}

func (d *door) tokenize(ctx context.Context, q *request) (*answer, error) {
	ids, err := d.guest.Tokenize(ctx, q.Model, q.text())
	data := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		data = binary.LittleEndian.AppendUint32(data, uint32(id))
	}
	return fields().with(data), err
}

func (d *door) detokenize(ctx context.Context, q *request) (*answer, error) {
	data := q.payload(0)
	ids := make([]int32, len(data)/4)
	for n := range ids {
		ids[n] = int32(binary.LittleEndian.Uint32(data[4*n:]))
	}
	text, err := d.guest.Detokenize(ctx, q.Model, ids)
	return fields().with([]byte(text)), err
}

func (d *door) prepare(ctx context.Context, q *request) (*answer, error) {
	text, guess, err := d.guest.Prepare(ctx, q.Model, q.text())
	return fields("guess", guess).with([]byte(text)), err
}

func (d *door) plan(ctx context.Context, q *request) (*answer, error) {
	options, err := d.guest.OptionsInit(ctx, q.Model)
	if err != nil {
		return nil, err
	}
	set(&options.MaxTokens, q.MaxTokens)
	session, err := d.guest.SessionOpen(ctx, q.Model, q.Voice, q.text(), options)
	if err != nil {
		return nil, err
	}
	count, err := d.guest.SessionChunkCount(ctx, session)
	chunks := []any{}
	for n := range count {
		if err == nil {
			var chunk any
			chunk, err = d.chunk(ctx, session, n)
			chunks = append(chunks, chunk)
		}
	}
	if err != nil {
		_ = d.guest.CloseHandle(ctx, session) // what counts is why
		return nil, err
	}
	return fields("chunks", chunks), d.guest.CloseHandle(ctx, session)
}

func (d *door) chunk(ctx context.Context, session guest.Handle, n uint32) (any, error) {
	chunk, err := d.guest.SessionChunk(ctx, session, n)
	if err != nil {
		return nil, err
	}
	piece, err := d.guest.SessionChunkText(ctx, session, n, 0)
	if err != nil {
		return nil, err
	}
	prompt, err := d.guest.SessionChunkText(ctx, session, n, 1)
	if err != nil {
		return nil, err
	}
	ids, err := d.guest.SessionChunkIDs(ctx, session, n)
	return map[string]any{
		"chunk": piece, "prompt": prompt, "ids": ids,
		"framesAfterEos": chunk.FramesAfterEOS, "maxFrames": chunk.MaxFrames, "overLimit": chunk.OverLimit,
	}, err
}

func (d *door) voice(ctx context.Context, voice guest.Handle, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	positions, err := d.guest.VoiceLength(ctx, voice)
	return fields("voice", voice, "positions", positions), err
}

func (d *door) voiceLoad(ctx context.Context, q *request) (*answer, error) {
	voice, err := d.guest.VoiceLoad(ctx, q.Model, q.payload(0))
	return d.voice(ctx, voice, err)
}

func (d *door) voiceWAV(ctx context.Context, q *request) (*answer, error) {
	voice, err := d.guest.VoiceFromWAV(ctx, q.Model, q.payload(0), q.MaxSeconds)
	return d.voice(ctx, voice, err)
}

func (d *door) voiceExport(ctx context.Context, q *request) (*answer, error) {
	data, err := d.guest.VoiceExport(ctx, q.Voice)
	return fields().with(data), err
}

func (d *door) sessionOpen(ctx context.Context, q *request) (*answer, error) {
	options, err := d.guest.OptionsInit(ctx, q.Model)
	if err != nil {
		return nil, err
	}
	given := q.Options
	set(&options.Seed, given.Seed)
	set(&options.Temperature, given.Temperature)
	set(&options.EOSThreshold, given.EOSThreshold)
	set(&options.NoiseClamp, given.NoiseClamp)
	set(&options.DecodeSteps, given.DecodeSteps)
	set(&options.FramesAfterEOS, given.FramesAfterEOS)
	set(&options.MaxTokens, given.MaxTokens)
	set(&options.DiscardDraws, given.DiscardDraws)
	switch given.RNG {
	case "torch":
		options.RNG = guest.RNGTorch
	case "chunk":
		options.RNG = guest.RNGChunk
	}
	session, err := d.guest.SessionOpen(ctx, q.Model, q.Voice, q.text(), options)
	if err != nil {
		return nil, err
	}
	info, err := d.guest.ModelInfo(ctx, q.Model)
	d.widths[session] = int(info.LatentWidth)
	return fields("session", session), err
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

func (d *door) sessionStep(ctx context.Context, q *request) (*answer, error) {
	latent := make([]float32, d.widths[q.Session])
	status, event, err := d.guest.SessionStep(ctx, q.Session, latent)
	return step(status, event, latent, err)
}

func (d *door) sessionForce(ctx context.Context, q *request) (*answer, error) {
	latent := make([]float32, d.widths[q.Session])
	status, event, err := d.guest.SessionStepForced(ctx, q.Session, q.floats(0), q.floats(1), latent)
	return step(status, event, latent, err)
}

func step(status guest.Status, event guest.Event, latent []float32, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	result := map[guest.Status]string{guest.OK: "frame", guest.ChunkEnd: "chunk_end", guest.Done: "done"}[status]
	a := fields("result", result, "event", map[string]any{
		"chunk": event.Chunk, "step": event.Step, "eosLogit": event.EOSLogit, "eos": event.EOS, "truncated": event.Truncated,
	})
	if status == guest.OK {
		a.withFloats(latent)
	}
	return a, nil
}

func (d *door) codecOpen(ctx context.Context, q *request) (*answer, error) {
	codec, err := d.guest.CodecOpen(ctx, q.Model)
	if err != nil {
		return nil, err
	}
	info, err := d.guest.ModelInfo(ctx, q.Model)
	d.widths[codec] = int(info.SamplesPerFrame)
	return fields("codec", codec), err
}

func (d *door) codecFade(ctx context.Context, q *request) (*answer, error) {
	return fields(), d.guest.CodecFade(ctx, q.Codec, q.On != 0)
}

func (d *door) codecReset(ctx context.Context, q *request) (*answer, error) {
	return fields(), d.guest.CodecReset(ctx, q.Codec)
}

func (d *door) codecDecode(ctx context.Context, q *request) (*answer, error) {
	pcm := make([]float32, q.Count*d.widths[q.Codec])
	err := d.guest.CodecDecode(ctx, q.Codec, q.floats(0), q.Count, pcm)
	return fields().withFloats(pcm), err
}

func (d *door) flowVelocity(ctx context.Context, q *request) (*answer, error) {
	x := q.floats(1)
	velocity := make([]float32, len(x))
	err := d.guest.FlowVelocity(ctx, q.Model, q.floats(0), q.Times, x, velocity)
	return fields().withFloats(velocity), err
}

func (d *door) probe(ctx context.Context, q *request) (*answer, error) {
	return fields(), d.guest.Probe(ctx, q.On != 0)
}

func (d *door) probeTake(ctx context.Context, _ *request) (*answer, error) {
	data, err := d.guest.ProbeTake(ctx)
	return fields().with(data), err
}

func (d *door) normals(ctx context.Context, q *request) (*answer, error) {
	values, err := d.guest.Normals(ctx, q.Seed, q.Temperature, q.Clamp, q.Widths)
	return fields().withFloats(values), err
}

func (d *door) wavRead(ctx context.Context, q *request) (*answer, error) {
	samples, rate, err := d.guest.WAVRead(ctx, q.payload(0))
	return fields("sampleRate", rate).withFloats(samples), err
}

func (d *door) resample(ctx context.Context, q *request) (*answer, error) {
	samples, err := d.guest.Resample(ctx, q.floats(0), q.From, q.To)
	return fields().withFloats(samples), err
}

func (d *door) pause(ctx context.Context, q *request) (*answer, error) {
	samples, err := d.guest.EndOnPause(ctx, q.floats(0))
	return fields().withFloats(samples), err
}
