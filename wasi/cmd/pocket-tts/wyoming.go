// The command wyoming, and the door of that name of serve: speech for Home Assistant. The settings are those of the servers
// that came before it, by flag or by environment.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/wyoming"
)

const wyomingUsage = "wyoming [OPTIONS]"

const wyomingHelp = "Usage: pocket-tts " + wyomingUsage + `

Speaks to Home Assistant: a server of the Wyoming protocol.

Options:
%s
Environment, where there is no flag: WYOMING_HOST, WYOMING_PORT, DEFAULT_VOICE, MODEL_VARIANT, ZEROCONF (true or a name),
DEBUG_WAV (true, 1, yes), PREFIX_MIN_DURATION, PREFIX_MAX_DURATION, PREFIX_SILENCE_GAP (seconds, with --prefix dots).
`

// wyomingOptions is the command line of wyoming.
type wyomingOptions struct {
	serveOptions
	wyoming.Settings
	uri      string
	prefix   string
	debugDir string
	debug    bool
}

// wyomingEnvironment are the options that the environment gives.
func wyomingEnvironment() (*wyomingOptions, error) {
	settings, err := wyoming.Environment(os.Getenv)
	return &wyomingOptions{Settings: settings, debugDir: "output"}, err
}

func newWyomingFlags(o *wyomingOptions) *pflag.FlagSet {
	flags := pflag.NewFlagSet("wyoming", pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are worded in main.go
	flags.SortFlags = false
	flags.Usage = func() {}
	text := func(name, kind, usage string, to *string) {
		flags.Var(&value{kind: kind, shown: *to, set: func(s string) error { *to = s; return nil }}, name, usage)
	}
	onOff := func(name, usage string, to *bool) {
		flags.VarPF(&value{kind: "bool", flag: true, set: func(string) error { *to = true; return nil }}, name, "", usage).NoOptDefVal = notGiven
	}
	var ignored string
	text("host", "HOST", "Address to listen on; 0.0.0.0 is the whole network", &o.Host)
	text("port", "PORT", "Port to listen on; 0 is any that is free", &o.Port)
	text("uri", "URI", "tcp://HOST:PORT, unix:///PATH or stdio://, instead of --host and --port", &o.uri)
	text("voice", "VOICE", "Voice of requests that name none, or one that is not there: a name, a voice file, or a recording", &o.Voice)
	text("variant", "NAME", "An official model by name or signature. Default: the one of --pack", &o.Variant)
	text("zeroconf", "[NAME]", "Let the local network know, under this name; without one "+wyoming.DefaultName, &o.Zeroconf)
	flags.Lookup("zeroconf").NoOptDefVal = wyoming.DefaultName
	flags.Var(&value{kind: "direct|dots", set: func(s string) error {
		if s != string(wyoming.Direct) && s != string(wyoming.Dots) {
			return fmt.Errorf("'%s' is not one of 'direct', 'dots'", s)
		}
		o.prefix = s
		return nil
	}}, "prefix", "dots: speak \"... \" before the text and cut it away, for models that lose the first sounds. Default: direct")
	onOff("debug", "More on stderr: a line for each chunk that is sent", &o.debug)
	onOff("debug-wav", "Keep everything that is said as WAV files", &o.DebugWAV)
	text("debug-dir", "PATH", "The folder of those files", &o.debugDir)
	text("voices-dir", "PATH", "Folder with more voices: NAME.safetensors, and NAME.wav where the model can clone", &o.voicesDir)
	flags.Var(number("N", parsePositive, &o.textChars), "max-text-chars", "Longest text. Default: 16384")
	flags.Var(number("N", parsePositive, &o.soundSeconds), "max-sound-seconds", "Longest sound. Default: 10 and half a second for each letter of the text, 1800 at most")
	flags.Var(number("N", parsePositive, &o.workers), "workers", "Copies of the model, each on a core of its own. Default: 1")
	newFlags(&o.options).VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(unserved, flag.Name) {
			flags.AddFlag(flag)
		}
	})
	text("log-format", "FORMAT", "Ignored", &ignored)
	_ = flags.MarkHidden("log-format") // fails only for a flag that does not exist
	return flags
}

// speakWyoming is the command.
func speakWyoming(ctx context.Context, args []string) error {
	o, err := wyomingEnvironment()
	if err != nil {
		return err
	}
	flags := newWyomingFlags(o)
	help := func() string { return fmt.Sprintf(wyomingHelp, describeFlags(flags)) }
	if done, err := readCommand(flags, wyomingUsage, help, nameAfter("--zeroconf", args)); done || err != nil {
		return err
	}
	if !flags.Changed("variant") && (o.packGiven || o.languageGiven || o.configGiven) {
		o.Variant = "" // a flag comes before the environment
	}
	return untilTold(ctx, o.speak(ctx))
}

// nameAfter joins a flag whose value may be left out with the value that follows it, as Python's programs take it.
func nameAfter(flag string, args []string) []string {
	var joined []string
	for n := 0; n < len(args); n++ {
		if args[n] == flag && n+1 < len(args) && !strings.HasPrefix(args[n+1], "-") {
			joined = append(joined, flag+"="+args[n+1])
			n++
			continue
		}
		joined = append(joined, args[n])
	}
	return joined
}

// check refuses what cannot be, before anything is opened.
func (o *wyomingOptions) check() error {
	if err := o.CheckPort(); err != nil {
		return failf("--port: expected 0 to 65535, found '%s'.", o.Port)
	}
	switch {
	case o.Zeroconf != "" && o.uri != "" && !strings.HasPrefix(o.uri, "tcp://"):
		return failf("--zeroconf needs a tcp:// server, --uri is %s", o.uri)
	case o.Variant != "" && (o.packGiven || o.languageGiven || o.configGiven):
		return failf("Cannot specify both variant and pack, language or config, please choose one or the other.")
	}
	if o.Variant != "" {
		o.language, o.languageGiven = o.Model(), true
	}
	if o.uri == "" {
		o.uri = o.URI()
	}
	o.voice, o.voiceGiven = o.Voice, o.Voice != ""
	return o.serveOptions.check()
}

// speak opens the listener and loads the model behind it: who asks meanwhile is told of the server, and waits for speech.
func (o *wyomingOptions) speak(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	log, line := newConsole(o.quiet)
	if o.debug {
		log, line = slog.New(lineHandler{debug: true}), nil
	}
	defer line.clear()
	choice, err := findVoice("--voice ", o.voice, o.voiceGiven)
	if err != nil {
		return err
	}
	o.cloning = true // nobody but the operator gives this server voices
	service, err := server.New(o.serviceOptions(choice, log))
	if err != nil {
		return o.inServeFlags(err)
	}
	defer service.Close()
	door, err := o.door(service)
	if err != nil {
		return err
	}
	serving, where, err := o.listen(door, log)
	if err != nil {
		return err
	}
	log.Info("Listening on " + where)
	err = server.Run(ctx, serving, func(ctx context.Context) error {
		engine, err := o.load(ctx, choice, service, log, line)
		if engine != nil {
			defer engine.Close()
			defer service.Close() // before the engine
		}
		if err == nil {
			<-ctx.Done()
		}
		return err
	})
	var known failure
	switch {
	case errors.Is(err, errPipeEnded):
		return nil
	case errors.As(err, &known): // the flag has another name here
		return failf("%s", strings.Replace(known.message, "--default-voice", "--voice", 1))
	}
	return err
}

// door makes the server of the protocol.
func (o *wyomingOptions) door(service *server.Service) (*wyoming.Server, error) {
	options := wyoming.Options{Prefix: wyoming.Prefix(o.prefix), Trim: o.Trim, Version: version, Voices: []string{"default"}}
	if o.Voice != "" {
		options.Voices[0] = o.Voice
	}
	if o.DebugWAV {
		if err := os.MkdirAll(o.debugDir, 0o755); err != nil {
			return nil, fmt.Errorf("--debug-dir %w", err)
		}
		options.DebugDir = o.debugDir
	}
	return wyoming.New(service, options)
}

// listen opens the address. What it returns serves it.
func (o *wyomingOptions) listen(door *wyoming.Server, log *slog.Logger) (func(context.Context) error, string, error) {
	if o.uri == "stdio://" {
		return func(ctx context.Context) error {
			door.ServePipe(ctx, os.Stdin, os.Stdout)
			if ctx.Err() != nil {
				return nil
			}
			return errPipeEnded
		}, o.uri, nil
	}
	listener, err := wyoming.Listen(o.uri)
	if err != nil {
		return nil, "", failf("--uri %s: %s", o.uri, err)
	}
	where := listener.Addr().Network() + "://" + listener.Addr().String()
	return func(ctx context.Context) error {
		if o.Zeroconf == "" {
			return door.Serve(ctx, listener)
		}
		return server.Run(ctx,
			func(ctx context.Context) error { return door.Serve(ctx, listener) },
			func(ctx context.Context) error {
				// A server that is not found can still be named.
				if err := wyoming.Advertise(ctx, o.Zeroconf, listener.Addr()); err != nil {
					log.Warn("The local network is not told of this server", "error", err)
				}
				<-ctx.Done()
				return nil
			})
	}, where, nil
}

// errPipeEnded ends the program when its only client has gone.
var errPipeEnded = errors.New("the client has gone")

// listenWyoming is the door of serve: model and voice are its own, the rest is what the environment says.
func listenWyoming(service *server.Service, _ *serveOptions) (func(context.Context) error, string, error) {
	o, err := wyomingEnvironment()
	if err != nil {
		return nil, "", err
	}
	door, err := o.door(service)
	if err != nil {
		return nil, "", err
	}
	o.uri = o.URI()
	return o.listen(door, service.Log())
}
