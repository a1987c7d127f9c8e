// The sentinels for errors.Is: one for each status of the engine, and the few that only a host can have.

package pockettts

import (
	"errors"
	"fmt"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// What the engine refuses.
var (
	// ErrArgument is an option, or a number, that the call cannot take.
	ErrArgument = hub.ErrArgument
	// ErrHandle and ErrState are calls on a closed object or out of order; this package makes none.
	ErrHandle = errors.New("invalid handle")
	ErrState  = errors.New("call out of order")
	// ErrConfig is a configuration with an unknown key, a wrong type or an impossible shape.
	ErrConfig = pack.ErrConfig
	// ErrWeights is a broken weights file, or one that does not fit the configuration.
	ErrWeights = errors.New("broken weights")
	// ErrTokenizer is a tokenizer file that is not one, or not this model's.
	ErrTokenizer = errors.New("broken tokenizer")
	// ErrVoice is a voice file that is broken or made for another model.
	ErrVoice = errors.New("broken voice")
	// ErrAudio is audio that cannot be read, is too short, too long, or not a number.
	ErrAudio = errors.New("unusable audio")
	// ErrCloning says that this model cannot make voices from audio.
	ErrCloning = errors.New("no voice cloning")
	// ErrTextEmpty is a text with nothing left to speak.
	ErrTextEmpty = errors.New("empty text")
	// ErrTextEncoding is a text that is not UTF-8.
	ErrTextEncoding = errors.New("broken text encoding")
	// ErrTextTooLong is a text, or one unbreakable part of it, over the limit.
	ErrTextTooLong = errors.New("text too long")
	// ErrMemory says that Options.MaxMemory is reached.
	ErrMemory = errors.New("out of memory")
	// ErrNumeric says that the model produced something that is not a number.
	ErrNumeric = errors.New("not a number")
)

// What the host refuses.
var (
	// ErrClosed is a use after Close.
	ErrClosed = errors.New("closed")
	// ErrBusy says that Options.MaxStreams streams are open and Options.MaxQueue calls wait for one of them to end.
	ErrBusy = errors.New("busy")
	// ErrCrashed says that the sandboxed engine trapped. Streams that were open end with it; the next call to the
	// Engine loads the model anew in a fresh instance.
	ErrCrashed = guest.ErrCrashed
	// ErrPack is a broken pack.json, or a file that is not the one it names (size, sha256).
	ErrPack = pack.ErrPack
	// ErrNotFound is a pack, a file or a voice that is not there.
	ErrNotFound = pack.ErrNotFound
	// ErrNetwork is a file that would have to be fetched and cannot be: no answer, an error, or Options.Offline.
	ErrNetwork = pack.ErrNetwork
	// ErrUnsupported is what this version, or this platform, cannot do.
	ErrUnsupported = pack.ErrUnsupported
	// ErrNoEnd is a sentence that the model did not end before its length limit (SpeakOptions.RequireEnd).
	ErrNoEnd = errors.New("no end of speech")
)

// byStatus is the table of pocket_tts.h, in its order: the first is status -1.
var byStatus = [...]error{
	ErrArgument, ErrHandle, ErrState, ErrConfig, ErrWeights, ErrTokenizer, ErrVoice, ErrAudio, ErrCloning,
	ErrTextEmpty, ErrTextEncoding, ErrTextTooLong, ErrMemory, ErrNumeric,
}

// refusal is a status of the engine with its sentinel.
type refusal struct {
	sentinel error
	subject  string // the file or voice that it is about, if any
	message  string // of the engine
}

func (r *refusal) Error() string {
	if r.subject == "" {
		return r.message
	}
	return r.subject + ": " + r.message
}

func (r *refusal) Unwrap() error { return r.sentinel }

// explain gives an error of the guest its sentinel and says what it is about. Other errors pass unchanged, wrapped
// with the subject unless they name one themselves.
func explain(err error, subject string) error {
	var status *guest.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		sentinel := ErrState // a status of a newer engine
		if n := -int(status.Status) - 1; n >= 0 && n < len(byStatus) {
			sentinel = byStatus[n]
		}
		return &refusal{sentinel, subject, status.Error()}
	case errors.Is(err, guest.ErrUnsupported):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.Is(err, ErrCrashed) && subject != "":
		return fmt.Errorf("%s: %w", subject, err)
	}
	return err
}
