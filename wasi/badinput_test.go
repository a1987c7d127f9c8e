package pockettts

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

// typed is true for errors that a caller can tell apart; a crash is one, but not one to be content with.
func typed(err error) bool {
	for _, sentinel := range append(byStatus[:], ErrPack, ErrNotFound, ErrUnsupported) {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

func TestEveryStatusHasItsSentinel(t *testing.T) {
	for status := guest.Status(-1); status >= -14; status-- {
		err := explain(&guest.Error{Status: status, Name: "PTTS", Message: "expected this, found that"}, "file")
		if !errors.Is(err, byStatus[-status-1]) || err.Error() != "file: expected this, found that" {
			t.Errorf("status %d became %v", status, err)
		}
	}
	if err := explain(&guest.Error{Status: -99, Name: "PTTS_UNKNOWN"}, ""); !errors.Is(err, ErrState) {
		t.Errorf("a status of a newer engine became %v", err)
	}
}

// safetensors is a file taken apart: a header, and the data of its tensors.
type safetensors struct {
	header map[string]tensor
	data   []byte
}

type tensor struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

func parse(t *testing.T, file []byte) safetensors {
	t.Helper()
	length := binary.LittleEndian.Uint64(file)
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(file[8:8+length], &raw); err != nil {
		t.Fatal(err)
	}
	s := safetensors{map[string]tensor{}, bytes.Clone(file[8+length:])}
	for name, value := range raw {
		var entry tensor
		if name == "__metadata__" {
			continue
		}
		if err := json.Unmarshal(value, &entry); err != nil {
			t.Fatal(err)
		}
		s.header[name] = entry
	}
	return s
}

func (s safetensors) file(t *testing.T) []byte {
	t.Helper()
	header, err := json.Marshal(s.header)
	if err != nil {
		t.Fatal(err)
	}
	return withHeader(header, s.data)
}

func withHeader(header, data []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), data...)
}

// withWeights replaces the weights of a pack, and the promises about them.
func withWeights(t *testing.T, name string, weights []byte) fstest.MapFS {
	t.Helper()
	files := fixturePack(t, name)
	files["model.safetensors"] = &fstest.MapFile{Data: weights}
	manifest := files["pack.json"].Data
	manifest = regexp.MustCompile(`"bytes":\d+,|,"sha256":"[0-9a-f]*"`).ReplaceAll(manifest, nil)
	files["pack.json"] = &fstest.MapFile{Data: manifest}
	return files
}

const victim = "flow_lm.out_norm.weight"

func TestHostileWeightsAreRefused(t *testing.T) {
	original := read(t, fixtures, "lsd6", "model.safetensors")
	length := int(binary.LittleEndian.Uint64(original))
	header, data := original[8:8+length], original[8+length:]
	edit := func(change func(*safetensors)) []byte {
		s := parse(t, original)
		change(&s)
		return s.file(t)
	}
	change := func(f func(*tensor)) []byte {
		return edit(func(s *safetensors) {
			entry := s.header[victim]
			f(&entry)
			s.header[victim] = entry
		})
	}
	lie := func(length uint64) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, length), original[8:]...)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":               {nil, ""},
		"seven bytes":         {original[:7], ""},
		"header cut":          {original[:length/2], ""},
		"data cut":            {original[:len(original)-1], ""},
		"more data":           {append(bytes.Clone(original), 0), ""},
		"header of 0 bytes":   {lie(0), ""},
		"header of 2^63":      {lie(1 << 63), ""},
		"header of 2^32":      {lie(1 << 32), ""},
		"header to the end":   {lie(uint64(len(original)) - 8), ""},
		"header not JSON":     {withHeader(bytes.Repeat([]byte("{"), 1000), data), ""},
		"header a list":       {withHeader([]byte("[]"), data), ""},
		"name twice":          {withHeader(append([]byte(`{"`+victim+`":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`), header[1:]...), data), victim},
		"tensor missing":      {edit(func(s *safetensors) { delete(s.header, victim) }), ""},
		"tensor extra":        {edit(func(s *safetensors) { s.header["flow_lm.more"] = tensor{DType: "F32", Shape: []int{0}} }), "flow_lm.more"},
		"other shape":         {change(func(e *tensor) { e.Shape = append(e.Shape, 1, 1) }), victim},
		"negative shape":      {change(func(e *tensor) { e.Shape[0] = -e.Shape[0] }), ""},
		"huge shape":          {change(func(e *tensor) { e.Shape = []int{1 << 31, 1 << 31} }), victim},
		"other type":          {change(func(e *tensor) { e.DType = "I64" }), victim},
		"unknown type":        {change(func(e *tensor) { e.DType = "F31" }), victim},
		"outside of the file": {change(func(e *tensor) { e.Offsets[0] += len(data); e.Offsets[1] += len(data) }), "data_offsets"},
		"backwards":           {change(func(e *tensor) { e.Offsets[0], e.Offsets[1] = e.Offsets[1], e.Offsets[0] }), victim},
		"overlapping": {change(func(e *tensor) {
			size := e.Offsets[1] - e.Offsets[0]
			e.Offsets = [2]int{0, size}
		}), ""},
		"not a number": {edit(func(s *safetensors) {
			binary.LittleEndian.PutUint32(s.data[s.header[victim].Offsets[0]:], math.Float32bits(float32(math.NaN())))
		}), victim},
		"infinite": {edit(func(s *safetensors) {
			binary.LittleEndian.PutUint32(s.data[s.header[victim].Offsets[0]:], math.Float32bits(float32(math.Inf(1))))
		}), victim},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryLoad(t, Options{PackFS: withWeights(t, "lsd6", c.file)})
			if !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "model.safetensors") {
				t.Errorf("got %v, want ErrWeights about model.safetensors, %s", err, c.want)
			}
		})
	}
}

func TestFlippedBitsNeverCrash(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	flip := func(data []byte, within int) []byte {
		data = bytes.Clone(data)
		for range 1 + random.IntN(4) {
			data[random.IntN(within)] ^= 1 << random.IntN(8)
		}
		return data
	}
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	want := speech(t, e, "Hi.", SpeakOptions{})
	check := func(what string, err error) {
		t.Helper()
		if err != nil && !typed(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	weights := read(t, fixtures, "lsd6", "model.safetensors")
	voice := read(t, fixtures, "lsd6", "voice.safetensors")
	tokenizer := read(t, fixtures, "lsd6", "tokenizer.model")
	audio := read(t, fixtures, "lsd6", "voice.wav")
	rounds := 60
	if testing.Short() {
		rounds = 6
	}
	for n := range rounds {
		engine, err := tryLoad(t, Options{PackFS: withWeights(t, "lsd6", flip(weights, 8+int(binary.LittleEndian.Uint64(weights))))})
		check(fmt.Sprintf("weights %d", n), err)
		files := withWeights(t, "lsd6", weights)
		files["tokenizer.model"] = &fstest.MapFile{Data: flip(tokenizer, len(tokenizer))}
		second, err := tryLoad(t, Options{PackFS: files})
		check(fmt.Sprintf("tokenizer %d", n), err)
		for _, engine := range []*Engine{engine, second} {
			if engine != nil {
				_, err = trySpeech(engine, "Hi.", SpeakOptions{})
				check(fmt.Sprintf("speech %d", n), errors.Join(err, engine.Close()))
			}
		}
		loaded, err := e.LoadVoice(t.Context(), bytes.NewReader(flip(voice, min(len(voice), 2000))))
		check(fmt.Sprintf("voice %d", n), err)
		if err == nil {
			_, err = trySpeech(e, "Hi.", SpeakOptions{Voice: loaded})
			check(fmt.Sprintf("speech with voice %d", n), err)
		}
		_, err = e.CloneVoice(t.Context(), bytes.NewReader(flip(audio, 60)), CloneOptions{})
		check(fmt.Sprintf("audio %d", n), err)
	}
	if !bytes.Equal(want, speech(t, e, "Hi.", SpeakOptions{})) {
		t.Error("afterwards it speaks differently")
	}
}

func TestBadInputLeavesTheEngineUsable(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	want := speech(t, e, "Hi.", SpeakOptions{})
	nan := float32(math.NaN())
	speakErr := func(text string, options SpeakOptions) func() error {
		return func() error {
			s, err := e.Speak(t.Context(), text, options)
			if err != nil {
				return err
			}
			defer s.Close()
			_, err = s.next()
			return err
		}
	}
	voiceErr := func(data []byte) func() error {
		return func() error { _, err := e.LoadVoice(t.Context(), bytes.NewReader(data)); return err }
	}
	cloneErr := func(data []byte) func() error {
		return func() error {
			v, err := e.CloneVoice(t.Context(), bytes.NewReader(data), CloneOptions{})
			if v != nil {
				defer v.Close()
			}
			return err
		}
	}
	voice := read(t, fixtures, "lsd6", "voice.safetensors")
	for name, c := range map[string]struct {
		call func() error
		is   error // nil: it is legal
	}{
		"empty text":            {speakErr("", SpeakOptions{}), ErrTextEmpty},
		"white space":           {speakErr(" \t\r\n\u00a0\u2028\u3000 ", SpeakOptions{}), ErrTextEmpty},
		"not UTF-8":             {speakErr("abc\xff\xfe", SpeakOptions{}), ErrTextEncoding},
		"surrogate":             {speakErr("abc\xed\xa0\x80", SpeakOptions{}), ErrTextEncoding},
		"cut character":         {speakErr("abc\xe2\x82", SpeakOptions{}), ErrTextEncoding},
		"1 MB":                  {speakErr(strings.Repeat("All work and no play. ", 50_000), SpeakOptions{}), nil},
		"5 MB":                  {speakErr(strings.Repeat("All work and no play. ", 250_000), SpeakOptions{}), ErrTextTooLong},
		"emoji":                 {speakErr("🎉🎊👩‍👩‍👧‍👦", SpeakOptions{}), nil},
		"punctuation":           {speakErr("?!... ;:", SpeakOptions{}), nil},
		"control characters":    {speakErr("a\x00b\x01\x7f", SpeakOptions{}), nil},
		"temperature negative":  {speakErr("Hi.", SpeakOptions{Temperature: Value(float32(-1))}), ErrArgument},
		"temperature NaN":       {speakErr("Hi.", SpeakOptions{Temperature: &nan}), ErrArgument},
		"clamp negative":        {speakErr("Hi.", SpeakOptions{NoiseClamp: Value(float32(-1))}), ErrArgument},
		"threshold NaN":         {speakErr("Hi.", SpeakOptions{EOSThreshold: &nan}), ErrArgument},
		"0 steps":               {speakErr("Hi.", SpeakOptions{DecodeSteps: Value(0)}), ErrArgument},
		"10^9 steps":            {speakErr("Hi.", SpeakOptions{DecodeSteps: Value(1_000_000_000)}), ErrArgument},
		"2^40 steps":            {speakErr("Hi.", SpeakOptions{DecodeSteps: Value(1 << 40)}), ErrArgument},
		"0 tokens":              {speakErr("Hi.", SpeakOptions{MaxTokens: Value(0)}), ErrArgument},
		"negative frames":       {speakErr("Hi.", SpeakOptions{FramesAfterEOS: Value(-1)}), ErrArgument},
		"unknown format":        {speakErr("Hi.", SpeakOptions{Format: "mp3"}), ErrArgument},
		"unknown RNG":           {speakErr("Hi.", SpeakOptions{RNG: "dice"}), ErrArgument},
		"voice empty":           {voiceErr(nil), ErrVoice},
		"voice cut":             {voiceErr(voice[:len(voice)-4]), ErrVoice},
		"voice header cut":      {voiceErr(voice[:20]), ErrVoice},
		"voice of another size": {voiceErr(read(t, fixtures, "drifting", "voice.safetensors")), ErrVoice},
		"voice of more layers":  {voiceErr(read(t, fixtures, "deep", "voice.safetensors")), ErrVoice},
		"weights as a voice":    {voiceErr(read(t, fixtures, "lsd6", "model.safetensors")), ErrVoice},
		"voice not a number":    {voiceErr(notANumber(t, voice)), ErrVoice},
		"no audio":              {cloneErr(nil), ErrAudio},
		"not audio":             {cloneErr([]byte("hello, this is text and no audio at all, is it?")), ErrAudio},
		"0 samples":             {cloneErr(wavFile(0, 1)), ErrAudio},
		"1 sample":              {cloneErr(wavFile(1, 1)), nil},
		"format unknown":        {cloneErr(wavFile(2400, 99)), ErrAudio},
		"audio not a number":    {cloneErr(floatFile(nan)), ErrAudio},
		"audio infinite":        {cloneErr(floatFile(float32(math.Inf(-1)))), ErrAudio},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call()
			if !errors.Is(err, c.is) {
				t.Errorf("got %v, want %v", err, c.is)
			}
			if err != nil && err.Error() == c.is.Error() {
				t.Errorf("the message says nothing more: %v", err)
			}
			if !bytes.Equal(want, speech(t, e, "Hi.", SpeakOptions{})) {
				t.Error("afterwards it speaks differently")
			}
		})
	}
}

func TestTwentyMinutesOfAudio(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes two minutes")
	}
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	_, err := e.CloneVoice(t.Context(), bytes.NewReader(wavFile(20*60*24000, 1)), CloneOptions{})
	if err != nil && !errors.Is(err, ErrAudio) {
		t.Errorf("got %v", err)
	}
}

func TestTokenizerThatIsNone(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty":   nil,
		"text":    []byte("hello"),
		"zeros":   make([]byte, 10_000),
		"cut":     read(t, fixtures, "lsd6", "tokenizer.model")[:3000],
		"another": read(t, fixtures, "german", "tokenizer.model"),
	} {
		files := withWeights(t, "lsd6", read(t, fixtures, "lsd6", "model.safetensors"))
		files["tokenizer.model"] = &fstest.MapFile{Data: data}
		if _, err := tryLoad(t, Options{PackFS: files}); !errors.Is(err, ErrTokenizer) || !strings.Contains(err.Error(), "tokenizer.model") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigurationThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":  {`"flow_lm":{`, `"flow_lm":{"nonsense":1,`, "nonsense"},
		"wrong type":   {`"d_model":`, `"d_model":"wide","was":`, "d_model"},
		"zero width":   {`"sample_rate":24000`, `"sample_rate":0`, "sample_rate"},
		"other layers": {`"num_layers":6`, `"num_layers":7`, ""},
	} {
		files := fixturePack(t, "lsd6")
		manifest := files["pack.json"].Data
		changed := bytes.Replace(manifest, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(changed, manifest) {
			t.Fatalf("%s: nothing to change", name)
		}
		files["pack.json"] = &fstest.MapFile{Data: changed}
		_, err := tryLoad(t, Options{PackFS: files})
		if !errors.Is(err, ErrConfig) && !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDamagedPackIsNotSpokenWith(t *testing.T) {
	files := fixturePack(t, "lsd6")
	weights := bytes.Clone(files["model.safetensors"].Data)
	weights[len(weights)-3] ^= 1 // a number remains a number
	files["model.safetensors"] = &fstest.MapFile{Data: weights}
	if _, err := tryLoad(t, Options{PackFS: files}); !errors.Is(err, ErrPack) || !strings.Contains(err.Error(), "expected sha256") {
		t.Errorf("flipped: %v", err)
	}
	files["model.safetensors"] = &fstest.MapFile{Data: weights[:len(weights)-1]}
	if _, err := tryLoad(t, Options{PackFS: files}); !errors.Is(err, ErrPack) || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("shortened: %v", err)
	}
	delete(files, "model.safetensors")
	if _, err := tryLoad(t, Options{PackFS: files}); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
}

// notANumber spoils the first value of a voice's first tensor of floats.
func notANumber(t *testing.T, voice []byte) []byte {
	s := parse(t, voice)
	for _, entry := range s.header {
		if entry.DType == "F32" {
			binary.LittleEndian.PutUint32(s.data[entry.Offsets[0]:], math.Float32bits(float32(math.NaN())))
		}
	}
	return s.file(t)
}

// wavFile is a mono file of 16-bit samples with some sound in it.
func wavFile(samples int, format uint16) []byte {
	little := binary.LittleEndian
	file := append([]byte("RIFF"), 0, 0, 0, 0)
	little.PutUint32(file[4:], uint32(36+2*samples))
	file = append(file, "WAVEfmt "...)
	file = little.AppendUint32(file, 16)
	file = little.AppendUint16(file, format)
	file = little.AppendUint16(file, 1)
	file = little.AppendUint32(file, 24000)
	file = little.AppendUint32(file, 48000)
	file = little.AppendUint16(file, 2)
	file = little.AppendUint16(file, 16)
	file = append(file, "data"...)
	file = little.AppendUint32(file, uint32(2*samples))
	for n := range samples {
		file = little.AppendUint16(file, uint16(int16(8000*math.Sin(float64(n)/20))))
	}
	return file
}

// floatFile is a file of 32-bit floats, one of which is `odd`.
func floatFile(odd float32) []byte {
	file := wavFile(4800, 3)
	binary.LittleEndian.PutUint32(file[28:], 96000)
	binary.LittleEndian.PutUint16(file[32:], 4)
	binary.LittleEndian.PutUint16(file[34:], 32)
	for n := 44; n < len(file); n += 4 {
		binary.LittleEndian.PutUint32(file[n:], math.Float32bits(0.25))
	}
	binary.LittleEndian.PutUint32(file[44+4*1000:], math.Float32bits(odd))
	return file
}
