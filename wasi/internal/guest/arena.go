// Room in the guest's memory for the arguments of one call: strings, buffers, places for results.
//
//	defer i.arena.release(ctx, i.arena.mark())
//	text, err := i.arena.put(ctx, []byte("Hello"))
//
// Small pieces come from one block that the instance holds for its life, by moving a pointer; what does not fit is
// allocated in the guest and freed at the release.

package guest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
)

const (
	arenaBytes = 64 << 10
	arenaAlign = 16 // of the widest vector that the guest may load from a buffer
)

type arena struct {
	instance *Instance
	base     uint32
	used     uint32
	large    []uint32
}

type arenaMark struct {
	used  uint32
	large int
}

func (a *arena) open(ctx context.Context, instance *Instance) error {
	a.instance = instance
	base, err := instance.allocate(ctx, arenaBytes)
	a.base = base
	return err
}

func (a *arena) mark() arenaMark { return arenaMark{a.used, len(a.large)} }

func (a *arena) release(ctx context.Context, to arenaMark) {
	for _, pointer := range a.large[to.large:] {
		// A failure means that the instance is dead, and its memory gone with it.
		_ = a.instance.free(ctx, pointer)
	}
	a.used, a.large = to.used, a.large[:to.large]
}

// take finds room for size bytes. Their contents are unspecified.
func (a *arena) take(ctx context.Context, size int) (uint32, error) {
	if size > math.MaxInt32 {
		return 0, tooLarge(size)
	}
	rounded := (uint32(size) + arenaAlign - 1) / arenaAlign * arenaAlign
	rounded = max(rounded, arenaAlign)
	if rounded <= arenaBytes-a.used {
		pointer := a.base + a.used
		a.used += rounded
		return pointer, nil
	}
	pointer, err := a.instance.allocate(ctx, rounded)
	if err != nil {
		return 0, err
	}
	a.large = append(a.large, pointer)
	return pointer, nil
}

// put copies data into the guest.
func (a *arena) put(ctx context.Context, data []byte) (uint32, error) {
	pointer, err := a.take(ctx, len(data))
	if err != nil {
		return 0, err
	}
	return pointer, a.instance.write(pointer, data)
}

// putFloats copies samples or latents into the guest.
func (a *arena) putFloats(ctx context.Context, values []float32) (uint32, error) {
	pointer, err := a.take(ctx, 4*len(values))
	if err != nil {
		return 0, err
	}
	view, err := a.instance.view(pointer, uint32(4*len(values)))
	if err != nil {
		return 0, err
	}
	for i, value := range values {
		binary.LittleEndian.PutUint32(view[4*i:], math.Float32bits(value))
	}
	return pointer, nil
}

func tooLarge(size int) error {
	return &Error{Status: StatusMemory, Name: "PTTS_ERROR_MEMORY", Message: fmt.Sprintf("%d bytes do not fit into the engine's memory", size)}
}
