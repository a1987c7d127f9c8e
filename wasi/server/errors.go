// Why a request was refused, in one vocabulary that every door maps to its own answers.

package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

// Problem is a reason for a refusal.
type Problem string

// The problems.
const (
	Invalid      Problem = "invalid"        // a value that cannot be taken
	TextEmpty    Problem = "text_empty"     // nothing to speak
	TextTooLong  Problem = "text_too_long"  // more than Limits.TextChars, or one part that the model cannot take
	VoiceUnknown Problem = "voice_unknown"  // no voice of that name
	VoiceBroken  Problem = "voice_broken"   // a voice file or a recording that cannot be used
	VoiceRefused Problem = "voice_refused"  // a URL that this server does not fetch
	NoCloning    Problem = "no_cloning"     // the model, or this server, makes no voices from recordings
	TooLarge     Problem = "too_large"      // a body of more than Limits.UploadBytes
	TooMuchSound Problem = "too_much_sound" // the sound is longer than Limits.Sound
	TimeUp       Problem = "time_up"        // the request took longer than Limits.Time
	Unauthorized Problem = "unauthorized"   // no key, or a wrong one
	Forbidden    Problem = "forbidden"      // a Host or an Origin that is not let in
	Busy         Problem = "busy"           // the queue is full
	Loading      Problem = "loading"        // the model is not there yet
	Closed       Problem = "closed"         // the service ends
	Cancelled    Problem = "cancelled"      // the client has gone
	Failed       Problem = "failed"         // everything else: a fault of the server
)

// Status is the status of an HTTP answer.
func (p Problem) Status() int {
	switch p {
	case Invalid, TextEmpty, VoiceBroken, VoiceRefused:
		return http.StatusBadRequest
	case VoiceUnknown:
		return http.StatusNotFound
	case TextTooLong, TooLarge, TooMuchSound:
		return http.StatusRequestEntityTooLarge
	case NoCloning, Forbidden:
		return http.StatusForbidden
	case Unauthorized:
		return http.StatusUnauthorized
	case Busy:
		return http.StatusTooManyRequests
	case Loading, Closed, TimeUp:
		return http.StatusServiceUnavailable
	case Cancelled:
		return 499 // nobody reads it; logs do
	}
	return http.StatusInternalServerError
}

// Error is a refusal: a problem, and a sentence for the client that names nothing of the server's machine.
type Error struct {
	Problem Problem
	Message string
	cause   error // for logs, and for errors.Is
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.cause }

// messageBytes is enough for every sentence that this program has; values of clients, and names in their files, may be longer.
const messageBytes = 1000

// Refuse makes an Error of a sentence; what is too long of it is left out.
func Refuse(problem Problem, format string, arguments ...any) *Error {
	return &Error{Problem: problem, Message: Short(fmt.Sprintf(format, arguments...), messageBytes)}
}

// bySentinel is what errors of the engine mean to a client.
var bySentinel = []struct {
	sentinel error
	problem  Problem
}{
	{pockettts.ErrTextEmpty, TextEmpty}, {pockettts.ErrTextTooLong, TextTooLong}, {pockettts.ErrTextEncoding, Invalid},
	{pockettts.ErrVoice, VoiceBroken}, {pockettts.ErrAudio, VoiceBroken}, {pockettts.ErrCloning, NoCloning},
	{pockettts.ErrArgument, Invalid}, {pockettts.ErrBusy, Busy}, {pockettts.ErrClosed, Closed},
	{context.Canceled, Cancelled}, {context.DeadlineExceeded, TimeUp},
}

// Explain makes an Error of any error; nil of nil. What is not a client's business is "Internal Server Error" to them:
// the cause is for the log.
func Explain(err error) *Error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return known
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Error{TooLarge, fmt.Sprintf("expected at most %d bytes, found more", large.Limit), err}
	}
	for _, one := range bySentinel {
		if errors.Is(err, one.sentinel) {
			return &Error{one.problem, Short(err.Error(), messageBytes), err}
		}
	}
	return &Error{Failed, "Internal Server Error", err}
}
