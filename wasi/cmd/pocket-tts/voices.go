// The commands voices and export-voice.

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

const (
	voicesUsage = "voices [OPTIONS]"
	exportUsage = "export-voice AUDIO_PATH EXPORT_PATH [OPTIONS]"
	// exportSeconds is how much of a recording makes a voice file, as in the reference.
	exportSeconds = 30
)

// voiceOptions is the command line of both.
type voiceOptions struct {
	where
	cache string
	quiet bool
}

func (o *voiceOptions) flags(export bool) *pflag.FlagSet {
	flags := newFlagSet("voices")
	o.addFlags(flags)
	if export {
		addText(flags, "compile-cache", "PATH|none", "Where compiled code is kept between runs. Default: in the user's cache folder", &o.cache)
	}
	addSwitch(flags, "quiet", "q", "Only errors on stderr", &o.quiet)
	return flags
}

// parseCommand reads the command line of one of the smaller commands; an argument in brackets may be left out. done is true
// when its help was asked for and shown.
func parseCommand(flags *pflag.FlagSet, usage, about string, args []string, arguments ...string) (done bool, err error) {
	return readCommand(flags, usage, func() string {
		text := fmt.Sprintf("Usage: pocket-tts %s\n\n%s\n", usage, about)
		if flags.HasFlags() {
			text += "\nOptions:\n" + describeFlags(flags)
		}
		if flags.Lookup("hub") != nil {
			text += environmentHelp
		}
		return text
	}, args, arguments...)
}

// readCommand is parseCommand for a command with a help of its own.
func readCommand(flags *pflag.FlagSet, usage string, help func() string, args []string, arguments ...string) (done bool, err error) {
	err = flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		_, err := fmt.Print(help())
		return true, err
	}
	switch {
	case err != nil:
		err = explainUsage(err)
	case flags.NArg() > len(arguments):
		err = usagef("Got unexpected extra argument (%s)", flags.Arg(len(arguments)))
	default:
		for n, name := range arguments {
			if flags.Arg(n) == "" && !strings.HasPrefix(name, "[") {
				err = usagef("Missing argument '%s'.", name)
				break
			}
		}
	}
	var wrong usageError
	if errors.As(err, &wrong) {
		wrong.command = usage
		err = wrong
	}
	return false, err
}

// voices prints the voices of a pack, one a line: its name, whether it is the default, its licence.
func voices(ctx context.Context, args []string) error {
	o := new(voiceOptions)
	if done, err := parseCommand(o.flags(false), voicesUsage, "Lists the voices of a pack.", args); done || err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	log, line := newConsole(o.quiet)
	defer line.clear()
	p, err := openPack(ctx, o.settings(log, line))
	if err != nil {
		return err
	}
	defer p.Close()
	for _, file := range p.WithRole(pack.RoleVoice) {
		text := file.Name
		if file.Name == p.DefaultVoiceName() {
			text += " (default)"
		}
		if file.License != "" {
			text = fmt.Sprintf("%-28s%s", text, file.License)
		}
		if _, err := fmt.Println(printable(text)); err != nil {
			return err
		}
	}
	return nil
}

// exportVoice writes a voice of a pack, a recording or an older voice file as a voice file.
func exportVoice(ctx context.Context, args []string) error {
	o := new(voiceOptions)
	flags := o.flags(true)
	about := "Writes a voice file (.safetensors) out of a recording (.wav, its first 30 s), a voice of the pack, or another voice file."
	if done, err := parseCommand(flags, exportUsage, about, args, "AUDIO_PATH", "EXPORT_PATH"); done || err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	choice, err := findVoice("", flags.Arg(0), true)
	if err != nil {
		return err
	}
	target, err := replaceable(flags.Arg(1))
	if err != nil {
		return err
	}
	choice.seconds = exportSeconds
	log, line := newConsole(o.quiet)
	defer line.clear()
	settings := o.settings(log, line)
	settings.CacheDir, settings.NoCloning = o.cache, choice.voiceFile || choice.missing
	if o.cache == "none" {
		settings.CacheDir = pockettts.NoCache
	}
	engine, err := pockettts.Load(ctx, settings)
	if err != nil {
		return err
	}
	defer engine.Close()
	voice, err := choice.load(ctx, engine, settings)
	if err != nil {
		return err
	}
	if err := writeWhole(target, func(file *os.File) error { return engine.ExportVoice(ctx, voice, file) }); err != nil {
		return err
	}
	log.Info("Voice written in " + flags.Arg(1))
	return nil
}

// replaceable is the file that a path leads to, through links, where it may be replaced by another one. A device is refused:
// whoever may write to its folder would take it away from everybody.
func replaceable(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return path, nil // a new one, or one that cannot be written, which is said then
	}
	if err := plain.Check(info); err != nil {
		return "", failf("%s: %s", path, err)
	}
	return filepath.EvalSymlinks(path)
}

// writeWhole writes a file elsewhere and gives it its name when all of it is on the disk: whatever ends the program or the
// machine meanwhile, there is the old one or the new one.
func writeWhole(path string, write func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".*.tmp")
	if err != nil {
		return fmt.Errorf("%s: %w", path, reasonOf(err))
	}
	err = errors.Join(write(file), file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("%s: %w", path, reasonOf(err))
	}
	return nil
}
