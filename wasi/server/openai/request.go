// What a request for speech says.

package openai

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

type request struct {
	input  string
	voice  string
	format format
	speed  float32 // 0: as it is
	events bool
	whole  bool
}

// param is an error about a field.
type param struct {
	refusal *server.Error
	name    string
}

func (p param) Error() string { return p.refusal.Message }

func (p param) Unwrap() error { return p.refusal }

func wrong(name, format string, arguments ...any) error {
	return param{server.Refuse(server.Invalid, format, arguments...), name}
}

// read understands a body. Fields that it does not know are left alone: clients of other servers send many.
func (d *door) read(data []byte) (asked request, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return asked, wrong("", "Expected a JSON object.")
	}
	var model, instructions, formatName, streamFormat string
	var speed *float64
	var stream *bool
	for _, field := range []struct {
		name, kind string
		to         any
	}{
		{"model", "a string", &model}, {"input", "a string", &asked.input}, {"instructions", "a string", &instructions},
		{"response_format", "a string", &formatName}, {"stream_format", "a string", &streamFormat},
		{"speed", "a number", &speed}, {"stream", "true or false", &stream},
	} {
		if raw, given := fields[field.name]; given && json.Unmarshal(raw, field.to) != nil {
			return asked, wrong(field.name, "%s: expected %s.", field.name, field.kind)
		}
	}
	if asked.voice, err = voiceOf(fields["voice"]); err != nil {
		return asked, err
	}
	if slices.Contains(d.options.OtherModels, model) && model != d.modelName() {
		return asked, param{server.Refuse(server.VoiceUnknown, "The model %q is not loaded here.", model), "model"}
	}
	length := utf8.RuneCountInString(asked.input)
	switch {
	case strings.TrimSpace(asked.input) == "":
		return asked, param{server.Refuse(server.TextEmpty, "input: expected a text, found none."), "input"}
	case length > d.options.InputChars:
		return asked, param{server.Refuse(server.TextTooLong, "input: expected at most %d characters, found %d.", d.options.InputChars, length), "input"}
	case utf8.RuneCountInString(instructions) > instructionChars:
		return asked, wrong("instructions", "instructions: expected at most %d characters.", instructionChars)
	case speed != nil && !(*speed >= 0.25 && *speed <= 4):
		return asked, wrong("speed", "speed: expected 0.25 to 4, found %g.", *speed)
	case streamFormat != "" && streamFormat != "audio" && streamFormat != "sse":
		return asked, wrong("stream_format", "stream_format: expected \"audio\" or \"sse\", found %q.", streamFormat)
	}
	if speed != nil {
		asked.speed = float32(*speed)
	}
	asked.events = streamFormat == "sse"
	asked.whole = stream != nil && !*stream
	asked.format, err = formatNamed(formatName, asked.events)
	return asked, err
}

// voiceOf reads "name", {"id": "name"} or nothing.
func voiceOf(raw json.RawMessage) (name string, err error) {
	if raw == nil || json.Unmarshal(raw, &name) == nil {
		return name, nil
	}
	var object struct {
		ID *string `json:"id"`
	}
	if json.Unmarshal(raw, &object) != nil || object.ID == nil {
		return "", wrong("voice", "voice: expected a name or {\"id\": \"name\"}.")
	}
	return *object.ID, nil
}

// formatNamed finds a format. None is mp3 in OpenAI's API, which cannot be written here: WAV, or bare samples in events.
func formatNamed(name string, events bool) (format, error) {
	switch {
	case name == "" && events:
		name = "pcm"
	case name == "":
		name = "wav"
	}
	if found, ok := formats[name]; ok {
		return found, nil
	}
	if slices.Contains([]string{"mp3", "opus", "aac"}, name) {
		return format{}, wrong("response_format", "response_format: this server has no encoder for %s; it writes wav, pcm and flac.", name)
	}
	return format{}, wrong("response_format", "response_format: expected wav, pcm or flac, found %q.", name)
}
