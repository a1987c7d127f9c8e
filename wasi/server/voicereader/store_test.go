package voicereader

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

var kills = flag.Int("kills", 30, "how often a process that writes voices is killed")

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func opened(t testing.TB, folder string) *store {
	t.Helper()
	s, err := openStore(folder, silent())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// promptOf is a voice file that tells by every byte whose it is.
func promptOf(name string) []byte { return bytes.Repeat([]byte(name+"."), 20_000) }

// TestMain is also the process that is killed: it makes, changes and deletes voices, and says on stdout what it has done.
func TestMain(m *testing.M) {
	if folder := os.Getenv("POCKET_TTS_TEST_VOICES"); folder != "" {
		if err := scribble(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// scribble writes voices until it is killed. A line says what is certain from now on, or is about to be tried.
func scribble(folder string) error {
	s, err := openStore(folder, silent())
	if err != nil {
		return err
	}
	var ids []string
	say := func(words ...string) { _, err = fmt.Println(strings.Join(words, " ")) }
	for n := 0; err == nil; n++ {
		name := fmt.Sprintf("voice-%d-%d", os.Getpid(), n)
		say("try-add", name)
		added, wrong := s.add(context.Background(), voice{DisplayName: name, Model: "m"}, promptOf(name))
		if wrong != nil {
			return wrong
		}
		say("added", added.ID, name)
		ids = append(ids, added.ID)
		if n%2 == 1 {
			id, text := ids[rand.N(len(ids))], fmt.Sprintf("changed %d", n)
			say("try-change", id, text)
			if _, wrong := s.update(context.Background(), id, voiceChange{toDescription: true, description: &text}); wrong != nil {
				return wrong
			}
			say("changed", id, text)
		}
		if n%3 == 2 {
			at := rand.N(len(ids))
			say("try-delete", ids[at])
			if wrong := s.remove(context.Background(), ids[at]); wrong != nil {
				return wrong
			}
			say("deleted", ids[at])
			ids = slices.Delete(ids, at, at+1)
		}
	}
	return err
}

// TestKillWhileVoicesAreWritten: whatever was said to be done is done, what was under way is done or is not, and nothing else is left.
func TestKillWhileVoicesAreWritten(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "voices")
	type known struct {
		name, description string
		may               string // what the description may be instead
		maybeGone         bool
	}
	voices := map[string]*known{} // by id, over all processes
	rounds := *kills
	if testing.Short() {
		rounds = min(rounds, 5)
	}
	underWay := map[string]int{}
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "POCKET_TTS_TEST_VOICES="+folder)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed in the middle of something: within a fraction of a millisecond after it was begun.
		lines, last, deed, skipped := bufio.NewScanner(out), "", []string{"try-add", "try-change", "try-delete"}[round%3], rand.N(3)
		for lines.Scan() {
			last = lines.Text()
			words := strings.SplitN(last, " ", 3)
			switch words[0] {
			case "added":
				voices[words[1]] = &known{name: words[2]}
			case "try-change":
				voices[words[1]].may = words[2]
			case "changed":
				voices[words[1]].description, voices[words[1]].may = words[2], ""
			case "try-delete":
				voices[words[1]].maybeGone = true
			case "deleted":
				delete(voices, words[1])
			}
			if words[0] == deed {
				if skipped--; skipped == -1 {
					time.AfterFunc(rand.N(600*time.Microsecond), func() { _ = cmd.Process.Kill() })
				}
			}
		}
		_ = cmd.Wait()
		if stderr.Len() > 0 {
			t.Fatalf("round %d: %s", round, &stderr)
		}
		underWay[strings.SplitN(last, " ", 2)[0]]++
		attempted, _ := strings.CutPrefix(last, "try-add ")

		s := opened(t, folder)
		found, err := s.list()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, v := range found {
			k := voices[v.ID]
			if k == nil && v.DisplayName == attempted { // it came to be, and nobody was told
				k = &known{name: attempted}
				voices[v.ID] = k
			}
			prompt, err := fs.ReadFile(s.root.FS(), v.ID+"/"+promptFile)
			if k == nil || v.DisplayName != k.name || err != nil || !bytes.Equal(prompt, promptOf(v.DisplayName)) {
				t.Fatalf("round %d, after %q: %+v, expected %+v; %d bytes of voice, %v", round, last, v, k, len(prompt), err)
			}
			description := ""
			if v.Description != nil {
				description = *v.Description
			}
			if description != k.description && (k.may == "" || description != k.may) {
				t.Errorf("round %d, after %q: %q, expected %q or %q", round, last, description, k.description, k.may)
			}
			k.description, k.may, seen[v.ID] = description, "", true
		}
		for id, k := range voices {
			if !seen[id] && !k.maybeGone {
				t.Errorf("round %d, after %q: %s is lost", round, last, k.name)
			}
			if k.maybeGone = false; !seen[id] {
				delete(voices, id)
			}
		}
		err = fs.WalkDir(s.root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
			name := entry.Name()
			if _, isVoice := parseUUID(name); err != nil || isVoice && !seen[name] || !isVoice && name != "." && name != lockFile && name != metaFile && name != promptFile {
				t.Errorf("round %d, after %q: %s is left, %v", round, last, path, err)
			}
			return nil
		})
		if err := errors.Join(err, s.close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d voices after %d kills; the last word was %v", len(voices), rounds, underWay)
}

// TestWhatIsUnfinishedGoes when the folder is opened, and nothing else.
func TestWhatIsUnfinishedGoes(t *testing.T) {
	folder := t.TempDir()
	s := opened(t, folder)
	v, err := s.add(t.Context(), voice{DisplayName: "a", Model: "m"}, []byte("prompt"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		newPrefix + ghost + "/meta.json": "{", gonePrefix + ghost + "/prompt.safetensors": "x", v.ID + "/" + tempPrefix + ghost: "{", "mine/notes.txt": "keep",
		v.ID + "/reference_audio.wav": "keep",
	} {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, folder)
	defer s.close()
	var left []string
	err = fs.WalkDir(s.root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			left = append(left, strings.Replace(path, v.ID, "ID", 1))
		}
		return err
	})
	slices.Sort(left)
	if want := []string{lockFile, "ID/meta.json", "ID/prompt.safetensors", "ID/reference_audio.wav", "mine/notes.txt"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("%q, %v", left, err)
	}
}

// TestNoVoiceIsLostBehindLongWords: what would not be read again is not written, and the voice stays as it was.
func TestNoVoiceIsLostBehindLongWords(t *testing.T) {
	s := opened(t, t.TempDir())
	defer s.close()
	long := strings.Repeat("<", metaBytes/4) // six bytes each in JSON
	if _, err := s.add(t.Context(), voice{DisplayName: "a", Model: "m", refText: &long}, promptOf("a")); err == nil || explain(err).code != codeInvalid {
		t.Errorf("a long ref_text: %v", err)
	}
	added, err := s.add(t.Context(), voice{DisplayName: "b", Model: "m"}, promptOf("b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.update(t.Context(), added.ID, voiceChange{toLanguage: true, language: &long}); err == nil || explain(err).code != codeInvalid {
		t.Errorf("a long language: %v", err)
	}
	if voices, err := s.list(); err != nil || len(voices) != 1 || voices[0].ID != added.ID {
		t.Errorf("%v, %v", voices, err)
	}
}

// TestOldFoldersAreRead: those of the engine before this one, with fields that this one does not know.
func TestOldFoldersAreRead(t *testing.T) {
	folder := t.TempDir()
	write := func(id, meta string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Join(folder, id), 0o700), os.WriteFile(filepath.Join(folder, id, metaFile), []byte(meta), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	id := func(n int) string { return fmt.Sprintf("%s%d", ghost[:35], n) }
	write(id(1), `{"voice_id":"`+id(1)+`","display_name":"younger","created_at":"2025-02-01T10:00:00.123456+02:00","tts_model_id":"m","language_hint":"en","ref_text":"hello","extra":{"a":[1]}}`)
	write(id(2), `{"voice_id":"`+strings.ToUpper(id(2))+`","display_name":"older","created_at":"2024-01-01T00:00:00","tts_model_id":"m"}`)
	for n, broken := range []string{``, `{`, `[]`, `{"voice_id":"` + id(1) + `","display_name":"a","created_at":"2025-02-01T10:00:00Z","tts_model_id":"m"}`,
		`{"voice_id":"` + id(7) + `","display_name":7,"created_at":"2025-02-01T10:00:00Z","tts_model_id":"m"}`,
		`{"voice_id":"` + id(8) + `","display_name":"a","created_at":"yesterday","tts_model_id":"m"}`} {
		write(id(3+n), broken)
	}
	s := opened(t, folder)
	defer s.close()
	found, err := s.list()
	if err != nil || len(found) != 2 || found[0].DisplayName != "older" || found[1].DisplayName != "younger" || found[0].ID != id(2) ||
		!found[1].CreatedAt.Equal(time.Date(2025, 2, 1, 8, 0, 0, 123456000, time.UTC)) || found[0].Language != nil {
		t.Fatalf("%+v %v", found, err)
	}
	german := "de"
	if _, err := s.update(t.Context(), id(1), voiceChange{name: "new", toLanguage: true, language: &german}); err != nil {
		t.Fatal(err)
	}
	fields, v, err := s.read(id(1))
	if err != nil || v.DisplayName != "new" || *v.Language != "de" || string(fields["ref_text"]) != `"hello"` || strings.Join(strings.Fields(string(fields["extra"])), "") != `{"a":[1]}` {
		t.Errorf("%+v %s %v", v, fields, err)
	}
}

// sung is a recording: a tone with overtones, that gets louder and softer.
func sung(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(servertest.Fixture(t, "../../.."), "voice.wav"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// cloning serves a model with random weights that can make voices; the starter voice cannot.
func cloning(t testing.TB, name string, options server.Options) *server.Service {
	t.Helper()
	folder := filepath.Join(filepath.Dir(servertest.Fixture(t, "../../..")), name)
	engine := servertest.Load(t, pockettts.Options{Config: filepath.Join(folder, "config.yaml")})
	file, err := os.Open(filepath.Join(folder, "voice.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	voice, err := engine.LoadVoice(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	service, err := server.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := service.Start(t.Context(), engine, voice); err != nil {
		t.Fatal(err)
	}
	return service
}

func (c *client) voices() []any {
	c.t.Helper()
	return c.must(http.MethodGet, "/voices", "")["voices"].([]any)
}

// TestVoicesAreMadeAndKept: cloned by path and by base64, listed and spoken after a restart, changed, deleted.
func TestVoicesAreMadeAndKept(t *testing.T) {
	service := cloning(t, "lsd6", server.Options{AllowCloning: true, Limits: server.Limits{UploadBytes: 1 << 20}})
	data, elsewhere, recording := t.TempDir(), t.TempDir(), sung(t)
	for _, path := range []string{filepath.Join(data, "in.wav"), filepath.Join(elsewhere, "out.wav")} {
		if err := os.WriteFile(path, recording, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	allowed := t.TempDir()
	if err := os.WriteFile(filepath.Join(allowed, "a.wav"), recording, 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, service, Options{DataDir: data, ClonePaths: []string{allowed}})
	clone := func(audio, more string) (int, map[string]any) {
		return c.ask("POST", "/voices/clone", `{"display_name":" A voice ","language":"en","description":"","ref_text":"hello"`+more+`,"ref_audio":`+audio+`}`)
	}
	byPath := func(path string) string { return `{"path":` + string(encode(path)) + `}` }
	byData := func(data []byte) string { return `{"wav_base64":"` + base64.StdEncoding.EncodeToString(data) + `"}` }
	ids := map[string]string{}
	for name, audio := range map[string]string{"data": byData(recording), "path": byPath(filepath.Join(data, "in.wav")), "allowed": byPath(filepath.Join(allowed, "a.wav"))} {
		status, answer := clone(audio, "")
		id, ok := parseUUID(fmt.Sprint(answer["voice_id"]))
		if status != 200 || !ok || answer["display_name"] != "A voice" || answer["language_hint"] != "en" || answer["description"] != nil || answer["tts_model_id"] != service.Engine().Info().Name || len(answer) != 6 {
			t.Fatalf("%s: %d %v", name, status, answer)
		}
		ids[name] = id
	}
	spoken, _ := c.say(quoted("Hello world.") + `,"voice_id":"` + ids["data"] + `"`)
	if built, _ := c.say(quoted("Hello world.")); bytes.Equal(spoken, built) {
		t.Error("the voice that was made speaks as the built-in one")
	}
	if upper, _ := c.say(quoted("Hello world.") + `,"voice_id":"` + strings.ToUpper(strings.ReplaceAll(ids["path"], "-", "")) + `"`); !bytes.Equal(spoken, upper) {
		t.Error("the same recording by path makes another voice")
	}

	again := start(t, service, Options{DataDir: data})
	if voices := again.voices(); len(voices) != 4 || voices[0].(map[string]any)["voice_id"] != "0" {
		t.Errorf("after a restart: %v", voices)
	}
	if later, _ := again.say(quoted("Hello world.") + `,"voice_id":"` + ids["data"] + `"`); !bytes.Equal(spoken, later) {
		t.Error("after a restart it speaks otherwise")
	}
	if answer := again.must("PATCH", "/voices/"+ids["path"], `{"display_name":"B","description":" new ","language":null}`); answer["display_name"] != "B" || answer["description"] != "new" || answer["language_hint"] != nil {
		t.Errorf("%v", answer)
	}
	if answer := again.must("PATCH", "/voices/"+ids["path"], `{"display_name":null}`); answer["display_name"] != "B" {
		t.Errorf("%v", answer)
	}
	var meta map[string]any
	if raw, err := os.ReadFile(filepath.Join(data, "voices", ids["path"], metaFile)); err != nil || json.Unmarshal(raw, &meta) != nil || meta["ref_text"] != "hello" || meta["display_name"] != "B" {
		t.Errorf("%v %v", meta, err)
	}
	if answer := again.must("DELETE", "/voices/"+ids["path"], ""); answer["deleted"] != true || len(c.voices()) != 3 {
		t.Errorf("%v", answer)
	}
	if status, answer := c.ask("POST", "/speak", `{"text":"a","voice_id":"`+ids["path"]+`"}`); status != 404 || code(answer) != codeVoice {
		t.Errorf("a deleted voice: %d %v", status, answer)
	}

	// A voice file that is broken, gone, or of another model is no voice; the job that is spoken goes on.
	prompt := filepath.Join(data, "voices", ids["allowed"], promptFile)
	for name, change := range map[string]func() error{
		"broken": func() error { return os.WriteFile(prompt, []byte("broken"), 0o600) },
		"cut":    func() error { return os.Truncate(prompt, 3) },
		"gone":   func() error { return os.Remove(prompt) },
		"folder": func() error { return os.Mkdir(prompt, 0o700) },
	} {
		if name == "folder" {
			_ = os.Remove(prompt)
		} else if _, err := os.Stat(prompt); err != nil {
			if err := os.WriteFile(prompt, []byte("x"), 0o600); err != nil {
				_ = os.Remove(prompt)
			}
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if status, answer := c.ask("POST", "/speak", `{"text":"a","voice_id":"`+ids["allowed"]+`"}`); status != 409 || code(answer) != codeModel {
			t.Errorf("%s: %d %v", name, status, answer)
		}
		_ = os.RemoveAll(prompt)
	}

	// What is no recording, or not for clients.
	secret := filepath.Join(elsewhere, "out.wav")
	link, inside, fifo := filepath.Join(data, "link.wav"), filepath.Join(data, "inside.wav"), filepath.Join(data, "fifo.wav")
	if runtime.GOOS != "windows" {
		if err := errors.Join(os.Symlink(secret, link), os.Symlink("in.wav", inside), exec.Command("mkfifo", fifo).Run()); err != nil {
			t.Fatal(err)
		}
		if status, answer := clone(byPath(inside), ""); status != 200 {
			t.Errorf("a link that stays inside: %d %v", status, answer)
		}
		if err := os.Symlink(elsewhere, filepath.Join(data, "away")); err != nil {
			t.Fatal(err)
		}
	}
	empty, large := filepath.Join(data, "empty.wav"), filepath.Join(data, "large.wav")
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.WriteFile(large, make([]byte, 1<<20+1), 0o600)); err != nil {
		t.Fatal(err)
	}
	before := len(c.voices())
	for audio, want := range map[string]string{
		byPath(secret): "400 INVALID_AUDIO", byPath(link): "400 INVALID_AUDIO", byPath(filepath.Join(data, "away", "out.wav")): "400 INVALID_AUDIO",
		byPath(fifo): "400 INVALID_AUDIO", byPath(data): "400 INVALID_AUDIO", byPath(filepath.Join(data, "none.wav")): "400 INVALID_AUDIO",
		byPath(filepath.Join(data, "..", filepath.Base(elsewhere), "out.wav")): "400 INVALID_AUDIO", byPath("/etc/passwd"): "400 INVALID_AUDIO",
		byPath("file:///etc/passwd"): "400 INVALID_AUDIO", byPath("../../etc/passwd"): "400 INVALID_AUDIO", byPath("in.wav\x00"): "400 INVALID_AUDIO",
		byPath(empty): "400 INVALID_AUDIO", byPath(large): "413 INVALID_REQUEST", byPath(filepath.Join(data, "voices", ids["data"], metaFile)): "400 INVALID_AUDIO",
		byData([]byte("RIFF....WAVEfmt ")): "400 INVALID_AUDIO", byData(nil): "400 INVALID_REQUEST", byData(recording[:60]): "400 INVALID_AUDIO",
		`{"wav_base64":"!!!"}`: "400 INVALID_AUDIO", `{"wav_base64":"===="}`: "400 INVALID_AUDIO", `{"wav_base64":"\n"}`: "400 INVALID_AUDIO",
		byData(make([]byte, 1<<20)): "413 INVALID_REQUEST",
	} {
		for _, options := range []string{"", `,"options":{"normalize_audio":false}`} {
			status, answer := clone(audio, options)
			if got := fmt.Sprint(status, " ", code(answer)); got != want || strings.Contains(fmt.Sprint(answer), elsewhere) {
				t.Errorf("%.100s%s: %d %v, expected %s", audio, options, status, answer, want)
			}
		}
	}
	if after := len(c.voices()); after != before {
		t.Errorf("%d voices were made of nothing", after-before)
	}
}

// TestFaultsOfTheServerAreForTheLog: the client is told that there was one.
func TestFaultsOfTheServerAreForTheLog(t *testing.T) {
	var log bytes.Buffer
	service := servertest.Service(t, nil, server.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))})
	c := start(t, service, Options{})
	if err := c.door.voices.root.Close(); err != nil {
		t.Fatal(err)
	}
	status, answer := c.ask("GET", "/voices", "")
	if status != 500 || code(answer) != codeInternal || strings.Contains(fmt.Sprint(answer), "closed") {
		t.Errorf("%d %v", status, answer)
	}
	if !strings.Contains(log.String(), "a request failed") || !strings.Contains(log.String(), "closed") {
		t.Errorf("the log: %s", &log)
	}
}

// TestLongSamplesAreNoLongerRecording: what is written as floats takes more bytes than a body may have, and is the same sound.
func TestLongSamplesAreNoLongerRecording(t *testing.T) {
	w, ok := parseWave(sung(t))
	if !ok {
		t.Fatal("the recording cannot be read")
	}
	var data []byte
	for n := 0; n < len(w.data); n += w.width * w.channels {
		data = append(data, byte(128+127*w.sample(w.data[n:])))
	}
	file := wavOf(1, 1, 8, w.rate, false, data)
	most := int64(base64.StdEncoding.EncodedLen(len(file)) + 1000)
	c := start(t, cloning(t, "lsd6", server.Options{AllowCloning: true, Limits: server.Limits{UploadBytes: most}}), Options{})
	if made := normalise(file); int64(len(made)) <= most {
		t.Fatalf("%d bytes prove nothing", len(made))
	}
	c.must("POST", "/voices/clone", `{"display_name":"a","ref_audio":{"wav_base64":"`+base64.StdEncoding.EncodeToString(file)+`"}}`)
}

// TestVoicesInMemoryAreFew: each request for a voice that was made here loads it.
func TestVoicesInMemoryAreFew(t *testing.T) {
	c := start(t, cloning(t, "lsd6", server.Options{AllowCloning: true, Limits: server.Limits{Voices: 1}}), Options{})
	id := c.must("POST", "/voices/clone", `{"display_name":"a","ref_audio":{"wav_base64":"`+base64.StdEncoding.EncodeToString(sung(t))+`"}}`)["voice_id"].(string)
	job, url := c.speak(quoted(endless) + `,"voice_id":"` + id + `"`)
	if status, answer := c.ask("POST", "/speak", `{`+quoted("One.")+`,"voice_id":"`+id+`"}`); status != 429 || code(answer) != codeBusy {
		t.Errorf("%d %v", status, answer)
	}
	c.must("POST", "/cancel", `{"job_id":"`+job+`"}`)
	c.rest(c.dial(url))
	servertest.Until(t, "the voice is given back", func() bool {
		status, _ := c.ask("POST", "/speak", `{`+quoted("One.")+`,"voice_id":"`+id+`"}`)
		return status == 200
	})
}

// TestCloningIsRefused where the operator has not allowed it.
func TestCloningIsRefused(t *testing.T) {
	c := start(t, cloning(t, "lsd6", server.Options{}), Options{})
	status, answer := c.ask("POST", "/voices/clone", `{"display_name":"a","ref_audio":{"wav_base64":"`+base64.StdEncoding.EncodeToString(sung(t))+`"}}`)
	if status != 409 || code(answer) != codeModel {
		t.Errorf("%d %v", status, answer)
	}
	if able := c.must("GET", "/health", "")["capabilities"].(map[string]any); able["supports_voice_clone"] != false {
		t.Errorf("%v", able)
	}
}

// TestOldVoiceFilesSpeak: one of the first generation, in a folder of the engine before this one.
func TestOldVoiceFilesSpeak(t *testing.T) {
	service := cloning(t, "lsd_2026_01", server.Options{})
	data := t.TempDir()
	file, err := os.ReadFile(filepath.Join(filepath.Dir(servertest.Fixture(t, "../../..")), "lsd_2026_01", "voice_legacy.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(data, "voices", ghost)
	meta := `{"voice_id":"` + ghost + `","display_name":"Old","created_at":"2025-06-01T12:00:00+00:00","tts_model_id":"` + DefaultModel + `","language_hint":null,"ref_text":null}`
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, metaFile), []byte(meta), 0o600), os.WriteFile(filepath.Join(folder, promptFile), file, 0o600)); err != nil {
		t.Fatal(err)
	}
	c := start(t, service, Options{DataDir: data})
	if voices := c.voices(); len(voices) != 2 || voices[1].(map[string]any)["display_name"] != "Old" {
		t.Fatalf("%v", voices)
	}
	if pcm, _ := c.say(quoted("Hello.") + `,"voice_id":"` + ghost + `"`); len(pcm) == 0 {
		t.Error("silence")
	}
}

// wavOf makes a WAV file: its samples are written by the function, n at a time.
func wavOf(format, channels, bits uint16, rate uint32, extensible bool, data []byte) []byte {
	little := binary.LittleEndian
	head := little.AppendUint16(nil, format)
	if extensible {
		head = little.AppendUint16(nil, formatExtensible)
	}
	head = little.AppendUint16(head, channels)
	head = little.AppendUint32(head, rate)
	head = little.AppendUint32(head, rate*uint32(channels*bits/8))
	head = little.AppendUint16(head, channels*bits/8)
	head = little.AppendUint16(head, bits)
	if extensible {
		head = little.AppendUint16(head, 22)
		head = append(head, make([]byte, 6)...)
		head = little.AppendUint16(head, format)
		head = append(head, make([]byte, 14)...)
	}
	file := append([]byte("RIFF\xff\xff\xff\xffWAVELIST\x03\x00\x00\x00abc\x00fmt "), little.AppendUint32(nil, uint32(len(head)))...)
	file = append(append(file, head...), "data"...)
	return append(little.AppendUint32(file, uint32(len(data))), data...)
}

func TestNormalise(t *testing.T) {
	little := binary.LittleEndian
	float := func(x float32) []byte { return little.AppendUint32(nil, math.Float32bits(x)) }
	for name, row := range map[string]struct {
		file []byte
		want []float32
	}{
		"8 bits":     {wavOf(1, 1, 8, 8000, false, []byte{128, 192, 64, 128}), []float32{0, 0.95, -0.95, 0}},
		"16 bits":    {wavOf(1, 2, 16, 8000, true, []byte{0, 0x10, 0, 0xe0}), []float32{0.475, -0.95}},
		"24 bits":    {wavOf(1, 1, 24, 8000, false, []byte{0, 0, 0x20, 0, 0, 0xc0}), []float32{0.475, -0.95}},
		"32 bits":    {wavOf(1, 1, 32, 8000, false, []byte{0, 0, 0, 0x20, 0, 0, 0, 0xc0}), []float32{0.475, -0.95}},
		"floats":     {wavOf(3, 1, 32, 8000, false, append(float(3), float(-1.5)...)), []float32{0.95, -0.475}},
		"doubles":    {wavOf(3, 1, 64, 8000, true, append(little.AppendUint64(nil, math.Float64bits(0.1)), little.AppendUint64(nil, math.Float64bits(0.05))...)), []float32{0.95, 0.475}},
		"no silence": {wavOf(1, 1, 16, 8000, false, []byte{0, 0}), nil},
		"no number":  {wavOf(3, 1, 32, 8000, false, float(float32(math.NaN()))), nil},
		"no sound":   {wavOf(1, 1, 16, 8000, false, nil), nil},
		"12 bits":    {wavOf(1, 1, 12, 8000, false, []byte{1, 2, 3, 4}), nil},
		"no file":    {[]byte("RIFF"), nil},
	} {
		got := normalise(row.file)
		if row.want == nil {
			if !bytes.Equal(got, row.file) {
				t.Errorf("%s was changed", name)
			}
			continue
		}
		w, ok := parseWave(got)
		if !ok || w.width != 4 || len(w.data) != 4*len(row.want) || w.rate != 8000 {
			t.Fatalf("%s: %+v", name, w)
		}
		for n, want := range row.want {
			if x := w.sample(w.data[4*n:]); math.Abs(x-float64(want)) > 1e-6 {
				t.Errorf("%s, sample %d: %g, expected %g", name, n, x, want)
			}
		}
	}
	// The peak counts where the voice is made of it: the first 30 seconds.
	long := make([]byte, 2*8000*31)
	little.PutUint16(long[100:], 1000)
	little.PutUint16(long[2*8000*30+10:], 30000)
	w, ok := parseWave(normalise(wavOf(1, 1, 16, 8000, false, long)))
	if x := w.sample(w.data[200:]); !ok || math.Abs(x-peak) > 1e-6 || len(w.data) != 4*8000*30 {
		t.Errorf("%g of %d bytes", x, len(w.data))
	}
	// A stream that did not know its length is read to its end; a file that says more than it has is left to the engine.
	stream := wavOf(1, 1, 16, 8000, false, []byte{0, 0x10})
	little.PutUint32(stream[len(stream)-6:], 0xffffffff)
	if w, ok := parseWave(normalise(stream)); !ok || w.width != 4 {
		t.Errorf("a stream: %+v", w)
	}
	little.PutUint32(stream[len(stream)-6:], 1000)
	if !bytes.Equal(normalise(stream), stream) {
		t.Error("a file that was cut off was changed")
	}
}

// TestNormalisedRecordingsMakeTheVoice: a soft recording and a loud one make the same, but not where that was not asked for.
func TestNormalisedRecordingsMakeTheVoice(t *testing.T) {
	c := start(t, cloning(t, "lsd6", server.Options{AllowCloning: true}), Options{})
	w, ok := parseWave(sung(t))
	if !ok {
		t.Fatal("the recording cannot be read")
	}
	at := func(volume float64) []byte {
		var data []byte
		for n := 0; n < len(w.data); n += w.width {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(volume*w.sample(w.data[n:]))))
		}
		return wavOf(3, uint16(w.channels), 32, w.rate, false, data)
	}
	made := func(volume float64, options string) []byte {
		t.Helper()
		id := c.must("POST", "/voices/clone", `{"display_name":"a"`+options+`,"ref_audio":{"wav_base64":"`+base64.StdEncoding.EncodeToString(at(volume))+`"}}`)["voice_id"].(string)
		data, err := os.ReadFile(filepath.Join(c.door.options.DataDir, "voices", id, promptFile))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if !bytes.Equal(made(1, ""), made(0.25, "")) {
		t.Error("the loudness of the recording makes another voice")
	}
	const asItIs = `,"options":{"normalize_audio":false}`
	if bytes.Equal(made(1, asItIs), made(0.25, asItIs)) {
		t.Error("the loudness of the recording makes no difference where it should")
	}
}
