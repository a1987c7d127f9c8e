// Command pocket-tts speaks: `pocket-tts generate --text "Hello." --output-path hello.wav`. `serve` does so over HTTP, `wyoming` for
// Home Assistant, `voicereader` for VoiceReader,
// `voices` and `export-voice` are about voices, `packs` fetches and keeps models, and makes them smaller, `doctor` says
// what works on this machine, `health` whether a server speaks, `licenses` on whose terms all this is here.
//
// Its flags, exit codes, streams and WAV bytes are those of the Python program of the same name. Exit codes: 0 done,
// 1 failed, 2 usage, 129, 130 and 143 by SIGHUP, SIGINT and SIGTERM, which are a server's good end. Lines on stderr read `LEVEL: message`; of generate nothing but
// WAV bytes goes to stdout.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

const version = "0.1.0"

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// Go ends a program that writes to a closed stdout with a signal; here it is an error like others.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:]))
}

// usageError is a command line that cannot be understood.
type usageError struct{ message, command string }

func (e usageError) Error() string { return e.message }

func usagef(format string, arguments ...any) error {
	return usageError{message: fmt.Sprintf(format, arguments...)}
}

// failure is an end that was foreseen: a sentence for the user.
type failure struct{ message string }

func (f failure) Error() string { return f.message }

func failf(format string, arguments ...any) error {
	return failure{fmt.Sprintf(format, arguments...)}
}

// interrupted is the end by a signal.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return i.signal.String() }

func run(args []string) int {
	watch := withSignals
	if len(args) > 0 && (args[0] == "serve" || args[0] == "wyoming" || args[0] == "voicereader" || args[0] == sidecarFlag) {
		watch = withServerSignals
	}
	ctx, cancel := watch(context.Background())
	defer cancel(nil)
	err := command(ctx, args)
	var usage usageError
	var signalled interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		if usage.command == "" {
			usage.command = programUsage
		}
		fmt.Fprintf(os.Stderr, "Usage: pocket-tts %s\nTry 'pocket-tts %s' for help.\n\nERROR: %s\n", usage.command, helpFor(usage.command), printable(usage.message))
		return exitUsage
	case errors.As(context.Cause(ctx), &signalled):
		return 128 + int(signalled.signal)
	case errors.Is(err, syscall.EPIPE):
		return exitFailed // a reader that has heard enough is no news
	}
	if asEvent := (told{}); errors.As(err, &asEvent) {
		asEvent.events.emit(errorEvent{"error", oneLine(err.Error())})
		return exitFailed
	}
	fmt.Fprintf(os.Stderr, "ERROR: %s\n", printable(oneLine(err.Error())))
	return exitFailed
}

// grace is how long a signal waits for the program to end by itself, which takes a frame of speech unless something
// stalls: a reader of stdout that does not read, a load that cannot be interrupted.
const grace = 500 * time.Millisecond

// endings are the signals that tell a program to end, but for those that its caller ignores: nohup and the like have their way.
func endings() chan os.Signal {
	signals := make(chan os.Signal, 1)
	for _, one := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(one) {
			signal.Notify(signals, one)
		}
	}
	return signals
}

// withSignals cancels on SIGINT, SIGTERM and SIGHUP, and ends the program when that leads to nothing; a second signal
// ends it at once.
func withSignals(parent context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := endings()
	go func() {
		received, ok := (<-signals).(syscall.Signal)
		signal.Stop(signals)
		if ok {
			cancel(interrupted{received})
			time.Sleep(grace)
			if out := unfinished.Load(); out != nil {
				out.abandon()
			}
			os.Exit(128 + int(received))
		}
	}()
	return ctx, cancel
}

func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usagef("Missing command.")
	}
	switch name := args[0]; {
	case name == "generate":
		return generate(ctx, args[1:])
	case name == "serve":
		return serve(ctx, args[1:])
	case name == "wyoming":
		return speakWyoming(ctx, args[1:])
	case name == "voicereader":
		return voiceReader(ctx, args[1:])
	case name == sidecarFlag:
		return voiceReader(ctx, args)
	case name == "packs":
		return packs(ctx, args[1:])
	case name == "voices":
		return voices(ctx, args[1:])
	case name == "export-voice":
		return exportVoice(ctx, args[1:])
	case name == "doctor":
		return doctor(ctx, args[1:])
	case name == "health":
		return health(ctx, args[1:])
	case name == "licenses":
		return licenses(args[1:])
	case name == "completion":
		return completion(args[1:])
	case name == "__complete":
		return complete(args[1:])
	case name == "--help" || name == "-h":
		return printHelp(os.Stdout)
	case name == "--version":
		_, err := fmt.Printf("pocket-tts %s (engine module %x)\n", version, sha256.Sum256(guest.ModuleBytes()))
		return err
	case strings.HasPrefix(name, "-"):
		return usagef("No such option: %s", name)
	default:
		return usagef("No such command: %s", name)
	}
}

// programUsage is that of the program without a command.
const programUsage = "COMMAND [OPTIONS]"

// commands are those that --help lists, in this order.
var commands = []struct{ usage, about string }{
	{generateUsage, "a text into a WAV file"},
	{serveUsage, "a server: a page, the reference's API, OpenAI's, and others"},
	{wyomingUsage, "a server for Home Assistant"},
	{voiceReaderUsage, "a server for VoiceReader"},
	{voicesUsage, "the voices of a pack"},
	{exportUsage, "a voice file out of a recording"},
	{packsUsage, "packs of models: what there is, fetching, checking, making smaller"},
	{doctorUsage, "what works on this machine"},
	{healthUsage, "whether a server speaks"},
	{licensesUsage, "the licences of what is in this program"},
	{completionUsage, "completion for a shell"},
}

// helpFor says how to ask for the help that belongs to a usage.
func helpFor(usage string) string {
	words := strings.Fields(usage)
	switch {
	case usage == programUsage:
		return "--help"
	case usage == convertUsage:
		return "packs convert --help"
	}
	return words[0] + " --help"
}

func printHelp(w io.Writer) error {
	list := ""
	for _, command := range commands {
		name, _, _ := strings.Cut(command.usage, " ")
		list += fmt.Sprintf("  %-14s%s\n", name, command.about)
	}
	_, err := fmt.Fprintf(w, `Usage: pocket-tts %s
       pocket-tts --help | --version

Text-to-speech on this machine.

Commands:
%s
'pocket-tts COMMAND --help' says what one takes. For a start: pocket-tts generate --text "Hello." --output-path hello.wav
`, programUsage, list)
	return err
}

func describeFlags(flags *pflag.FlagSet) string {
	flags.VisitAll(func(flag *pflag.Flag) {
		switch flag.NoOptDefVal { // as it stands, it would be shown
		case "":
		case notGiven:
			flag.NoOptDefVal = "true"
		default:
			flag.NoOptDefVal = ""
		}
	})
	return flags.FlagUsages()
}

// reasonOf is why a call of the file system failed, without its own idea of what it was called with.
func reasonOf(err error) error {
	var pathError *fs.PathError
	var linkError *os.LinkError
	switch {
	case errors.As(err, &pathError):
		return pathError.Err
	case errors.As(err, &linkError):
		return linkError.Err
	}
	return err
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
