package http

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// FuzzForm: whatever a form says, it is refused or has a text and at most one voice.
func FuzzForm(f *testing.F) {
	const boundary = "multipart/form-data; boundary=x"
	for _, seed := range [][2]string{
		{"application/x-www-form-urlencoded", "text=a&voice_url="}, {"application/x-www-form-urlencoded", "text=%zz"}, {"application/json", `{"text":"a"}`},
		{boundary, "--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\na\r\n--x--\r\n"},
		{boundary, "--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\na\r\n--x\r\nContent-Disposition: form-data; name=\"voice_wav\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--x--\r\n"},
		{boundary, "--x\r\nContent-Disposition: form-data; name=\"text\"; filename=\"a\"\r\n\r\na\r\n--x"}, {"multipart/form-data", "--x"},
	} {
		f.Add(seed[0], seed[1])
	}
	service, err := server.New(server.Options{})
	if err != nil {
		f.Fatal(err)
	}
	d := &door{service: service}
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest(http.MethodPost, "/tts", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		asked, err := d.form(r)
		if err == nil && (strings.TrimSpace(asked.Text) == "" || asked.Voice != "" && (asked.Upload != nil || !server.IsURL(asked.Voice))) {
			t.Errorf("%q %q: %+v", kind, body, asked)
		}
	})
}
