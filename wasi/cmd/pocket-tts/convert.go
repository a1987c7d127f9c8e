// The command packs convert: a pack with integer weights out of another one.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

const convertUsage = "packs convert SOURCE TARGET [OPTIONS]"

const convertHelp = "Usage: pocket-tts " + convertUsage + `

Writes a pack with integer weights: smaller, and loaded without converting. SOURCE is a pack (a folder with pack.json, its
address, or a name) or a configuration file of the reference (.yaml) with local weights; TARGET is a new folder.

Options:
%s`

type convertOptions struct {
	source, target        string
	precision, cache      string
	withoutEncoder, force bool
	quiet                 bool
}

func newConvertFlags(o *convertOptions) *pflag.FlagSet {
	flags := pflag.NewFlagSet("convert", pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are worded in main.go
	flags.SortFlags = false
	flags.Usage = func() {}
	onOff := func(name, short, usage string, to *bool) {
		flag := flags.VarPF(&value{kind: "bool", flag: true, set: func(string) error { *to = true; return nil }}, name, short, usage)
		flag.NoOptDefVal = notGiven
	}
	flags.Var(&value{kind: "q8|q4", set: func(s string) error {
		if s != "q8" && s != "q4" {
			return fmt.Errorf("'%s' is not one of 'q8', 'q4'", s)
		}
		o.precision = s
		return nil
	}}, "precision", "Precision to convert to. Default: the pack's own, else q8")
	onOff("without-encoder", "", "Leave out what makes voices from recordings", &o.withoutEncoder)
	onOff("force", "", "Replace TARGET if it is a pack", &o.force)
	flags.Var(&value{kind: "PATH|none", set: func(s string) error { o.cache = s; return nil }}, "compile-cache",
		"Where compiled code is kept between runs. Default: in the user's cache folder")
	onOff("quiet", "q", "Only errors on stderr", &o.quiet)
	return flags
}

// convertCommand is packs convert.
func convertCommand(ctx context.Context, args []string) error {
	o := new(convertOptions)
	flags := newConvertFlags(o)
	err := parseConvert(o, flags, args)
	var usage usageError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, err := fmt.Printf(convertHelp, describeFlags(newConvertFlags(o)))
		return err
	case errors.As(err, &usage):
		usage.command = convertUsage
		return usage
	}
	return convert(ctx, o)
}

func parseConvert(o *convertOptions, flags *pflag.FlagSet, args []string) error {
	if err := flags.Parse(args[1:]); err != nil {
		return explainUsage(err)
	}
	o.source, o.target = flags.Arg(0), flags.Arg(1)
	switch {
	case flags.NArg() > 2:
		return usagef("Got unexpected extra argument (%s)", flags.Arg(2))
	case o.source == "":
		return usagef("Missing argument 'SOURCE'.")
	case o.target == "":
		return usagef("Missing argument 'TARGET'.")
	}
	return nil
}

func convert(ctx context.Context, o *convertOptions) error {
	if pack.IsRemote(o.target) {
		return failf("%s: expected a folder of this machine", o.target)
	}
	from := where{pack: o.source}
	if isYAML(o.source) {
		from = where{config: o.source, configGiven: true}
	}
	if err := from.check(); err != nil {
		return err
	}
	log, line := newConsole(o.quiet)
	defer line.clear()
	options := from.settings(log, line)
	options.Precision, options.NoCloning, options.CacheDir = pockettts.Precision(o.precision), o.withoutEncoder, o.cache
	if o.cache == "none" {
		options.CacheDir = pockettts.NoCache
	}
	converted, err := pockettts.Convert(ctx, options, o.target, o.force)
	if err != nil {
		return err
	}
	for _, file := range converted.Files {
		options.Logger.Info(fmt.Sprintf("%s: %d bytes, sha256 %s", file.Path, file.Bytes, file.SHA256))
	}
	options.Logger.Info(fmt.Sprintf("Pack (%s) written in %s", converted.Precision, o.target))
	return nil
}
