package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests run the program itself: its exit codes, its streams, its bytes.
var program string

const (
	streamHeader = "524946462494357757415645666d74201000000001000100c05d000080bb0000020010006461746100943577"
	fixture      = "../../../tests/golden/fixtures/lsd6"
)

// model is a configuration with random weights and a voice; what is spoken does not matter here.
var model = []string{"--config", fixture + "/config.yaml", "--voice", fixture + "/voice.safetensors"}

func TestMain(m *testing.M) {
	if _, err := os.Stat("../../../wasm/engine/pocket_tts.h"); err != nil {
		fmt.Println("outside of the repository: the fixtures lie beside it")
		os.Exit(0)
	}
	folder, err := os.MkdirTemp("", "pocket-tts")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(folder, "pocket-tts")
	if output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		panic(string(output))
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

type result struct {
	code           int
	stdout, stderr []byte
}

func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	// Nobody's settings, and a cache of compiled code that the tests share.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "XDG_CACHE_HOME=" + filepath.Join(os.TempDir(), "pocket-tts-wasm-tests"), "HF_HUB_OFFLINE=1", "POCKET_TTS_CACHE=" + t.TempDir()}
	return cmd
}

func runWith(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return finish(t, process(t, args...), stdin)
}

func finish(t *testing.T, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &stderr
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.Bytes()}
}

// say generates into stdout with the random model.
func say(t *testing.T, args ...string) []byte {
	t.Helper()
	r := runWith(t, "", append(append([]string{"generate", "--output-path", "-", "-q"}, model...), args...)...)
	if r.code != 0 || len(r.stderr) != 0 {
		t.Fatalf("%v: exit %d, stderr %q", args, r.code, r.stderr)
	}
	return r.stdout
}

func TestStdoutIsAStreamOfWAV(t *testing.T) {
	r := runWith(t, "Hello world.", append([]string{"generate", "--text", "-", "--output-path", "-", "-q"}, model...)...)
	if r.code != 0 || len(r.stderr) != 0 {
		t.Fatalf("exit %d, stderr %q", r.code, r.stderr)
	}
	if got := hex.EncodeToString(r.stdout[:44]); got != streamHeader {
		t.Errorf("header %s, want %s", got, streamHeader)
	}
	if (len(r.stdout)-44-9600)%3840 != 0 || !bytes.Equal(r.stdout[len(r.stdout)-9600:], make([]byte, 9600)) {
		t.Errorf("%d bytes, want a header, whole frames and 4800 zero samples", len(r.stdout))
	}
	if !bytes.Equal(r.stdout, say(t, "--text", "Hello world.")) {
		t.Error("--text speaks something else than stdin")
	}
}

// sizes checks that a file declares its true length.
func sizes(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	riff, samples := binary.LittleEndian.Uint32(data[4:]), binary.LittleEndian.Uint32(data[40:])
	if int(riff) != len(data)-8 || int(samples) != len(data)-44 {
		t.Errorf("%d bytes declare %d and %d", len(data), riff, samples)
	}
	return data
}

func TestFilesDeclareTheirTrueSizes(t *testing.T) {
	folder := t.TempDir()
	stream := say(t, "--text", "Hello world.")
	named := filepath.Join(folder, "named.wav")
	r := runWith(t, "", append([]string{"generate", "--text=Hello world.", "--output-path=" + named}, model...)...)
	if r.code != 0 || len(r.stdout) != 0 || !bytes.HasSuffix(r.stderr, []byte("\nINFO: Results written in "+named+"\n")) {
		t.Errorf("exit %d, stdout %d bytes, stderr %q", r.code, len(r.stdout), r.stderr)
	}
	redirected, err := os.Create(filepath.Join(folder, "redirected.wav"))
	if err != nil {
		t.Fatal(err)
	}
	defer redirected.Close()
	cmd := process(t, append([]string{"generate", "--text", "Hello world.", "--output-path", "-"}, model...)...)
	cmd.Stdout = redirected
	if r := finish(t, cmd, ""); r.code != 0 || bytes.Contains(r.stderr, []byte("Results written")) {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	for _, path := range []string{named, redirected.Name()} {
		if data := sizes(t, path); !bytes.Equal(data[44:], stream[44:]) {
			t.Errorf("%s differs from the stream", path)
		}
	}
	if runtime.GOOS != "windows" {
		if r := runWith(t, "", append([]string{"generate", "--text", "Hi.", "--output-path", "/dev/null"}, model...)...); r.code != 0 {
			t.Errorf("/dev/null: exit %d, %s", r.code, r.stderr)
		}
	}
}

func TestAppendedFileIsAStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "all.wav")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := process(t, append([]string{"generate", "-q", "--text", "Hello world.", "--output-path", "-"}, model...)...)
	cmd.Stdout = file
	r := finish(t, cmd, "")
	data, err := os.ReadFile(path)
	if err != nil || r.code != 0 || !bytes.Equal(data, append([]byte("before"), say(t, "--text", "Hello world.")...)) {
		t.Errorf("exit %d, %d bytes, %v", r.code, len(data), err)
	}
}

func TestBlankTextEndsBeforeAnythingIsLoaded(t *testing.T) {
	for _, c := range []struct{ stdin, text string }{{"", ""}, {"", " \t"}, {" \n", "-"}, {"", "-"}, {"\ufeff", "-"}, {"", "\ufeff "}} {
		r := runWith(t, c.stdin, "generate", "-q", "--pack", "missing", "--text", c.text, "--output-path", "-")
		if r.code != 1 || len(r.stdout) != 0 || string(r.stderr) != "ERROR: No input received from stdin.\n" {
			t.Errorf("%q: exit %d, stdout %d bytes, stderr %q", c, r.code, len(r.stdout), r.stderr)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for name, args := range map[string]string{
		"no command":        "",
		"unknown command":   "speak",
		"unknown option":    "generate --bogus",
		"value of a flag 4": "generate --json-events=yes",
		"not of a server":   "serve --json-events",
		"bad speed":         "generate --speed fast",
		"short option":      "generate -x",
		"program option":    "--bogus",
		"bad integer":       "generate --max-tokens x",
		"bad integer 2":     "generate --max-tokens 1.5",
		"bad float":         "generate --temperature warm",
		"bad float 2":       "generate --temperature 0x1p-2",
		"bad seed":          "generate --seed -1",
		"bad precision":     "generate --precision f16",
		"bad rng":           "generate --rng dice",
		"missing argument":  "generate --text",
		"extra argument":    "generate Hello",
		"value of a flag":   "generate --quantize=no",
		"value of a flag 2": "generate --quantize=true",
		"value of a flag 3": "generate -q=true",
		"large integer":     "generate --max-tokens 9999999999999999999999",
		"not 32 bits":       "generate --frames-after-eos 4294967296",
		"not a number":      "generate --temperature nan",
		"infinite":          "generate --temperature inf",
		"infinite here":     "generate --temperature 1e39",
		"infinite anywhere": "generate --temperature 1e400",
		"large seed":        "generate --seed 18446744073709551616",
		"bad precision 2":   "generate --precision q5",
		"no version here":   "generate --version",
		"three instances":   "generate --instances 3",
		"bad parallel":      "generate --parallel many",
	} {
		r := runWith(t, "", strings.Fields(args)...)
		if r.code != 2 || len(r.stdout) != 0 || !bytes.Contains(r.stderr, []byte("\nERROR: ")) {
			t.Errorf("%s: exit %d, stdout %d bytes, stderr %q", name, r.code, len(r.stdout), r.stderr)
		}
	}
}

func TestFailuresAreOneLine(t *testing.T) {
	folder := t.TempDir()
	notes := filepath.Join(folder, "notes.txt")
	if err := os.WriteFile(notes, []byte("no audio"), 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(folder, "huge.safetensors")
	if err := errors.Join(os.WriteFile(huge, nil, 0o600), os.Truncate(huge, 64<<20+1)); err != nil {
		t.Fatal(err)
	}
	config := model[1]
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"language and config": {[]string{"--language", "english", "--config", config}, "ValueError: Cannot specify both config and language, please choose one or the other."},
		"unknown language":    {[]string{"--language", "klingon"}, "Unknown language 'klingon'. Available languages: dutch, dutch_24l, english,"},
		"known language":      {[]string{"--language", "french_24l"}, "french_24l: languages/french_24l/model.safetensors: network: hf://kyutai/pocket-tts-without-voice-cloning/"},
		"known pack":          {[]string{"--pack", "french_24l"}, "load the pack once with a network"},
		"config not YAML":     {[]string{"--config", notes}, "ValueError: Config should be a path to a YAML file ending with .yaml"},
		"config missing":      {[]string{"--config", filepath.Join(folder, "c.yaml")}, "c.yaml: not found: no such file"},
		"config far away":     {[]string{"--config", "https://example.com/c.yaml"}, "https://example.com/c.yaml is not in the cache ("},
		"config on hf":        {[]string{"--config", "hf://a/b/c.yaml@main"}, "nobody may be asked for it; load it once with a network"},
		"config elsewhere":    {[]string{"--config", "ftp://example.com/c.yaml"}, `config: expected a local path, a URL of http or https, or hf://OWNER/NAME/PATH@REVISION, found "ftp://example.com/c.yaml"`},
		"config with secret":  {[]string{"--config", "https://example.com/c.yaml?key=1"}, "ERROR: https://example.com/c.yaml: network: "},
		"pack missing":        {[]string{"--pack", filepath.Join(folder, "p")}, "not found"},
		"pack mistyped":       {[]string{"--pack", "englisch"}, "ERROR: englisch: not found: neither a folder nor the name of an official pack\n"},
		"pack not one":        {[]string{"--pack", folder}, "pack.json: not found"},
		"pack far away":       {[]string{"--pack", "https://example.com/pack/"}, "https://example.com/pack/: pack.json: network: https://example.com/pack/pack.json is not in the cache"},
		"pack and config":     {[]string{"--pack", folder, "--config", config}, "Cannot specify both pack and config"},
		"checkpoint":          {[]string{"--checkpoint", "x.pt"}, "training checkpoints are not supported"},
		"device":              {[]string{"--device", "cuda"}, "only cpu is supported"},
		"voice missing":       {[]string{"--config", config, "--voice", "bob"}, "--voice bob: neither a voice of this pack (it has none) nor a file"},
		"voice file missing":  {[]string{"--config", config, "--voice", "bob.safetensors"}, "--voice bob.safetensors: no such file"},
		"voice far away":      {[]string{"--voice", "hf://a/b/c.safetensors@main"}, "hf://a/b/c.safetensors@main is not in the cache ("},
		"voice elsewhere":     {[]string{"--voice", "hf://a/b"}, `ERROR: --voice: expected a local path, a URL of http or https, or hf://OWNER/NAME/PATH@REVISION, found "hf://a/b"`},
		"voice no audio":      {[]string{"--config", config, "--voice", notes}, "--voice " + notes},
		"no voice":            {[]string{"--config", config}, "hf://kyutai/tts-voices/alba-mackenna/casual.wav is not in the cache ("},
		"voice of another":    {[]string{"--config", config, "--voice", "../../../tests/golden/fixtures/drifting/voice.safetensors"}, "drifting/voice.safetensors: "},
		"temperature":         {append([]string{"--temperature", "-1"}, model...), "temperature"},
		"tokens":              {append([]string{"--max-tokens", "5000"}, model...), "ERROR: --max-tokens: expected 1 to 4096, found 5000"},
		"pack empty":          {[]string{"--pack", ""}, "--pack: expected a folder, an address or a name"},
		"pack elsewhere":      {[]string{"--pack", "file://server/pack"}, "expected a URL of this machine"},
		"voice empty":         {[]string{"--voice", ""}, "--voice: expected a name or a file"},
		"voice a folder":      {[]string{"--config", config, "--voice", folder}, "--voice " + folder + ": expected a plain file, found a folder"},
		"voice huge":          {[]string{"--config", config, "--voice", huge}, "expected at most 67108864 bytes, found 67108865"},
		"config without name": {[]string{"--config", "https://example.com/c"}, "ValueError: Config should be a path to a YAML file"},
		"steps":               {append([]string{"--sampler-decode-steps", "0"}, model...), "ERROR: --sampler-decode-steps: expected 1 to 1000, found 0"},
		"parallel":            {append([]string{"--parallel", "17"}, model...), "ERROR: --parallel: expected 0 to 16, found 17"},
		"speed":               {append([]string{"--speed", "5"}, model...), "ERROR: --speed: expected 0.25 to 4, found 5"},
		"no speed":            {append([]string{"--speed", "0"}, model...), "ERROR: --speed: expected 0.25 to 4, found 0"},
		"output":              {append([]string{"--output-path", filepath.Join(folder, "none", "out.wav")}, model...), "out.wav: no such file or directory"},
		"starter cannot":      {[]string{"--voice", fixture + "/voice.wav"}, "no voice cloning: starter: its Mimi encoder is an untrained filler"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runWith(t, "", append([]string{"generate", "-q", "--text", "a", "--output-path", "-"}, c.args...)...)
			if r.code != 1 || len(r.stdout) != 0 || !bytes.HasPrefix(r.stderr, []byte("ERROR: ")) ||
				!bytes.Contains(r.stderr, []byte(c.want)) || bytes.Count(r.stderr, []byte("\n")) != 1 {
				t.Errorf("exit %d, stdout %d bytes, stderr %q, want one line with %q", r.code, len(r.stdout), r.stderr, c.want)
			}
		})
	}
}

func TestEquivalentOptions(t *testing.T) {
	same := func(a, b []string) {
		t.Helper()
		if !bytes.Equal(say(t, a...), say(t, b...)) {
			t.Errorf("%v and %v differ", a, b)
		}
	}
	same([]string{"--text", "a", "--lsd-decode-steps", "2"}, []string{"--text", "a", "--sampler-decode-steps", "2"})
	same([]string{"--text", "a", "--lsd-decode-steps", "2", "--sampler-decode-steps", "5"}, []string{"--text", "a", "--sampler-decode-steps=2"})
	same([]string{"--text", "a"}, []string{"--text=a", "--seed", "42", "--rng", "chunk", "--device", "cpu", "--quantize"})
	same([]string{"--text", "a"}, []string{"--text", "a", "--precision", "q8"})
	same([]string{"--text", "a", "--no-quantize"}, []string{"--text", "a", "--precision", "f32"})
	same([]string{"--text", "a", "--quantize", "--precision", "f32"}, []string{"--text", "a", "--precision", "f32"})
	same([]string{"--text", "a", "--eos-threshold", "-4", "--max-tokens", "050"}, []string{"--text", "a", "--eos-threshold=-4.0"})
	if bytes.Equal(say(t, "--text", "a"), say(t, "--text", "a", "--seed", "7")) {
		t.Error("the seed changes nothing")
	}
	if bytes.Equal(say(t, "--text", "a"), say(t, "--text", "a", "--temperature", "0")) {
		t.Error("the temperature changes nothing")
	}
}

func TestSpeed(t *testing.T) {
	plain := say(t, "--text", longText)
	if !bytes.Equal(plain, say(t, "--text", longText, "--speed", "1")) {
		t.Error("speed 1 is another sound")
	}
	seconds := func(wav []byte) float64 { return float64(len(wav)-44-9600) / 48000 }
	for _, speed := range []float64{0.5, 2} {
		if got, want := seconds(say(t, "--text", longText, "--speed", fmt.Sprint(speed))), seconds(plain)/speed; math.Abs(got-want) > 0.2 {
			t.Errorf("speed %g: %.2f s, want %.2f", speed, got, want)
		}
	}
}

func TestLayoutIsToldAndChangesNothing(t *testing.T) {
	text := strings.Repeat("Hello there. This is a test. ", 4)
	want := say(t, "--text", text, "--max-tokens", "8")
	for args, told := range map[string]string{
		"":                               ", 1 instance (",
		"--instances auto":               ", 1 instance (",
		"--instances 1":                  ", 1 instance (asked for)\n",
		"--instances 2":                  ", 2 instances (asked for)\n",
		"--parallel 2":                   "), chunks shared by 2\n",
		"--instances=2 --parallel=2":     ", 2 instances (asked for), chunks shared by 2\n",
		"--compile-cache none":           ", 1 instance (",
		"--compile-cache " + t.TempDir(): ", 1 instance (",
	} {
		r := runWith(t, "", append(append([]string{"generate", "--text", text, "--max-tokens", "8", "--output-path", "-"}, model...), strings.Fields(args)...)...)
		if r.code != 0 || !bytes.Contains(r.stderr, []byte(told)) || !bytes.Equal(r.stdout, want) {
			t.Errorf("%q: exit %d, %d bytes, want %d, stderr %q, want %q", args, r.code, len(r.stdout), len(want), r.stderr, told)
		}
	}
}

func TestRandomSeedIsPrintedAndCanBeRepeated(t *testing.T) {
	r := runWith(t, "", append([]string{"generate", "--text", "a", "--output-path", "-", "--seed", "random"}, model...)...)
	seed := regexp.MustCompile(`INFO: Seed: (\d+)\n`).FindSubmatch(r.stderr)
	if r.code != 0 || seed == nil {
		t.Fatalf("exit %d, stderr %q", r.code, r.stderr)
	}
	if !bytes.Equal(r.stdout, say(t, "--text", "a", "--seed", string(seed[1]))) {
		t.Error("the printed seed speaks differently")
	}
}

func TestRecordingAsVoice(t *testing.T) {
	r := runWith(t, "", "generate", "-q", "--text", "a", "--output-path", "-", "--config", model[1], "--voice", fixture+"/voice.wav")
	if r.code != 0 || len(r.stdout) < 44+9600+3840 {
		t.Errorf("exit %d, %d bytes, %s", r.code, len(r.stdout), r.stderr)
	}
}

const longText = "This sentence is said again and again, until somebody stops it. "

// start runs the program on a text of half an hour, with its stdout in our hands.
func start(t *testing.T, args ...string) (*exec.Cmd, *os.File, *bytes.Buffer) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := process(t, append(append([]string{"generate", "--text", strings.Repeat(longText, 500)}, model...), args...)...)
	stderr := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = write, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() { read.Close() })
	return cmd, read, stderr
}

func TestSoundArrivesWhileItIsMade(t *testing.T) {
	cmd, stdout, stderr := start(t, "--output-path", "-", "-q")
	first := make([]byte, 44+3840)
	if _, err := io.ReadFull(stdout, first); err != nil {
		t.Fatal(err)
	}
	// The rest does not fit into the pipe: the program is still speaking. Now the reader leaves.
	stdout.Close()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 || stderr.Len() != 0 {
		t.Errorf("a closed pipe: %v, stderr %q", err, stderr)
	}
}

func TestInterruptLeavesAGoodFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	path := filepath.Join(t.TempDir(), "out.wav")
	cmd, _, stderr := start(t, "--output-path", path)
	for range 1000 {
		if info, err := os.Stat(path); err == nil && info.Size() > 10_000 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	endsBy(t, cmd, syscall.SIGINT)
	if data := sizes(t, path); (len(data)-44)%3840 != 0 || bytes.Contains(stderr.Bytes(), []byte("Results written")) {
		t.Errorf("%d bytes, stderr %q", len(data), stderr)
	}
}

func TestSpeechWithoutAnEnd(t *testing.T) {
	args := append([]string{"generate", "--text", "Hi.", "--eos-threshold", "1e9", "--output-path", "-"}, model...)
	if r := runWith(t, "", args...); r.code != 0 || !bytes.Contains(r.stderr, []byte("WARNING: ")) {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	cmd := process(t, args...)
	cmd.Env = append(cmd.Env, "KPOCKET_TTS_ERROR_WITHOUT_EOS=1")
	r := finish(t, cmd, "")
	if r.code != 1 || !bytes.Contains(r.stderr, []byte("ERROR: no end of speech")) || hex.EncodeToString(r.stdout[:44]) != streamHeader {
		t.Errorf("exit %d, stdout %d bytes, stderr %q", r.code, len(r.stdout), r.stderr)
	}
}

func TestFirstChunkLength(t *testing.T) {
	for value, code := range map[string]int{"": 0, "0.5": 0, "-1": 0, "1000": 0, "inf": 0, "soon": 1, "nan": 1, " ": 1, "0x10": 1} {
		cmd := process(t, append([]string{"generate", "--text", "a", "--output-path", "-", "-q"}, model...)...)
		cmd.Env = append(cmd.Env, "FIRST_CHUNK_LENGTH_SECONDS="+value)
		r := finish(t, cmd, "")
		if r.code != code || code == 0 && !bytes.Equal(r.stdout, say(t, "--text", "a")) {
			t.Errorf("%q: exit %d, %d bytes, stderr %q", value, r.code, len(r.stdout), r.stderr)
		}
	}
}

func TestStarterSpeaksByDefault(t *testing.T) {
	r := runWith(t, "", "generate", "--output-path", "-")
	if r.code != 0 || len(r.stdout) < 44+9600+10*3840 || !bytes.Contains(r.stderr, []byte("INFO: Pack starter")) {
		t.Errorf("exit %d, %d bytes, stderr %q", r.code, len(r.stdout), r.stderr)
	}
	folder, err := filepath.Abs("../../starter/pack")
	if err != nil {
		t.Fatal(err)
	}
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(folder)}
	for _, pack := range []string{"starter", "../../starter/pack", address.String()} {
		if named := runWith(t, "", "generate", "-q", "--output-path", "-", "--pack", pack, "--"); !bytes.Equal(named.stdout, r.stdout) {
			t.Errorf("--pack %s speaks differently: exit %d, stderr %q", pack, named.code, named.stderr)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{
		"--help":          "  generate      a text into a WAV file\n",
		"generate --help": "--output-path PATH",
		"-h":              "'pocket-tts COMMAND --help' says",
		"generate -h":     "--quantize ",
		"--version":       "pocket-tts " + version + " (engine module ",
	} {
		r := runWith(t, "", strings.Fields(args)...)
		if r.code != 0 || len(r.stderr) != 0 || !bytes.Contains(r.stdout, []byte(want)) || bytes.Contains(r.stdout, []byte("lsd-decode-steps")) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", args, r.code, r.stdout, r.stderr)
		}
	}
}

// TestEveryCommandHelps: its help says what it takes and nothing else, --help lists it, and who has mistyped hears where to look.
func TestEveryCommandHelps(t *testing.T) {
	list := string(runWith(t, "", "--help").stdout)
	for _, command := range commands {
		name, _, _ := strings.Cut(command.usage, " ")
		if !strings.Contains(list, "\n  "+name+" ") {
			t.Errorf("--help has no %s", name)
		}
		r := runWith(t, "", name, "--help")
		help := string(r.stdout)
		if r.code != 0 || !strings.HasPrefix(help, "Usage: pocket-tts "+name) || strings.Contains(help, "Options:\n\n") || strings.Contains(help, "=") {
			t.Errorf("%s --help: exit %d, %s", name, r.code, help)
		}
		if fetches := strings.Contains(help, "--hub "); strings.Contains(help, "HF_TOKEN") && !fetches {
			t.Errorf("%s --help speaks of downloads", name)
		}
		if r := runWith(t, "", name, "--bogus"); r.code != 2 || !strings.Contains(string(r.stderr), "\nTry 'pocket-tts "+name+" --help' for help.\n") {
			t.Errorf("%s --bogus: exit %d, %s", name, r.code, r.stderr)
		}
	}
	for args, want := range map[string]string{
		"": "Usage: pocket-tts COMMAND [OPTIONS]\nTry 'pocket-tts --help' for help.\n", "sing": "Try 'pocket-tts --help'", "--bogus": "Try 'pocket-tts --help'",
		"packs convert --bogus": "Try 'pocket-tts packs convert --help' for help.\n",
		"generate extra":        "Usage: pocket-tts generate [OPTIONS]\nTry 'pocket-tts generate --help' for help.\n",
	} {
		if r := runWith(t, "", strings.Fields(args)...); r.code != 2 || !strings.Contains(string(r.stderr), want) {
			t.Errorf("%q: exit %d, %s", args, r.code, r.stderr)
		}
	}
}

func TestOutputIsLookedAtBeforeAnythingIsLoaded(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "there.wav")
	if err := os.WriteFile(file, []byte("there"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                                     "found an empty text",
		folder:                                 ": is a folder",
		filepath.Join(folder, "new") + "/":     ": is a folder",
		filepath.Join(folder, "none", "o.wav"): ": no such file or directory",
		filepath.Join(file, "o.wav"):           ": not a directory",
		file:                                   "missing",
		filepath.Join(folder, "new.wav"):       "missing",
	} {
		r := runWith(t, "", "generate", "--text", "Hi.", "--pack", "./missing", "--output-path", path)
		if r.code != 1 || !strings.Contains(string(r.stderr), want) {
			t.Errorf("%q: exit %d, %s", path, r.code, r.stderr)
		}
	}
	if data, _ := os.ReadFile(file); string(data) != "there" {
		t.Errorf("the file is now %q", data)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("%d entries", len(entries))
	}
}

func TestNothingThatATerminalActsOnGetsThrough(t *testing.T) {
	evil := "a\x1b[31m\u009b2J\r\u0007\u202egnp\u2066"
	unsafe := regexp.MustCompile(`[\x00-\x09\x0b-\x1f\x7f-\x{9f}\x{202e}\x{2066}]`)
	for _, args := range [][]string{
		append([]string{"generate", "--text", "Hi.", "--voice", evil}, model[:2]...),
		{"generate", "--text", "Hi.", "--pack", evil},
		{"generate", evil},
		{evil},
	} {
		r := runWith(t, "", args...)
		if r.code == 0 || unsafe.Match(r.stderr) || !bytes.Contains(r.stderr, []byte(`a\u001b[31m\u009b2J`)) {
			t.Errorf("exit %d, %q", r.code, r.stderr)
		}
	}
}
