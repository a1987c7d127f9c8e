// The command voicereader, and the door of that name of serve: VoiceReader's engine API. As a command it starts as the engine
// did that came before it, from the same command line and the same environment.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/voicereader"
)

const voiceReaderUsage = "voicereader [OPTIONS]"

const voiceReaderHelp = "Usage: pocket-tts " + voiceReaderUsage + `
       pocket-tts --server [OPTIONS]

Speaks to VoiceReader: a server of its engine API, in place of its tts_engine. It ends when a client asks for that.

Options:
%s
Environment: SPEAK_SELECTION_ENGINE_TOKEN (the token, where --token and --bootstrap-stdin give none), VOICEREADER_SYNTH_BACKEND (auto,
kyutai, mock: all the same; qwen falls back), VOICEREADER_KYUTAI_MODEL (a folder, a name of packs list, or OWNER/NAME below models in
the data folder), VOICEREADER_KYUTAI_VOICE_PROMPT (voice "0": a name or a file), VOICEREADER_WARMUP_ON_STARTUP, VOICEREADER_WARMUP_TEXT.
`

// sidecarFlag, as the first word, is the same command: so VoiceReader starts its engine.
const sidecarFlag = "--server"

// readerOptions are the flags of the door.
type readerOptions struct {
	host       string
	port       uint16
	token      string
	tokenEnv   string
	dataDir    string
	clonePaths []string
	models     []string // names of the model
	official   string   // the pack that prefetching fetches; empty: none
}

// addFlags adds those that the door has in serve, too; with a prefix where serve has its own.
func (o *readerOptions) addFlags(flags *pflag.FlagSet, prefix string) {
	o.host, o.port, o.tokenEnv, o.dataDir = "127.0.0.1", 8765, "SPEAK_SELECTION_ENGINE_TOKEN", ".data"
	about := ""
	if prefix != "" {
		about = " (voicereader)"
	}
	text := func(name, kind, usage, preset string, set func(string) error) {
		flags.Var(&value{kind: kind, shown: preset, set: set}, name, usage+about)
	}
	text(prefix+"host", "HOST", "Address to listen on", o.host, func(s string) error { o.host = s; return nil })
	text(prefix+"port", "PORT", "Port to listen on; 0 is any that is free", "8765", func(s string) (err error) {
		o.port, err = parsePort(s)
		return err
	})
	text("token", "TOKEN", "Requests must say Authorization: Bearer TOKEN", "", func(s string) error { o.token = strings.TrimSpace(s); return nil })
	text("token-env", "NAME", "Variable of the environment that holds the token", o.tokenEnv, func(s string) error { o.tokenEnv = s; return nil })
	text("data-dir", "PATH", "Folder of the voices that are made", o.dataDir, func(s string) error { o.dataDir = s; return nil })
	text("clone-path-allow", "PATH", "Recordings may be read from this folder, too, not only from the data folder; can be repeated", "", func(s string) error {
		o.clonePaths = append(o.clonePaths, s)
		return nil
	})
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("'%s' is not a port", text)
	}
	return uint16(port), nil
}

// check takes the token from the environment where nothing else has given it, or else the other key, and looks at what the
// environment says besides. The flags are those that give a token.
func (o *readerOptions) check(key, flags string) error {
	if o.token == "" {
		o.token = environment(o.tokenEnv, key)
	}
	if o.token == "" {
		return failf("VoiceReader's API needs a token: %s, or %s in the environment.", flags, o.tokenEnv)
	}
	_, err := o.settings()
	return err
}

// settings of the door, with what the environment says.
func (o *readerOptions) settings() (voicereader.Options, error) {
	settings := voicereader.Options{
		Token: o.token, DataDir: o.dataDir, ClonePaths: o.clonePaths, Voice: environment("VOICEREADER_KYUTAI_VOICE_PROMPT", ""),
		Models: o.models, Backend: strings.ToLower(environment("VOICEREADER_SYNTH_BACKEND", "auto")),
		WarmUp: true, WarmUpText: environment("VOICEREADER_WARMUP_TEXT", ""),
	}
	switch strings.ToLower(environment("VOICEREADER_WARMUP_ON_STARTUP", "")) {
	case "0", "false", "no", "n", "off":
		settings.WarmUp = false
	}
	if known := []string{"auto", "kyutai", "qwen", "mock"}; !slices.Contains(known, settings.Backend) {
		return settings, failf("VOICEREADER_SYNTH_BACKEND: '%s' is not one of '%s'.", settings.Backend, strings.Join(known, "', '"))
	}
	return settings, nil
}

func environment(name, preset string) string {
	if text := strings.TrimSpace(os.Getenv(name)); text != "" {
		return text
	}
	return preset
}

// open makes the door and its listener.
func (o *readerOptions) open(service *server.Service, prefetch func(context.Context) (map[string]string, error)) (*voicereader.Door, net.Listener, error) {
	settings, err := o.settings()
	if err != nil {
		return nil, nil, err
	}
	settings.Prefetch = prefetch
	listener, err := net.Listen("tcp", net.JoinHostPort(strings.Trim(o.host, "[]"), strconv.Itoa(int(o.port))))
	if err != nil {
		return nil, nil, err
	}
	door, err := voicereader.New(service, settings)
	if err != nil {
		return nil, nil, errors.Join(inReaderFlags(err), listener.Close())
	}
	if !isLoopback(o.host) {
		service.Log().Warn(fmt.Sprintf("%s is not an address of this machine alone: whoever knows the token can use VoiceReader's API, which is not encrypted", o.host))
	}
	return door, listener, nil
}

// inReaderFlags says what the door says about its options in terms of the flags.
func inReaderFlags(err error) error {
	for _, name := range [][2]string{{"DataDir", "data-dir"}, {"ClonePaths", "clone-path-allow"}} {
		if _, rest, found := strings.Cut(err.Error(), ": "+name[0]+" "); found && errors.Is(err, pockettts.ErrArgument) {
			return failf("--%s %s", name[1], rest)
		}
	}
	return err
}

// listenVoiceReader is the door of serve. The model is that of serve; a client that asks for the end ends this door alone.
func listenVoiceReader(service *server.Service, o *serveOptions) (func(context.Context) error, string, error) {
	door, listener, err := o.reader.open(service, nil)
	if err != nil {
		return nil, "", err
	}
	return func(ctx context.Context) error {
		err := door.Serve(ctx, listener)
		if errors.Is(err, voicereader.ErrQuit) {
			service.Log().Info("VoiceReader's API has ended, as a client asked for; the others go on")
			return nil
		}
		return err
	}, "http://" + listener.Addr().String(), nil
}

// voiceReaderOptions is the command line of voicereader.
type voiceReaderOptions struct {
	serveOptions
	bootstrap bool
	note      string // on the model, for the log
}

func newVoiceReaderFlags(o *voiceReaderOptions) *pflag.FlagSet {
	flags := newFlagSet("voicereader")
	o.reader.addFlags(flags, "")
	list := func(name, kind, usage string, to *[]string) {
		flags.Var(&value{kind: kind, set: func(s string) error { *to = append(*to, s); return nil }}, name, usage)
	}
	addSwitch(flags, "bootstrap-stdin", "", `Read a line of JSON from stdin: {"token": ..., "port": ..., "data_dir": ...}`, &o.bootstrap)
	flags.Var(&value{kind: "VOICE", set: o.setVoice}, "voice", `Voice "0": a name, a voice file (.safetensors), or a recording (.wav)`)
	addSwitch(flags, "allow-cloning", "", "Make voices from recordings. Default: only where nobody but this machine can ask", &o.cloning)
	list("cors-origin", "ORIGIN", "Pages of this origin may ask, * is all; can be repeated", &o.origins)
	flags.Var(&value{kind: "NAMES", set: o.setHosts}, "allow-host", allowHostUsage)
	newFlags(&o.options).VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(unserved, flag.Name) {
			flags.AddFlag(flag)
		}
	})
	var ignored bool
	addSwitch(flags, "server", "", "Ignored", &ignored)
	_ = flags.MarkHidden("server") // fails only for a flag that does not exist
	return flags
}

// voiceReader is the command.
func voiceReader(ctx context.Context, args []string) error {
	o := new(voiceReaderOptions)
	flags := newVoiceReaderFlags(o)
	help := func() string { return fmt.Sprintf(voiceReaderHelp, describeFlags(flags)) }
	if done, err := readCommand(flags, voiceReaderUsage, help, args); done || err != nil {
		return err
	}
	return untilTold(ctx, o.speak(ctx))
}

// bootstrapBytes is the longest line on stdin.
const bootstrapBytes = 64 << 10

// readBootstrap takes over what the line says. A token on the command line comes before it, and the environment behind it.
func (o *voiceReaderOptions) readBootstrap(from io.Reader) error {
	line, err := bufio.NewReader(io.LimitReader(from, bootstrapBytes)).ReadBytes('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("--bootstrap-stdin: %w", err)
	}
	var said struct {
		Token   string  `json:"token"`
		Port    *uint16 `json:"port"`
		DataDir string  `json:"data_dir"`
	}
	if strings.TrimSpace(string(line)) == "" {
		return nil
	}
	if json.Unmarshal(line, &said) != nil {
		return failf(`--bootstrap-stdin: expected a line such as {"token": "...", "port": 8765, "data_dir": "..."}, found something else.`) // which may hold the token
	}
	if o.reader.token == "" {
		o.reader.token = strings.TrimSpace(said.Token)
	}
	if said.Port != nil {
		o.reader.port = *said.Port
	}
	if said.DataDir != "" {
		o.reader.dataDir = said.DataDir
	}
	return nil
}

// defaultOfficial is the official pack with the weights that voicereader.DefaultModel holds.
const defaultOfficial = "english_2026-01"

// findModel finds the model that the environment names, where the command line names none. What is not on this machine is not
// fetched without being asked for (prefetch): then the starter voice speaks.
func (o *voiceReaderOptions) findModel(ctx context.Context) {
	if o.packGiven || o.languageGiven || o.configGiven {
		return
	}
	model := environment("VOICEREADER_KYUTAI_MODEL", voicereader.DefaultModel)
	o.reader.models = append(o.reader.models, model)
	folder := model
	if owner, name, found := strings.Cut(model, "/"); found && filepath.IsLocal(filepath.FromSlash(model)) && owner != "." && !strings.Contains(name, "..") {
		if local := filepath.Join(o.reader.dataDir, "models", filepath.FromSlash(model)); isFolder(local) {
			folder = local
		}
	}
	switch {
	case isFolder(folder):
		o.useFolder(folder)
		return
	case slices.Contains(pockettts.PackNames(), model):
		o.reader.official = model
	case model == voicereader.DefaultModel:
		o.reader.official = defaultOfficial
	default:
		o.note = fmt.Sprintf("VOICEREADER_KYUTAI_MODEL: %s is neither a folder, nor one below models in %s, nor a name of 'pocket-tts packs list': the starter voice speaks",
			model, o.reader.dataDir)
		return
	}
	if kept, err := hub.DefaultFolder(); err == nil && isComplete(ctx, hub.Store{Folder: kept}, o.reader.official) {
		o.language, o.languageGiven = o.reader.official, true
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// useFolder takes a pack, or a configuration of the reference, and its voice.
func (o *voiceReaderOptions) useFolder(folder string) {
	if isFile(filepath.Join(folder, "pack.json")) {
		o.pack, o.packGiven = folder, true
		return
	}
	entries, _ := os.ReadDir(folder) // sorted; one that cannot be read is as good as an empty one
	n := slices.IndexFunc(entries, func(entry os.DirEntry) bool { return strings.HasSuffix(entry.Name(), ".yaml") })
	if n < 0 {
		o.note = fmt.Sprintf("VOICEREADER_KYUTAI_MODEL: %s: expected a pack.json or a configuration (.yaml) in it, found neither: the starter voice speaks", folder)
		return
	}
	o.config, o.configGiven = filepath.Join(folder, entries[n].Name()), true
	if o.voiceGiven {
		return
	}
	name := environment("VOICEREADER_KYUTAI_VOICE_PROMPT", "alba")
	if file := filepath.Join(folder, "embeddings", filepath.Base(name)+".safetensors"); isFile(file) {
		o.voice, o.voiceGiven = file, true
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// prefetch is what fetches the official pack; nil where there is none to fetch.
func (o *voiceReaderOptions) prefetch(log *slog.Logger, line *status) func(context.Context) (map[string]string, error) {
	name := o.reader.official
	switch {
	case o.languageGiven:
		name = o.language
	case o.packGiven && hub.IsRemote(o.pack):
		name = o.pack
	}
	if name == "" {
		return nil
	}
	wanted := where{pack: name, hub: o.hub, offline: o.offline}
	settings := wanted.settings(log, line)
	return func(ctx context.Context) (map[string]string, error) {
		p, err := openPack(ctx, settings)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		for _, file := range needed(p, p.DefaultVoiceName()) {
			if err := p.Fetch(ctx, file); err != nil {
				return nil, err
			}
		}
		folder, err := hub.DefaultFolder()
		log.Info(name + " is on this machine; it speaks from the next start on")
		return map[string]string{name: folder}, err
	}
}

// speak loads the model, and listens when it is there: who is answered can be spoken to.
func (o *voiceReaderOptions) speak(ctx context.Context) error {
	if o.bootstrap {
		said := make(chan error, 1)
		go func() { said <- o.readBootstrap(os.Stdin) }()
		select {
		case err := <-said:
			if err != nil {
				return err
			}
		case <-ctx.Done(): // a read of stdin has no end of its own
			return ctx.Err()
		}
	}
	if err := o.reader.check("", "--token"); err != nil {
		return err
	}
	if file := environment("VOICEREADER_KYUTAI_VOICE_PROMPT", ""); !o.voiceGiven && isFile(file) {
		o.voice, o.voiceGiven = file, true
	}
	o.findModel(ctx)
	if err := o.check(); err != nil {
		return err
	}
	log, line := newConsole(o.quiet)
	defer line.clear()
	if o.note != "" {
		log.Warn(o.note)
	}
	choice, err := findVoice("--voice ", o.voice, o.voiceGiven)
	if err != nil {
		return err
	}
	o.cloning = o.cloning || isLoopback(o.reader.host)
	service, err := server.New(o.serviceOptions(choice, log))
	if err != nil {
		return o.inServeFlags(err)
	}
	defer service.Close()
	engine, err := o.load(ctx, choice, service, log, line)
	if engine != nil {
		defer engine.Close()
		defer service.Close() // before the engine
	}
	if err != nil {
		var known failure
		if errors.As(err, &known) { // the flag has another name here
			return failf("%s", strings.Replace(known.message, "--default-voice", "--voice", 1))
		}
		return err
	}
	door, listener, err := o.reader.open(service, o.prefetch(log, line))
	if err != nil {
		return err
	}
	log.Info(fmt.Sprintf("Listening on http://%s (voicereader)", listener.Addr()))
	if err := door.Serve(ctx, listener); !errors.Is(err, voicereader.ErrQuit) {
		return err
	}
	return nil
}
