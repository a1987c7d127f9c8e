package guest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

const fixtures = "../../../tests/golden/fixtures"

// compiled makes a module for a test.
func compiled(t *testing.T, limit uint64) *Module {
	t.Helper()
	m, err := Compile(t.Context(), Config{CacheDir: filepath.Join(os.TempDir(), "pocket-tts-wasm-tests"), MaxMemory: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func instance(t *testing.T, limit uint64) *Instance {
	t.Helper()
	i, err := compiled(t, limit).Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// loadFixture opens the model of a fixture.
func loadFixture(t *testing.T, i *Instance, name string) Handle {
	t.Helper()
	header(t) // the fixtures lie beside it
	p, err := pack.OpenConfig(filepath.Join(fixtures, name, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	handle, err := i.PackOpen(t.Context(), p.Config, PartAll, PrecisionF32)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range p.Files {
		r, size, err := p.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if file.Role == pack.RoleTokenizer {
			data, readErr := p.Read(file, 1<<30)
			err = errors.Join(readErr, i.PackTokenizer(t.Context(), handle, TokenizerSentencePiece, data))
		} else {
			err = i.PackFile(t.Context(), handle, FileBundle, uint64(size), r)
		}
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	model, err := i.PackClose(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func TestInstanceSpeaks(t *testing.T) {
	i, ctx := instance(t, 1<<30), t.Context()
	model := loadFixture(t, i, "lsd6")
	info, err := i.ModelInfo(ctx, model)
	if err != nil || info.SampleRate != 24000 || info.SamplesPerFrame != 1920 || info.LatentWidth != 32 {
		t.Fatalf("model %+v, %v", info, err)
	}
	data, err := os.ReadFile(filepath.Join(fixtures, "lsd6", "voice.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	voice, err := i.VoiceLoad(ctx, model, data)
	if err != nil {
		t.Fatal(err)
	}
	if exported, err := i.VoiceExport(ctx, voice); err != nil || len(exported) < len(data)/2 {
		t.Errorf("exported voice: %d bytes, %v", len(exported), err)
	}
	options, err := i.OptionsInit(ctx, model)
	if err != nil || options.Seed != 42 || options.MaxTokens != 50 || options.DecodeSteps != 1 || options.FramesAfterEOS != -1 {
		t.Fatalf("default options %+v, %v", options, err)
	}
	session, err := i.SessionOpen(ctx, model, voice, "Hello there. This is a test.", options)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := i.CodecOpen(ctx, model)
	if err != nil {
		t.Fatal(err)
	}
	latent, pcm := make([]float32, info.LatentWidth), make([]float32, info.SamplesPerFrame)
	frames := 0
	for {
		status, event, err := i.SessionStep(ctx, session, latent)
		if err != nil {
			t.Fatal(err)
		}
		if status == Done {
			break
		}
		if status == ChunkEnd {
			continue
		}
		if int(event.Step) != frames {
			t.Errorf("frame %d reports step %d", frames, event.Step)
		}
		if err := i.CodecDecode(ctx, codec, latent, 1, pcm); err != nil {
			t.Fatal(err)
		}
		frames++
	}
	if frames < 6 {
		t.Errorf("%d frames, an end is not looked for before the sixth", frames)
	}
}

func TestRefusalsCarryStatusAndMessage(t *testing.T) {
	i, ctx := instance(t, 1<<30), t.Context()
	_, err := i.PackOpen(ctx, []byte(`{"nonsense": 1}`), PartAll, PrecisionF32)
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Status != StatusConfig || refusal.Name != "PTTS_ERROR_CONFIG" || refusal.Message == "" {
		t.Errorf("got %#v", err)
	}
	if err := i.CloseHandle(ctx, 12345); !errors.As(err, &refusal) || refusal.Status != StatusHandle {
		t.Errorf("closing an unknown handle: %v", err)
	}
}

// A wild pointer is outside of the engine's contract, and stands for whatever may make it trap.
func TestTrapIsAnErrorAndTheEndOfTheInstance(t *testing.T) {
	i, ctx := instance(t, 1<<30), t.Context()
	err := i.Crash(ctx)
	if !errors.Is(err, ErrCrashed) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %q, want one line with ErrCrashed", err)
	}
	if i.Dead() == nil {
		t.Error("the instance does not know that it is dead")
	}
	if _, err := i.Version(ctx); !errors.Is(err, ErrCrashed) {
		t.Errorf("a call after the crash: %v", err)
	}
	if err := i.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestMemoryReturnsAfterEveryRound(t *testing.T) {
	i, ctx := instance(t, 1<<30), t.Context()
	start, err := i.AllocatedBytes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var second uint64
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for round := range rounds {
		model := loadFixture(t, i, "pointwise2m")
		if err := i.CloseHandle(ctx, model); err != nil {
			t.Fatal(err)
		}
		if now, err := i.AllocatedBytes(ctx); err != nil || now != start {
			t.Fatalf("round %d: %d bytes allocated, %d at the start, %v", round, now, start, err)
		}
		if round == 1 {
			second = i.MemoryBytes()
		}
		if round > 1 && i.MemoryBytes() != second {
			t.Fatalf("round %d: memory grew from %d to %d bytes", round, second, i.MemoryBytes())
		}
	}
}

func TestMemoryIsCapped(t *testing.T) {
	const limit = 16 << 20
	i, ctx := instance(t, limit), t.Context()
	var refusal *Error
	if _, err := i.Resample(ctx, make([]float32, 5<<20), 24000, 48000); !errors.As(err, &refusal) || refusal.Status != StatusMemory {
		t.Errorf("20 MiB of samples in 16 MiB of memory: %v", err)
	}
	if size := i.MemoryBytes(); size > limit {
		t.Errorf("%d bytes of memory, the cap is %d", size, limit)
	}
	if _, err := i.Version(ctx); err != nil {
		t.Errorf("the instance is not usable any more: %v", err)
	}
	if _, err := Compile(ctx, Config{MaxMemory: pageSize}); err == nil {
		t.Error("one page of memory was enough")
	}
}

func TestMemoryGrowsInPlaceAndIsReservedOnly(t *testing.T) {
	before := residentBytes(t)
	memories := make([]interface {
		Reallocate(uint64) []byte
		Free()
	}, 8)
	for n := range memories {
		memory := (&allocator{limit: 2 << 30}).Allocate(0, 4<<30)
		small := memory.Reallocate(pageSize)
		small[0], small[pageSize-1] = 1, 2
		large := memory.Reallocate(1 << 30)
		if runtime.GOOS == "linux" && &large[0] != &small[0] {
			t.Error("growing moved the memory")
		}
		if len(large) != 1<<30 || large[0] != 1 || large[pageSize-1] != 2 || large[pageSize] != 0 {
			t.Error("growing changed the contents")
		}
		if memory.Reallocate(2<<30+pageSize) != nil {
			t.Error("it grew beyond the limit")
		}
		memories[n] = memory
	}
	if grown := residentBytes(t) - before; grown > 64<<20 {
		t.Errorf("8 GiB of memory that was never touched take %d bytes", grown)
	}
	for _, memory := range memories {
		memory.Free()
		memory.Free() // wazero may close twice
	}
}

func TestFallbackMemoryGrows(t *testing.T) {
	m := &copiedMemory{limit: 1 << 20}
	m.Reallocate(pageSize)[7] = 7
	if grown := m.Reallocate(1 << 20); len(grown) != 1<<20 || grown[7] != 7 {
		t.Error("growing changed the contents")
	}
	if m.Reallocate(1<<20+pageSize) != nil {
		t.Error("it grew beyond the limit")
	}
	moves, before := 0, (*byte)(nil)
	m = &copiedMemory{limit: 64 << 20}
	for size := uint64(pageSize); size <= m.limit; size += pageSize {
		grown := m.Reallocate(size)
		if &grown[0] != before {
			moves, before = moves+1, &grown[0]
		}
		if uint64(len(grown)) != size || grown[size-1] != 0 {
			t.Fatalf("%d bytes, want %d zeros", len(grown), size)
		}
		grown[size-1] = 1
	}
	if moves > 24 || uint64(cap(m.bytes)) > m.limit {
		t.Errorf("it moved %d times on the way to %d bytes, room for %d", moves, m.limit, cap(m.bytes))
	}
}

// Weights are allocated tensor by tensor; each may ask for more memory, and pieces of one must not.
func TestLoadingGrowsMemoryRarely(t *testing.T) {
	i := instance(t, 1<<30)
	loadFixture(t, i, "lsd6")
	if size := i.MemoryBytes(); i.Grown() > 64 || i.Grown() < 2 {
		t.Errorf("memory of %d bytes was grown %d times", size, i.Grown())
	}
}

// residentBytes is what the process holds of physical memory.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func TestArenaGivesBackWhatDidNotFit(t *testing.T) {
	i, ctx := instance(t, 1<<30), t.Context()
	start := i.arena.mark()
	for range 3 {
		for _, size := range []int{0, 1, 17, arenaBytes, 1 << 20} {
			data := bytes.Repeat([]byte{0xAB}, size)
			pointer, err := i.arena.put(ctx, data)
			if err != nil || pointer == 0 || pointer%arenaAlign != 0 {
				t.Fatalf("%d bytes at %d, %v", size, pointer, err)
			}
			if view, err := i.view(pointer, uint32(size)); err != nil || !bytes.Equal(view, data) {
				t.Fatalf("%d bytes did not arrive: %v", size, err)
			}
		}
		if len(i.arena.large) == 0 {
			t.Error("nothing was allocated beside the block")
		}
		i.arena.release(ctx, start)
	}
	if i.arena.used != 0 || len(i.arena.large) != 0 {
		t.Errorf("%d bytes and %d pieces are left", i.arena.used, len(i.arena.large))
	}
	if _, err := i.arena.take(ctx, 1<<31); err == nil {
		t.Error("2 GiB were promised")
	}
}
