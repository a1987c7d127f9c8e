// The functions of pocket_tts.h as Go methods, in the header's order.

package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/tetratelabs/wazero/api"
)

// feedBytes is the slice in which weights files go into the guest. Larger ones were not faster.
const feedBytes = 256 << 10

// Version is the engine's version.
func (i *Instance) Version(ctx context.Context) (string, error) {
	pointer, err := i.raw(ctx, i.abi.Version)
	if err != nil {
		return "", err
	}
	return i.text(uint32(pointer)), nil
}

// AllocatedBytes is what the engine holds for its objects right now.
func (i *Instance) AllocatedBytes(ctx context.Context) (uint64, error) {
	return i.raw(ctx, i.abi.AllocatedBytes)
}

// CloseHandle closes any object.
func (i *Instance) CloseHandle(ctx context.Context, handle Handle) error {
	_, err := i.call(ctx, i.abi.Close, uint64(handle))
	return err
}

// PackOpen reads the configuration (JSON) and plans every tensor.
func (i *Instance) PackOpen(ctx context.Context, config []byte, parts, precision uint32) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	text, err := i.arena.put(ctx, config)
	if err != nil {
		return 0, err
	}
	return i.handle(ctx, i.abi.PackOpen, uint64(text), uint64(len(config)), uint64(parts), uint64(precision))
}

// PackTokenizer hands over the tokenizer file.
func (i *Instance) PackTokenizer(ctx context.Context, pack Handle, kind uint32, data []byte) error {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.put(ctx, data)
	if err != nil {
		return err
	}
	_, err = i.call(ctx, i.abi.PackTokenizer, uint64(pack), uint64(kind), uint64(pointer), uint64(len(data)))
	return err
}

// PackFile announces a weights file of `size` bytes and feeds it from the reader to its end. The bytes go from the
// reader straight into the guest's memory; there is no second copy.
func (i *Instance) PackFile(ctx context.Context, pack Handle, kind uint32, size uint64, r io.Reader) error {
	defer i.arena.release(ctx, i.arena.mark())
	buffer, err := i.arena.take(ctx, feedBytes)
	if err != nil {
		return err
	}
	if _, err := i.call(ctx, i.abi.PackFile, uint64(pack), uint64(kind), size); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		view, err := i.view(buffer, feedBytes) // anew each time: a call may grow the memory
		if err != nil {
			return err
		}
		n, readErr := io.ReadFull(r, view)
		if n > 0 {
			if _, err := i.call(ctx, i.abi.PackFeed, uint64(pack), uint64(buffer), uint64(n)); err != nil {
				return err
			}
		}
		switch readErr {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return readErr
		}
	}
}

// PackFeed hands over the next bytes of the announced file.
func (i *Instance) PackFeed(ctx context.Context, pack Handle, data []byte) error {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.put(ctx, data)
	if err != nil {
		return err
	}
	_, err = i.call(ctx, i.abi.PackFeed, uint64(pack), uint64(pointer), uint64(len(data)))
	return err
}

// PackClose completes the model. The pack is closed whether it succeeds or not.
func (i *Instance) PackClose(ctx context.Context, pack Handle) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	return i.handle(ctx, i.abi.PackClose, uint64(pack))
}

// ModelInfo describes a loaded model.
func (i *Instance) ModelInfo(ctx context.Context, model Handle) (ModelInfo, error) {
	defer i.arena.release(ctx, i.arena.mark())
	var info ModelInfo
	err := i.fill(ctx, &info, i.abi.ModelGetInfo, uint64(model))
	return info, err
}

// Tokenize returns the token ids of a text as it is.
func (i *Instance) Tokenize(ctx context.Context, model Handle, text string) ([]int32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.put(ctx, []byte(text))
	if err != nil {
		return nil, err
	}
	place, err := i.arena.take(ctx, 4)
	if err != nil {
		return nil, err
	}
	for room := uint32(len(text) + 16); ; {
		ids, err := i.arena.take(ctx, int(4*room))
		if err != nil {
			return nil, err
		}
		if err := i.putWord(place, room); err != nil {
			return nil, err
		}
		if _, err := i.call(ctx, i.abi.Tokenize, uint64(model), uint64(pointer), uint64(len(text)), uint64(ids), uint64(place)); err != nil {
			return nil, err
		}
		count, err := i.word(place)
		if err != nil {
			return nil, err
		}
		if count > room {
			room = count
			continue
		}
		view, err := i.view(ids, 4*count)
		return words(view), err
	}
}

// Detokenize returns the text that ids stand for.
func (i *Instance) Detokenize(ctx context.Context, model Handle, ids []int32) (string, error) {
	defer i.arena.release(ctx, i.arena.mark())
	encoded := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		encoded = binary.LittleEndian.AppendUint32(encoded, uint32(id))
	}
	pointer, err := i.arena.put(ctx, encoded)
	if err != nil {
		return "", err
	}
	text, err := i.owned(ctx, 1, i.abi.Detokenize, uint64(model), uint64(pointer), uint64(len(ids)))
	return string(text), err
}

// Prepare returns a text as it would be spoken whole, and the frames after the end that its number of words suggests.
func (i *Instance) Prepare(ctx context.Context, model Handle, text string) (string, uint32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.put(ctx, []byte(text))
	if err != nil {
		return "", 0, err
	}
	places, err := i.arena.take(ctx, 12)
	if err != nil {
		return "", 0, err
	}
	if _, err := i.call(ctx, i.abi.Prepare, uint64(model), uint64(pointer), uint64(len(text)), uint64(places), uint64(places+4), uint64(places+8)); err != nil {
		return "", 0, err
	}
	guess, err := i.word(places + 8)
	if err != nil {
		return "", 0, err
	}
	prepared, err := i.takeOwned(ctx, 1, places)
	return string(prepared), guess, err
}

// Export writes the working weights of `parts` as a safetensors file, straight out of the guest's memory.
func (i *Instance) Export(ctx context.Context, model Handle, parts uint32, to io.Writer) (err error) {
	defer i.arena.release(ctx, i.arena.mark())
	places, err := i.arena.take(ctx, 16)
	if err != nil {
		return err
	}
	if _, err := i.call(ctx, i.abi.ExportOpen, uint64(model), uint64(parts), uint64(places), uint64(places+8)); err != nil {
		return err
	}
	export, err := i.word(places)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.CloseHandle(ctx, Handle(export))) }()
	buffer, err := i.arena.take(ctx, feedBytes)
	if err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := i.call(ctx, i.abi.ExportRead, uint64(export), uint64(buffer), feedBytes, uint64(places)); err != nil {
			return err
		}
		written, err := i.word(places)
		if err != nil || written == 0 {
			return err
		}
		view, err := i.view(buffer, written)
		if err != nil {
			return err
		}
		if _, err := to.Write(view); err != nil {
			return err
		}
	}
}

// VoiceLoad reads a voice file.
func (i *Instance) VoiceLoad(ctx context.Context, model Handle, data []byte) (Handle, error) {
	return i.VoiceRead(ctx, model, func(room func(size int) ([]byte, error)) error {
		view, err := room(len(data))
		copy(view, data)
		return err
	})
}

// VoiceRead is VoiceLoad of a file that `read` puts straight into the guest's memory: into the room that it asks for
// once.
func (i *Instance) VoiceRead(ctx context.Context, model Handle, read func(room func(size int) ([]byte, error)) error) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	var pointer, length uint32
	err := read(func(size int) (view []byte, err error) {
		if pointer, err = i.arena.take(ctx, size); err != nil {
			return nil, err
		}
		length = uint32(size)
		return i.view(pointer, length)
	})
	if err != nil {
		return 0, err
	}
	return i.handle(ctx, i.abi.VoiceLoad, uint64(model), uint64(pointer), uint64(length))
}

// VoiceFromWAV makes a voice from an audio file; maxSeconds > 0 keeps only its beginning.
func (i *Instance) VoiceFromWAV(ctx context.Context, model Handle, data []byte, maxSeconds float32) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.put(ctx, data)
	if err != nil {
		return 0, err
	}
	return i.handle(ctx, i.abi.VoiceFromWAV, uint64(model), uint64(pointer), uint64(len(data)), api.EncodeF32(maxSeconds))
}

// VoiceFromPCM makes a voice from mono samples.
func (i *Instance) VoiceFromPCM(ctx context.Context, model Handle, samples []float32, rate uint32) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.putFloats(ctx, samples)
	if err != nil {
		return 0, err
	}
	return i.handle(ctx, i.abi.VoiceFromPCM, uint64(model), uint64(pointer), uint64(len(samples)), uint64(rate))
}

// VoiceLength is the number of key/value positions of a voice.
func (i *Instance) VoiceLength(ctx context.Context, voice Handle) (uint32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	return i.answer(ctx, i.abi.VoiceLength, uint64(voice))
}

// VoiceExport returns the voice as a safetensors file.
func (i *Instance) VoiceExport(ctx context.Context, voice Handle) ([]byte, error) {
	defer i.arena.release(ctx, i.arena.mark())
	return i.owned(ctx, 1, i.abi.VoiceExport, uint64(voice))
}

// OptionsInit returns a model's defaults.
func (i *Instance) OptionsInit(ctx context.Context, model Handle) (Options, error) {
	defer i.arena.release(ctx, i.arena.mark())
	var options Options
	err := i.fill(ctx, &options, i.abi.OptionsInit, uint64(model))
	return options, err
}

// SessionOpen prepares a text and cuts it into chunks.
func (i *Instance) SessionOpen(ctx context.Context, model, voice Handle, text string, options Options) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	pointer, err := i.arena.put(ctx, []byte(text))
	if err != nil {
		return 0, err
	}
	encoded, err := binary.Append(nil, binary.LittleEndian, options)
	if err != nil {
		return 0, err
	}
	optionsPointer, err := i.arena.put(ctx, encoded)
	if err != nil {
		return 0, err
	}
	return i.handle(ctx, i.abi.SessionOpen, uint64(model), uint64(voice), uint64(pointer), uint64(len(text)), uint64(optionsPointer))
}

// SessionChunkCount is the number of chunks of a session.
func (i *Instance) SessionChunkCount(ctx context.Context, session Handle) (uint32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	return i.answer(ctx, i.abi.SessionChunkCount, uint64(session))
}

// SessionChunk describes a chunk.
func (i *Instance) SessionChunk(ctx context.Context, session Handle, index uint32) (Chunk, error) {
	defer i.arena.release(ctx, i.arena.mark())
	var chunk Chunk
	err := i.fill(ctx, &chunk, i.abi.SessionChunk, uint64(session), uint64(index))
	return chunk, err
}

// SessionChunkText returns the piece that was cut (which 0) or the prompt that is spoken (which 1).
func (i *Instance) SessionChunkText(ctx context.Context, session Handle, index, which uint32) (string, error) {
	defer i.arena.release(ctx, i.arena.mark())
	view, err := i.borrowed(ctx, 1, i.abi.SessionChunkText, uint64(session), uint64(index), uint64(which))
	return string(view), err
}

// SessionChunkIDs returns the token ids of a chunk's prompt.
func (i *Instance) SessionChunkIDs(ctx context.Context, session Handle, index uint32) ([]int32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	view, err := i.borrowed(ctx, 4, i.abi.SessionChunkIDs, uint64(session), uint64(index))
	return words(view), err
}

// SessionSeek moves to the start of a chunk.
func (i *Instance) SessionSeek(ctx context.Context, session Handle, chunk uint32) error {
	_, err := i.call(ctx, i.abi.SessionSeek, uint64(session), uint64(chunk))
	return err
}

// SessionStep makes one latent: OK, ChunkEnd or Done. latent must have room for the model's width; it is written on
// OK only.
func (i *Instance) SessionStep(ctx context.Context, session Handle, latent []float32) (Status, Event, error) {
	return i.step(ctx, i.abi.SessionStep, latent, uint64(session))
}

// NoChunk joins no chunk in SessionStepMany.
const NoChunk = ^uint32(0)

// Step is what SessionStepMany did for one chunk: a latent with OK, ChunkEnd, or why the chunk has ended.
type Step struct {
	Status Status
	Event  Event
	Latent []float32
	Err    error
}

// SessionStepMany makes the next latents, of `width` floats, of up to `most` chunks; `begin`, or NoChunk, joins them when
// there is room. No step: nothing is being spoken.
func (i *Instance) SessionStepMany(ctx context.Context, session Handle, most int, begin uint32, width int) ([]Step, error) {
	defer i.arena.release(ctx, i.arena.mark())
	size := binary.Size(Event{})
	var places [4]uint32 // latents, events, statuses, count
	for n, bytes := range []int{4 * width * most, size * most, 4 * most, 4} {
		var err error
		if places[n], err = i.arena.take(ctx, bytes); err != nil {
			return nil, err
		}
	}
	status, err := i.call(ctx, i.abi.SessionStepMany, uint64(session), uint64(most), uint64(begin),
		uint64(places[0]), uint64(places[1]), uint64(places[2]), uint64(places[3]))
	if err != nil || status == Done {
		return nil, err
	}
	var count uint32
	if err := i.structure(places[3], &count); err != nil {
		return nil, err
	}
	steps := make([]Step, min(int(count), most))
	for n := range steps {
		step := &steps[n]
		if err := i.structure(places[2]+uint32(4*n), &step.Status); err != nil {
			return nil, err
		}
		if err := i.structure(places[1]+uint32(size*n), &step.Event); err != nil {
			return nil, err
		}
		if step.Err = i.refusal(ctx, step.Status); step.Status != OK {
			continue
		}
		step.Latent = make([]float32, width)
		if err := i.floats(places[0]+uint32(4*width*n), step.Latent); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// SessionStepForced is SessionStep with the previous latent and the noise given; nil leaves either to the session.
func (i *Instance) SessionStepForced(ctx context.Context, session Handle, previous, noise, latent []float32) (Status, Event, error) {
	defer i.arena.release(ctx, i.arena.mark())
	var pointers [2]uint32
	for n, values := range [][]float32{previous, noise} {
		if values == nil {
			continue
		}
		pointer, err := i.arena.putFloats(ctx, values)
		if err != nil {
			return 0, Event{}, err
		}
		pointers[n] = pointer
	}
	return i.step(ctx, i.abi.SessionStepForced, latent, uint64(session), uint64(pointers[0]), uint64(pointers[1]))
}

func (i *Instance) step(ctx context.Context, function api.Function, latent []float32, arguments ...uint64) (Status, Event, error) {
	defer i.arena.release(ctx, i.arena.mark())
	var event Event
	place, err := i.arena.take(ctx, binary.Size(event))
	if err != nil {
		return 0, event, err
	}
	pointer, err := i.arena.take(ctx, 4*len(latent))
	if err != nil {
		return 0, event, err
	}
	status, err := i.call(ctx, function, append(arguments, uint64(pointer), uint64(place))...)
	if err != nil {
		return status, event, err
	}
	if status == OK {
		if err := i.floats(pointer, latent); err != nil {
			return status, event, err
		}
	}
	return status, event, i.structure(place, &event)
}

// CodecOpen makes a decoder.
func (i *Instance) CodecOpen(ctx context.Context, model Handle) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	return i.handle(ctx, i.abi.CodecOpen, uint64(model))
}

// CodecReset starts a chunk.
func (i *Instance) CodecReset(ctx context.Context, codec Handle) error {
	_, err := i.call(ctx, i.abi.CodecReset, uint64(codec))
	return err
}

// CodecDecode decodes `count` latents into pcm, which has room for exactly their samples.
func (i *Instance) CodecDecode(ctx context.Context, codec Handle, latents []float32, count int, pcm []float32) error {
	defer i.arena.release(ctx, i.arena.mark())
	in, err := i.arena.putFloats(ctx, latents)
	if err != nil {
		return err
	}
	out, err := i.arena.take(ctx, 4*len(pcm))
	if err != nil {
		return err
	}
	if _, err := i.call(ctx, i.abi.CodecDecode, uint64(codec), uint64(in), uint64(count), uint64(out)); err != nil {
		return err
	}
	return i.floats(out, pcm)
}

// CodecFade turns the fade-in of chunks on or off.
func (i *Instance) CodecFade(ctx context.Context, codec Handle, on bool) error {
	_, err := i.call(ctx, i.abi.CodecFade, uint64(codec), flag(on))
	return err
}

// StretchOpen makes a stretcher: sound at another speed, 0.25 to 4, with its pitch kept.
func (i *Instance) StretchOpen(ctx context.Context, sampleRate uint32, speed float32) (Handle, error) {
	defer i.arena.release(ctx, i.arena.mark())
	return i.handle(ctx, i.abi.StretchOpen, uint64(sampleRate), api.EncodeF32(speed))
}

// StretchWrite hands samples over.
func (i *Instance) StretchWrite(ctx context.Context, stretch Handle, samples []float32) error {
	defer i.arena.release(ctx, i.arena.mark())
	in, err := i.arena.putFloats(ctx, samples)
	if err != nil {
		return err
	}
	_, err = i.call(ctx, i.abi.StretchWrite, uint64(stretch), uint64(in), uint64(len(samples)))
	return err
}

// StretchEnd says that no more samples will come.
func (i *Instance) StretchEnd(ctx context.Context, stretch Handle) error {
	_, err := i.call(ctx, i.abi.StretchEnd, uint64(stretch))
	return err
}

// StretchRead returns at most `most` samples; none: more input is needed, or it was the end.
func (i *Instance) StretchRead(ctx context.Context, stretch Handle, most int) ([]float32, error) {
	defer i.arena.release(ctx, i.arena.mark())
	out, err := i.arena.take(ctx, 4*most)
	if err != nil {
		return nil, err
	}
	written, err := i.answer(ctx, i.abi.StretchRead, uint64(stretch), uint64(out), uint64(most))
	if err != nil || written == 0 {
		return nil, err
	}
	samples := make([]float32, written)
	return samples, i.floats(out, samples)
}

// fill makes a call whose last argument is a place for a structure.
func (i *Instance) fill(ctx context.Context, value any, function api.Function, arguments ...uint64) error {
	place, err := i.arena.take(ctx, binary.Size(value))
	if err != nil {
		return err
	}
	if _, err := i.call(ctx, function, append(arguments, uint64(place))...); err != nil {
		return err
	}
	return i.structure(place, value)
}

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

func words(view []byte) []int32 {
	values := make([]int32, len(view)/4)
	for n := range values {
		values[n] = int32(binary.LittleEndian.Uint32(view[4*n:]))
	}
	return values
}

func toFloats(data []byte) []float32 {
	values := make([]float32, len(data)/4)
	for n := range values {
		values[n] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*n:]))
	}
	return values
}
