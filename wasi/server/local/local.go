// Package local is the door that browser extensions and pages look for on port 9527: a server on the same machine that
// speaks for them while it is there. A text goes in as JSON, a WAV file comes back, or the URL of one.
//
//	curl localhost:9527/synthesize -d '{"text": "Hello."}' --output hello.wav
//
// The files have their true sizes and no silence at the end; they are sent when they are whole. A server of this kind
// keeps what it has said for an hour: here in memory, at most 64 MiB, under names that nobody can guess.
package local

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// Options of the door.
type Options struct {
	// Version is that of the program, for GET /.
	Version string
}

const (
	requestBytes = 1 << 20
	// wholeSound bounds answers, which are in memory until they are complete: 29 MB.
	wholeSound = 10 * time.Minute
	cacheBytes = 64 << 20
	cacheTime  = time.Hour
)

// New makes the door of a service.
func New(service *server.Service, options Options) http.Handler {
	d := &door{service: service, options: options, said: newCache(cacheBytes, cacheTime)}
	return service.Guard(d, server.Access{Door: "local", Open: open, Refuse: refuse})
}

type door struct {
	service *server.Service
	options Options
	said    *cache
}

// open tells what needs no key.
func open(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/" || r.URL.Path == "/health")
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, serve := http.MethodGet, http.HandlerFunc(nil)
	switch {
	case r.URL.Path == "/":
		serve = d.about
	case r.URL.Path == "/health":
		serve = d.health
	case r.URL.Path == "/synthesize":
		method, serve = http.MethodPost, d.synthesize
	case r.URL.Path == "/models/download":
		method, serve = http.MethodPost, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusNotImplemented, result{Error: "Models cannot be fetched through this server: pocket-tts packs pull NAME does that."})
		}
	case strings.HasPrefix(r.URL.Path, "/audio/"):
		serve = d.audio
	default:
		answer(w, http.StatusNotFound, problem{"There is no " + r.Method + " " + r.URL.Path + " here."})
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		answer(w, http.StatusMethodNotAllowed, problem{"Expected " + method + ", found " + r.Method + "."})
		return
	}
	serve(w, r)
}

// result is the frame of the answers about the server itself.
type result struct {
	Success bool   `json:"success"`
	Data    any    `json:"data,omitempty"`
	Error   string `json:"error,omitempty"`
}

// problem is the body of every other error.
type problem struct {
	Error string `json:"error"`
}

type about struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Status    string `json:"status"`
	Framework string `json:"framework"`
}

func (d *door) about(w http.ResponseWriter, _ *http.Request) {
	status := "running"
	if err := d.service.Ready(); err != nil {
		status = string(server.Explain(err).Problem)
	}
	answer(w, http.StatusOK, result{Success: true, Data: about{"TTS Server", d.options.Version, status, "pocket-tts"}})
}

// health tells the truth: clients speak by themselves while this is no success.
func (d *door) health(w http.ResponseWriter, _ *http.Request) {
	if err := d.service.Ready(); err != nil {
		refusal := server.Explain(err)
		answer(w, refusal.Problem.Status(), result{Error: refusal.Message})
		return
	}
	answer(w, http.StatusOK, result{Success: true, Data: "healthy"})
}

// synthesize answers with a WAV file, or with the URL of one.
func (d *door) synthesize(w http.ResponseWriter, r *http.Request) {
	var asked request
	var chosen choice
	var found *entry
	var speech *server.Speech
	err := d.service.ReadBody(w, r, func() error {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytes))
		if err == nil {
			asked, err = read(data)
		}
		return err
	}, func() (err error) {
		if err := d.service.Ready(); err != nil {
			return err
		}
		if chosen = d.choose(asked.voice); chosen.other {
			d.service.Log().Info("Another voice speaks than was asked for", slog.String("asked", server.Short(asked.voice, 80)), slog.String("voice", chosen.name))
		}
		if found = d.said.find(d.key(asked, chosen)); found != nil {
			return nil
		}
		speech, err = d.service.Speak(r.Context(), server.Request{Door: "local", Text: asked.text, Voice: chosen.ask, Rate: asked.speed, Seed: asked.seed})
		return err
	})
	cached := found != nil
	if err == nil && !cached {
		defer speech.Close()
		var file []byte
		if file, err = whole(speech); err == nil {
			found = d.said.add(d.key(asked, chosen), file)
		}
	}
	if err != nil {
		refuse(w, r, server.Explain(err))
		return
	}
	header := w.Header()
	if chosen.name != "" {
		header.Set("X-Voice", chosen.name)
		header.Add("Access-Control-Expose-Headers", "X-Voice")
	}
	if asked.url == nil && wantsJSON(r.Header) || asked.url != nil && *asked.url {
		answer(w, http.StatusOK, struct {
			ID     string `json:"file_id"`
			URL    string `json:"url"`
			Cached bool   `json:"cached"`
		}{found.id, address(r) + "/audio/" + found.id + ".wav", cached})
		return
	}
	header.Set("Content-Type", "audio/wav")
	header.Set("Content-Length", strconv.Itoa(len(found.data)))
	_, _ = d.service.Sink(w).Write(found.data) // fails where the client has gone
}

// whole makes a file of a speech.
func whole(speech *server.Speech) ([]byte, error) {
	file := make([]byte, wav.HeaderBytes)
	for {
		samples, err := speech.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if file = wav.AppendPCM(file, samples); speech.Duration() > wholeSound || len(file) > cacheBytes {
			return nil, server.Refuse(server.TooMuchSound, "the speech is longer than %s: ask for it in parts", wholeSound)
		}
	}
	wav.AppendHeader(file[:0], uint32(speech.SampleRate()), uint32(len(file)-wav.HeaderBytes))
	return bytes.Clone(file), nil // what is kept is no longer than it is
}

// key is of everything that the sound depends on.
func (d *door) key(asked request, chosen choice) [sha256.Size]byte {
	model := d.service.Engine().Info()
	data, _ := json.Marshal([]any{model.Name, model.Precision, model.EngineVersion, chosen.ask, chosen.name, chosen.changed, asked.text, asked.seed, asked.speed}) // always encodes
	return sha256.Sum256(data)
}

// wantsJSON tells whether a client lists JSON, and no sound, among what it accepts.
func wantsJSON(header http.Header) bool {
	listed := false
	for _, line := range header.Values("Accept") {
		for one := range strings.SplitSeq(line, ",") {
			kind, parameters, err := mime.ParseMediaType(one)
			if err != nil || strings.Trim(parameters["q"], "0.") == "" && parameters["q"] != "" {
				continue
			}
			if strings.HasPrefix(kind, "audio/") {
				return false
			}
			listed = listed || kind == "application/json"
		}
	}
	return listed
}

// address is what the client calls this server.
func address(r *http.Request) string {
	scheme, host := "http://", r.Host
	if r.TLS != nil {
		scheme = "https://"
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && host == "" {
		host = local.String()
	}
	return scheme + host
}

// audio answers GET /audio/ID.wav, also in ranges.
func (d *door) audio(w http.ResponseWriter, r *http.Request) {
	id, isWAV := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/audio/"), ".wav")
	if !isWAV {
		answer(w, http.StatusBadRequest, problem{"Expected /audio/ID.wav: this server writes nothing but WAV."})
		return
	}
	found := d.said.named(id)
	if found == nil {
		answer(w, http.StatusNotFound, problem{"There is no such file here, or not any more: files are kept for an hour at most."})
		return
	}
	w.Header().Set("Content-Type", "audio/wav")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(paced{w, d.service.Sink(w)}, r, "", time.Time{}, bytes.NewReader(found.data))
}

// paced is an answer whose body goes through a sink: who does not read it is cut off.
type paced struct {
	http.ResponseWriter
	sink io.Writer
}

func (p paced) Write(data []byte) (int, error) { return p.sink.Write(data) }

func refuse(w http.ResponseWriter, _ *http.Request, err *server.Error) {
	if err.Problem == server.Busy || err.Problem == server.Loading {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, err.Problem.Status(), problem{err.Message})
}

func answer(w http.ResponseWriter, status int, body any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // structures that always encode
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}
