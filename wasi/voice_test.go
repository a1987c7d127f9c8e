package pockettts

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestVoicesByName(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	ann, err := e.Voice(t.Context(), "ann")
	if err != nil || ann.Name() != "ann" {
		t.Fatal(err)
	}
	if preset, err := e.Voice(t.Context(), ""); err != nil || preset != ann {
		t.Errorf("the default voice is another one: %v", err)
	}
	_, err = e.Voice(t.Context(), "bob")
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "its voices: ann") {
		t.Errorf("got %v", err)
	}
	if err := ann.Close(); err != nil {
		t.Error(err)
	}
	if len(speech(t, e, sentence, SpeakOptions{Voice: ann})) == 0 {
		t.Error("closing a voice of the pack took it away")
	}
}

func TestExportedVoiceSpeaksTheSame(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	want := speech(t, e, sentence, SpeakOptions{})
	ann, err := e.Voice(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := e.ExportVoice(t.Context(), ann, &file); err != nil {
		t.Fatal(err)
	}
	voice, err := e.LoadVoice(t.Context(), &file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, speech(t, e, sentence, SpeakOptions{Voice: voice})) {
		t.Error("it does not")
	}
}

func TestClosedVoiceGivesItsMemoryBack(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6")})
	before, err := e.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	voice, err := e.LoadVoice(t.Context(), bytes.NewReader(read(t, fixtures, "lsd6", "voice.safetensors")))
	if err != nil {
		t.Fatal(err)
	}
	stream := speak(t, e, sentence, SpeakOptions{Voice: voice})
	for range 2 {
		if err := voice.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := stream.next(); err != nil {
		t.Errorf("the stream that speaks with it: %v", err)
	}
	stream.Close()
	if after, err := e.Memory(t.Context()); err != nil || after.Allocated != before.Allocated {
		t.Errorf("%d bytes before, %d after, %v", before.Allocated, after.Allocated, err)
	}
	if _, err := e.Speak(t.Context(), sentence, SpeakOptions{Voice: voice}); !errors.Is(err, ErrClosed) {
		t.Errorf("speaking with it: %v", err)
	}
	if err := e.ExportVoice(t.Context(), voice, new(bytes.Buffer)); !errors.Is(err, ErrClosed) {
		t.Errorf("exporting it: %v", err)
	}
}

func TestVoiceOfAnotherEngine(t *testing.T) {
	files := fixturePack(t, "lsd6")
	voice, err := load(t, Options{PackFS: files}).Voice(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, Options{PackFS: files}).Speak(t.Context(), sentence, SpeakOptions{Voice: voice}); !errors.Is(err, ErrVoice) {
		t.Errorf("got %v", err)
	}
	if _, err := voice.engine.Speak(t.Context(), sentence, SpeakOptions{Voice: new(Voice)}); !errors.Is(err, ErrVoice) || !strings.Contains(err.Error(), "the zero Voice") {
		t.Errorf("the zero Voice: %v", err)
	}
	if err := new(Voice).Close(); err != nil {
		t.Errorf("the zero Voice: %v", err)
	}
}

func TestCloning(t *testing.T) {
	files := fixturePack(t, "lsd6")
	audio := read(t, fixtures, "lsd6", "voice.wav")
	e := load(t, Options{PackFS: files})
	voice, err := e.CloneVoice(t.Context(), bytes.NewReader(audio), CloneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(speech(t, e, sentence, SpeakOptions{Voice: voice})) == 0 {
		t.Error("silence")
	}
	var whole, part bytes.Buffer
	short, err := e.CloneVoice(t.Context(), bytes.NewReader(audio), CloneOptions{MaxSeconds: 0.5})
	if err := errors.Join(err, e.ExportVoice(t.Context(), voice, &whole)); err != nil {
		t.Fatal(err)
	}
	if err := e.ExportVoice(t.Context(), short, &part); err != nil || part.Len() >= whole.Len() {
		t.Errorf("half a second gives %d bytes, everything %d, %v", part.Len(), whole.Len(), err)
	}

	without := load(t, Options{PackFS: files, NoCloning: true})
	if without.Info().CanClone || without.Info().WeightBytes >= e.Info().WeightBytes {
		t.Errorf("loaded without cloning: %+v", without.Info())
	}
	if _, err := without.CloneVoice(t.Context(), bytes.NewReader(audio), CloneOptions{}); !errors.Is(err, ErrCloning) {
		t.Errorf("got %v", err)
	}

	files["pack.json"] = &fstest.MapFile{Data: bytes.Replace(files["pack.json"].Data,
		[]byte(`"format":1`), []byte(`"format":1,"cloning":{"available":false,"reason":"its encoder is a filler"}`), 1)}
	filler := load(t, Options{PackFS: files})
	_, err = filler.CloneVoice(t.Context(), bytes.NewReader(audio), CloneOptions{})
	if !errors.Is(err, ErrCloning) || !strings.Contains(err.Error(), "its encoder is a filler") {
		t.Errorf("got %v", err)
	}

	files["pack.json"] = &fstest.MapFile{Data: bytes.Replace(files["pack.json"].Data, []byte(`,"reason":"its encoder is a filler"`), nil, 1)}
	silent := load(t, Options{PackFS: files})
	if _, err = silent.CloneVoice(t.Context(), bytes.NewReader(audio), CloneOptions{}); err == nil || strings.HasSuffix(err.Error(), ": ") {
		t.Errorf("without a reason: %v", err)
	}
}
