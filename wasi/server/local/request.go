// What a request says.

package local

import (
	"encoding/json"
	"strings"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

type request struct {
	text  string
	voice string
	url   *bool // the URL of a file is wanted, or the file; nil: the header Accept decides
	seed  *uint64
	speed float32 // 0: as it is
}

// read understands a body. Fields that it does not know are left alone.
func read(data []byte) (asked request, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return asked, server.Refuse(server.Invalid, "expected a JSON object such as {\"text\": \"Hello.\"}")
	}
	format, response := "wav", ""
	for _, field := range []struct {
		name, expected string
		to             any
	}{
		{"text", "a string", &asked.text}, {"voice", "a string", &asked.voice}, {"format", `"wav"`, &format},
		{"response", `"url" or "audio"`, &response}, {"seed", "a whole number from 0", &asked.seed}, {"speed", "a number", &asked.speed},
	} {
		raw, given := fields[field.name]
		if given && string(raw) != "null" && json.Unmarshal(raw, field.to) != nil {
			return asked, server.Refuse(server.Invalid, "%s: expected %s", field.name, field.expected)
		}
	}
	switch {
	case strings.TrimSpace(asked.text) == "":
		return asked, server.Refuse(server.TextEmpty, "text: expected something to speak, found nothing")
	case format != "wav":
		return asked, server.Refuse(server.Invalid, "format: this server writes \"wav\", found %q", format)
	case response != "" && response != "url" && response != "audio":
		return asked, server.Refuse(server.Invalid, "response: expected \"url\" or \"audio\", found %q", response)
	case asked.speed != 0 && !(asked.speed >= 0.25 && asked.speed <= 4) || asked.speed == 0 && isZero(fields["speed"]):
		return asked, server.Refuse(server.Invalid, "speed: expected 0.25 to 4, found %g", asked.speed)
	}
	if response != "" {
		url := response == "url"
		asked.url = &url
	}
	return asked, nil
}

// isZero tells a speed of nothing from none.
func isZero(raw json.RawMessage) bool { return raw != nil && string(raw) != "null" }
