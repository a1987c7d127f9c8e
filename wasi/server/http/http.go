// Package http is the HTTP interface of the reference's `serve`: GET /health, POST /tts with a WAV that streams, and a
// page at / that plays it. GET /metrics is for Prometheus.
//
// It differs from the reference where that is unsafe or misleading: voices are not fetched from URLs unless the operator
// allows it, the first sound is made before the status is sent, and a speech that fails later breaks the connection off,
// so that no client takes it for whole.
package http

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// Options of the door.
type Options struct {
	// Text stands in the page's box.
	Text string
	// Hold holds back the header and the sound until so much of it is there; 0 sends the first frame as it is made.
	Hold time.Duration
}

// New makes the door of a service.
func New(service *server.Service, options Options) http.Handler {
	d := &door{service: service, options: options}
	return service.Guard(d, server.Access{Door: "http", Open: d.open, Refuse: refuse})
}

type door struct {
	service *server.Service
	options Options
}

// open tells what needs no key: health, and the page with its parts.
func (d *door) open(r *http.Request) bool {
	_, page := pageFiles[r.URL.Path]
	return r.Method == http.MethodGet && (r.URL.Path == "/health" || r.URL.Path == "/" || page)
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, serve := http.MethodGet, http.HandlerFunc(nil)
	file, isPage := pageFiles[r.URL.Path]
	switch {
	case r.URL.Path == "/":
		serve = d.page
	case isPage:
		serve = file.serve
	case r.URL.Path == "/health":
		serve = d.health
	case r.URL.Path == "/metrics":
		serve = d.service.Metrics().ServeHTTP
	case r.URL.Path == "/tts":
		method, serve = http.MethodPost, d.tts
	default:
		detail(w, http.StatusNotFound, "Not Found")
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		detail(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	serve(w, r)
}

// health tells the truth: 200 only when there is speech.
func (d *door) health(w http.ResponseWriter, _ *http.Request) {
	status, state := http.StatusOK, "healthy"
	if err := d.service.Ready(); err != nil {
		status, state = http.StatusServiceUnavailable, string(server.Explain(err).Problem)
	}
	answer(w, status, map[string]string{"status": state})
}

// tts speaks. The form is read to its end before anything is said.
func (d *door) tts(w http.ResponseWriter, r *http.Request) {
	var request server.Request
	var speech *server.Speech
	err := d.service.ReadBody(w, r, func() (err error) {
		request, err = d.form(r)
		return err
	}, func() (err error) {
		speech, err = d.service.Speak(r.Context(), request)
		// As long as it is spoken, nobody needs what was sent.
		request, r.Form, r.PostForm, r.MultipartForm = server.Request{}, nil, nil, nil
		return err
	})
	if err != nil {
		refuse(w, r, server.Explain(err))
		return
	}
	defer speech.Close()
	first, err := speech.Next()
	if err != nil && err != io.EOF {
		refuse(w, r, server.Explain(err))
		return
	}
	header := w.Header()
	header.Set("Content-Type", "audio/wav")
	header.Set("Content-Disposition", "attachment; filename=generated_speech.wav")
	rate := speech.SampleRate()
	out := wav.NewWriter(d.service.Sink(w), uint32(rate), int(min(d.options.Hold, time.Hour).Seconds()*float64(rate)))
	for samples := first; err == nil; samples, err = speech.Next() {
		if wrong := out.Write(samples); wrong != nil {
			return // the client has gone, or reads too slowly
		}
	}
	if err != io.EOF {
		panic(http.ErrAbortHandler) // no last chunk: what was sent is not whole
	}
	_ = out.Close() // fails where the client has gone
}

// missing is the body of the reference for a form without a text.
const missing = `{"detail":[{"type":"missing","loc":["body","text"],"msg":"Field required","input":null}]}`

// errMissing asks for that body.
var errMissing = &server.Error{Problem: server.Invalid, Message: "Field required"}

// form reads what is asked for.
func (d *door) form(r *http.Request) (server.Request, error) {
	request := server.Request{Door: "http"}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "multipart/form-data":
		// All of a body that is not too large stays in memory.
		err = r.ParseMultipartForm(d.service.Limits().UploadBytes)
	case err == nil && kind == "application/x-www-form-urlencoded":
		err = r.ParseForm()
	default:
		return request, errMissing
	}
	if err != nil {
		if refusal := server.Explain(err); refusal.Problem != server.Failed {
			return request, refusal
		}
		return request, server.Refuse(server.Invalid, "There was an error parsing the body")
	}
	request.Text, request.Voice = r.PostFormValue("text"), r.PostFormValue("voice_url")
	var uploads int
	if r.MultipartForm != nil {
		files := r.MultipartForm.File["voice_wav"]
		if uploads = len(files); uploads > 0 {
			file, err := files[0].Open()
			if err != nil {
				return request, err
			}
			request.Upload = &server.Upload{Name: files[0].Filename, Data: file}
		}
	}
	switch {
	case request.Text == "":
		return request, errMissing
	case strings.TrimSpace(request.Text) == "":
		return request, server.Refuse(server.TextEmpty, "Text cannot be empty")
	case request.Voice != "" && uploads > 0:
		return request, server.Refuse(server.Invalid, "Cannot provide both voice_url and voice_wav")
	case uploads == 0 && r.PostFormValue("voice_wav") != "":
		return request, server.Refuse(server.Invalid, "voice_wav must be a file")
	case request.Voice != "" && !server.IsURL(request.Voice) && !d.service.HasVoice(request.Voice):
		return request, server.Refuse(server.Invalid, "voice_url must start with http://, https://, or hf://")
	}
	return request, nil
}

// refuse writes an error as the reference does.
func refuse(w http.ResponseWriter, _ *http.Request, err *server.Error) {
	if errors.Is(err, errMissing) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, missing)
		return
	}
	if err.Problem == server.Busy {
		w.Header().Set("Retry-After", "1")
	}
	detail(w, err.Problem.Status(), err.Message)
}

func detail(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]string{"detail": text})
}

func answer(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // strings always encode
	_, _ = io.WriteString(w, strings.TrimSuffix(text.String(), "\n"))
}
