package pockettts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// hostRequests is tests/hosts/requests.json: what has to sound the same in every host.
type hostRequests struct {
	Models map[string]struct {
		Pack          string          `json:"pack"`
		Config        json.RawMessage `json:"config"`
		Weights       string          `json:"weights"`
		Tokenizer     string          `json:"tokenizer"`
		TokenizerKind string          `json:"tokenizerKind"`
		Voice         string          `json:"voice"`
	} `json:"models"`
	Requests []struct {
		Name      string    `json:"name"`
		Model     string    `json:"model"`
		Precision Precision `json:"precision"`
		Text      string    `json:"text"`
		Options   struct {
			Seed           *uint64  `json:"seed"`
			RNG            RNG      `json:"rng"`
			Temperature    *float32 `json:"temperature"`
			NoiseClamp     *float32 `json:"noiseClamp"`
			EOSThreshold   *float32 `json:"eosThreshold"`
			DecodeSteps    *int     `json:"decodeSteps"`
			FramesAfterEOS *int     `json:"framesAfterEos"`
			MaxTokens      *int     `json:"maxTokens"`
		} `json:"options"`
	} `json:"requests"`
}

// pack makes the pack of a model that is given by its files.
func (r hostRequests) pack(t *testing.T, name string) fstest.MapFS {
	model := r.Models[name]
	manifest, err := json.Marshal(map[string]any{
		"format": 1, "name": name, "config": model.Config, "default_voice": "voice",
		"files": []map[string]string{
			{"path": "weights", "role": "weights"},
			{"path": "tokenizer", "role": "tokenizer", "kind": model.TokenizerKind},
			{"path": "voice", "role": "voice", "name": "voice"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"pack.json": {Data: manifest},
		"weights":   {Data: read(t, "..", model.Weights)},
		"tokenizer": {Data: read(t, "..", model.Tokenizer)},
		"voice":     {Data: read(t, "..", model.Voice)},
	}
}

func TestSameSamplesAsEveryOtherHost(t *testing.T) {
	var document hostRequests
	if err := json.Unmarshal(read(t, "../tests/hosts/requests.json"), &document); err != nil {
		t.Fatal(err)
	}
	expected := map[string]struct {
		Frames int    `json:"frames"`
		SHA256 string `json:"sha256"`
	}{}
	if err := json.Unmarshal(read(t, "../tests/hosts/expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	if len(document.Requests) == 0 {
		t.Fatal("no requests")
	}
	for _, request := range document.Requests {
		t.Run(request.Name, func(t *testing.T) {
			if testing.Short() && request.Name != "lsd6-chunks" {
				t.Skip("all layouts speak another one, which is in several pieces")
			}
			precision := request.Precision
			if precision == "" {
				precision = F32
			}
			options := Options{Precision: precision}
			if folder := document.Models[request.Model].Pack; folder != "" {
				options.Pack = filepath.Join("..", folder)
			} else {
				options.PackFS = document.pack(t, request.Model)
			}
			given := request.Options
			want := expected[request.Name]
			for _, layout := range layouts {
				options.Instances, options.Parallel, options.Workers = layout.instances, layout.parallel, layout.workers
				pcm := speech(t, load(t, options), request.Text, SpeakOptions{
					Seed: given.Seed, RNG: given.RNG, Temperature: given.Temperature, NoiseClamp: given.NoiseClamp,
					EOSThreshold: given.EOSThreshold, DecodeSteps: given.DecodeSteps, FramesAfterEOS: given.FramesAfterEOS,
					MaxTokens: given.MaxTokens,
				})
				sum := sha256.Sum256(pcm)
				if got := hex.EncodeToString(sum[:]); got != want.SHA256 || len(pcm) != want.Frames*3840 {
					t.Errorf("%+v: %d frames with sha256 %s, want %d with %s", layout, len(pcm)/3840, got, want.Frames, want.SHA256)
				}
			}
		})
	}
}

func TestEmbeddedStarterSoundsLikeTheFolder(t *testing.T) {
	const text = "The quick brown fox jumps over the lazy dog."
	embedded := speech(t, load(t, Options{PackFS: starter.FS()}), text, SpeakOptions{})
	if folder := speech(t, load(t, Options{Pack: "starter/pack"}), text, SpeakOptions{}); !bytes.Equal(embedded, folder) {
		t.Error("it does not")
	}
}
