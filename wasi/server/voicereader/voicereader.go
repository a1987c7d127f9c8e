// Package voicereader is the door of VoiceReader's engine API: a text becomes a job, whose sound comes over a WebSocket,
// cut at its sentences, each piece with the range of the text that it speaks.
//
//	POST /v1/speak {"text":"Hello there."}  -> {"job_id":"...","ws_url":"ws://127.0.0.1:8765/v1/stream/..."}
//	GET  /v1/stream/{job_id}                <- JOB_STARTED, AUDIO_CHUNK..., JOB_DONE or JOB_CANCELED or JOB_ERROR
//
// One job is spoken at a time, and a new one ends the one before it. What was said of the last jobs is kept: whoever comes late
// hears all of it. Voices that are made from recordings are kept in a folder.
//
// It is the API of an engine that had several models and loaded them itself. Here the model is the service's: backends and models
// are accepted by their names there, and what cannot be had is refused with MODEL_NOT_READY.
package voicereader

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// Version is the version of the engine API that this door speaks, as GET /v1/health has it.
const Version = "0.2.0"

// DefaultModel is the name of the model that the engine before this one had, which clients go on asking for.
const DefaultModel = "Verylicious/pocket-tts-ungated"

// Options of the door.
type Options struct {
	// Token must come with every request. It is needed, also where the service has no key.
	Token string
	// DataDir holds the folder voices, with a folder for each voice that was made. It is made where it is missing.
	DataDir string
	// ClonePaths are folders besides DataDir from which a client may have recordings read, by path.
	ClonePaths []string
	// Voice is what voice "0" speaks with: the name of a voice of the service. One that is not there, and none, is the
	// service's own choice.
	Voice string
	// Models are names that clients may activate the model by, besides its own and DefaultModel.
	Models []string
	// Backend is the backend that was asked for: auto, kyutai, qwen or mock. All of them are answered with the service's
	// model; health says so.
	Backend string

	// WarmUp speaks WarmUpText once when the model is there, so that the first job does not wait for what is made then.
	WarmUp     bool
	WarmUpText string // empty: "Engine warmup sentence."

	// Prefetch fetches the model's files and says where they lie, by name. nil: there is nothing to fetch.
	Prefetch func(context.Context) (map[string]string, error)
}

// Door is an http.Handler. It must be closed, before its service.
type Door struct {
	service *server.Service
	options Options
	handler http.Handler
	voices  *store
	folders []string // from which recordings are read
	places  chan struct{}
	warmth  warmth

	ctx    context.Context // of jobs; ends with Close
	cancel context.CancelFunc
	group  sync.WaitGroup
	quit   chan struct{}
	leave  func() // closes quit

	mu      sync.Mutex
	closed  bool
	jobs    []*job // the newest last
	active  *job
	voice   string // that was asked for as voice "0"; one that is not there is the service's
	backend string // that was asked for
}

// New opens the folder of voices, and takes away what a process that was killed has left there unfinished.
func New(service *server.Service, options Options) (*Door, error) {
	switch {
	case options.Token == "":
		return nil, fmt.Errorf("%w: Token: expected a token, found an empty text", pockettts.ErrArgument)
	case options.DataDir == "":
		return nil, fmt.Errorf("%w: DataDir: expected a folder, found an empty text", pockettts.ErrArgument)
	case options.Backend != "" && !slices.Contains(backends, options.Backend):
		return nil, fmt.Errorf("%w: Backend: expected one of %q, found %q", pockettts.ErrArgument, backends, options.Backend)
	}
	d := &Door{service: service, options: options, places: make(chan struct{}, subscribers), quit: make(chan struct{}), backend: options.Backend}
	d.leave = sync.OnceFunc(func() { close(d.quit) })
	var err error
	if d.options.DataDir, err = filepath.Abs(options.DataDir); err != nil {
		return nil, fmt.Errorf("%w: DataDir %s: %w", pockettts.ErrArgument, options.DataDir, err)
	}
	if d.voices, err = openStore(filepath.Join(d.options.DataDir, "voices"), service.Log()); err != nil {
		return nil, fmt.Errorf("%w: DataDir %s: %w", pockettts.ErrArgument, options.DataDir, err)
	}
	if err := d.allow(append([]string{d.options.DataDir}, options.ClonePaths...)); err != nil {
		return nil, errors.Join(err, d.voices.close())
	}
	if d.options.WarmUpText == "" {
		d.options.WarmUpText = "Engine warmup sentence."
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.warmth.state.Status = warmthNone
	d.voice = options.Voice
	d.handler = service.Guard(d.routes(), server.Access{
		Door: "voicereader", Key: options.Token,
		Open: func(r *http.Request) bool {
			return isStream(r.URL.Path) && server.SameKey(protocolKey(r.Header), options.Token)
		},
		Refuse: func(w http.ResponseWriter, _ *http.Request, err *server.Error) { refuse(w, err) },
	})
	if options.WarmUp {
		d.warmAtStart()
	}
	return d, nil
}

// allow remembers the folders from which recordings are read, as they are given and as links lead to them.
func (d *Door) allow(folders []string) error {
	for _, folder := range folders {
		absolute, err := filepath.Abs(folder)
		if err != nil {
			return fmt.Errorf("%w: ClonePaths %s: %w", pockettts.ErrArgument, folder, err)
		}
		resolved, err := filepath.EvalSymlinks(absolute)
		if err != nil {
			return fmt.Errorf("%w: ClonePaths %s: %w", pockettts.ErrArgument, folder, reason(err))
		}
		if info, err := os.Stat(resolved); err != nil || !info.IsDir() {
			return fmt.Errorf("%w: ClonePaths %s: expected a folder", pockettts.ErrArgument, folder)
		}
		d.folders = append(d.folders, absolute, resolved)
	}
	return nil
}

func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// handler answers with something for JSON, or with an error.
type handler func(w http.ResponseWriter, r *http.Request) (any, error)

// routes are the paths of the API, all behind the token.
func (d *Door) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, methods := range map[string]map[string]handler{
		"/v1/health":             {http.MethodGet: d.health},
		"/v1/voices":             {http.MethodGet: d.listVoices},
		"/v1/voices/clone":       {http.MethodPost: d.withBody(d.clone)},
		"/v1/voices/{id}":        {http.MethodPatch: d.withBody(d.changeVoice), http.MethodDelete: d.deleteVoice},
		"/v1/speak":              {http.MethodPost: d.withBody(d.speak)},
		"/v1/cancel":             {http.MethodPost: d.withBody(d.cancelJob)},
		"/v1/jobs/{id}/playback": {http.MethodPost: d.withBody(d.playback)},
		"/v1/warmup":             {http.MethodPost: d.withBody(d.warmUp)},
		"/v1/models/activate":    {http.MethodPost: d.withBody(d.activate)},
		"/v1/models/prefetch":    {http.MethodPost: d.withBody(d.prefetch)},
		"/v1/quit":               {http.MethodPost: d.quitNow},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			serve, ok := methods[r.Method]
			if !ok {
				for method := range methods {
					w.Header().Add("Allow", method)
				}
				refuse(w, &refusal{http.StatusMethodNotAllowed, codeInvalid, "Method Not Allowed", nil})
				return
			}
			body, err := serve(w, r)
			if err != nil {
				d.report(err)
				refuse(w, err)
				return
			}
			answer(w, http.StatusOK, body)
		})
	}
	mux.HandleFunc(streamPath+"{id}", d.stream)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, &refusal{http.StatusNotFound, codeNotFound, "Not Found", nil})
	})
	return mux
}

// report tells the operator of faults that the client hears nothing of.
func (d *Door) report(err error) {
	if explain(err).code == codeInternal {
		d.service.Log().Error("VoiceReader: a request failed", "error", reason(err))
	}
}

// quitNow lets Serve end.
func (d *Door) quitNow(http.ResponseWriter, *http.Request) (any, error) {
	d.service.Log().Info("VoiceReader: a client has asked for the end")
	d.leave()
	return map[string]bool{"quitting": true}, nil
}

// Quit is closed when a client has asked for the end (POST /v1/quit). Serve ends by itself then; a program that mounts the
// door in a server of its own decides what it does.
func (d *Door) Quit() <-chan struct{} { return d.quit }

// ErrQuit is why Serve has ended when a client asked for it.
var ErrQuit = errors.New("a client has asked for the end")

// Serve answers on a listener until the context ends, when it returns nil, or a client asks for the end: ErrQuit. It closes
// the listener and the door.
func (d *Door) Serve(ctx context.Context, listener net.Listener) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-d.quit:
			cancel()
		case <-serving.Done():
		}
	}()
	err := d.service.Serve(serving, listener, d)
	quits := ctx.Err() == nil && err == nil
	if err := errors.Join(err, d.Close()); err != nil || !quits {
		return err
	}
	return ErrQuit
}

// Close ends the job that is spoken, at its next frame. Requests that come later are refused.
func (d *Door) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	if d.active != nil {
		d.active.stop()
	}
	d.mu.Unlock()
	d.cancel()
	d.group.Wait()
	return d.voices.close()
}
