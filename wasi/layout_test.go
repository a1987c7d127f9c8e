package pockettts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

// layouts are all that differ: one instance, two that share the work, several pieces at once with either: in a whole one and
// decoders, in whole ones, in both; and whole ones for nobody but other callers.
var layouts = []layout{{1, 1, 1, ""}, {2, 1, 1, ""}, {1, 2, 1, ""}, {1, 3, 1, ""}, {2, 2, 2, ""}, {2, 3, 2, ""}, {2, 1, 2, ""}}

// pieces is a text of several chunks with the options that make them.
var pieces = strings.Repeat(sentence+" ", 6)

func inPieces() SpeakOptions { return SpeakOptions{MaxTokens: Value(8)} }

func loadLayout(t testing.TB, l layout, name string) *Engine {
	t.Helper()
	return load(t, Options{PackFS: fixturePack(t, name), Instances: l.instances, Parallel: l.parallel, Workers: l.workers})
}

func TestLayoutsGiveTheSameSamples(t *testing.T) {
	models := []string{"lsd6", "pointwise2m", "drifting", "deep"}
	if testing.Short() {
		models = models[:1]
	}
	for _, name := range models {
		t.Run(name, func(t *testing.T) {
			var want, wantTorch []byte
			for _, l := range layouts {
				e := loadLayout(t, l, name)
				if info := e.Info(); info.Instances != l.instances || info.Parallel != l.parallel || info.Workers != l.workers {
					t.Errorf("%+v is reported as %d instances, %d pieces at once, %d workers", l, info.Instances, info.Parallel, info.Workers)
				}
				torch := inPieces()
				torch.RNG = RNGTorch
				got, gotTorch := speech(t, e, pieces, inPieces()), speech(t, e, pieces, torch)
				if want == nil {
					want, wantTorch = got, gotTorch
				}
				if !bytes.Equal(got, want) || len(got) == 0 {
					t.Errorf("%+v: %d bytes, others than the %d of one instance", l, len(got), len(want))
				}
				if !bytes.Equal(gotTorch, wantTorch) {
					t.Errorf("%+v: other samples with the random stream torch", l)
				}
			}
			if bytes.Equal(want, wantTorch) {
				t.Error("the random streams do not differ: there is only one piece")
			}
		})
	}
}

func TestFramesAreNumberedInEveryLayout(t *testing.T) {
	var want []Frame
	for _, l := range layouts {
		var got []Frame
		for frame, err := range speak(t, loadLayout(t, l, "lsd6"), pieces, inPieces()).Frames() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, Frame{Chunk: frame.Chunk, Step: frame.Step})
		}
		if want == nil {
			want = got
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || got[len(got)-1].Chunk < 5 {
			t.Errorf("%+v: frames %v, want %v", l, got, want)
		}
	}
}

func TestWeightsAreNeverHeldMoreOftenThanAskedFor(t *testing.T) {
	one := loadLayout(t, layout{1, 1, 1, ""}, "lsd6").Info()
	decoder := loadLayout(t, layout{2, 1, 1, ""}, "lsd6").current.workers[1].info
	for l, most := range map[layout]uint64{
		{2, 1, 1, ""}: one.WeightBytes,
		{1, 2, 1, ""}: one.WeightBytes + decoder.WeightBytes,
		{2, 2, 2, ""}: 2 * one.WeightBytes,
	} {
		info := loadLayout(t, l, "lsd6").Info()
		if info.WeightBytes > most || !info.CanClone {
			t.Errorf("%+v holds %d bytes, one instance %d; %+v", l, info.WeightBytes, one.WeightBytes, info)
		}
	}
}

func TestLayoutIsChosenByModelAndCores(t *testing.T) {
	few, err := openPack(t.Context(), Options{PackFS: fixturePack(t, "lsd6")})
	if err != nil {
		t.Fatal(err)
	}
	sized := func(config string) *pack.Pack {
		return &pack.Pack{Manifest: pack.Manifest{Config: []byte(config)}}
	}
	// The shapes of the official models of 100M and 18M parameters.
	p := sized(`{"flow_lm": {"transformer": {"d_model": 1024, "hidden_scale": 4, "num_layers": 6}}}`)
	medium := sized(`{"flow_lm": {"transformer": {"d_model": 512, "hidden_scale": 4, "num_layers": 4}}}`)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	if got := chooseLayout(Options{}, few); got != (layout{1, 1, 1, "small model"}) {
		t.Errorf("a small model: %+v", got)
	}
	if got := chooseLayout(Options{Parallel: 2}, p); got != (layout{2, 2, 1, "several cores"}) {
		t.Errorf("a large model: %+v", got)
	}
	if got := chooseLayout(Options{Instances: 1}, p); got != (layout{1, 1, 1, "asked for"}) {
		t.Errorf("a large model in one instance: %+v", got)
	}
	if got := chooseLayout(Options{}, medium); got != (layout{2, 1, 1, "several cores"}) {
		t.Errorf("a medium model: %+v", got)
	}
	for _, config := range []string{``, `[]`, `{}`, `{"flow_lm": {"transformer": {"d_model": "wide"}}}`} {
		if got := chooseLayout(Options{}, sized(config)); got != (layout{1, 1, 1, "small model"}) {
			t.Errorf("%s: %+v", config, got)
		}
	}
	runtime.GOMAXPROCS(1)
	if got := chooseLayout(Options{}, p); got != (layout{1, 1, 1, "one core"}) {
		t.Errorf("a large model on one core: %+v", got)
	}
	if got := chooseLayout(Options{Instances: 2}, few); got != (layout{2, 1, 1, "asked for"}) {
		t.Errorf("a small model in two instances: %+v", got)
	}
}

func TestBlocksGrowOnlyWithTheQueue(t *testing.T) {
	for _, c := range []struct {
		size, taken, waiting int
		took                 time.Duration
		want                 int
	}{
		{1, 1, 0, 0, 1}, {1, 1, 1, 0, 2}, {2, 1, 30, 0, 2}, {2, 2, 1, 0, 2}, {2, 2, 2, 0, 4}, {4, 4, 30, 0, largestBlock}, {4, 0, 30, 0, 4},
		{1, 1, 30, frameTime / 2, 2}, {1, 1, 30, frameTime/2 + 1, 1}, {2, 2, 30, frameTime, 2},
	} {
		if got := nextBlock(c.size, c.taken, c.waiting, c.took); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	// What is in the queue is taken at once, and nobody waits for more.
	p := newPipeline(&line{})
	frame, end, broken := latent{}, latent{status: guest.ChunkEnd}, latent{err: ErrNumeric}
	for _, c := range []struct {
		queue      []latent
		size, want int
		after      bool
	}{
		{[]latent{frame}, 4, 1, false},
		{[]latent{frame, frame, frame}, 2, 2, false},
		{[]latent{frame, end, frame}, 4, 1, true},
		{[]latent{end, frame}, 4, 0, true},
		{[]latent{frame, frame, broken}, 4, 2, true},
	} {
		for _, one := range c.queue {
			p.latents <- one
		}
		block, after, err := p.gather(t.Context(), c.size)
		if err != nil || len(block) != c.want || (after != nil) != c.after {
			t.Errorf("%d of %d: %d, then something else: %v, %v", c.size, len(c.queue), len(block), after != nil, err)
		}
		for len(p.latents) > 0 {
			<-p.latents
		}
	}
}

// The queue is full before anything is decoded: the blocks are as large as they get.
func TestBlocksDoNotChangeTheSamples(t *testing.T) {
	want := speech(t, loadLayout(t, layout{1, 1, 1, ""}, "lsd6"), pieces, inPieces())
	s := speak(t, loadLayout(t, layout{2, 1, 1, ""}, "lsd6"), pieces, inPieces())
	p := s.source.(*pipeline)
	p.heard.Do(func() { close(p.sounded) })
	p.start.Do(func() { s.group.Go(func() { p.speak(s.run) }) })
	for len(p.latents) < cap(p.latents) {
		time.Sleep(time.Millisecond)
	}
	s.group.Go(func() { p.sound(s.run) })
	var got []byte
	for frame, err := range s.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		got = wav.AppendPCM(got, frame.Samples)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes in blocks, %d without, or others", len(got), len(want))
	}
}

// settled waits until no more goroutines run than before.
func settled(t *testing.T, before int) {
	t.Helper()
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d goroutines before, %d now\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
}

func TestStreamsEndAnywhereAndLeaveNothingBehind(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, l := range layouts {
		t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			e := loadLayout(t, l, "lsd6")
			want := speech(t, e, pieces, inPieces()) // every instance knows the voice from here on
			before, err := e.Memory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			goroutines := runtime.NumGoroutine()
			for n := range 30 {
				ctx, cancel := context.WithCancel(t.Context())
				s, err := e.Speak(ctx, pieces, inPieces())
				if err != nil {
					t.Fatal(err)
				}
				var wanted error
				var group sync.WaitGroup
				delay := time.Duration(random.IntN(12000)) * time.Microsecond
				switch n % 3 {
				case 0:
					wanted = context.Canceled
					group.Go(func() { time.Sleep(delay); cancel() })
				case 1:
					wanted = ErrClosed
					group.Go(func() { time.Sleep(delay); s.Close() })
				case 2: // never read to its end, or never read at all
					wanted = ErrClosed
					for range random.IntN(5) {
						if _, err := s.next(); err != nil {
							t.Fatal(err)
						}
					}
					s.Close()
				}
				got, readErr := io.ReadAll(struct{ io.Reader }{s})
				group.Wait()
				if readErr != nil && !errors.Is(readErr, wanted) {
					t.Errorf("round %d: %v, want %v", n, readErr, wanted)
				}
				if readErr == nil && len(got) != 44+len(want)+9600 {
					t.Errorf("round %d: an end after %d bytes", n, len(got))
				}
				if n%3 == 0 {
					s.Close() // it may not have been cancelled before its end; Close waits for the rest
				}
				cancel()
			}
			settled(t, goroutines)
			if after, err := e.Memory(t.Context()); err != nil || after.Allocated != before.Allocated {
				t.Errorf("%d bytes before, %d after, %v", before.Allocated, after.Allocated, err)
			}
			if got := speech(t, e, pieces, inPieces()); !bytes.Equal(got, want) {
				t.Error("afterwards it speaks differently")
			}
		})
	}
}

// A reader that stops, stops everything: what is made ahead is bounded.
func TestNothingIsMadeFarAhead(t *testing.T) {
	long := strings.Repeat(sentence+" ", 100)
	for _, l := range layouts[1:] {
		s := speak(t, loadLayout(t, l, "lsd6"), long, inPieces())
		if _, err := s.next(); err != nil {
			t.Fatal(err)
		}
		switch p := s.source.(type) {
		case *pipeline:
			for len(p.frames) < cap(p.frames) || len(p.latents) < cap(p.latents) {
				time.Sleep(time.Millisecond) // both fill up, and then wait
			}
		case *parallel:
			for len(p.order) < cap(p.order) {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(50 * time.Millisecond)
			s.Close() // nobody works any more
			if most := cap(p.order) + 1; p.begun > most {
				t.Errorf("%+v: %d chunks were begun, want at most %d", l, p.begun, most)
			}
		default:
			t.Errorf("%+v: %T", l, p)
		}
	}
}

// Whoever makes latents for all must not wait for the reader of one: the others' sound may come first.
func TestPiecesLongerThanWhatIsKept(t *testing.T) {
	long := strings.Repeat(strings.TrimRight(sentence, ".")+", ", 12)
	text := strings.Repeat(long+"and so on. ", 4)
	options := SpeakOptions{MaxTokens: Value(200), EOSThreshold: Value(float32(1e9))}
	want := speech(t, loadLayout(t, layouts[0], "lsd6"), text, options)
	if frames := len(want) / 2 / 1920; frames < 3*chunkFrames {
		t.Fatalf("%d frames are too few", frames)
	}
	for _, l := range layouts {
		if l.parallel < 2 {
			continue
		}
		s := speak(t, loadLayout(t, l, "lsd6"), text, options)
		first, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		p := s.source.(*parallel)
		for len(p.current) < cap(p.current) {
			time.Sleep(time.Millisecond) // a reader who is far behind
		}
		rest, err := readPCM(s)
		if err != nil {
			t.Fatal(err)
		}
		got := append(wav.AppendPCM(nil, first.Samples), rest...)
		if !bytes.Equal(got, want) {
			t.Errorf("%+v: %d bytes of other sound, want %d", l, len(got), len(want))
		}
	}
}

func TestTrapInEitherInstanceEndsBoth(t *testing.T) {
	for _, l := range layouts {
		t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			e := loadLayout(t, l, "lsd6")
			want := speech(t, e, pieces, inPieces())
			goroutines := runtime.NumGoroutine()
			for round := range 4 * len(e.current.workers) {
				first := e.current
				s, other := speak(t, e, pieces, inPieces()), speak(t, e, pieces, inPieces())
				for range round / 2 {
					if _, err := s.next(); err != nil {
						t.Fatal(err)
					}
				}
				// The trap is one of the stream's own calls; to the other stream it is somebody else's.
				w := first.workers[round%len(first.workers)]
				if err := w.use(t.Context(), s, func() error { return w.guest.Crash(t.Context()) }); !errors.Is(err, ErrCrashed) {
					t.Fatalf("the trap is %v", err)
				}
				_, err := s.next()
				if !errors.Is(err, ErrCrashed) || strings.Contains(err.Error(), "another call") {
					t.Errorf("round %d: the stream ended with %v", round, err)
				}
				if _, err = other.next(); !errors.Is(err, ErrCrashed) || !strings.Contains(err.Error(), "another call") {
					t.Errorf("round %d: the other stream ended with %v", round, err)
				}
				if got := speech(t, e, pieces, inPieces()); !bytes.Equal(got, want) {
					t.Errorf("round %d: the new instances speak differently", round)
				}
				select {
				case <-first.gone:
				default:
					t.Errorf("round %d: there are new instances, and the old ones are not gone", round)
				}
			}
			settled(t, goroutines)
		})
	}
}

// Traps at any time, while several streams are read: every stream ends as it should, or with the trap.
func TestTrapsAtAnyTime(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, l := range layouts[1:] {
		e := loadLayout(t, l, "lsd6")
		want := speech(t, e, pieces, inPieces())
		goroutines := runtime.NumGoroutine()
		crashes := 0
		for range 8 {
			var group sync.WaitGroup
			var mu sync.Mutex
			for range 3 {
				group.Go(func() {
					got, err := trySpeech(e, pieces, inPieces())
					mu.Lock()
					defer mu.Unlock()
					switch {
					case errors.Is(err, ErrCrashed):
						crashes++
					case err != nil || !bytes.Equal(got, want):
						t.Errorf("%d bytes, want %d, %v", len(got), len(want), err)
					}
				})
			}
			set, err := e.instances(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w := set.workers[random.IntN(len(set.workers))]
			time.Sleep(time.Duration(random.IntN(20000)) * time.Microsecond)
			err = w.use(t.Context(), nil, func() error { return w.guest.Crash(t.Context()) })
			if !errors.Is(err, ErrCrashed) {
				t.Errorf("the trap is %v", err)
			}
			group.Wait()
		}
		if crashes == 0 {
			t.Error("no stream met a trap")
		}
		settled(t, goroutines)
	}
}

func TestCloseWhileEverythingRuns(t *testing.T) {
	for _, l := range layouts {
		files, goroutines := fixturePack(t, "lsd6"), runtime.NumGoroutine()
		for round := range 10 {
			e, err := Load(t.Context(), Options{PackFS: files, CacheDir: testCache, Instances: l.instances, Parallel: l.parallel, Workers: l.workers})
			if err != nil {
				t.Fatal(err)
			}
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() {
					if _, err := trySpeech(e, pieces, inPieces()); err != nil && !errors.Is(err, ErrClosed) {
						t.Errorf("%+v: a stream ended with %v", l, err)
					}
				})
			}
			time.Sleep(time.Duration(round) * time.Millisecond)
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			group.Wait()
		}
		settled(t, goroutines)
	}
}

func TestFailedLoadsLeaveNothingBehind(t *testing.T) {
	weights := bytes.Clone(read(t, fixtures, "lsd6", "model.safetensors"))
	weights[len(weights)-1] = 0xFF // a value of the last tensor that is not a number
	weights[len(weights)-2] = 0xFF
	broken := withWeights(t, "lsd6", weights)
	other := fixturePack(t, "lsd6")
	other["model.safetensors"].Data[len(weights)/2] ^= 1 // not the promised sha256
	goroutines, mapped := runtime.NumGoroutine(), uint64(0)
	rounds := 8
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		for _, l := range layouts {
			options := Options{PackFS: broken, CacheDir: testCache, Instances: l.instances, Parallel: l.parallel, Workers: l.workers}
			if _, err := Load(t.Context(), options); !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), "model.safetensors") {
				t.Errorf("%+v: %v, want ErrWeights", l, err)
			}
			options.PackFS = other
			if _, err := Load(t.Context(), options); !errors.Is(err, ErrPack) && !errors.Is(err, ErrWeights) {
				t.Errorf("%+v: %v, want ErrPack", l, err)
			}
			options.PackFS = fixturePack(t, "lsd6")
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Duration(round)*time.Millisecond)
			e, err := Load(ctx, options)
			if err == nil {
				err = e.Close()
			}
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v: %v", l, err)
			}
		}
		if round == 2 {
			mapped = mappedBytes(t)
		}
	}
	settled(t, goroutines)
	if late := mappedBytes(t); late > mapped+256<<20 {
		t.Errorf("%d bytes of address space after 3 rounds, %d after %d", mapped, late, rounds)
	}
}

func TestParallelSaysWhyItDoesNot(t *testing.T) {
	var log bytes.Buffer
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), Parallel: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	speech(t, e, pieces, inPieces())
	if strings.Contains(log.String(), "one after the other") {
		t.Errorf("it does not: %s", log.String())
	}
	torch := inPieces()
	torch.RNG = RNGTorch
	if speech(t, e, pieces, torch); !strings.Contains(log.String(), "one after the other") {
		t.Errorf("the reason is %q", log.String())
	}
}

func TestPieceWithoutAnEndInEveryLayout(t *testing.T) {
	never := inPieces()
	never.EOSThreshold = Value(float32(1e9))
	const text = "Hi there, you over there. Who are you, and what is it?"
	var want []byte
	for _, l := range layouts {
		e := loadLayout(t, l, "lsd6")
		got := speech(t, e, text, never)
		strict := never
		strict.RequireEnd = true
		cut, err := trySpeech(e, text, strict)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) || !errors.Is(err, ErrNoEnd) || !strings.Contains(err.Error(), "Chunk 1 ") ||
			len(cut) == 0 || len(cut) >= len(got) || !bytes.HasPrefix(got, cut) {
			t.Errorf("%+v: %d bytes of %d, strict %d, %v", l, len(got), len(want), len(cut), err)
		}
	}
}

func TestVoicesInEveryLayout(t *testing.T) {
	var want []byte
	for _, l := range layouts {
		e := loadLayout(t, l, "lsd6")
		voice, err := e.CloneVoice(t.Context(), bytes.NewReader(read(t, fixtures, "lsd6", "voice.wav")), CloneOptions{})
		if err != nil {
			t.Fatal(err)
		}
		options := inPieces()
		options.Voice = voice
		before, err := e.Memory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := speak(t, e, pieces, options)
		if err := voice.Close(); err != nil {
			t.Error(err)
		}
		var got []byte
		for frame, err := range s.Frames() {
			if err != nil {
				t.Fatal(err)
			}
			got = wav.AppendPCM(got, frame.Samples)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%+v speaks differently", l)
		}
		if after, err := e.Memory(t.Context()); err != nil || after.Allocated >= before.Allocated {
			t.Errorf("%+v: %d bytes with the voice, %d after it was closed, %v", l, before.Allocated, after.Allocated, err)
		}
	}
}
