// What is answered: JSON, and errors in the form of the API.

package voicereader

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// Codes of errors. The last three are not in the protocol: nobody needs them while all goes well.
const (
	codeInvalid      = "INVALID_REQUEST"
	codeEmpty        = "EMPTY_TEXT"
	codeAudio        = "INVALID_AUDIO"
	codeClone        = "VOICE_CLONE_FAILED"
	codeUnauthorized = "UNAUTHORIZED"
	codeForbidden    = "FORBIDDEN"
	codeVoice        = "VOICE_NOT_FOUND"
	codeJob          = "JOB_NOT_FOUND"
	codeModel        = "MODEL_NOT_READY"
	codeProgress     = "JOB_IN_PROGRESS"
	codeInference    = "INFERENCE_FAILED" // in a JOB_ERROR only
	codeNotFound     = "NOT_FOUND"
	codeBusy         = "BUSY"
	codeInternal     = "INTERNAL_ERROR"
)

// refusal is an error of the API.
type refusal struct {
	status        int
	code, message string
	details       map[string]any
}

func (r *refusal) Error() string { return r.message }

// explain finds the words of the API for any error.
func explain(err error) *refusal {
	var known *refusal
	if errors.As(err, &known) {
		return known
	}
	problem := server.Explain(err)
	status, code := problem.Problem.Status(), codeInternal
	switch problem.Problem {
	case server.Invalid, server.TextTooLong, server.TooLarge, server.TooMuchSound:
		code = codeInvalid
	case server.TextEmpty:
		code = codeEmpty
	case server.VoiceUnknown:
		code = codeVoice
	case server.VoiceBroken, server.VoiceRefused:
		code = codeAudio
	case server.NoCloning, server.Loading, server.Closed:
		status, code = http.StatusConflict, codeModel
	case server.Unauthorized:
		code = codeUnauthorized
	case server.Forbidden:
		code = codeForbidden
	case server.Busy, server.TimeUp:
		code = codeBusy
	}
	return &refusal{status, code, problem.Message, nil}
}

type errorBody struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details"`
}

// body is an error as clients read it: details are an object, also when there are none.
func (r *refusal) body() errorBody {
	details := r.details
	if details == nil {
		details = map[string]any{}
	}
	return errorBody{r.code, r.message, details}
}

func refuse(w http.ResponseWriter, err error) {
	refusal := explain(err)
	if refusal.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, refusal.status, map[string]errorBody{"error": refusal.body()})
}

func answer(w http.ResponseWriter, status int, body any) {
	data := encode(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // fails where the client has gone
}

// encode writes what this package has made, which JSON can always hold.
func encode(body any) []byte {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
	return bytes.TrimSuffix(data.Bytes(), []byte("\n"))
}
