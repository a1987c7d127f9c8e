// Command bench runs one job of the benchmark under wazero: bench JOB (JSON, see tests/bench/bench.mjs).
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

const never = 1e9 // a threshold that no end logit reaches

type job struct {
	Pack, Precision             string
	Instances, Batch, MaxTokens int
	Grow                        []float64 // seconds of sound: how cost grows
	Warm, Firsts, Speaks, Parts int
	CacheDir                    string
	Bench                       struct {
		Text      string
		FirstText string `json:"first_text"`
		Frames    int
	}
}

type result struct {
	FirstAudio  []float64         `json:"first_audio_ms"`
	RTF         []float64         `json:"rtf"`
	SHA256      string            `json:"pcm_sha256"`
	MemoryBytes uint64            `json:"memory_bytes"`
	PeakBytes   uint64            `json:"peak_bytes"`
	StepMS      *float64          `json:"step_ms"`
	CodecMS     *float64          `json:"codec_ms"`
	Versions    map[string]string `json:"versions"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}

func run(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx := context.Background()
	out := result{Versions: versions()}
	options := pockettts.Options{Pack: j.Pack, Precision: pockettts.Precision(j.Precision), NoCloning: true,
		CacheDir: j.CacheDir, Instances: j.Instances, Parallel: j.Batch}
	engine, err := pockettts.Load(ctx, options)
	if err != nil {
		return err
	}
	if _, err := speak(ctx, engine, j.Bench.Text, j.MaxTokens, j.Warm, func() { fmt.Println("FIRST") }); err != nil {
		return err
	}
	if len(j.Grow) > 0 {
		return grow(ctx, engine, j)
	}
	for range j.Firsts {
		begin := time.Now()
		if _, err := speak(ctx, engine, j.Bench.FirstText, 0, 1, func() {
			out.FirstAudio = append(out.FirstAudio, milliseconds(time.Since(begin)))
		}); err != nil {
			return err
		}
	}
	for range j.Speaks {
		begin := time.Now()
		samples, err := speak(ctx, engine, j.Bench.Text, j.MaxTokens, math.MaxInt, func() {})
		if err != nil {
			return err
		}
		sound := float64(len(samples)) / float64(engine.Info().SampleRate)
		out.RTF = append(out.RTF, sound/time.Since(begin).Seconds())
		if len(samples) != j.Bench.Frames*engine.Info().SamplesPerFrame {
			return fmt.Errorf("expected %d frames, found %g", j.Bench.Frames, float64(len(samples))/float64(engine.Info().SamplesPerFrame))
		}
		out.SHA256 = hash(samples)
	}
	memory, err := engine.Memory(ctx)
	if err != nil {
		return err
	}
	out.MemoryBytes = memory.Reserved
	if out.PeakBytes, err = peak(); err != nil {
		return err
	}
	if err := engine.Close(); err != nil {
		return err
	}
	if j.Parts > 0 {
		step, codec, err := parts(ctx, j)
		if err != nil {
			return err
		}
		out.StepMS, out.CodecMS = &step, &codec
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// speak returns the samples of at most `limit` frames; first is called when the first one is there.
func speak(ctx context.Context, engine *pockettts.Engine, text string, maxTokens, limit int, first func()) ([]float32, error) {
	options := pockettts.SpeakOptions{EOSThreshold: pockettts.Value(float32(never))}
	if maxTokens > 0 {
		options.MaxTokens = &maxTokens
	}
	stream, err := engine.Speak(ctx, text, options)
	if err != nil {
		return nil, err
	}
	var samples []float32
	frames := 0
	for frame, err := range stream.Frames() {
		if err != nil {
			return nil, err
		}
		if frames++; frames == 1 {
			first()
		}
		samples = append(samples, frame.Samples...)
		if frames >= limit {
			break
		}
	}
	return samples, nil
}

// growth is a text of some length: the speed of its first and last minute (or half), and the memory after them.
type growth struct {
	Sound       float64 `json:"sound"`
	RTF         float64 `json:"rtf"`
	First       float64 `json:"first"`
	Last        float64 `json:"last"`
	MemoryBegin uint64  `json:"memory_begin"`
	MemoryEnd   uint64  `json:"memory_end"`
	HeapBegin   uint64  `json:"heap_begin"`
	HeapEnd     uint64  `json:"heap_end"`
}

// grow speaks texts of j.Grow seconds: the spoken text again and again, every time a chunk of its own.
func grow(ctx context.Context, engine *pockettts.Engine, j job) error {
	rate, size := float64(engine.Info().SampleRate), float64(engine.Info().SamplesPerFrame)
	var all []growth
	for _, seconds := range j.Grow {
		chunks := max(1, int(math.Round(seconds*rate/size/float64(j.Bench.Frames))))
		options := pockettts.SpeakOptions{EOSThreshold: pockettts.Value(float32(never)), MaxTokens: &j.MaxTokens}
		stream, err := engine.Speak(ctx, strings.Repeat(j.Bench.Text+" ", chunks), options)
		if err != nil {
			return err
		}
		total := chunks * j.Bench.Frames
		part := min(int(60*rate/size), total/2)
		g := growth{Sound: float64(total) * size / rate}
		begin := time.Now()
		var lastBegin time.Time
		frames := 0
		for _, err := range stream.Frames() {
			if err != nil {
				return err
			}
			frames++
			if frames == part {
				g.First = float64(part) * size / rate / time.Since(begin).Seconds()
				if g.MemoryBegin, g.HeapBegin, err = memory(ctx, engine); err != nil {
					return err
				}
			}
			if frames == total-part {
				lastBegin = time.Now()
			}
		}
		if frames != total {
			return fmt.Errorf("expected %d frames, found %d", total, frames)
		}
		g.Last = float64(part) * size / rate / time.Since(lastBegin).Seconds()
		g.RTF = g.Sound / time.Since(begin).Seconds()
		if g.MemoryEnd, g.HeapEnd, err = memory(ctx, engine); err != nil {
			return err
		}
		all = append(all, g)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"growth": all, "versions": versions()})
}

// memory is the sandbox's and, after a collection, Go's heap.
func memory(ctx context.Context, engine *pockettts.Engine) (sandbox, heap uint64, err error) {
	m, err := engine.Memory(ctx)
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return m.Reserved, stats.HeapAlloc, err
}

// hash is that of the 16-bit samples, as every host writes them.
func hash(samples []float32) string {
	data := make([]byte, 0, 2*len(samples))
	for _, x := range samples {
		v := int16(min(1, max(-1, x)) * 32767)
		data = append(data, byte(v), byte(v>>8))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// peak is VmHWM of this process.
func peak() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kB, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return kB * 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status")
}

// parts returns the median milliseconds of a FlowLM step and of a codec frame, in an instance of its own.
func parts(ctx context.Context, j job) (step, codec float64, err error) {
	files, err := pack.OpenFolder(j.Pack)
	if err != nil {
		return 0, 0, err
	}
	defer files.Close()
	cache := j.CacheDir
	if cache == "" {
		folder, err := os.UserCacheDir()
		if err != nil {
			return 0, 0, err
		}
		cache = filepath.Join(folder, "pocket-tts-wasm", "wazero")
	}
	module, err := guest.Compile(ctx, guest.Config{CacheDir: cache, MaxMemory: 2 << 30})
	if err != nil {
		return 0, 0, err
	}
	defer module.Close(ctx)
	g, err := module.Instantiate(ctx)
	if err != nil {
		return 0, 0, err
	}
	model, err := load(ctx, g, files, j.Precision)
	if err != nil {
		return 0, 0, err
	}
	info, err := g.ModelInfo(ctx, model)
	if err != nil {
		return 0, 0, err
	}
	data, err := files.Read(files.WithRole(pack.RoleVoice)[0], 64<<20)
	if err != nil {
		return 0, 0, err
	}
	voice, err := g.VoiceLoad(ctx, model, data)
	if err != nil {
		return 0, 0, err
	}
	settings, err := g.OptionsInit(ctx, model)
	if err != nil {
		return 0, 0, err
	}
	settings.EOSThreshold = never
	session, err := g.SessionOpen(ctx, model, voice, j.Bench.Text, settings)
	if err != nil {
		return 0, 0, err
	}
	decoder, err := g.CodecOpen(ctx, model)
	if err != nil {
		return 0, 0, err
	}
	latent, pcm := make([]float32, info.LatentWidth), make([]float32, info.SamplesPerFrame)
	var steps, frames []float64
	for i := range j.Parts + 1 {
		begin := time.Now()
		if _, _, err := g.SessionStep(ctx, session, latent); err != nil {
			return 0, 0, err
		}
		middle := time.Now()
		if err := g.CodecDecode(ctx, decoder, latent, 1, pcm); err != nil {
			return 0, 0, err
		}
		if i > 0 { // the first step runs the text through the transformer, too
			steps = append(steps, milliseconds(middle.Sub(begin)))
			frames = append(frames, milliseconds(time.Since(middle)))
		}
	}
	return median(steps), median(frames), nil
}

func load(ctx context.Context, g *guest.Instance, files *pack.Pack, precision string) (guest.Handle, error) {
	wanted, ok := map[string]uint32{"f32": 0, "q8": 1, "q4": 2}[precision]
	if !ok {
		return 0, fmt.Errorf("unknown precision %q", precision)
	}
	handle, err := g.PackOpen(ctx, files.Config, guest.PartFlowLM|guest.PartMimiDecoder, wanted)
	if err != nil {
		return 0, err
	}
	for _, file := range files.WithRole(pack.RoleTokenizer) {
		data, err := files.Read(file, 64<<20)
		if err != nil {
			return 0, err
		}
		kind := guest.TokenizerSentencePiece
		if file.TokenizerKind() == pack.KindJSON {
			kind = guest.TokenizerJSON
		}
		if err := g.PackTokenizer(ctx, handle, kind, data); err != nil {
			return 0, err
		}
	}
	for _, file := range files.Files {
		if !file.Role.IsWeights() {
			continue
		}
		kind := guest.FileBundle
		switch file.Role {
		case pack.RoleWeightsFlowLM:
			kind = guest.FileFlowLM
		case pack.RoleWeightsMimi:
			kind = guest.FileMimi
		}
		r, size, err := files.Open(file)
		if err != nil {
			return 0, err
		}
		if err := g.PackFile(ctx, handle, kind, uint64(size), r); err != nil {
			return 0, err
		}
		if err := r.Close(); err != nil {
			return 0, err
		}
	}
	return g.PackClose(ctx, handle)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func versions() map[string]string {
	found := map[string]string{"go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if strings.HasSuffix(dependency.Path, "/wazero") {
				found["wazero"] = dependency.Version
			}
		}
	}
	return found
}
