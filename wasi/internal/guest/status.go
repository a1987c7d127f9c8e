// What a call may answer: the statuses of pocket_tts.h, its structures, and the errors that this package makes of them.

package guest

import (
	"errors"
	"fmt"
)

// Status is a ptts_status. Negative ones are errors.
type Status int32

// The statuses of pocket_tts.h.
const (
	OK       Status = 0
	ChunkEnd Status = 1 // SessionStep: this chunk is complete, no latent was written
	Done     Status = 2 // SessionStep: the text is complete, no latent was written

	StatusArgument     Status = -1
	StatusHandle       Status = -2
	StatusState        Status = -3
	StatusConfig       Status = -4
	StatusWeights      Status = -5
	StatusTokenizer    Status = -6
	StatusVoice        Status = -7
	StatusAudio        Status = -8
	StatusCloning      Status = -9
	StatusTextEmpty    Status = -10
	StatusTextEncoding Status = -11
	StatusTextTooLong  Status = -12
	StatusMemory       Status = -13
	StatusNumeric      Status = -14
)

// Error is a call that the engine refused.
type Error struct {
	Status  Status
	Name    string // "PTTS_ERROR_WEIGHTS"
	Message string // what was expected and what was found
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message
}

// ErrCrashed is wrapped by the error of a call in which the guest trapped. The instance must not be used again;
// every later call answers the same.
var ErrCrashed = errors.New("the engine crashed")

// ErrUnsupported says that wazero has no compiler for this machine. Its interpreter is about a hundred times
// slower, which would look like a hang: it is never used.
var ErrUnsupported = errors.New("no WebAssembly compiler for this platform")

// crashed keeps the reason of a trap, without the stack of the guest.
func crashed(cause error) error { return fmt.Errorf("%w: %s", ErrCrashed, firstLine(cause)) }

// Handle is an object of the engine; 0 is none.
type Handle uint32

// Parts of a model that PackOpen can load.
const (
	PartFlowLM      uint32 = 1
	PartMimiDecoder uint32 = 2
	PartMimiEncoder uint32 = 4
	PartAll         uint32 = 7
)

// Working precisions.
const (
	PrecisionF32 uint32 = 0
	PrecisionQ8  uint32 = 1
	PrecisionQ4  uint32 = 2
)

// Kinds of tokenizer files.
const (
	TokenizerSentencePiece uint32 = 0
	TokenizerJSON          uint32 = 1
)

// Kinds of weights files.
const (
	FileBundle uint32 = 0
	FileFlowLM uint32 = 1
	FileMimi   uint32 = 2
)

// Random streams.
const (
	RNGChunk uint32 = 0
	RNGTorch uint32 = 1
)

// The structures below have the fields of their namesakes in pocket_tts.h in the same order and of the same size;
// wasm/wasi.cpp asserts that there is no padding, so encoding/binary can read and write them as they are.

// ModelInfo is a ptts_model_info.
type ModelInfo struct {
	SampleRate      uint32
	SamplesPerFrame uint32
	LatentWidth     uint32
	Vocabulary      uint32
	Parts           uint32
	Precision       uint32
	CanClone        uint32
	Layers          uint32
	HiddenWidth     uint32
	Reserved        uint32
	WeightBytes     uint64
}

// Options is a ptts_options.
type Options struct {
	Seed           uint64
	Temperature    float32
	EOSThreshold   float32
	NoiseClamp     float32
	DecodeSteps    int32
	FramesAfterEOS int32
	MaxTokens      int32
	RNG            uint32
	DiscardDraws   uint32
}

// Event is a ptts_event.
type Event struct {
	Chunk     uint32
	Step      uint32
	EOSLogit  float32
	EOS       uint32
	Truncated uint32
}

// Chunk is a ptts_chunk.
type Chunk struct {
	Tokens         uint32
	FramesAfterEOS uint32
	MaxFrames      uint32
	TextBegin      uint32
	TextEnd        uint32
	OverLimit      uint32
}
