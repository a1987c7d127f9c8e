// Package openai is the speech interface of OpenAI's API: POST /v1/audio/speech, GET /v1/models, and the lists of voices
// that other servers have made a custom (/v1/voices, /v1/audio/voices, /voices).
//
// Formats are wav, pcm and flac. There is no encoder for mp3, opus and aac: asking for one of them is an error, and a
// request that names no format, which means mp3 to OpenAI, gets a WAV that says that it is one.
package openai

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// Options of the door.
type Options struct {
	// Model is the name of the loaded model in lists, besides pocket-tts. Empty: that of its pack.
	Model string
	// OtherModels are names that mean models which are not loaded: asking for one is an error, while any other name
	// means the loaded one.
	OtherModels []string
	// InputChars is the longest input in code points; 0 is 4096, as OpenAI has it. Limits.TextChars bounds it.
	InputChars int
}

// The limits that are not options.
const (
	inputChars       = 4096
	instructionChars = 4096
	requestBytes     = 1 << 20
	// wholeSound bounds answers that are kept in memory until they are complete ("stream": false): 29 MB.
	wholeSound = 10 * time.Minute
)

const modelName = "pocket-tts"

// New makes the door of a service.
func New(service *server.Service, options Options) http.Handler {
	if options.InputChars == 0 {
		options.InputChars = inputChars
	}
	options.InputChars = min(options.InputChars, service.Limits().TextChars)
	d := &door{service: service, options: options, created: time.Now().Unix()}
	return service.Guard(d, server.Access{Door: "openai", Refuse: refuse})
}

// Owns tells whether a path is one of this door's, where it shares a listener with others.
func Owns(path string) bool { return strings.HasPrefix(path, "/v1/") || path == "/voices" }

type door struct {
	service *server.Service
	options Options
	created int64
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, serve := http.MethodGet, http.HandlerFunc(nil)
	path := r.URL.Path
	switch {
	case path == "/v1/audio/speech":
		method, serve = http.MethodPost, d.speech
	case path == "/v1/audio/voices" && r.Method == http.MethodPost:
		write(w, http.StatusNotImplemented, failure("Voices cannot be uploaded here.", "invalid_request_error", ""))
		return
	case path == "/v1/voices" || path == "/v1/audio/voices" || path == "/voices":
		serve = d.voices
	case path == "/v1/models":
		serve = d.models
	case strings.HasPrefix(path, "/v1/models/"):
		serve = d.model
	default:
		write(w, http.StatusNotFound, failure("There is no "+r.Method+" "+path+" here.", "invalid_request_error", ""))
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		write(w, http.StatusMethodNotAllowed, failure("Expected "+method+", found "+r.Method+".", "invalid_request_error", ""))
		return
	}
	serve(w, r)
}

// speech answers POST /v1/audio/speech.
func (d *door) speech(w http.ResponseWriter, r *http.Request) {
	var asked request
	var speech *server.Speech
	err := d.service.ReadBody(w, r, func() error {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytes))
		if err == nil {
			asked, err = d.read(data)
		}
		return err
	}, func() (err error) {
		speech, err = d.service.Speak(r.Context(), server.Request{
			Door: "openai", Text: asked.input, Voice: d.voiceNamed(asked.voice), Rate: asked.speed, TextChars: d.options.InputChars,
		})
		return err
	})
	if err != nil {
		refuseWith(w, err)
		return
	}
	defer speech.Close()
	first, err := speech.Next()
	if err != nil && err != io.EOF {
		refuseWith(w, err)
		return
	}
	switch {
	case asked.events:
		d.sendEvents(w, speech, asked, first, err)
	case asked.whole:
		d.sendWhole(w, speech, asked, first, err)
	default:
		d.sendStream(w, speech, asked, first, err)
	}
}

// sendStream writes sound while it is made. What fails breaks the body off.
func (d *door) sendStream(w http.ResponseWriter, speech *server.Speech, asked request, samples []float32, err error) {
	w.Header().Set("Content-Type", asked.format.contentType)
	sink := d.service.Sink(w)
	encoder := asked.format.stream(speech.SampleRate())
	for ; ; samples, err = speech.Next() {
		var data []byte
		var broken error
		if err == nil {
			data, broken = encoder.write(samples)
		} else if err == io.EOF {
			data, broken = encoder.end()
		}
		if broken != nil || err != nil && err != io.EOF {
			panic(http.ErrAbortHandler)
		}
		if len(data) > 0 {
			if _, gone := sink.Write(data); gone != nil {
				return
			}
		}
		if err == io.EOF {
			return
		}
	}
}

// sendWhole makes all of the sound, and then sends it with its length.
func (d *door) sendWhole(w http.ResponseWriter, speech *server.Speech, asked request, samples []float32, err error) {
	encoder := asked.format.file(speech.SampleRate())
	for ; err == nil; samples, err = speech.Next() {
		if err = encoder.write(samples); err == nil && speech.Duration() > wholeSound {
			err = server.Refuse(server.TooMuchSound, "the speech is longer than %s: leave \"stream\" out", wholeSound)
		}
		if err != nil {
			break
		}
	}
	var data []byte
	if err == io.EOF {
		data, err = encoder.end()
	}
	if err != nil {
		refuseWith(w, err)
		return
	}
	w.Header().Set("Content-Type", asked.format.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = d.service.Sink(w).Write(data) // fails where the client has gone
}

// sendEvents writes the sound as server-sent events: deltas, then done or an error.
func (d *door) sendEvents(w http.ResponseWriter, speech *server.Speech, asked request, samples []float32, err error) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	sink := d.service.Sink(w)
	send := func(event any) bool {
		data, _ := json.Marshal(event) // of structures that always encode
		_, gone := sink.Write(slices.Concat([]byte("data: "), data, []byte("\n\n")))
		return gone == nil
	}
	encoder := asked.format.stream(speech.SampleRate())
	for ; ; samples, err = speech.Next() {
		var data []byte
		var broken error
		if err == nil {
			data, broken = encoder.write(samples)
		} else if err == io.EOF {
			data, broken = encoder.end()
		}
		if broken != nil {
			err = broken
		}
		if len(data) > 0 && !send(delta{"speech.audio.delta", base64.StdEncoding.EncodeToString(data)}) {
			return
		}
		switch {
		case err == io.EOF:
			in, out := speech.Tokens(), speech.Frames()
			send(done{"speech.audio.done", usage{in, out, in + out}})
			return
		case err != nil:
			_, body := explain(server.Explain(err))
			send(failed{"error", body.Error})
			return
		}
	}
}

type delta struct {
	Type  string `json:"type"`
	Audio string `json:"audio"`
}

type done struct {
	Type  string `json:"type"`
	Usage usage  `json:"usage"`
}

type usage struct {
	Input  int `json:"input_tokens"`  // of the text
	Output int `json:"output_tokens"` // frames
	Total  int `json:"total_tokens"`
}

type failed struct {
	Type  string    `json:"type"`
	Error errorBody `json:"error"`
}

// aliases are the voices of OpenAI's API, and what stands for them where there is no voice of that name. None: the
// service's own choice.
var aliases = map[string]string{
	"alloy": "alba", "echo": "jean", "fable": "fantine", "onyx": "cosette", "nova": "eponine", "shimmer": "azelma",
	"ash": "", "ballad": "", "coral": "", "sage": "", "verse": "", "marin": "", "cedar": "",
}

// voiceNamed resolves aliases. What is neither a voice nor an alias is left to be refused.
func (d *door) voiceNamed(name string) string {
	alias, known := aliases[name]
	if !known || d.service.HasVoice(name) {
		return name
	}
	if alias == "" || !d.service.HasVoice(alias) {
		d.service.Log().Info("The default voice speaks for one of OpenAI's", slog.String("voice", name))
		return ""
	}
	return alias
}
