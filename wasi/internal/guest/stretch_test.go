package guest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"testing"
)

// TestStretchHasTheBitsOfTheNativeBuild: the digests of tests/engine/stretch_test.cpp.
func TestStretchHasTheBitsOfTheNativeBuild(t *testing.T) {
	i, ctx := instance(t, 1<<30), t.Context()
	defer i.Close(ctx)
	state := uint32(1)
	samples := make([]float32, 24000)
	for n := range samples {
		state = state*1664525 + 1013904223
		samples[n] = float32((n%163-81)*128+(int(state>>24)-128)*8) / 32768
	}
	for speed, want := range map[float32]string{0.3: "c5615abbe1bc79f5", 0.75: "c06f604774ab079f", 2.5: "b7d058c394e22055"} {
		mark := i.arena.mark()
		stretch, err := i.handle(ctx, i.abi.StretchOpen, 24000, uint64(math.Float32bits(speed)))
		if err != nil {
			t.Fatal(err)
		}
		in, err := i.arena.putFloats(ctx, samples)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.call(ctx, i.abi.StretchWrite, uint64(stretch), uint64(in), uint64(len(samples))); err != nil {
			t.Fatal(err)
		}
		if _, err := i.call(ctx, i.abi.StretchEnd, uint64(stretch)); err != nil {
			t.Fatal(err)
		}
		out := make([]float32, int(math.Floor(float64(len(samples))/float64(speed)+0.5)))
		place, err := i.arena.take(ctx, 4*len(out))
		if err != nil {
			t.Fatal(err)
		}
		written, err := i.answer(ctx, i.abi.StretchRead, uint64(stretch), uint64(place), uint64(len(out)))
		if err != nil || int(written) != len(out) {
			t.Fatalf("at %g: %d samples of %d, %v", speed, written, len(out), err)
		}
		if err := i.floats(place, out); err != nil {
			t.Fatal(err)
		}
		digest := fnv.New64a()
		if err := binary.Write(digest, binary.LittleEndian, out); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%016x", digest.Sum64()); got != want {
			t.Errorf("at %g: %s, expected %s", speed, got, want)
		}
		if err := i.CloseHandle(ctx, stretch); err != nil {
			t.Fatal(err)
		}
		i.arena.release(ctx, mark)
	}
}
