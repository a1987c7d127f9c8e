package openai

import (
	"testing"
	"unicode/utf8"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// FuzzRequest: whatever a body says, it is refused or asks for something that can be done.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"tts-1","input":"Hello.","voice":"alloy"}`, `{"input":"a","voice":{"id":"slt"},"speed":0.25,"stream":false,"response_format":"flac"}`,
		`{"input":"a","stream_format":"sse","instructions":"b"}`, `{"input":"a","speed":1e309}`, `{"input":"\ud800"}`, `{"input":"a","voice":{"id":null}}`,
		`[]`, `null`, `{"input":`, "{\"input\":\"a\x00\"}", `{"INPUT":"a"}`, `{"input":"a","input":" "}`,
	} {
		f.Add([]byte(seed))
	}
	service, err := server.New(server.Options{})
	if err != nil {
		f.Fatal(err)
	}
	d := &door{service: service, options: Options{Model: "starter", OtherModels: []string{"french"}, InputChars: 20}}
	f.Fuzz(func(t *testing.T, data []byte) {
		asked, err := d.read(data)
		if err != nil {
			return
		}
		if n := utf8.RuneCountInString(asked.input); n == 0 || n > 20 || !utf8.ValidString(asked.input) {
			t.Errorf("%q: the text %q", data, asked.input)
		}
		if asked.speed != 0 && !(asked.speed >= 0.25 && asked.speed <= 4) || asked.format.contentType == "" {
			t.Errorf("%q: %+v", data, asked)
		}
	})
}
