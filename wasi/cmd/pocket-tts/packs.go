// The commands packs list, pull, verify and rm: what can be had, and what is in the cache.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

const packsUsage = "packs list | pull | verify | rm | convert"

const packsHelp = `Usage: pocket-tts packs list [OPTIONS]
       pocket-tts packs pull PACK [OPTIONS]
       pocket-tts packs verify [PACK] [OPTIONS]
       pocket-tts packs rm PACK [OPTIONS]
       pocket-tts ` + convertUsage + `

list: packs by name, and what is in the cache. pull: fetches a pack (a name, a URL, an hf:// address) into the cache;
what was cut goes on where it ended. verify: reads what is in the cache and removes what is damaged. rm: removes a pack
from the cache. convert: see packs convert --help (--without-encoder, --force, ...).

Options of pull:
%s
Options of rm:
%s
Options of all:
%s` + environmentHelp

// packsOptions is the command line of packs, but for convert.
type packsOptions struct {
	where
	voice      string
	all, quiet bool
}

func newFlagSet(name string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are worded in main.go
	flags.SortFlags = false
	flags.Usage = func() {}
	return flags
}

func addSwitch(flags *pflag.FlagSet, name, short, usage string, to *bool) {
	flags.VarPF(&value{kind: "bool", flag: true, set: func(string) error { *to = true; return nil }}, name, short, usage).NoOptDefVal = notGiven
}

func addText(flags *pflag.FlagSet, name, kind, usage string, to *string) {
	flags.Var(&value{kind: kind, set: func(s string) error { *to = s; return nil }}, name, usage)
}

func (o *packsOptions) pullFlags(flags *pflag.FlagSet) {
	addText(flags, "voice", "NAME", "A voice of the pack, or all. Default: the pack's own", &o.voice)
	o.addHubFlags(flags)
}

func (o *packsOptions) rmFlags(flags *pflag.FlagSet) {
	addSwitch(flags, "all", "", "All packs", &o.all)
}

func (o *packsOptions) commonFlags(flags *pflag.FlagSet) {
	addSwitch(flags, "quiet", "q", "Only errors on stderr", &o.quiet)
}

// flagsOf makes the flags of one of the commands; nil for another name.
func (o *packsOptions) flagsOf(command string) *pflag.FlagSet {
	flags := newFlagSet(command)
	switch command {
	case "list", "verify":
	case "pull":
		o.pullFlags(flags)
	case "rm":
		o.rmFlags(flags)
	default:
		return nil
	}
	o.commonFlags(flags)
	return flags
}

func showPacksHelp() error {
	part := func(add func(*pflag.FlagSet)) string {
		flags := newFlagSet("")
		add(flags)
		return describeFlags(flags)
	}
	o := new(packsOptions)
	_, err := fmt.Printf(packsHelp, part(o.pullFlags), part(o.rmFlags), part(o.commonFlags))
	return err
}

// packs is the command of that name.
func packs(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "convert" {
		return convertCommand(ctx, args)
	}
	err := packsCommand(ctx, args)
	var usage usageError
	if errors.As(err, &usage) {
		usage.command = packsUsage
		return usage
	}
	return err
}

func packsCommand(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usagef("Missing command.")
	}
	if args[0] == "--help" || args[0] == "-h" {
		return showPacksHelp()
	}
	o := new(packsOptions)
	flags := o.flagsOf(args[0])
	if flags == nil {
		return usagef("No such command: packs %s", args[0])
	}
	err := flags.Parse(args[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return showPacksHelp()
	}
	if err != nil {
		return explainUsage(err)
	}
	name, most := flags.Arg(0), 1
	if args[0] == "list" {
		most = 0
	}
	switch {
	case flags.NArg() > most:
		return usagef("Got unexpected extra argument (%s)", flags.Arg(most))
	case name == "" && (args[0] == "pull" || flags.NArg() > 0):
		return usagef("Missing argument 'PACK'.")
	case name == "" && args[0] == "rm" && !o.all:
		return usagef("Missing argument 'PACK' (or --all).")
	}
	folder, err := hub.DefaultFolder()
	if err != nil && args[0] != "list" {
		return failf("expected a folder for downloads, found none in this environment: POCKET_TTS_CACHE names one")
	}
	store := hub.Store{Folder: folder}
	switch args[0] {
	case "list":
		return listPacks(ctx, store)
	case "pull":
		return pullPack(ctx, name, o)
	case "verify":
		return verifyPacks(ctx, store, name, o)
	}
	return removePacks(store, name, o)
}

// ofPack tells whether a file was fetched for a pack: its name, or its URL with or without a slash at the end.
func ofPack(kept hub.Kept, name string) bool { return kept.Pack == name || kept.Pack == name+"/" }

// listPacks lists those that there are by name and in the store; one without a folder is empty.
func listPacks(ctx context.Context, store hub.Store) error {
	var kept []hub.Kept
	cache := "none in this environment: POCKET_TTS_CACHE names a folder"
	if store.Folder != "" {
		var err error
		if kept, err = store.List(); err != nil {
			return err
		}
		cache = store.Folder
	}
	names := append([]string{starterName}, pockettts.PackNames()...)
	var others []string
	for _, k := range kept {
		if !slices.Contains(names, k.Pack) && !slices.Contains(others, k.Pack) {
			others = append(others, k.Pack)
		}
	}
	slices.Sort(others)
	for _, name := range append(names, others...) {
		var bytes int64
		for _, k := range kept {
			if k.Pack == name {
				bytes += k.Size
			}
		}
		state := ""
		switch {
		case name == starterName:
			state = "in this program"
		case bytes > 0 && (isComplete(ctx, store, name) || slices.ContainsFunc(kept, func(k hub.Kept) bool { return k.Pack == name && k.Complete && k.Alone() })):
			state = "cached, " + megabytes(bytes)
		case bytes > 0:
			state = "in part, " + megabytes(bytes)
		}
		if _, err := fmt.Println(printable(strings.TrimRight(fmt.Sprintf("%-27s %s", name, state), " "))); err != nil {
			return err
		}
	}
	_, err := fmt.Printf("\nCache: %s\n", printable(cache))
	return err
}

// needed are the files of a pack that speaking takes: the model, and the voices of those names.
func needed(p *pack.Pack, voices ...string) []pack.File {
	var files []pack.File
	for _, file := range p.Files {
		if file.Role.IsWeights() || file.Role == pack.RoleTokenizer || file.Role == pack.RoleVoice && slices.Contains(voices, file.Name) {
			files = append(files, file)
		}
	}
	return files
}

// isComplete tells whether the pack speaks without a network.
func isComplete(ctx context.Context, store hub.Store, name string) bool {
	p, err := hub.Open(ctx, name, hub.Options{Folder: store.Folder, Offline: true})
	if err != nil {
		return false
	}
	defer p.Close()
	return !slices.ContainsFunc(needed(p, p.DefaultVoiceName()), func(f pack.File) bool { return !p.Kept(f) })
}

func pullPack(ctx context.Context, name string, o *packsOptions) error {
	log, line := newConsole(o.quiet)
	defer line.clear()
	o.pack = name
	if err := o.check(); err != nil {
		return err
	}
	settings := o.settings(log, line)
	p, err := openPack(ctx, settings)
	if err != nil {
		return err
	}
	defer p.Close()
	if !p.Remote() {
		log.Info(name + ": is on this machine")
		return nil
	}
	voices := []string{p.DefaultVoiceName()}
	var known []string
	for _, file := range p.WithRole(pack.RoleVoice) {
		known = append(known, file.Name)
	}
	switch {
	case o.voice == "all":
		voices = known
	case o.voice != "" && !slices.Contains(known, o.voice):
		return failf("No voice '%s' in the pack %s (it has: %s)", o.voice, p.Name, strings.Join(known, ", "))
	case o.voice != "":
		voices = []string{o.voice}
	}
	for _, file := range needed(p, voices...) {
		if err := p.Fetch(ctx, file); err != nil {
			return err
		}
		size, err := p.Size(file)
		if err != nil {
			return err
		}
		log.Info(fmt.Sprintf("%s: %d bytes", file.Path, size))
	}
	return nil
}

func verifyPacks(ctx context.Context, store hub.Store, name string, o *packsOptions) error {
	log, line := newConsole(o.quiet)
	defer line.clear()
	all, err := store.List()
	if err != nil {
		return err
	}
	found, damaged := 0, 0
	for _, kept := range all {
		switch {
		case name != "" && !ofPack(kept, name):
			continue
		case !kept.Complete:
			total := "unknown"
			if kept.Bytes != nil {
				total = fmt.Sprint(*kept.Bytes)
			}
			log.Info(fmt.Sprintf("%s: a part, %d of %s bytes", kept.Identity, kept.Size, total))
			found++
			continue
		}
		found++
		line.show("%s: reading %s", kept.Identity, megabytes(kept.Size))
		sum, right, err := kept.Check(ctx)
		switch {
		case err != nil:
			return err
		case right:
			log.Info(fmt.Sprintf("%s: %d bytes, sha256 %s", kept.Identity, kept.Size, sum))
			continue
		}
		damaged++
		if err := store.Remove(kept.Key); err != nil {
			return err
		}
		log.Warn(fmt.Sprintf("%s: expected sha256 %s, found %s; removed", kept.Identity, kept.SHA256, sum))
	}
	switch {
	case name != "" && found == 0:
		return failf("%s: nothing of it is in the cache", name)
	case damaged > 0:
		return failf("%d damaged files were removed; packs pull fetches them again", damaged)
	}
	return nil
}

func removePacks(store hub.Store, name string, o *packsOptions) error {
	log, _ := newConsole(o.quiet)
	all, err := store.List()
	if err != nil {
		return err
	}
	var bytes int64
	for _, kept := range all {
		if o.all || ofPack(kept, name) {
			if err := store.Remove(kept.Key); err != nil {
				return err
			}
			bytes += kept.Size
		}
	}
	if bytes == 0 && !o.all {
		return failf("%s: nothing of it is in the cache", name)
	}
	if o.all { // what is left of it
		if err := store.Clear(); err != nil {
			return err
		}
	}
	log.Info("Removed " + megabytes(bytes))
	return nil
}
