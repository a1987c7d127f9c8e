package wyoming

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// written is an event that the Python library has written (tests/wyoming/golden.py).
type written struct {
	Type    string          `json:"type"`
	Data    json.RawMessage `json:"data"`
	Payload string          `json:"payload"`
	Bytes   string          `json:"bytes"`
}

func golden(t testing.TB) []written {
	t.Helper()
	data, err := os.ReadFile("testdata/library.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var events []written
	for decoder := json.NewDecoder(bytes.NewReader(data)); ; {
		var one written
		if err := decoder.Decode(&one); err == io.EOF {
			return events
		} else if err != nil {
			t.Fatal(err)
		}
		events = append(events, one)
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return value
}

func TestEventsOfTheLibraryAreUnderstood(t *testing.T) {
	var all []byte
	events := golden(t)
	for _, one := range events {
		all = append(all, unhex(t, one.Bytes)...)
	}
	r := newReader(bytes.NewReader(all)) // one after the other: each ends where the next begins
	for _, one := range events {
		e, err := r.next()
		if err != nil {
			t.Fatalf("%s: %v", one.Type, err)
		}
		data, err := json.Marshal(e.data)
		if err != nil {
			t.Fatal(err)
		}
		if e.kind != one.Type || !reflect.DeepEqual(parse(t, data), parse(t, one.Data)) {
			t.Errorf("%s %s, want %s %s", e.kind, data, one.Type, one.Data)
		}
	}
	if _, err := r.next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// What this server writes is what the library writes, byte for byte.
func TestEventsAreTheBytesOfTheLibrary(t *testing.T) {
	rate := format{Rate: 24000, Width: 2, Channels: 1}
	odd, dot := "ä\u2028\u2029\x7f\x01\b\"\\ </script>, : 😀", []struct{}{}
	voice := voiceInfo{
		Name: "alba", Attribution: attribution{`CC BY 4.0 & "more" <here>`, project}, Installed: true,
		Description: "Pocket-TTS voice: alba", Version: "1", Languages: []string{"en"},
	}
	type pong struct {
		Text *string `json:"text"`
	}
	ours := map[string][]any{ // by type, in the order of the file
		"info": {info{dot, []program{{
			"pocket-tts", attribution{"Kyutai Pocket-TTS", project}, true, "Fast Streaming Pocket-TTS", "1", []voiceInfo{voice}, true,
		}}, dot, dot, dot, dot, dot}},
		"pong":        {pong{}, pong{&odd}},
		"audio-start": {rate}, "audio-chunk": {rate}, "audio-stop": {stopped{}},
		"synthesize-stopped": {nil},
		"error":              {problem{"x", "ValueError"}},
	}
	for _, one := range golden(t) {
		if len(ours[one.Type]) == 0 {
			continue // what this server never writes
		}
		data := ours[one.Type][0]
		ours[one.Type] = ours[one.Type][1:]
		got, err := appendEvent(nil, one.Type, data, unhex(t, one.Payload))
		if want := unhex(t, one.Bytes); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%q, want\n%q", one.Type, err, got, want)
		}
	}
	for kind, left := range ours {
		if len(left) != 0 {
			t.Errorf("%s: the fixture has too few", kind)
		}
	}
}

// The fixture is what the library of today writes; where there is Python with it.
func TestFixtureIsTheLibrarys(t *testing.T) {
	want, err := os.ReadFile("testdata/library.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command(python(t), filepath.Join(root, "tests/wyoming/golden.py")).Output()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("tests/wyoming/golden.py gives %d bytes, testdata/library.jsonl has %d, %v", len(got), len(want), err)
	}
}

func TestDataInTheLineAndBehindIt(t *testing.T) {
	for name, in := range map[string]string{
		"in the line":      `{"type": "ping", "data": {"text": "a", "n": 1}}` + "\n",
		"behind it":        `{"type": "ping", "data_length": 21}` + "\n" + `{"text": "a", "n": 1}`,
		"in both":          `{"data": {"text": "b", "n": 1}, "type": "ping", "version": "9", "data_length": 13}` + "\n" + `{"text": "a"}`,
		"and a payload":    `{"type":"ping","data":{"text":"a","n":1},"payload_length":3}` + "\n\n{x",
		"null and nothing": `{"type":"ping","data":{"text":"a","n":1},"data_length":null,"payload_length":0}` + "\n",
		"without its end":  `{"type": "ping", "data": {"text": "a", "n": 1}}`,
	} {
		r := newReader(strings.NewReader(in))
		e, err := r.next()
		if err != nil || e.kind != "ping" || string(e.data["text"]) != `"a"` || string(e.data["n"]) != "1" {
			t.Errorf("%s: %v %v", name, e, err)
		}
		if _, err := r.next(); err != io.EOF {
			t.Errorf("%s: then %v", name, err)
		}
	}
}

func TestWhatIsNoEvent(t *testing.T) {
	for name, in := range map[string]string{
		"an empty line":              "\n",
		"no JSON":                    "GET / HTTP/1.1\n",
		"an array":                   "[]\n",
		"null":                       "null\n",
		"two values":                 "{} {}\n",
		"no type":                    `{"Type": "describe"}` + "\n",
		"type of null":               `{"type": null}` + "\n",
		"type of a number":           `{"type": 1}` + "\n",
		"data of a string":           `{"type": "a", "data": "b"}` + "\n",
		"broken UTF-8":               "{\"type\": \"a\xff\"}\n",
		"broken UTF-8 in the data":   "{\"type\": \"a\", \"data_length\": 12}\n" + "{\"text\": \"\xff\"}",
		"data that is no object":     `{"type": "a", "data_length": 2}` + "\n[]",
		"a negative length":          `{"type": "a", "data_length": -1}` + "\n",
		"a length with a fraction":   `{"type": "a", "data_length": 1.5}` + "\n",
		"a length in text":           `{"type": "a", "payload_length": "1"}` + "\n",
		"a line that is too long":    `{"type": "` + strings.Repeat("a", lineLimit) + `"}` + "\n",
		"data that is too long":      `{"type": "a", "data_length": 1048577}` + "\n",
		"a payload that is too long": `{"type": "a", "payload_length": 1048577}` + "\n",
		"a huge length":              `{"type": "a", "payload_length": 99999999999999999999}` + "\n",
	} {
		if _, err := newReader(strings.NewReader(in)).next(); !errors.Is(err, errEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, in := range map[string]string{
		"the data":    `{"type": "a", "data_length": 10}` + "\n{",
		"the payload": `{"type": "a", "payload_length": 10}` + "\n{",
	} {
		if _, err := newReader(strings.NewReader(in)).next(); err != io.ErrUnexpectedEOF {
			t.Errorf("the end within %s: %v", name, err)
		}
	}
}

// Memory is taken for what has come, not for what was announced.
func TestAnnouncedLengthsTakeNoMemory(t *testing.T) {
	in := []byte(`{"type": "a", "data_length": 1048576, "payload_length": 1048576}` + "\n")
	r := &reader{bufio.NewReader(nil)}
	var before, after runtime.MemStats
	const runs = 100
	runtime.ReadMemStats(&before)
	for range runs {
		r.r.Reset(bytes.NewReader(in))
		_, _ = r.next()
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / runs; each > 64<<10 {
		t.Errorf("%d bytes for %d that came", each, len(in))
	}
}

func FuzzReader(f *testing.F) {
	for _, one := range golden(f) {
		f.Add(unhex(f, one.Bytes))
	}
	f.Add([]byte(`{"type":"a","data":{"b":1},"data_length":2,"payload_length":3}` + "\n{}abc" + `{"type":"c"}`))
	f.Add([]byte(`{"type":"a","data_length":9}` + "\n{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newReader(bytes.NewReader(in))
		for range len(in) + 1 {
			e, err := r.next()
			if err != nil {
				return
			}
			if e.kind == "" && e.data == nil {
				t.Fatal("an event of nothing")
			}
			// What was understood is written so that it is understood again.
			out, err := appendEvent(nil, e.kind, e.data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(out) > lineLimit {
				return
			}
			again, err := newReader(bytes.NewReader(out)).next()
			if err != nil {
				t.Fatalf("%q became %q: %v", in, out, err)
			}
			if again.kind != e.kind || len(again.data) != len(e.data) {
				t.Fatalf("%v became %v", e, again)
			}
		}
		t.Fatal("more events than bytes")
	})
}
