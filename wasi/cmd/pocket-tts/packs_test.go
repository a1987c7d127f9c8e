package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// with runs the program with further variables in its environment.
func with(t *testing.T, environment []string, args ...string) result {
	t.Helper()
	cmd := process(t, args...)
	cmd.Env = append(cmd.Env, environment...)
	return finish(t, cmd, "")
}

// online is the environment of a program that may fetch, and where it keeps things.
func online(t *testing.T) ([]string, string) {
	folder := t.TempDir()
	return []string{"HF_HUB_OFFLINE=0", "POCKET_TTS_CACHE=" + folder}, folder
}

func TestPackAtAnAddress(t *testing.T) {
	server := httptest.NewServer(http.FileServerFS(starter.FS()))
	defer server.Close()
	environment, folder := online(t)
	pulled := with(t, environment, "packs", "pull", server.URL)
	if pulled.code != 0 || len(pulled.stdout) != 0 || !bytes.Contains(pulled.stderr, []byte("INFO: model.safetensors: ")) {
		t.Fatalf("exit %d, stdout %q, stderr %q", pulled.code, pulled.stdout, pulled.stderr)
	}
	want := runWith(t, "", "generate", "-q", "--text", "Hi.", "--output-path", "-")
	server.Close()
	for _, more := range [][]string{nil, {"--offline"}} {
		got := with(t, environment, append([]string{"generate", "-q", "--text", "Hi.", "--output-path", "-", "--pack", server.URL}, more...)...)
		if got.code != 0 || !bytes.Equal(got.stdout, want.stdout) {
			t.Errorf("exit %d, %d bytes, want %d, stderr %q", got.code, len(got.stdout), len(want.stdout), got.stderr)
		}
	}
	list := with(t, environment, "packs", "list")
	if lines := strings.Split(string(list.stdout), "\n"); list.code != 0 || !strings.HasPrefix(lines[0], "starter                     in this program") ||
		!slices.Contains(lines, "english") || !strings.Contains(string(list.stdout), "\n"+server.URL+"/") || !strings.Contains(string(list.stdout), "cached, ") ||
		!strings.HasSuffix(string(list.stdout), "\nCache: "+folder+"\n") {
		t.Errorf("exit %d, stdout %q", list.code, list.stdout)
	}
	if r := with(t, environment, "packs", "verify"); r.code != 0 || !bytes.Contains(r.stderr, []byte(", sha256 ")) {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	// One file is damaged: it is named, removed, and no longer complete.
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Size() > 1_000_000 {
			path := filepath.Join(folder, entry.Name())
			if err := os.WriteFile(path, make([]byte, info.Size()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := with(t, environment, "packs", "verify", server.URL); r.code != 1 || !bytes.Contains(r.stderr, []byte("; removed\n")) {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	if r := with(t, environment, "packs", "list"); !strings.Contains(string(r.stdout), "in part, ") {
		t.Errorf("stdout %q", r.stdout)
	}
	if r := with(t, environment, "packs", "rm", server.URL); r.code != 0 || !bytes.Contains(r.stderr, []byte("INFO: Removed ")) {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	for _, args := range [][]string{{"rm", server.URL}, {"verify", server.URL}} {
		if r := with(t, environment, append([]string{"packs"}, args...)...); r.code != 1 || !bytes.Contains(r.stderr, []byte("nothing of it is in the cache")) {
			t.Errorf("%v: exit %d, stderr %q", args, r.code, r.stderr)
		}
	}
}

// hubOf serves an official pack whose files are those of a fixture: it loads by its configuration in any case as far as
// the first file that does not fit.
func TestOfficialPackIsFetchedThroughTheEnvironmentsHub(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
		fmt.Fprint(w, "something: ", r.URL.Path)
	}))
	defer server.Close()
	environment, _ := online(t)
	environment = append(environment, "HF_ENDPOINT="+server.URL+"/", "HF_TOKEN=secret\n")
	r := with(t, environment, "packs", "pull", "english", "--voice", "cosette")
	if r.code != 0 || len(asked) != 3 {
		t.Fatalf("exit %d, stderr %q, asked for %q", r.code, r.stderr, asked)
	}
	for n, want := range []string{"/kyutai/pocket-tts/resolve/", "/kyutai/pocket-tts-without-voice-cloning/resolve/", "/kyutai/pocket-tts-without-voice-cloning/resolve/"} {
		if !strings.HasPrefix(asked[n], want) || !strings.HasSuffix(asked[n], " Bearer secret") {
			t.Errorf("asked for %q, want %s", asked[n], want)
		}
	}
	if r := with(t, environment, "packs", "pull", "english", "--voice", "nobody"); r.code != 1 || !bytes.Contains(r.stderr, []byte("No voice 'nobody' in the pack english (it has: cosette, ")) {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	// What came is no model, and is said to be none; HF_HUB_OFFLINE and --hub have their say.
	if r := with(t, environment, "generate", "--text", "Hi.", "--language", "english", "--output-path", "-", "-q"); r.code != 1 || bytes.Count(r.stderr, []byte("\n")) != 1 {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	before := len(asked)
	if r := with(t, append(environment, "HF_HUB_OFFLINE=1"), "packs", "pull", "french"); r.code != 1 || len(asked) != before {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	r = with(t, environment, "packs", "pull", "french", "--hub", server.URL+"/mirror/{path}")
	if r.code != 0 || len(asked) == before || !strings.HasPrefix(asked[before], "/mirror/languages/french/") {
		t.Errorf("exit %d, stderr %q, asked for %q", r.code, r.stderr, asked[before:])
	}
}

func TestPacksUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                "Missing command.",
		"make":            "No such command: packs make",
		"pull":            "Missing argument 'PACK'.",
		"rm":              "Missing argument 'PACK' (or --all).",
		"list english":    "Got unexpected extra argument (english)",
		"pull a b":        "Got unexpected extra argument (b)",
		"pull a --all":    "No such option: --all",
		"verify --hub":    "No such option: --hub",
		"pull a --voice":  "Option '--voice' requires an argument.",
		"rm --all=please": "Invalid value for '--all': it does not take a value.",
	} {
		r := runWith(t, "", append([]string{"packs"}, strings.Fields(args)...)...)
		if r.code != 2 || len(r.stdout) != 0 || string(r.stderr) != "Usage: pocket-tts "+packsUsage+"\nTry 'pocket-tts packs --help' for help.\n\nERROR: "+want+"\n" {
			t.Errorf("%q: exit %d, stderr %q", args, r.code, r.stderr)
		}
	}
	for usage, args := range map[string][]string{
		exportUsage: {"export-voice"}, voicesUsage: {"voices", "extra"}, doctorUsage: {"doctor", "--bogus"}, completionUsage: {"completion", "tcsh"},
	} {
		r := runWith(t, "", args...)
		if r.code != 2 || len(r.stdout) != 0 || !strings.HasPrefix(string(r.stderr), "Usage: pocket-tts "+usage+"\n") {
			t.Errorf("%q: exit %d, stderr %q", args, r.code, r.stderr)
		}
		if r := runWith(t, "", args[0], "--help"); r.code != 0 || len(r.stderr) != 0 || !strings.HasPrefix(string(r.stdout), "Usage: pocket-tts "+usage+"\n") {
			t.Errorf("%q: exit %d, stdout %q", args, r.code, r.stdout)
		}
	}
}

func TestVoices(t *testing.T) {
	var manifest struct {
		DefaultVoice string `json:"default_voice"`
	}
	data, err := os.ReadFile("../../starter/pack/pack.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"voices"}, {"voices", "--pack", "starter"}, {"voices", "--pack", "../../starter/pack"}} {
		if r := runWith(t, "", args...); r.code != 0 || len(r.stderr) != 0 || !strings.HasPrefix(string(r.stdout), manifest.DefaultVoice+" (default)") {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, r.code, r.stdout, r.stderr)
		}
	}
	// An official pack's are known without a network.
	if r := runWith(t, "", "voices", "--language", "english"); r.code != 0 || !strings.Contains(string(r.stdout), "alba (default)              CC-BY-4.0\n") {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if r := runWith(t, "", "voices", "--language", "klingon"); r.code != 1 || !bytes.HasPrefix(r.stderr, []byte("ERROR: Unknown language")) {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
}

func TestExportedVoiceSpeaksLikeItsRecording(t *testing.T) {
	folder := t.TempDir()
	for name, source := range map[string]string{"recording": fixture + "/voice.wav", "file": fixture + "/voice.safetensors"} {
		target := filepath.Join(folder, name+".safetensors")
		r := runWith(t, "", "export-voice", source, target, "--config", model[1])
		if r.code != 0 || len(r.stdout) != 0 || string(r.stderr) != "INFO: Voice written in "+target+"\n" {
			t.Fatalf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
		}
		speak := func(voice string) []byte {
			return runWith(t, "", "generate", "-q", "--text", "a", "--output-path", "-", "--config", model[1], "--voice", voice).stdout
		}
		if got := speak(target); len(got) < 44+9600+3840 || !bytes.Equal(got, speak(source)) {
			t.Errorf("%s: the exported voice speaks %d bytes, others", name, len(got))
		}
	}
	// A voice by name; a file that is there is replaced.
	target := filepath.Join(folder, "file.safetensors")
	if r := runWith(t, "", "export-voice", "-q", firstVoice(t), target); r.code != 0 || len(r.stderr) != 0 {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	for want, args := range map[string][]string{
		"ERROR: nobody: neither a voice of this pack":          {"nobody", target},
		"ERROR: x.safetensors: no such file":                   {"x.safetensors", target},
		"ERROR: " + folder + "/none/a.safetensors: ":           {firstVoice(t), folder + "/none/a.safetensors"},
		"ERROR: " + fixture + "/voice.wav: no voice cloning: ": {fixture + "/voice.wav", target},
	} {
		if r := runWith(t, "", append([]string{"export-voice"}, args...)...); r.code != 1 || !strings.HasPrefix(string(r.stderr), want) || bytes.Count(r.stderr, []byte("\n")) != 1 {
			t.Errorf("exit %d, stderr %q, want %q", r.code, r.stderr, want)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func firstVoice(t *testing.T) string {
	name, _, _ := strings.Cut(string(runWith(t, "", "voices").stdout), " ")
	return name
}

func TestDoctor(t *testing.T) {
	r := runWith(t, "", "doctor")
	sum := sha256.Sum256(guest.ModuleBytes())
	if r.code != 0 || bytes.Count(r.stdout, []byte("\nok  ")) != 5 || !bytes.Contains(r.stdout, []byte("sha256 "+hex.EncodeToString(sum[:]))) {
		t.Errorf("exit %d, stdout %s, stderr %q", r.code, r.stdout, r.stderr)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r = with(t, []string{"POCKET_TTS_CACHE=" + filepath.Join(file, "cache")}, "doctor", "--compile-cache", "none")
	if r.code != 1 || !bytes.Contains(r.stdout, []byte("FAIL  downloads")) || string(r.stderr) != "ERROR: 1 of 6 checks failed.\n" {
		t.Errorf("exit %d, stdout %s, stderr %q", r.code, r.stdout, r.stderr)
	}
}

func TestCompletion(t *testing.T) {
	for words, want := range map[string]string{
		"":                           "generate",
		"pa":                         "packs",
		"generate --temp":            "--temperature",
		"generate --precision ":      "f32",
		"generate --language french": "french_24l",
		"generate --seed ":           "random",
		"packs ":                     "verify",
		"packs pull english_7":       "english_7m_2026-10",
		"packs rm --a":               "--all",
		"packs convert --without":    "--without-encoder",
		"export-voice a b --com":     "--compile-cache",
		"completion z":               "zsh",
		"completion -":               "--help",
		"doctor --c":                 "--compile-cache",
		"health --t":                 "--timeout",
		"licenses -":                 "--help",
		"voices --pack st":           "starter",
		"se":                         "serve",
		"serve --with ":              "openai",
		"serve --max-s":              "--max-streams",
	} {
		r := runWith(t, "", append([]string{"__complete"}, strings.Split(words, " ")...)...)
		if r.code != 0 || len(r.stderr) != 0 || !slices.Contains(strings.Split(string(r.stdout), "\n"), want) || bytes.Contains(r.stdout, []byte("lsd")) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q, want %s", words, r.code, r.stdout, r.stderr, want)
		}
	}
	// Where a path goes, nothing is said.
	for _, words := range []string{"generate --output-path ", "generate --text x", "nonsense "} {
		if r := runWith(t, "", append([]string{"__complete"}, strings.Split(words, " ")...)...); r.code != 0 || len(r.stdout) != 0 {
			t.Errorf("%q: exit %d, stdout %q", words, r.code, r.stdout)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := runWith(t, "", "completion", shell); r.code != 0 || !bytes.Contains(r.stdout, []byte("pocket-tts __complete")) && !bytes.Contains(r.stdout, []byte(" __complete ")) {
			t.Errorf("%s: exit %d, stdout %q", shell, r.code, r.stdout)
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	script := `source <("$1" completion bash); COMP_WORDS=("$1" packs pull english_18m_r); COMP_CWORD=3; _pocket_tts; echo "${COMPREPLY[@]}"`
	if out, err := exec.Command(bash, "-c", script, "-", program).CombinedOutput(); err != nil || string(out) != "english_18m_refl_2026-10\n" {
		t.Errorf("in bash: %q, %v", out, err)
	}
}

func TestEveryPackNameIsALanguage(t *testing.T) {
	for _, name := range pockettts.PackNames() {
		if r := runWith(t, "", "voices", "--language", name); r.code != 0 || bytes.Count(r.stdout, []byte(" (default)")) != 1 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", name, r.code, r.stdout, r.stderr)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	script, err := exec.LookPath("script")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("no script to make a terminal")
	}
	speak := []string{"generate", "--text", "Hello there.", "--output-path", "/dev/null"}
	run := func(args []string) string {
		inner := process(t, args...)
		cmd := exec.CommandContext(t.Context(), script, "-qec", strings.Join(append([]string{program}, quoted(args)...), " "), "/dev/null")
		cmd.Env = inner.Env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s, %v", out, err)
		}
		return string(out)
	}
	if out := run(speak); !strings.Contains(out, "\r\x1b[K0.1 s of audio, ") || !strings.Contains(out, "\r\x1b[KINFO: Generated ") {
		t.Errorf("on a terminal: %q", out)
	}
	if out := run(append(speak, "-q")); out != "" {
		t.Errorf("quiet: %q", out)
	}
	if r := runWith(t, "", speak...); bytes.Contains(r.stderr, []byte("\r")) {
		t.Errorf("not on a terminal: %q", r.stderr)
	}
}

func quoted(args []string) []string {
	out := make([]string, len(args))
	for n, arg := range args {
		out[n] = "'" + arg + "'"
	}
	return out
}
