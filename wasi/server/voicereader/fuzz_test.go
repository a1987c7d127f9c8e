package voicereader

import (
	"net/http"
	"net/url"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/upgrade"
)

// FuzzRequest: what a request is taken for is within the limits of the API, whichever it is.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func() *object {
			o, err := parseObject(data)
			if err != nil {
				known := explain(err)
				if known.status != http.StatusBadRequest || known.code != codeInvalid {
					t.Fatalf("%q: %+v", data, known)
				}
				return nil
			}
			return o
		}
		if read() == nil {
			return
		}
		if s, err := parseSpeak(read()); err == nil {
			_, isUUID := parseUUID(s.voice)
			if s.text == "" || s.voice != builtIn && !isUUID || !(s.rate >= leastRate && s.rate <= mostRate) || !(s.volume >= 0 && s.volume <= mostVolume) ||
				s.most < leastChunk || s.most > chunkChars {
				t.Errorf("%q: %+v", data, s)
			}
			at := 0
			for _, piece := range cut(s.text, s.most) {
				if piece.start < at || piece.end-piece.start > s.most || piece.text != strip(piece.text) || piece.text == "" {
					t.Errorf("%q: %+v after %d", data, piece, at)
				}
				at = piece.end
			}
			if at != utf8.RuneCountInString(s.text) {
				t.Errorf("%q: the chunks end at %d", data, at)
			}
		} else if known := explain(err); known.status != http.StatusBadRequest {
			t.Errorf("%q: %+v", data, known)
		}
		if id, err := parseJob(read()); err == nil {
			if again, ok := parseUUID(id); !ok || again != id {
				t.Errorf("%q: job %q", data, id)
			}
		}
		if p, err := parsePlayback(read()); err == nil {
			if p.rate != nil && !(*p.rate >= leastRate && *p.rate <= mostRate) || p.volume != nil && !(*p.volume >= 0 && *p.volume <= mostVolume) {
				t.Errorf("%q: %+v", data, p)
			}
		}
		if c, err := parseClone(read()); err == nil {
			if n := utf8.RuneCountInString(c.voice.DisplayName); n < 1 || n > nameChars || c.path == "" && c.wave == "" ||
				c.voice.Description != nil && utf8.RuneCountInString(*c.voice.Description) > descriptionChars {
				t.Errorf("%q: %+v", data, c)
			}
		}
		if c, err := parseChange(read()); err == nil && utf8.RuneCountInString(c.name) > nameChars {
			t.Errorf("%q: %+v", data, c)
		}
		_, _ = parseActivation(read())
	})
}

// FuzzProtocolKey: a token is one of the words that were sent, and stands behind the name that announces it.
func FuzzProtocolKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, first, second string) {
		header := http.Header{"Sec-Websocket-Protocol": {first, second}}
		key := protocolKey(header)
		if key == "" {
			return
		}
		if again := protocolKey(http.Header{"Sec-Websocket-Protocol": {upgrade.KeyProtocol + "," + key}}); again != key {
			t.Errorf("%q, %q: %q, alone %q", first, second, key, again)
		}
	})
}

// FuzzMeta: what is read of a meta.json is what is written again.
func FuzzMeta(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, v, err := parseMeta(data, ghost)
		if err != nil {
			return
		}
		if v.ID != ghost || v.CreatedAt.Location() != time.UTC {
			t.Errorf("%q: %+v", data, v)
		}
		written, err := metaOf(fields, v)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		_, again, err := parseMeta(written, ghost)
		if len(written) <= metaBytes && (err != nil || string(encode(again)) != string(encode(v))) {
			t.Errorf("%q: %+v, written %q: %+v %v", data, v, written, again, err)
		}
	})
}

// FuzzRecording: what is normalised is as long as the recording was, and reads the same when that is done again.
func FuzzRecording(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		before, ok := parseWave(data)
		out := normalise(data)
		if !ok {
			if string(out) != string(data) {
				t.Error("what is not understood was changed")
			}
			return
		}
		after, ok := parseWave(out)
		if !ok || len(after.data)/after.width != len(before.data)/before.width || after.rate != before.rate || after.channels != before.channels {
			t.Errorf("%+v became %+v", before, after)
		}
	})
}

// FuzzStreamURL: where a client is sent is the host that it named, and the job.
func FuzzStreamURL(f *testing.F) {
	f.Fuzz(func(t *testing.T, host string) {
		given, err := url.Parse("http://" + host + "/")
		if err != nil || given.Host != host || given.User != nil { // as net/http has it
			return
		}
		sent, err := url.Parse(streamURL((&http.Request{Host: host}).WithContext(t.Context()), ghost))
		if err != nil || sent.Path != streamPath+ghost || sent.Scheme != "ws" || sent.Port() != given.Port() {
			t.Errorf("%q: %v %v", host, sent, err)
		}
	})
}
