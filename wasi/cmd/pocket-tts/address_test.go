package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

const revision = "0123456789abcdef0123456789abcdef01234567"

// site has the files of the random model: below the addresses of the hub, and below /site/. The paths in its configuration are
// the hub's.
type site struct {
	*httptest.Server
	files map[string][]byte

	mu    sync.Mutex
	asked []string // "path authorization"
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{files: map[string][]byte{}}
	for _, name := range []string{"config.yaml", "model.safetensors", "tokenizer.model", "voice.safetensors", "voice.wav"} {
		data, err := os.ReadFile(filepath.Join(fixture, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "config.yaml" {
			text := strings.Replace(string(data), "weights_path: model.safetensors", "weights_path: hf://me/model/model.safetensors@"+revision, 1)
			text = strings.Replace(text, "tokenizer_path: tokenizer.model", "tokenizer_path: hf://me/model/tokenizer.model@"+revision, 1)
			if strings.Count(text, revision) != 2 {
				t.Fatal("the fixture has changed")
			}
			data = []byte(text)
		}
		for _, prefix := range []string{"/me/model/resolve/" + revision + "/", "/me/model/resolve/main/", "/site/"} {
			s.files[prefix+name] = data
		}
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Authorization")))
	data, there := s.files[r.URL.Path]
	s.mu.Unlock()
	switch {
	case strings.Contains(r.URL.Path, "/gated/"):
		http.Error(w, "agree first", http.StatusUnauthorized)
	case strings.HasSuffix(r.URL.Path, "/page.safetensors"):
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html>"))
	case !there:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

const hello = "Hello."

// said is generate with an environment.
func said(t *testing.T, environment []string, args ...string) result {
	t.Helper()
	return with(t, environment, append([]string{"generate", "-q", "--text", hello, "--output-path", "-"}, args...)...)
}

// TestAddresses: what is fetched sounds as what is here, also a second time without a network.
func TestAddresses(t *testing.T) {
	s := newSite(t)
	environment, _ := online(t)
	environment = append(environment, "HF_ENDPOINT="+s.URL, "HF_TOKEN=hf_Secret")
	fromFile, cloned := said(t, nil, model...), said(t, nil, "--config", model[1], "--voice", fixture+"/voice.wav")
	if fromFile.code != 0 || cloned.code != 0 || bytes.Equal(fromFile.stdout, cloned.stdout) {
		t.Fatalf("%q, %q", fromFile.stderr, cloned.stderr)
	}
	pinned := "hf://me/model/config.yaml@" + revision
	rows := []struct {
		config, voice string
		want          []byte
		kept          bool
	}{
		{s.URL + "/site/config.yaml", s.URL + "/site/voice.safetensors", fromFile.stdout, true},
		{pinned, "hf://me/model/voice.safetensors@" + revision, fromFile.stdout, true},
		{"hf://me/model/config.yaml", "hf://me/model/voice.wav", cloned.stdout, true},
		// A query may be a secret: what came with one is not kept.
		{pinned, s.URL + "/site/voice.wav?token=secret", cloned.stdout, false},
	}
	for _, row := range rows {
		if r := said(t, environment, "--config", row.config, "--voice", row.voice); r.code != 0 || len(r.stderr) != 0 || !bytes.Equal(r.stdout, row.want) {
			t.Errorf("%s, %s: exit %d, %d bytes, want %d, %s", row.config, row.voice, r.code, len(r.stdout), len(row.want), r.stderr)
		}
	}
	if r := with(t, environment, "voices", "--config", pinned); r.code != 0 {
		t.Errorf("voices: %s", r.stderr)
	}
	exported := filepath.Join(t.TempDir(), "v.safetensors")
	if r := with(t, environment, "export-voice", s.URL+"/site/voice.wav", exported, "--config", pinned, "-q"); r.code != 0 {
		t.Errorf("export-voice: %s", r.stderr)
	} else if r := said(t, nil, "--config", model[1], "--voice", exported); !bytes.Equal(r.stdout, cloned.stdout) {
		t.Errorf("a voice that was exported: exit %d, %s", r.code, r.stderr)
	}
	asked := s.requests()
	for _, one := range asked {
		// The token is for the hub alone.
		if path, token, _ := strings.Cut(one, " "); strings.HasPrefix(path, "/me/") != (token == "Bearer hf_Secret") {
			t.Errorf("asked for %s", one)
		}
	}
	for _, name := range []string{"model.safetensors", "tokenizer.model", "config.yaml"} {
		// What has a full revision is asked for once.
		if n := len(slices.DeleteFunc(slices.Clone(asked), func(one string) bool { return !strings.Contains(one, revision+"/"+name) })); n != 1 {
			t.Errorf("asked %d times for %s", n, name)
		}
	}
	list := string(with(t, environment, "packs", "list").stdout)
	for _, name := range []string{pinned, s.URL + "/site/voice.safetensors", "hf://me/model/voice.wav"} {
		if !slices.ContainsFunc(strings.Split(list, "\n"), func(line string) bool {
			return strings.HasPrefix(line, name+" ") && strings.Contains(line, " cached, ")
		}) {
			t.Errorf("%s is not listed: %s", name, list)
		}
	}
	if strings.Contains(list, "secret") {
		t.Errorf("%s", list)
	}
	s.Close()
	for _, row := range rows {
		for _, more := range [][]string{{}, {"--offline"}} {
			r := said(t, environment, append(more, "--config", row.config, "--voice", row.voice)...)
			if row.kept && !bytes.Equal(r.stdout, row.want) || !row.kept && (r.code != 1 || bytes.Contains(r.stderr, []byte("secret"))) {
				t.Errorf("without a network: %s, %s, %v: exit %d, %s", row.config, row.voice, more, r.code, r.stderr)
			}
		}
	}
}

// TestSharedFolder: what the hub's own programs have fetched is not fetched again.
func TestSharedFolder(t *testing.T) {
	s := newSite(t)
	environment, _ := online(t)
	home := t.TempDir()
	folder := filepath.Join(home, "hub", "models--me--model")
	put := func(path string, data []byte) {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, data := range s.files {
		if name, ok := strings.CutPrefix(path, "/site/"); ok {
			put("snapshots/"+revision+"/"+name, data)
		}
	}
	put("refs/main", []byte(revision+"\n"))
	args := []string{"--config", "hf://me/model/config.yaml@" + revision, "--voice", "hf://me/model/voice.wav"}
	want := said(t, nil, "--config", model[1], "--voice", fixture+"/voice.wav").stdout
	environment = append(environment, "HF_ENDPOINT="+s.URL)
	here := append(slices.Clone(environment), "HF_HOME="+home)
	if r := said(t, append(here, "HF_HUB_OFFLINE=1"), args...); r.code != 0 || !bytes.Equal(r.stdout, want) || len(s.requests()) != 0 {
		t.Errorf("offline: exit %d, %s, asked for %v", r.code, r.stderr, s.requests())
	}
	// With a network the newest of what may change, and no more.
	if r := said(t, here, args...); !bytes.Equal(r.stdout, want) || !slices.Equal(s.requests(), []string{"/me/model/resolve/main/voice.wav"}) {
		t.Errorf("exit %d, %s, asked for %v", r.code, r.stderr, s.requests())
	}
	r := said(t, append(environment, "HF_HUB_OFFLINE=1"), args...)
	if want := "hf://me/model/config.yaml@" + revision + " is not in the cache ("; r.code != 1 || !strings.Contains(string(r.stderr), want) {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

func TestAddressesThatHaveNothingOfTheKind(t *testing.T) {
	s := newSite(t)
	environment, _ := online(t)
	environment = append(environment, "HF_ENDPOINT="+s.URL)
	s.mu.Lock()
	text := string(s.files["/site/config.yaml"])
	s.files["/site/gated.yaml"] = []byte(strings.Replace(text, "hf://me/model/model.safetensors", "hf://me/gated/model.safetensors", 1))
	s.files["/site/public.yaml"] = append(s.files["/site/gated.yaml"], "\nweights_path_without_voice_cloning: hf://me/model/model.safetensors@"+revision+"\n"...)
	s.files["/site/elsewhere.yaml"] = []byte(strings.Replace(text, "hf://me/model/model.safetensors@"+revision, "https://example.com/model.safetensors", 1))
	s.mu.Unlock()
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"--voice", "hf://me/model/nothing.safetensors"}, "/resolve/main/nothing.safetensors: HTTP status 404"},
		{[]string{"--voice", s.URL + "/site/page.safetensors"}, "/site/page.safetensors: broken pack: expected a file of a pack, found an HTML page"},
		{[]string{"--voice", s.URL + "/site/voice.safetensors"}, "--voice " + s.URL + "/site/voice.safetensors: "},
		{[]string{"--config", "hf://me/model/nothing.yaml"}, "/resolve/main/nothing.yaml: HTTP status 404"},
		{[]string{"--config", s.URL + "/site/model.safetensors"}, "ValueError: Config should be a path to a YAML file"},
		{[]string{"--config", s.URL + "/site/gated.yaml"}, "the hub does not give me/gated to everybody: agree to its terms and pass a token of that account"},
		{[]string{"--config", s.URL + "/site/elsewhere.yaml"}, `elsewhere.yaml: weights_path: not supported: expected a local path or hf://OWNER/NAME/PATH@REVISION, found "https://example.com/model.safetensors"; download it and name the local file`},
	} {
		r := said(t, environment, row.args...)
		if r.code != 1 || len(r.stdout) != 0 || bytes.Count(r.stderr, []byte("\n")) != 1 || !strings.Contains(string(r.stderr), row.want) {
			t.Errorf("%v: exit %d, %q, want %q", row.args, r.code, r.stderr, row.want)
		}
	}
	// Weights that are gated give way to those that are not, and that is said.
	r := with(t, environment, "generate", "--text", hello, "--output-path", "-", "--config", s.URL+"/site/public.yaml", "--voice", model[3])
	if r.code != 0 || !bytes.Equal(r.stdout, said(t, nil, model...).stdout) || !strings.Contains(string(r.stderr), "; loading the weights without voice cloning\n") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

// TestConfigurationWithoutAVoice speaks with the recording that the reference takes.
func TestConfigurationWithoutAVoice(t *testing.T) {
	s := newSite(t)
	s.files["/kyutai/tts-voices/resolve/main/alba-mackenna/casual.wav"] = s.files["/site/voice.wav"]
	environment, _ := online(t)
	want := said(t, nil, "--config", model[1], "--voice", fixture+"/voice.wav").stdout
	if r := said(t, append(environment, "HF_ENDPOINT="+s.URL), "--config", model[1]); r.code != 0 || !bytes.Equal(r.stdout, want) {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

func TestSentenceOfALanguage(t *testing.T) {
	words := map[string]string{"dutch": "stem", "french": "voix", "german": "Stimme", "italian": "voce", "portuguese": "voz é", "spanish": "voz se"}
	for _, name := range append(pockettts.PackNames(), "") {
		want := "Pocket TTS"
		for language, word := range words {
			if strings.HasPrefix(name, language) {
				want = word
			}
		}
		if text := defaultText(name); !strings.Contains(text, want) {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, w := range []where{{language: "french_24l"}, {pack: "french"}, {pack: "./french"}, {}} {
		if got, want := w.official(), w.language+w.pack; got != want && want != "./french" {
			t.Errorf("%+v: %q", w, got)
		}
	}
}
