// The voices as clients ask for them: lists, changes, and new ones from recordings.

package voicereader

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// promptBytes is the longest voice file that an Engine reads.
const promptBytes = 64 << 20

// modelID names the model that is spoken with; empty before it is loaded.
func (d *Door) modelID() string {
	if engine := d.service.Engine(); engine != nil {
		return engine.Info().Name
	}
	return ""
}

// known is the name of a voice of the service, and empty where it has none of that name.
func (d *Door) known(name string) string {
	if name != "" && d.service.HasVoice(name) {
		return name
	}
	return ""
}

// voiceName is what voice "0" speaks with.
func (d *Door) voiceName() string {
	d.mu.Lock()
	name := d.voice
	d.mu.Unlock()
	if name = d.known(name); name == "" {
		voices := d.service.Voices()
		if n := slices.IndexFunc(voices, func(v server.Voice) bool { return v.Default }); n >= 0 {
			name = voices[n].Name
		}
	}
	return name
}

func (d *Door) listVoices(http.ResponseWriter, *http.Request) (any, error) {
	made, err := d.voices.list()
	if err != nil {
		return nil, err
	}
	language, name := d.service.Language(), "Built-in voice"
	if spoken := d.voiceName(); spoken != "" {
		name += " (" + spoken + ")"
	}
	first := voice{ID: builtIn, DisplayName: name, CreatedAt: time.Unix(0, 0).UTC(), Model: d.modelID(), Language: &language}
	return map[string][]voice{"voices": append([]voice{first}, made...)}, nil
}

// own finds the id of a voice that may be changed.
func own(r *http.Request) (string, error) {
	text := strip(r.PathValue("id"))
	if text == builtIn {
		return "", &refusal{http.StatusForbidden, codeForbidden, `The built-in voice "0" cannot be changed`, nil}
	}
	id, ok := parseUUID(text)
	if !ok {
		return "", noVoice(text)
	}
	return id, nil
}

func (d *Door) changeVoice(r *http.Request, o *object) (any, error) {
	id, err := own(r)
	if err != nil {
		return nil, err
	}
	change, err := parseChange(o)
	if err != nil {
		return nil, err
	}
	return result(d.voices.update(r.Context(), id, change))
}

// result is an answer where there was no error.
func result(v voice, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (d *Door) deleteVoice(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := own(r)
	if err == nil {
		err = d.voices.remove(r.Context(), id)
	}
	if err != nil {
		return nil, err
	}
	return map[string]bool{"deleted": true}, nil
}

// load loads a voice that was made here; nil for the built-in one. It must be released.
func (d *Door) load(ctx context.Context, id string) (voice *pockettts.Voice, release func(), err error) {
	if id == builtIn {
		return nil, func() {}, nil
	}
	file, err := d.voices.open(id + "/" + promptFile)
	if err != nil {
		return nil, nil, &refusal{http.StatusConflict, codeModel, "This voice has no voice file that the model could speak with", nil}
	}
	defer file.Close()
	voice, release, err = d.service.MakeVoice(ctx, server.Upload{Name: promptFile, Data: file})
	if errors.Is(err, pockettts.ErrVoice) {
		return nil, nil, &refusal{http.StatusConflict, codeModel, "The voice file does not fit the model: " + err.Error(), nil}
	}
	return voice, release, err
}

// clone is POST /v1/voices/clone.
func (d *Door) clone(r *http.Request, o *object) (any, error) {
	request, err := parseClone(o)
	if err != nil {
		return nil, err
	}
	if err := d.service.Ready(); err != nil {
		return nil, err
	}
	if !d.service.CanClone() {
		return nil, server.Refuse(server.NoCloning, "The model, or this server, makes no voices from recordings")
	}
	recording, err := d.recording(request)
	if err != nil {
		return nil, err
	}
	if request.normalise {
		recording = normalise(recording)
	}
	prompt, err := d.prompt(r.Context(), recording)
	if err != nil {
		d.report(err)
		return nil, cloneFailed(err)
	}
	request.voice.Model = d.modelID()
	return result(d.voices.add(r.Context(), request.voice, prompt))
}

// prompt makes the voice file of a recording.
func (d *Door) prompt(ctx context.Context, recording []byte) ([]byte, error) {
	made, release, err := d.service.MakeVoice(ctx, server.Upload{Name: "recording.wav", Data: bytes.NewReader(recording)})
	if err != nil {
		return nil, err
	}
	defer release()
	var prompt bytes.Buffer
	if err := d.service.Engine().ExportVoice(ctx, made, &prompt); err != nil {
		return nil, err
	}
	if prompt.Len() > promptBytes {
		return nil, &refusal{http.StatusBadRequest, codeClone, "The recording is too long for this model", nil}
	}
	return prompt.Bytes(), nil
}

// cloneFailed gives an error of the server the code that it has here.
func cloneFailed(err error) error {
	refusal := explain(err)
	if refusal.code == codeInternal {
		refusal.status, refusal.code, refusal.message = http.StatusBadRequest, codeClone, "The voice could not be made"
	}
	return refusal
}

// badAudio is a recording that is not there, or that may not be read. It says the same of both.
func badAudio(text string) error {
	return &refusal{http.StatusBadRequest, codeAudio, text, nil}
}

// recording reads the audio that a request brings or names.
func (d *Door) recording(request cloneRequest) ([]byte, error) {
	if request.path != "" {
		return d.recordingAt(request.path)
	}
	data, err := base64.StdEncoding.DecodeString(request.wave)
	switch {
	case err != nil:
		return nil, badAudio("ref_audio.wav_base64: expected base64")
	case len(data) == 0:
		return nil, badAudio("ref_audio.wav_base64: there is no audio in it")
	}
	return data, nil
}

// recordingAt reads a file of the folders that are allowed. A path that does not lie in them is looked at by its name only;
// one that does is followed as long as its links stay there.
func (d *Door) recordingAt(name string) ([]byte, error) {
	refused := badAudio("ref_audio.path: expected a file in the data folder of this server (or a folder of --clone-path-allow)")
	absolute, err := filepath.Abs(name)
	if err != nil || strings.ContainsRune(name, 0) {
		return nil, refused
	}
	for _, folder := range d.folders {
		inside, err := filepath.Rel(folder, absolute)
		if err != nil || !filepath.IsLocal(inside) {
			continue
		}
		data, err := readBelow(folder, inside, d.service.Limits().UploadBytes)
		switch {
		case err == nil && len(data) == 0:
			return nil, badAudio("ref_audio.path: the file is empty")
		case err == nil:
			return data, nil
		case errors.Is(err, errTooLarge):
			return nil, server.Refuse(server.TooLarge, "ref_audio.path: %s", err)
		}
	}
	return nil, refused
}

var errTooLarge = errors.New("the file is too large")

func readBelow(folder, name string, most int64) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, _, err := plain.OpenIn(root, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = errTooLarge
	}
	return data, err
}
