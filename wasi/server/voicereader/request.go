// Reading requests: JSON objects whose fields are checked one by one, so that a client is told of all that is wrong at once.

package voicereader

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// object is a JSON object. Fields that are not asked for are left alone, and null is as good as nothing.
type object struct {
	path   []string
	fields map[string]json.RawMessage
	faults *[]fault
}

// fault is something that is wrong with a request, in details.errors.
type fault struct {
	Where   []string `json:"loc"`
	Message string   `json:"msg"`
}

// withBody reads a body; none is an empty object.
func (d *Door) withBody(use func(r *http.Request, o *object) (any, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) (body any, err error) {
		var asked *object
		err = d.service.ReadBody(w, r, func() error {
			data, err := io.ReadAll(r.Body)
			if err != nil {
				if known := server.Explain(err); known.Problem != server.Failed {
					return known
				}
				return server.Refuse(server.Invalid, "the body could not be read")
			}
			asked, err = parseObject(data)
			return err
		}, func() (err error) {
			body, err = use(r, asked)
			return err
		})
		return body, err
	}
}

func parseObject(data []byte) (*object, error) {
	o := &object{path: []string{"body"}, faults: new([]fault)}
	if data = bytes.TrimSpace(data); len(data) == 0 {
		return o, nil
	}
	if json.Unmarshal(data, &o.fields) != nil || data[0] != '{' {
		o.fail("", "expected a JSON object")
		return nil, o.err()
	}
	return o, nil
}

func (o *object) fail(key, format string, arguments ...any) {
	where := append([]string{}, o.path...)
	if key != "" {
		where = append(where, key)
	}
	*o.faults = append(*o.faults, fault{where, fmt.Sprintf(format, arguments...)})
}

// err is all that was wrong so far.
func (o *object) err() error {
	if len(*o.faults) == 0 {
		return nil
	}
	return &refusal{http.StatusBadRequest, codeInvalid, "Request validation failed", map[string]any{"errors": *o.faults}}
}

// given tells whether a field is there, even as null.
func (o *object) given(key string) bool {
	_, ok := o.fields[key]
	return ok
}

// present tells whether a field has a value.
func (o *object) present(key string) bool {
	raw, ok := o.fields[key]
	return ok && string(raw) != "null"
}

// read reads a field that may be missing; false where it is, or is something else than expected.
func (o *object) read(key, expected string, to any) bool {
	if !o.present(key) {
		return false
	}
	if json.Unmarshal(o.fields[key], to) != nil {
		o.fail(key, "expected %s", expected)
		return false
	}
	return true
}

// object is a field that is an object; an empty one where it is missing.
func (o *object) object(key string) *object {
	inner := &object{path: append(append([]string{}, o.path...), key), faults: o.faults}
	o.read(key, "an object", &inner.fields)
	return inner
}

// text is a field of at most so many characters; 0 is any number of them.
func (o *object) text(key string, most int) (string, bool) {
	var text string
	if !o.read(key, "a string", &text) {
		return "", false
	}
	if most > 0 && utf8.RuneCountInString(text) > most {
		o.fail(key, "expected at most %d characters, found %d", most, utf8.RuneCountInString(text))
	}
	return text, true
}

// optional is a text without the space around it; nil where nothing is left.
func (o *object) optional(key string, most int) *string {
	text, ok := o.text(key, 0)
	if text = strip(text); !ok || text == "" {
		return nil
	}
	if most > 0 && utf8.RuneCountInString(text) > most {
		o.fail(key, "expected at most %d characters, found %d", most, utf8.RuneCountInString(text))
	}
	return &text
}

// number is a field within a range; the preset where it is missing.
func (o *object) number(key string, least, most, preset float64) float64 {
	value := preset
	if o.read(key, "a number", &value) && !(value >= least && value <= most) {
		o.fail(key, "expected %g to %g, found %g", least, most, value)
	}
	return value
}

func (o *object) whole(key string, least, most, preset int) int {
	value := o.number(key, float64(least), float64(most), float64(preset))
	if value != math.Trunc(value) {
		o.fail(key, "expected a whole number, found %g", value)
	}
	return int(value)
}

func (o *object) flag(key string, preset bool) bool {
	o.read(key, "true or false", &preset)
	return preset
}

// builtIn is the id of the voice that is always there.
const builtIn = "0"

// voiceID reads a voice: "0", 0, null, "" and none are the built-in one.
func (o *object) voiceID(key string) string {
	raw := string(bytes.TrimSpace(o.fields[key]))
	if raw == builtIn {
		return builtIn
	}
	text, ok := o.text(key, 0)
	text = strip(text)
	if !ok || text == "" || text == builtIn {
		return builtIn
	}
	id, ok := parseUUID(text)
	if !ok {
		o.fail(key, `expected "0" or a UUID`)
	}
	return id
}

// The limits of the API.
const (
	leastRate, mostRate         = 0.25, 4
	leastPitch, mostPitch       = 0.5, 2
	mostVolume                  = 2
	leastChunk, mostChunk       = 100, 2000
	chunkChars                  = 200 // the default, and the longest piece that there is whatever is asked for
	nameChars, descriptionChars = 80, 240
	wordChars                   = 1000 // of a reason, or of a name of something else than a voice
)

// speakRequest is a POST /v1/speak.
type speakRequest struct {
	voice, text  string // the text without the space around it
	rate, volume float64
	most         int  // characters of a piece
	frames       bool // each frame is sent as it is made
}

func parseSpeak(o *object) (speakRequest, error) {
	var s speakRequest
	s.voice = o.voiceID("voice_id")
	if !o.present("text") {
		o.fail("text", "expected a string")
	}
	text, _ := o.text("text", 0)
	s.text = strip(text)
	_, _ = o.text("language", 0) // there is one language
	settings := o.object("settings")
	s.rate = settings.number("rate", leastRate, mostRate, 1)
	settings.number("pitch", leastPitch, mostPitch, 1) // has no effect
	s.volume = settings.number("volume", 0, mostVolume, 1)
	chunking := settings.object("chunking")
	s.most = min(chunking.whole("max_chars", leastChunk, mostChunk, chunkChars), chunkChars)
	s.frames = chunking.flag("stream_frames", false)
	if err := o.err(); err != nil {
		return s, err
	}
	if s.text == "" {
		return s, server.Refuse(server.TextEmpty, "Text must not be empty")
	}
	return s, nil
}

// parseJob reads the job of POST /v1/cancel.
func parseJob(o *object) (string, error) {
	text, _ := o.text("job_id", 0)
	id, ok := parseUUID(strip(text))
	if !ok {
		o.fail("job_id", "expected a UUID")
	}
	return id, o.err()
}

// playbackRequest is a POST /v1/jobs/{id}/playback; nil stays as it is.
type playbackRequest struct{ rate, volume *float64 }

func parsePlayback(o *object) (playbackRequest, error) {
	var p playbackRequest
	given := false
	for _, one := range []struct {
		key         string
		least, most float64
		to          **float64
	}{{"rate", leastRate, mostRate, &p.rate}, {"pitch", leastPitch, mostPitch, new(*float64)}, {"volume", 0, mostVolume, &p.volume}} {
		if value := o.number(one.key, one.least, one.most, math.Inf(1)); !math.IsInf(value, 1) {
			*one.to, given = &value, true
		}
	}
	if !given {
		o.fail("", "expected at least one of rate, pitch and volume")
	}
	return p, o.err()
}

// cloneRequest is a POST /v1/voices/clone.
type cloneRequest struct {
	voice     voice // what is known of it
	path      string
	wave      string // in base64
	normalise bool
}

func parseClone(o *object) (cloneRequest, error) {
	c := cloneRequest{normalise: true}
	if name := o.optional("display_name", nameChars); name != nil {
		c.voice.DisplayName = *name
	} else {
		o.fail("display_name", "expected 1 to %d characters", nameChars)
	}
	c.voice.Language = o.optional("language", 0)
	c.voice.Description = o.optional("description", descriptionChars)
	c.voice.refText = o.optional("ref_text", 0)
	audio := o.object("ref_audio")
	c.path, _ = audio.text("path", 0)
	c.wave, _ = audio.text("wav_base64", 0)
	if c.path == "" && c.wave == "" {
		audio.fail("", "expected path or wav_base64")
	}
	c.normalise = o.object("options").flag("normalize_audio", true)
	return c, o.err()
}

// voiceChange is a PATCH of a voice.
type voiceChange struct {
	name                  string // empty: stays
	language, description *string
	// Whether they change: to nothing, where they are nil.
	toLanguage, toDescription bool
}

func parseChange(o *object) (voiceChange, error) {
	c := voiceChange{
		language: o.optional("language", 0), description: o.optional("description", descriptionChars),
		toLanguage: o.given("language"), toDescription: o.given("description"),
	}
	if name := o.optional("display_name", nameChars); name != nil {
		c.name = *name
	} else if o.present("display_name") {
		o.fail("display_name", "expected 1 to %d characters", nameChars)
	}
	if !c.toLanguage && !c.toDescription && !o.given("display_name") {
		o.fail("", "expected at least one of display_name, language and description")
	}
	return c, o.err()
}

// isSpace tells what is stripped, as Python does: ranges are of a text that was stripped there.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func strip(text string) string { return strings.TrimFunc(text, isSpace) }

// parseUUID reads a UUID in either case, with its hyphens or without any.
func parseUUID(text string) (string, bool) {
	plain := text
	if len(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' {
		plain = text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	}
	data, err := hex.DecodeString(plain)
	if err != nil || len(data) != 16 {
		return "", false
	}
	return formatUUID([16]byte(data)), true
}

func formatUUID(data [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", data[:4], data[4:6], data[6:8], data[8:10], data[10:])
}

// reason is the first of the errors that led to an error: of a call of the file system, why it failed, without the path.
func reason(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}
