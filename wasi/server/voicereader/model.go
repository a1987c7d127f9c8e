// The model: what is loaded, how warm it is, and what clients may ask of it.

package voicereader

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// backends are those that clients know. All but qwen are answered with the model that is loaded.
var backends = []string{"auto", "kyutai", "qwen", "mock"}

// backendID is the backend that speaks, whichever was asked for.
const backendID = "kyutai_pocket_tts"

// The states of a warm-up.
const (
	warmthNone    = "not_started"
	warmthRunning = "running"
	warmthReady   = "ready"
	warmthError   = "error"
)

// warmState is what clients are told of it. Times are those of the last run.
type warmState struct {
	Status    string     `json:"status"`
	Runs      int        `json:"runs"`
	Reason    *string    `json:"last_reason"`
	Started   *time.Time `json:"last_started_at"`
	Completed *time.Time `json:"last_completed_at"`
	Took      *int64     `json:"last_duration_ms"`
	Error     *string    `json:"last_error"`
}

type warmth struct {
	mu      sync.Mutex
	state   warmState
	running chan struct{} // closed when the run has ended; nil where there is none
}

func (w *warmth) snapshot() warmState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// underWay is closed when the run under way has ended; nil where there is none.
func (w *warmth) underWay() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == nil {
		return nil
	}
	return w.running
}

// cool forgets the runs so far.
func (w *warmth) cool() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == nil {
		w.state = warmState{Status: warmthNone}
	}
}

type runtimeState struct {
	Backend  string    `json:"backend"`
	Loaded   bool      `json:"model_loaded"`
	Fallback bool      `json:"fallback_active"`
	Detail   *string   `json:"detail"`
	Default  bool      `json:"supports_default_voice"`
	Cloned   bool      `json:"supports_cloned_voices"`
	WarmUp   warmState `json:"warmup"`
}

func (d *Door) runtime() runtimeState {
	d.mu.Lock()
	backend := d.backend
	d.mu.Unlock()
	detail := "The model is loading"
	if id := d.modelID(); id != "" {
		detail = fmt.Sprintf("model=%s, default_voice=%s", id, d.voiceName())
	}
	switch backend {
	case "mock":
		detail += "; mock was asked for"
	case "qwen":
		detail += "; qwen was asked for, which this engine has not"
	}
	ready := d.service.Ready() == nil
	return runtimeState{
		Backend: backendID, Loaded: ready, Fallback: backend == "qwen", Detail: &detail, Default: true, Cloned: ready, WarmUp: d.warmth.snapshot(),
	}
}

func (d *Door) health(http.ResponseWriter, *http.Request) (any, error) {
	return map[string]any{
		"engine_version":  Version,
		"active_model_id": d.modelID(),
		"device":          "cpu",
		"capabilities": map[string]any{
			"supports_voice_clone":              d.service.CanClone(),
			"supports_audio_chunk_stream":       true,
			"supports_true_streaming_inference": true, // settings.chunking.stream_frames
			"languages":                         []string{d.service.Language()},
		},
		"runtime": d.runtime(),
	}, nil
}

// warmAtStart warms up when the model is there.
func (d *Door) warmAtStart() {
	d.group.Go(func() {
		for d.service.Engine() == nil {
			select {
			case <-d.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
		d.warm("startup", false)
	})
}

// warm starts a run, unless one is under way, or has succeeded before and is not forced. What is returned is closed when the run
// under way has ended; nil where there is none.
func (d *Door) warm(reason string, force bool) (accepted bool, done <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &d.warmth
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.running != nil:
		return false, w.running
	case d.closed || w.state.Status == warmthReady && !force:
		return false, nil
	}
	began, ended := time.Now().UTC(), make(chan struct{})
	w.running = ended
	w.state.Status, w.state.Reason, w.state.Started, w.state.Error = warmthRunning, &reason, &began, nil
	name := d.known(d.voice)
	d.group.Go(func() {
		defer close(ended)
		err := d.speakAway(name)
		completed := time.Now().UTC()
		took := completed.Sub(began).Milliseconds()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running = nil
		w.state.Status, w.state.Completed, w.state.Took = warmthReady, &completed, &took
		w.state.Runs++
		if err != nil {
			text := server.Explain(err).Message
			w.state.Status, w.state.Error = warmthError, &text
		}
	})
	return true, ended
}

// speakAway speaks the text of the warm-up to nobody.
func (d *Door) speakAway(voice string) error {
	speech, err := d.service.Speak(d.ctx, server.Request{Door: "voicereader", Text: d.options.WarmUpText, Voice: voice})
	if err != nil {
		return err
	}
	defer speech.Close()
	for err == nil {
		_, err = speech.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// wait waits for a run, if there is one.
func wait(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// warmUp is POST /v1/warmup.
func (d *Door) warmUp(r *http.Request, o *object) (any, error) {
	waits, force, reason := o.flag("wait", false), o.flag("force", false), "api"
	if given := o.optional("reason", wordChars); given != nil {
		reason = *given
	}
	if err := o.err(); err != nil {
		return nil, err
	}
	accepted, done := d.warm(reason, force)
	if waits {
		if err := wait(r.Context(), done); err != nil {
			return nil, err
		}
	}
	return map[string]any{"accepted": accepted, "warmup": d.warmth.snapshot()}, nil
}

// activation is a POST /v1/models/activate. Names of other engines' settings are passed over.
type activation struct {
	backend, model, voice string // empty: as they are
	waits, force          bool
	reason                string
}

func parseActivation(o *object) (activation, error) {
	a := activation{waits: o.flag("warmup_wait", true), force: o.flag("warmup_force", true), reason: "model_activate"}
	for _, field := range []struct {
		key string
		to  *string
	}{{"synth_backend", &a.backend}, {"kyutai_model_name", &a.model}, {"kyutai_voice_prompt", &a.voice}, {"reason", &a.reason}} {
		if text := o.optional(field.key, wordChars); text != nil {
			*field.to = *text
		}
	}
	a.backend = strings.ToLower(a.backend)
	if a.backend != "" && !slices.Contains(backends, a.backend) {
		o.fail("synth_backend", "expected one of %s", strings.Join(backends, ", "))
	}
	for _, key := range []string{"active_model_id", "qwen_model_name", "qwen_device_map", "qwen_dtype", "qwen_attn_implementation", "qwen_default_speaker"} {
		o.optional(key, 0)
	}
	o.whole("kyutai_sample_rate", 1, 1_000_000, 24_000)
	return a, o.err()
}

// activate is POST /v1/models/activate: another voice "0", and a fresh warm-up. The model is the one that the service has.
func (d *Door) activate(r *http.Request, o *object) (any, error) {
	asked, err := parseActivation(o)
	if err != nil {
		return nil, err
	}
	if err := d.service.Ready(); err != nil {
		return nil, err
	}
	if err := wait(r.Context(), d.warmth.underWay()); err != nil {
		return nil, err
	}
	d.mu.Lock()
	err = d.switchTo(asked)
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	accepted, done := d.warm(asked.reason, asked.force)
	if asked.waits {
		if err := wait(r.Context(), done); err != nil {
			return nil, err
		}
	}
	return map[string]any{"reloaded": true, "warmup_accepted": accepted, "active_model_id": d.modelID(), "runtime": d.runtime()}, nil
}

// switchTo takes over what an activation asks for, and forgets the jobs. mu is held.
func (d *Door) switchTo(asked activation) error {
	if d.active != nil {
		if over, _ := d.active.over(); !over {
			return &refusal{http.StatusConflict, codeProgress, "A model cannot be activated while a job is spoken", nil}
		}
	}
	if asked.backend == "qwen" {
		return &refusal{http.StatusConflict, codeModel, "This engine has no qwen backend", nil}
	}
	if models := append([]string{d.modelID(), DefaultModel}, d.options.Models...); asked.model != "" && !slices.Contains(models, asked.model) {
		return &refusal{http.StatusConflict, codeModel, fmt.Sprintf("This server has loaded %s; another model is a matter of how it is started", d.modelID()), nil}
	}
	if asked.backend != "" {
		d.backend = asked.backend
	}
	if asked.voice != "" {
		d.voice = asked.voice
	}
	d.jobs = nil
	d.warmth.cool()
	return nil
}

// prefetch is POST /v1/models/prefetch. Only "all" is of this engine.
func (d *Door) prefetch(r *http.Request, o *object) (any, error) {
	mode := "qwen_all"
	if text := o.optional("mode", 0); text != nil {
		mode = strings.ToLower(*text)
	}
	if modes := []string{"qwen_custom", "qwen_base", "qwen_all", "all"}; !slices.Contains(modes, mode) {
		o.fail("mode", "expected one of %s", strings.Join(modes, ", "))
	}
	if err := o.err(); err != nil {
		return nil, err
	}
	saved := map[string]string{}
	if mode == "all" && d.options.Prefetch != nil {
		var err error
		if saved, err = d.options.Prefetch(r.Context()); err != nil {
			d.service.Log().Warn("VoiceReader: the model cannot be fetched", "error", err)
			return nil, &refusal{http.StatusConflict, codeModel, "The model could not be fetched; the log of the server says why", nil}
		}
	}
	names := make([]string, 0, len(saved))
	for name := range saved {
		names = append(names, name)
	}
	slices.Sort(names)
	return map[string]any{
		"ok": true, "mode": mode, "downloaded": names, "saved_to": saved, "data_dir": d.options.DataDir,
		"models_dir": filepath.Join(d.options.DataDir, "models"), "hf_cache_dir": filepath.Join(d.options.DataDir, "hf-cache"),
	}, nil
}
