// Lists of models and voices, and error bodies.

package openai

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

type list[T any] struct {
	Object string `json:"object"`
	Data   []T    `json:"data"`
}

// modelName is the name of the loaded model; empty before it is there.
func (d *door) modelName() string {
	if engine := d.service.Engine(); d.options.Model == "" && engine != nil {
		return engine.Info().Name
	}
	return d.options.Model
}

func (d *door) loaded() []model {
	models := []model{{modelName, "model", d.created, "kyutai"}}
	if name := d.modelName(); name != "" && name != modelName {
		models = append(models, model{name, "model", d.created, "kyutai"})
	}
	return models
}

func (d *door) models(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, list[model]{"list", d.loaded()})
}

func (d *door) model(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/v1/models/")
	for _, one := range d.loaded() {
		if one.ID == id {
			write(w, http.StatusOK, one)
			return
		}
	}
	write(w, http.StatusNotFound, failure("There is no model of that name here.", "invalid_request_error", "model"))
}

type voice struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Object   string  `json:"object"`
	Type     string  `json:"type"`
	Language string  `json:"language"`
	License  *string `json:"license"` // null: not known
}

type shortVoice struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// voices answers what the clients of several servers expect, in one body.
func (d *door) voices(w http.ResponseWriter, r *http.Request) {
	data, short, names := []voice{}, []shortVoice{}, []string{}
	for _, one := range d.service.Voices() {
		listed := voice{ID: one.Name, Name: one.Name, Object: "voice", Type: "builtin", Language: d.service.Language()}
		description := "A voice of the model"
		if one.Custom {
			listed.Type, description = "custom", "A voice of this server"
		}
		if one.License != "" {
			listed.License = &one.License
			description += ", " + one.License
		}
		data, names = append(data, listed), append(names, one.Name)
		short = append(short, shortVoice{one.Name, one.Name, description})
	}
	body := map[string]any{"object": "list", "data": data, "voices": short}
	if r.URL.Query().Get("legacy") == "true" {
		body["voices"] = names
	}
	write(w, http.StatusOK, body)
}

// answerError is the body of every error: all four keys, always.
type answerError struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func failure(message, kind, param string) answerError {
	body := errorBody{Message: message, Type: kind}
	if param != "" {
		body.Param = &param
	}
	return answerError{body}
}

// explain finds status and body of an error.
func explain(err *server.Error) (int, answerError) {
	status := err.Problem.Status()
	kind, about := "invalid_request_error", ""
	switch {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status >= http.StatusInternalServerError:
		kind = "server_error"
	}
	switch err.Problem {
	case server.TextEmpty, server.TextTooLong:
		about = "input"
	case server.VoiceUnknown, server.VoiceBroken, server.VoiceRefused, server.NoCloning:
		about = "voice"
	}
	return status, failure(err.Message, kind, about)
}

func refuse(w http.ResponseWriter, _ *http.Request, err *server.Error) { refuseWith(w, err) }

func refuseWith(w http.ResponseWriter, err error) {
	refusal := server.Explain(err)
	status, body := explain(refusal)
	var about param
	if errors.As(err, &about) {
		body.Error.Param = nil
		if about.name != "" {
			body.Error.Param = &about.name
		}
	}
	if refusal.Problem == server.Busy || refusal.Problem == server.Loading {
		w.Header().Set("Retry-After", "1")
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // of structures that always encode
		status, data = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
