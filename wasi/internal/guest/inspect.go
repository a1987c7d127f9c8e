// The functions of pocket_tts.h that look inside, for parity tests, and a trap, for tests of what follows from one.

package guest

import (
	"context"
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"
)

// FlowVelocity evaluates the flow net once; velocity has room for the latent's width.
func (i *Instance) FlowVelocity(ctx context.Context, model Handle, condition, times, x, velocity []float32) error {
	defer i.arena.release(ctx, i.arena.mark())
	arguments := []uint64{uint64(model)}
	for _, values := range [][]float32{condition, times, x} {
		pointer, err := i.arena.putFloats(ctx, values)
		if err != nil {
			return err
		}
		arguments = append(arguments, uint64(pointer))
	}
	out, err := i.arena.take(ctx, 4*len(velocity))
	if err != nil {
		return err
	}
	if _, err := i.call(ctx, i.abi.FlowVelocity, append(arguments, uint64(out))...); err != nil {
		return err
	}
	return i.floats(out, velocity)
}

// Probe turns the recording of activations on or off.
func (i *Instance) Probe(ctx context.Context, on bool) error {
	_, err := i.call(ctx, i.abi.Probe, flag(on))
	return err
}

// ProbeTake returns the recordings as a safetensors file and clears them.
func (i *Instance) ProbeTake(ctx context.Context) ([]byte, error) {
	defer i.arena.release(ctx, i.arena.mark())
	return i.owned(ctx, 1, i.abi.ProbeTake)
}

// WAVRead decodes an audio file as the voice encoder would.
func (i *Instance) WAVRead(ctx context.Context, data []byte) ([]float32, uint32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.put(ctx, data)
	if err != nil {
		return nil, 0, err
	}
	places, err := i.arena.take(ctx, 12)
	if err != nil {
		return nil, 0, err
	}
	if _, err := i.call(ctx, i.abi.WavRead, uint64(pointer), uint64(len(data)), uint64(places), uint64(places+4), uint64(places+8)); err != nil {
		return nil, 0, err
	}
	rate, err := i.word(places + 8)
	if err != nil {
		return nil, 0, err
	}
	samples, err := i.takeOwned(ctx, 4, places)
	return toFloats(samples), rate, err
}

// Resample converts samples from one rate to another.
func (i *Instance) Resample(ctx context.Context, samples []float32, from, to uint32) ([]float32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.putFloats(ctx, samples)
	if err != nil {
		return nil, err
	}
	out, err := i.owned(ctx, 4, i.abi.Resample, uint64(pointer), uint64(len(samples)), uint64(from), uint64(to))
	return toFloats(out), err
}

// EndOnPause cuts samples at their last pause.
func (i *Instance) EndOnPause(ctx context.Context, samples []float32) ([]float32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.putFloats(ctx, samples)
	if err != nil {
		return nil, err
	}
	out, err := i.owned(ctx, 4, i.abi.EndOnPause, uint64(pointer), uint64(len(samples)))
	return toFloats(out), err
}

// Normals draws tensors of the given widths, one after the other, from one generator.
func (i *Instance) Normals(ctx context.Context, seed uint64, temperature, clamp float32, widths []uint32) ([]float32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	total := 0
	encoded := make([]byte, 0, 4*len(widths))
	for _, width := range widths {
		total += int(width)
		encoded = binary.LittleEndian.AppendUint32(encoded, width)
	}
	in, err := i.arena.put(ctx, encoded)
	if err != nil {
		return nil, err
	}
	out, err := i.arena.take(ctx, 4*total)
	if err != nil {
		return nil, err
	}
	if _, err := i.call(ctx, i.abi.Normals, seed, api.EncodeF32(temperature), api.EncodeF32(clamp), uint64(in), uint64(len(widths)), uint64(out)); err != nil {
		return nil, err
	}
	values := make([]float32, total)
	return values, i.floats(out, values)
}

// Crash makes the guest trap: it is told to read and write outside of its memory.
func (i *Instance) Crash(ctx context.Context) error {
	const outside = 0xFFFF_FFF0
	_, err := i.call(ctx, i.abi.PackOpen, outside, 1<<20, uint64(PartAll), 0, outside)
	return err
}
