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
	for speed, bits := range map[float32]string{0.3: "c5615abbe1bc79f5", 0.75: "c06f604774ab079f", 2.5: "b7d058c394e22055"} {
		stretch, err := i.StretchOpen(ctx, 24000, speed)
		if err != nil {
			t.Fatal(err)
		}
		if err := i.StretchWrite(ctx, stretch, samples); err != nil {
			t.Fatal(err)
		}
		if err := i.StretchEnd(ctx, stretch); err != nil {
			t.Fatal(err)
		}
		want := int(math.Floor(float64(len(samples))/float64(speed) + 0.5))
		out, err := i.StretchRead(ctx, stretch, want+1)
		if err != nil || len(out) != want {
			t.Fatalf("at %g: %d samples of %d, %v", speed, len(out), want, err)
		}
		digest := fnv.New64a()
		if err := binary.Write(digest, binary.LittleEndian, out); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%016x", digest.Sum64()); got != bits {
			t.Errorf("at %g: %s, expected %s", speed, got, bits)
		}
		if err := i.CloseHandle(ctx, stretch); err != nil {
			t.Fatal(err)
		}
	}
}
