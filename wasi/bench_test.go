package pockettts

// Timings, for those who change something here: `go test -run '^$' -bench Speak`. They say how many times faster than
// speech it goes ("x-real-time"), from the text to the last sample, voice loaded; compare only what one run says.
// POCKET_TTS_BENCH names a folder with a config.yaml and a voice.safetensors, or several with commas; without it, the
// starter voice speaks. POCKET_TTS_BENCH_PRECISION is the working precision.

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// benchModel loads a model, and the voice that speaks.
func benchModel(b *testing.B, folder string, l layout) (*Engine, *Voice) {
	b.Helper()
	options := Options{
		Instances: l.instances, Parallel: l.parallel, Workers: l.workers, NoCloning: true, CacheDir: testCache,
		Precision: Precision(os.Getenv("POCKET_TTS_BENCH_PRECISION")),
	}
	if folder == "starter" {
		options.PackFS = starter.FS()
		e := load(b, options)
		voice, err := e.Voice(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		return e, voice
	}
	options.Config = filepath.Join(folder, "config.yaml")
	e := load(b, options)
	data, err := os.ReadFile(filepath.Join(folder, "voice.safetensors"))
	if err != nil {
		b.Fatal(err)
	}
	voice, err := e.LoadVoice(b.Context(), bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	return e, voice
}

func benchFolders() []string {
	if folders := os.Getenv("POCKET_TTS_BENCH"); folders != "" {
		return strings.Split(folders, ",")
	}
	return []string{"starter"}
}

// speakTimed speaks, and returns the seconds of sound and the time of the first frame.
func speakTimed(b *testing.B, e *Engine, text string, options SpeakOptions) (seconds float64, first time.Duration) {
	b.Helper()
	start := time.Now()
	s, err := e.Speak(context.Background(), text, options)
	if err != nil {
		b.Fatal(err)
	}
	for frame, err := range s.Frames() {
		if err != nil {
			b.Fatal(err)
		}
		if first == 0 {
			first = time.Since(start)
		}
		seconds += float64(len(frame.Samples)) / float64(e.info.SampleRate)
	}
	return seconds, first
}

func benchSpeak(b *testing.B, text string, layouts []layout) {
	for _, folder := range benchFolders() {
		// Random weights never find an end: they speak to the length limit.
		for _, l := range layouts {
			b.Run(fmt.Sprintf("%s/instances=%d,parallel=%d", filepath.Base(folder), l.instances, l.parallel), func(b *testing.B) {
				e, voice := benchModel(b, folder, l)
				options := SpeakOptions{Voice: voice}
				speakTimed(b, e, "Hi.", options)
				var seconds float64
				var first time.Duration
				for b.Loop() {
					s, f := speakTimed(b, e, text, options)
					seconds += s
					first += f
				}
				b.ReportMetric(seconds/b.Elapsed().Seconds(), "x-real-time")
				b.ReportMetric(first.Seconds()*1e3/float64(b.N), "ms-to-first-frame")
			})
		}
	}
}

// BenchmarkSpeak speaks a sentence in one instance and in two: what chooseLayout is based on.
func BenchmarkSpeak(b *testing.B) {
	benchSpeak(b, "The quick brown fox jumps over the lazy dog, and nobody knows why it does.", []layout{{1, 1, 1, ""}, {2, 1, 1, ""}})
}

// BenchmarkParallel speaks eight chunks, or POCKET_TTS_BENCH_CHUNKS: one instance, two that share the work, a whole one and a
// decoder.
func BenchmarkParallel(b *testing.B) {
	const chunk = "It was a bright cold day in April, and the clocks were striking thirteen when the old man came down the stairs, " +
		"looked at the door, and said to himself that nothing of this would ever have happened without the fox and the dog. "
	chunks := 8
	if n, err := strconv.Atoi(os.Getenv("POCKET_TTS_BENCH_CHUNKS")); err == nil {
		chunks = n
	}
	benchSpeak(b, strings.Repeat(chunk, chunks), []layout{{1, 1, 1, ""}, {2, 1, 1, ""}, {2, 2, 1, ""}})
}

// BenchmarkManyStreams has 64 callers speak a sentence at once, all of them in one instance or dealt to two.
func BenchmarkManyStreams(b *testing.B) {
	const text = "The quick brown fox jumps over the lazy dog, and nobody knows why it does."
	for _, folder := range benchFolders() {
		for _, l := range []layout{{1, 1, 1, ""}, {1, 2, 2, ""}} {
			b.Run(fmt.Sprintf("%s/workers=%d", filepath.Base(folder), l.workers), func(b *testing.B) {
				e, voice := benchModel(b, folder, l)
				options := SpeakOptions{Voice: voice}
				speakTimed(b, e, "Hi.", options)
				var samples atomic.Int64
				for b.Loop() {
					var group sync.WaitGroup
					for range 64 {
						group.Go(func() {
							data, err := trySpeech(e, text, options)
							if err != nil {
								b.Error(err)
							}
							samples.Add(int64(len(data) / 2))
						})
					}
					group.Wait()
				}
				b.ReportMetric(float64(samples.Load())/float64(e.info.SampleRate)/b.Elapsed().Seconds(), "x-real-time")
			})
		}
	}
}

// BenchmarkParts says what a frame takes in processor time: its latent, and its sound in blocks of 1, 2, 4 and 8. Two
// instances can be as fast as the longer of the two.
func BenchmarkParts(b *testing.B) {
	for _, folder := range benchFolders() {
		b.Run(filepath.Base(folder), func(b *testing.B) {
			e, voice := benchModel(b, folder, layout{1, 1, 1, ""})
			ctx, w := b.Context(), e.current.speaker
			s := &Stream{engine: e}
			l := &line{stream: s, speaker: w, decoder: w}
			err := w.use(ctx, nil, func() error {
				if err := l.open(ctx, voice, "The quick brown fox jumps over the lazy dog.", SpeakOptions{Temperature: Value(float32(0))}); err != nil {
					return err
				}
				return l.openCodec(ctx)
			})
			if err != nil {
				b.Fatal(err)
			}
			defer l.free()
			runtime.LockOSThread() // whose time it is
			defer runtime.UnlockOSThread()
			spent, frames := map[string]time.Duration{}, map[string]int{}
			timed := func(name string, count int, call func() error) {
				start := threadTime()
				if err := w.use(ctx, nil, call); err != nil {
					b.Fatal(err)
				}
				spent[name] += threadTime() - start
				frames[name] += count
			}
			for b.Loop() {
				var latents []latent
				if err := w.use(ctx, nil, func() error { return w.guest.SessionSeek(ctx, l.session, 0) }); err != nil {
					b.Fatal(err)
				}
				for name, last := "first-latent", false; !last; name = "latent" {
					timed(name, 1, func() error {
						made := l.step(ctx)
						if last = made.status != guest.OK; !last {
							latents = append(latents, made)
						}
						return made.err
					})
				}
				for _, size := range []int{1, 2, 4, 8} {
					for at := 0; at+size <= len(latents); at += size {
						timed(fmt.Sprintf("sound-by-%d", size), size, func() error { _, err := l.decode(ctx, latents[at:at+size]); return err })
					}
				}
			}
			for name, took := range spent {
				b.ReportMetric(took.Seconds()*1e3/float64(frames[name]), "ms-"+name)
			}
		})
	}
}

// BenchmarkLoad loads a model whose files are in the system's cache, compiled code included.
func BenchmarkLoad(b *testing.B) {
	for _, folder := range benchFolders() {
		for _, l := range []layout{{1, 1, 1, ""}, {2, 1, 1, ""}, {2, 2, 1, ""}} {
			b.Run(fmt.Sprintf("%s/instances=%d,parallel=%d", filepath.Base(folder), l.instances, l.parallel), func(b *testing.B) {
				for b.Loop() {
					e, _ := benchModel(b, folder, l)
					if err := e.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
