// The command serve: the engine behind HTTP, and whatever other doors are asked for, in one process.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/local"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/openai"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/speakws"
)

const serveUsage = "serve [OPTIONS]"

const serveHelp = "Usage: pocket-tts " + serveUsage + `

Speaks over HTTP: a page at /, GET /health, POST /tts as in the reference, GET /metrics, and the doors of --with.
Unlike the reference it fetches no voice from a URL in a request, unless --allow-voice-url names the place.

Options:
%s
Environment: POCKET_TTS_API_KEY is --api-key; FIRST_CHUNK_LENGTH_SECONDS holds back the sound of /tts until so much is there.
wyoming and voicereader have listeners of their own, and read what 'pocket-tts wyoming --help' and 'voicereader --help' say.
`

// serveOptions is the command line of serve.
type serveOptions struct {
	options
	host      string
	port      uint16
	with      []string
	voicesDir string
	apiKey    string
	keyGiven  bool
	origins   []string
	hosts     []string
	urls      []string
	cloning   bool
	json      bool
	localAt   string // where --with local listens
	reader    readerOptions

	workers, textChars, soundSeconds, streams, queue *int
	uploadBytes                                      *int
}

// door is what --with can add.
type door struct {
	// mount is a part of the HTTP server: it owns some paths and takes them from the reference's door.
	mount func(*server.Service, *serveOptions) (owns func(path string) bool, handler http.Handler)
	// listen is a listener of its own, opened here and served later.
	listen func(*server.Service, *serveOptions) (serve func(context.Context) error, where string, err error)
}

// doors are those that --with knows.
var doors = map[string]door{
	"openai": {mount: func(service *server.Service, o *serveOptions) (func(string) bool, http.Handler) {
		settings := openai.Options{OtherModels: pockettts.PackNames()}
		if o.textChars != nil {
			settings.InputChars = *o.textChars
		}
		return openai.Owns, openai.New(service, settings)
	}},
	"speak-ws": {mount: func(service *server.Service, _ *serveOptions) (func(string) bool, http.Handler) {
		return speakws.Owns, speakws.New(service)
	}},
	"local":       {listen: listenLocal},
	"voicereader": {listen: listenVoiceReader},
	"wyoming":     {listen: listenWyoming},
}

func doorNames() []string {
	var names []string
	for name := range doors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// unserved are flags of generate that make no sense here.
var unserved = []string{"text", "voice", "checkpoint", "parallel", "device", "output-path", "speed", "json-events"}

func newServeFlags(o *serveOptions) *pflag.FlagSet {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are worded in main.go
	flags.SortFlags = false
	flags.Usage = func() {}
	text := func(name, kind, usage, preset string, set func(string) error) {
		flags.Var(&value{kind: kind, shown: preset, set: set}, name, usage)
	}
	onOff := func(name, usage string, to *bool) {
		flags.VarPF(&value{kind: "bool", flag: true, set: func(string) error { *to = true; return nil }}, name, "", usage).NoOptDefVal = notGiven
	}
	list := func(name, kind, usage string, to *[]string) {
		text(name, kind, usage, "", func(s string) error { *to = append(*to, s); return nil })
	}
	atLeast := func(least int, to **int) func(string) error {
		return func(s string) error {
			n, err := parseInt(strings.TrimSpace(s))
			if err == nil && n < least {
				err = fmt.Errorf("'%d' is less than %d", n, least)
			}
			*to = &n
			return err
		}
	}
	o.host, o.port, o.with, o.localAt = "localhost", 8000, []string{"openai"}, "127.0.0.1:9527"
	var ignored bool

	text("host", "HOST", "Address to listen on", o.host, func(s string) error { o.host = s; return nil })
	text("port", "PORT", "Port to listen on; 0 is any that is free", "8000", o.setPort)
	text("with", "DOORS", "Other doors, with commas between them: "+strings.Join(doorNames(), ", ")+"; none", "openai", o.setDoors)
	text("local-address", "HOST:PORT", "Where the door local listens", o.localAt, func(s string) error { o.localAt = s; return nil })
	text("default-voice", "VOICE", "Voice of requests that name none: a name, a voice file (.safetensors), or a recording (.wav), here or at https:// or hf://", "", o.setVoice)
	text("voice", "VOICE", "Same as --default-voice", "", o.setVoice)
	text("voices-dir", "PATH", "Folder with more voices: NAME.safetensors, and NAME.wav where voices may be cloned", "", func(s string) error { o.voicesDir = s; return nil })
	text("api-key", "KEY", "Requests must say Authorization: Bearer KEY", "", func(s string) error { o.apiKey, o.keyGiven = s, true; return nil })
	list("cors-origin", "ORIGIN", "Pages of this origin may ask, * is all; can be repeated", &o.origins)
	text("allow-host", "NAMES", allowHostUsage, "", o.setHosts)
	list("allow-voice-url", "PREFIX", "Voices may be fetched from URLs that begin so (https://host/path/, hf://kyutai/); can be repeated", &o.urls)
	onOff("allow-cloning", "Make voices from recordings in requests. Default: only where nobody but this machine can ask", &o.cloning)
	text("max-text-chars", "N", "Longest text. Default: 16384, of OpenAI's API 4096", "", atLeast(1, &o.textChars))
	text("max-upload-bytes", "N", "Longest body. Default: 26214400", "", atLeast(1, &o.uploadBytes))
	text("max-sound-seconds", "N", "Longest sound. Default: 10 and half a second for each letter of the text, 1800 at most", "", atLeast(1, &o.soundSeconds))
	text("workers", "N", "Copies of the model, each on a core of its own. Default: 1", "", atLeast(1, &o.workers))
	text("max-streams", "N", "Requests that are spoken at once. Default: 32", "", atLeast(1, &o.streams))
	text("max-queue", "N", "Requests that wait; one more is answered 429. Default: 16", "", atLeast(0, &o.queue))
	onOff("log-json", "Logs as JSON, one object a line", &o.json)
	o.reader.addFlags(flags, "voicereader-")
	newFlags(&o.options).VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(unserved, flag.Name) {
			flags.AddFlag(flag)
		}
	})
	onOff("reload", "Ignored", &ignored)
	onOff("no-reload", "Ignored", &ignored)
	for _, name := range []string{"reload", "no-reload"} {
		_ = flags.MarkHidden(name) // fails only for a flag that does not exist
	}
	return flags
}

const allowHostUsage = "Names and addresses of this server in the header Host besides localhost, without a port, with commas between them. Where more than this machine can reach it, all are let in unless some are given"

func (o *serveOptions) setHosts(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.hosts = append(o.hosts, name)
		}
	}
	return nil
}

func (o *serveOptions) setPort(text string) (err error) {
	o.port, err = parsePort(text)
	return err
}

func (o *serveOptions) setVoice(voice string) error {
	o.voice, o.voiceGiven = voice, true
	return nil
}

func (o *serveOptions) setDoors(text string) error {
	o.with = nil
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "" || name == "none" {
			continue
		}
		if _, known := doors[name]; !known {
			return fmt.Errorf("'%s' is not one of '%s'", name, strings.Join(doorNames(), "', '"))
		}
		if !slices.Contains(o.with, name) {
			o.with = append(o.with, name)
		}
	}
	return nil
}

func serve(ctx context.Context, args []string) error {
	o := new(serveOptions)
	flags := newServeFlags(o)
	help := func() string { return fmt.Sprintf(serveHelp, describeFlags(flags)) }
	if done, err := readCommand(flags, serveUsage, help, args); done || err != nil {
		return err
	}
	return untilTold(ctx, o.serve(ctx))
}

// untilTold is the end of a server: one that was asked for is a good one, and what failed then was in the middle of something.
func untilTold(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// check refuses what cannot be, before anything is loaded.
func (o *serveOptions) check() error {
	o.device = "cpu" // a flag of generate that is not one here
	source := "--api-key"
	if !o.keyGiven {
		o.apiKey = os.Getenv("POCKET_TTS_API_KEY")
		source, o.keyGiven = "POCKET_TTS_API_KEY", o.apiKey != ""
	}
	o.apiKey = strings.TrimSpace(o.apiKey) // the line break behind a key from a file, which no header can hold
	switch {
	case o.keyGiven && o.apiKey == "":
		return failf("%s: expected a key, found an empty text.", source)
	case o.voiceGiven && o.voice == "":
		return failf("--default-voice: expected a name or a file, found an empty text.")
	}
	if slices.Contains(o.with, "voicereader") {
		if err := o.reader.check(o.apiKey, "--token, --api-key"); err != nil {
			return err
		}
	}
	if err := checkOptions(&o.options); err != nil {
		return err
	}
	o.setConfigVoice()
	return nil
}

func (o *serveOptions) serve(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	hold, err := holdSeconds(os.Getenv("FIRST_CHUNK_LENGTH_SECONDS"))
	if err != nil {
		return err
	}
	log, line := newConsole(o.quiet)
	defer line.clear()
	if o.json {
		level := slog.LevelInfo
		if o.quiet {
			level = slog.LevelError
		}
		log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	}
	choice, err := findVoice("--default-voice ", o.voice, o.voiceGiven)
	if err != nil {
		return err
	}
	o.cloning = o.cloning || o.onlyHere()
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
		return err
	}
	for _, host := range o.publicHosts() {
		if o.apiKey == "" {
			log.Warn(fmt.Sprintf("%s is not an address of this machine alone, and there is no --api-key: whoever can reach it can use it", host))
		}
	}
	return o.run(ctx, service, log, time.Duration(hold*float64(time.Second)))
}

// publicHosts are those that more than this machine can reach.
func (o *serveOptions) publicHosts() []string {
	hosts := []string{o.host}
	if host, _, err := net.SplitHostPort(o.localAt); err == nil && slices.Contains(o.with, "local") {
		hosts = append(hosts, host)
	}
	return slices.DeleteFunc(hosts, isLoopback)
}

// onlyHere tells whether nobody but this machine can send recordings. VoiceReader's API has a token of its own, which is no
// reason to make voices for whoever knows it.
func (o *serveOptions) onlyHere() bool {
	return len(o.publicHosts()) == 0 && (!slices.Contains(o.with, "voicereader") || isLoopback(o.reader.host))
}

// isLoopback tells whether only this machine can reach a host.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
}

func (o *serveOptions) serviceOptions(choice voiceChoice, log *slog.Logger) server.Options {
	settings := server.Options{
		VoicesDir: o.voicesDir, Language: languageCode(o.pack), Speak: o.speakOptions(nil), APIKey: o.apiKey, Origins: o.origins, Hosts: o.hosts,
		AllowCloning: o.cloning, AllowVoiceURLs: o.urls, Logger: log,
	}
	if choice.missing {
		settings.Voice = o.voice
	}
	// What was not given is the service's own default.
	for _, limit := range []struct {
		given *int
		set   func(n int)
	}{
		{o.textChars, func(n int) { settings.Limits.TextChars = n }},
		{o.uploadBytes, func(n int) { settings.Limits.UploadBytes = int64(n) }},
		{o.soundSeconds, func(n int) { settings.Limits.Sound = time.Duration(n) * time.Second }},
	} {
		if limit.given != nil {
			limit.set(*limit.given)
		}
	}
	return settings
}

// serveQueue is how many requests wait where --max-queue does not say.
const serveQueue = 16

// load loads the model and the default voice: what is wrong with them is known before anything listens. The engine is
// returned even where the voice is wrong.
func (o *serveOptions) load(ctx context.Context, choice voiceChoice, service *server.Service, log *slog.Logger, line *status) (*pockettts.Engine, error) {
	started := time.Now()
	settings := o.settings(log, line)
	settings.Precision, settings.CacheDir = pockettts.Precision(o.precision), o.cache
	if o.cache == "none" {
		settings.CacheDir = pockettts.NoCache
	}
	settings.NoCloning = !o.cloning && (choice.voiceFile || choice.missing || choice.arg == "")
	if o.instances == "1" || o.instances == "2" {
		settings.Instances = int(o.instances[0] - '0')
	}
	settings.MaxQueue = serveQueue
	if o.queue != nil {
		if settings.MaxQueue = *o.queue; *o.queue == 0 {
			settings.MaxQueue = pockettts.NoQueue
		}
	}
	if o.streams != nil {
		settings.MaxStreams = *o.streams
	}
	if o.workers != nil {
		settings.Parallel, settings.Workers = *o.workers, *o.workers
	}
	engine, err := pockettts.Load(ctx, settings)
	if err != nil {
		return nil, o.inFlags(err)
	}
	var voice *pockettts.Voice
	if o.voiceGiven && !choice.missing {
		if voice, err = choice.load(ctx, engine, settings); err != nil {
			return engine, err
		}
	}
	if err := service.Start(ctx, engine, voice); err != nil {
		if o.voiceGiven && server.Explain(err).Problem == server.VoiceUnknown {
			var names []string
			for _, known := range engine.Voices() {
				names = append(names, known.Name)
			}
			return engine, failf("--default-voice %s: neither a voice of this pack (%s), nor of --voices-dir, nor a file.", o.voice, strings.Join(names, ", "))
		}
		return engine, o.inFlags(err)
	}
	info := engine.Info()
	log.Info(fmt.Sprintf("Pack %s (%s) loaded in %.2f s, %s", info.Name, info.Precision, time.Since(started).Seconds(), layout(info)))
	return engine, nil
}

// run opens every listener, and then serves them all until the context ends.
func (o *serveOptions) run(ctx context.Context, service *server.Service, log *slog.Logger, hold time.Duration) (err error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(strings.Trim(o.host, "[]"), strconv.Itoa(int(o.port))))
	if err != nil {
		return err
	}
	defer listener.Close()
	handler := ttshttp.New(service, ttshttp.Options{Text: defaultText(o.official()), Hold: hold})
	serving := []func(context.Context) error{func(ctx context.Context) error { return service.Serve(ctx, listener, handler) }}
	names := []string{"http"}
	for _, name := range o.with {
		added := doors[name]
		if added.mount != nil {
			owns, part := added.mount(service, o)
			handler = either(owns, part, handler)
			names = append(names, name)
			continue
		}
		served, where, err := added.listen(service, o)
		if err != nil {
			return err
		}
		log.Info(fmt.Sprintf("Listening on %s (%s)", where, name))
		serving = append(serving, served)
	}
	log.Info(fmt.Sprintf("Listening on http://%s (%s)", listener.Addr(), strings.Join(names, ", ")))
	return server.Run(ctx, serving...)
}

// listenLocal is the door of serve that browser extensions look for.
func listenLocal(service *server.Service, o *serveOptions) (func(context.Context) error, string, error) {
	listener, err := net.Listen("tcp", o.localAt)
	if err != nil {
		return nil, "", failf("--local-address %s: %s", o.localAt, err)
	}
	handler := local.New(service, local.Options{Version: version})
	return func(ctx context.Context) error { return service.Serve(ctx, listener, handler) }, "http://" + listener.Addr().String(), nil
}

// either sends a request to the part that owns its path.
func either(owns func(string) bool, part, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if owns(r.URL.Path) {
			part.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// inServeFlags says what the service says about its options in terms of the flags.
func (o *serveOptions) inServeFlags(err error) error {
	for _, name := range [][2]string{{"VoicesDir", "voices-dir"}, {"Origins", "cors-origin"}, {"Hosts", "allow-host"}, {"AllowVoiceURLs", "allow-voice-url"}} {
		for _, mark := range []string{": " + name[0] + " ", ": " + name[0] + ": "} {
			if _, rest, found := strings.Cut(err.Error(), mark); found && errors.Is(err, pockettts.ErrArgument) {
				return failf("--%s: %s", name[1], rest)
			}
		}
	}
	return err
}

// languageCode is the code of the language that an official model's name begins with; English speaks the starter voice.
func languageCode(name string) string {
	for language, code := range map[string]string{
		"dutch": "nl", "french": "fr", "german": "de", "italian": "it", "portuguese": "pt", "spanish": "es",
	} {
		if strings.HasPrefix(name, language) {
			return code
		}
	}
	return "en"
}

// withServerSignals cancels on SIGINT, SIGTERM and SIGHUP, which is how a server is told to end; a second signal ends it
// at once.
func withServerSignals(parent context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := endings()
	go func() {
		if received, ok := (<-signals).(syscall.Signal); ok {
			cancel(interrupted{received})
			if received, ok = (<-signals).(syscall.Signal); ok {
				os.Exit(128 + int(received))
			}
		}
	}()
	return ctx, cancel
}
