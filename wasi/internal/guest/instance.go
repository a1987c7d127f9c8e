// One instance of the guest: how calls are made and memory is read. The functions of the ABI are in calls.go.

package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/tetratelabs/wazero/api"
)

// Instance is a running engine. Not safe for concurrent use.
type Instance struct {
	module api.Module
	memory api.Memory
	growth *allocator
	abi    *abi
	arena  arena
	stack  [8]uint64 // arguments and result of the call in progress
	dead   error     // why no further call may be made
}

// Close gives back the instance's memory. Everything in it is gone.
func (i *Instance) Close(ctx context.Context) error {
	if i.dead == nil {
		i.dead = errors.New("the instance is closed")
	}
	return i.module.Close(ctx)
}

// MemoryBytes is the size of the linear memory; it never shrinks.
func (i *Instance) MemoryBytes() uint64 { return uint64(i.memory.Size()) }

// Grown is how often the linear memory got its size: once at the start, then with every memory.grow.
func (i *Instance) Grown() int { return i.growth.grown }

// raw calls a function and returns its result. A trap is the end of the instance.
func (i *Instance) raw(ctx context.Context, function api.Function, arguments ...uint64) (uint64, error) {
	if i.dead != nil {
		return 0, i.dead
	}
	copy(i.stack[:], arguments)
	if err := function.CallWithStack(ctx, i.stack[:]); err != nil {
		i.dead = crashed(err)
		return 0, i.dead
	}
	return i.stack[0], nil
}

// call is raw for functions that answer with a status; negative ones become errors with the engine's message.
func (i *Instance) call(ctx context.Context, function api.Function, arguments ...uint64) (Status, error) {
	result, err := i.raw(ctx, function, arguments...)
	if err != nil {
		return 0, err
	}
	status := Status(api.DecodeI32(result))
	return status, i.refusal(ctx, status)
}

// refusal is the error of a status, with what the engine said last; nil for one that is none.
func (i *Instance) refusal(ctx context.Context, status Status) error {
	if status >= 0 {
		return nil
	}
	refusal := &Error{Status: status}
	if pointer, err := i.raw(ctx, i.abi.Message); err == nil {
		refusal.Message = i.text(uint32(pointer))
	}
	if pointer, err := i.raw(ctx, i.abi.StatusName, api.EncodeI32(int32(status))); err == nil {
		refusal.Name = i.text(uint32(pointer))
	}
	return refusal
}

func (i *Instance) allocate(ctx context.Context, size uint32) (uint32, error) {
	pointer, err := i.raw(ctx, i.abi.Alloc, uint64(size))
	if err == nil && pointer == 0 {
		err = tooLarge(int(size))
	}
	return uint32(pointer), err
}

func (i *Instance) free(ctx context.Context, pointer uint32) error {
	_, err := i.raw(ctx, i.abi.Free, uint64(pointer))
	return err
}

// view is a window into the guest's memory, valid until the next call.
func (i *Instance) view(pointer, size uint32) ([]byte, error) {
	if i.dead != nil { // its memory may be unmapped
		return nil, i.dead
	}
	view, ok := i.memory.Read(pointer, size)
	if !ok {
		i.dead = fmt.Errorf("%w: it pointed outside of its memory (%d bytes at %d)", ErrCrashed, size, pointer)
		return nil, i.dead
	}
	return view, nil
}

func (i *Instance) write(pointer uint32, data []byte) error {
	view, err := i.view(pointer, uint32(len(data)))
	copy(view, data)
	return err
}

// text reads a zero-terminated string; the engine's messages are at most 1 KiB.
func (i *Instance) text(pointer uint32) string {
	const longest = 4096
	var text []byte
	for len(text) < longest {
		character, ok := i.memory.ReadByte(pointer + uint32(len(text)))
		if !ok || character == 0 {
			break
		}
		text = append(text, character)
	}
	return string(text)
}

func (i *Instance) word(pointer uint32) (uint32, error) {
	view, err := i.view(pointer, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(view), nil
}

func (i *Instance) putWord(pointer, value uint32) error {
	view, err := i.view(pointer, 4)
	if err == nil {
		binary.LittleEndian.PutUint32(view, value)
	}
	return err
}

// floats copies len(values) numbers out of the guest.
func (i *Instance) floats(pointer uint32, values []float32) error {
	view, err := i.view(pointer, uint32(4*len(values)))
	if err != nil {
		return err
	}
	for n := range values {
		values[n] = math.Float32frombits(binary.LittleEndian.Uint32(view[4*n:]))
	}
	return nil
}

// structure reads a structure of pocket_tts.h; value is a pointer to one.
func (i *Instance) structure(pointer uint32, value any) error {
	view, err := i.view(pointer, uint32(binary.Size(value)))
	if err != nil {
		return err
	}
	_, err = binary.Decode(view, binary.LittleEndian, value)
	return err
}

// handle makes a call whose last argument is a place for a new handle.
func (i *Instance) handle(ctx context.Context, function api.Function, arguments ...uint64) (Handle, error) {
	value, err := i.answer(ctx, function, arguments...)
	return Handle(value), err
}

// answer makes a call whose last argument is a place for a 32-bit result.
func (i *Instance) answer(ctx context.Context, function api.Function, arguments ...uint64) (uint32, error) {
	place, err := i.arena.take(ctx, 4)
	if err != nil {
		return 0, err
	}
	if _, err := i.call(ctx, function, append(arguments, uint64(place))...); err != nil {
		return 0, err
	}
	return i.word(place)
}

// owned makes a call whose last two arguments are places for memory that the caller frees, and takes it out:
// `width` bytes for each of the reported elements.
func (i *Instance) owned(ctx context.Context, width uint32, function api.Function, arguments ...uint64) ([]byte, error) {
	places, err := i.arena.take(ctx, 8)
	if err != nil {
		return nil, err
	}
	if _, err := i.call(ctx, function, append(arguments, uint64(places), uint64(places+4))...); err != nil {
		return nil, err
	}
	return i.takeOwned(ctx, width, places)
}

func (i *Instance) takeOwned(ctx context.Context, width, places uint32) ([]byte, error) {
	view, err := i.pointed(width, places)
	if err != nil {
		return nil, err
	}
	data := append([]byte(nil), view...)
	pointer, err := i.word(places)
	if err != nil {
		return nil, err
	}
	return data, i.free(ctx, pointer)
}

// borrowed is owned for memory that stays the engine's: the result is a window, valid until the next call.
func (i *Instance) borrowed(ctx context.Context, width uint32, function api.Function, arguments ...uint64) ([]byte, error) {
	places, err := i.arena.take(ctx, 8)
	if err != nil {
		return nil, err
	}
	if _, err := i.call(ctx, function, append(arguments, uint64(places), uint64(places+4))...); err != nil {
		return nil, err
	}
	return i.pointed(width, places)
}

// pointed follows a pointer and a count of elements that lie side by side.
func (i *Instance) pointed(width, places uint32) ([]byte, error) {
	pointer, err := i.word(places)
	if err != nil {
		return nil, err
	}
	count, err := i.word(places + 4)
	if err != nil {
		return nil, err
	}
	return i.view(pointer, count*width)
}

// Dead says why no further call may be made; nil while the instance is well.
func (i *Instance) Dead() error { return i.dead }
