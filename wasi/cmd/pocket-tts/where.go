// Which model: a pack, an official one by name or language, or a configuration of the reference; and where downloads come from.

package main

import (
	"context"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// where names a model. What was not given is empty.
type where struct {
	pack, language, config, hub           string
	packGiven, languageGiven, configGiven bool
	offline                               bool
}

const environmentHelp = `
Environment: POCKET_TTS_CACHE, else XDG_CACHE_HOME (where downloads are kept), HF_HUB_CACHE, HF_HOME (where those of other
programs are found), HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.
`

// addFlags adds the flags that name a model.
func (w *where) addFlags(flags *pflag.FlagSet) {
	text := func(name, kind, usage string, to *string, given *bool) {
		flags.Var(&value{kind: kind, set: func(s string) error { *to, *given = s, true; return nil }}, name, usage)
	}
	text("pack", "PACK", "A pack: a folder with pack.json, its URL or hf:// address, or a name (packs list). Default: starter, which is in this program", &w.pack, &w.packGiven)
	text("language", "NAME", "An official model by name, fetched once and then kept", &w.language, &w.languageGiven)
	text("config", "PATH", "A configuration file of the reference (.yaml), here or at https:// or hf://", &w.config, &w.configGiven)
	w.addHubFlags(flags)
}

func (w *where) addHubFlags(flags *pflag.FlagSet) {
	flags.Var(&value{kind: "TEMPLATE", set: func(s string) error { w.hub = s; return nil }}, "hub",
		"Hub of the official models: a URL with {repository}, {revision}, {path}; several: space between them")
	flags.VarPF(&value{kind: "bool", flag: true, set: func(string) error { w.offline = true; return nil }}, "offline", "",
		"Fetch nothing: only what is on this machine").NoOptDefVal = notGiven
}

// check refuses what cannot be, before anything is loaded, and turns what names a model into its pack.
func (w *where) check() error {
	var err error
	if w.pack, err = localPath(w.pack); err != nil {
		return failf("--pack %s", err)
	}
	switch {
	case w.configGiven && w.languageGiven:
		return failf("ValueError: Cannot specify both config and language, please choose one or the other.")
	case w.packGiven && (w.configGiven || w.languageGiven):
		return failf("Cannot specify both pack and config or language, please choose one or the other.")
	case w.configGiven && !isYAML(hub.FilePath(w.config)):
		return failf("ValueError: Config should be a path to a YAML file ending with .yaml")
	case w.configGiven && pack.IsRemote(w.config) && hub.CheckFile(w.config) != nil:
		return failf("config: %s", hub.CheckFile(w.config))
	case w.packGiven && w.pack == "":
		return failf("--pack: expected a folder, an address or a name, found an empty text.")
	case w.languageGiven && !slices.Contains(pockettts.PackNames(), w.language):
		return failf("Unknown language '%s'. Available languages: %s.", w.language, strings.Join(pockettts.PackNames(), ", "))
	case w.languageGiven:
		w.pack = w.language
	}
	return nil
}

var yes = regexp.MustCompile(`(?i)^(1|on|yes|true)$`)

// settings are options for Load of the model, with what the environment says of the hub.
func (w *where) settings(log *slog.Logger, s *status) pockettts.Options {
	o := pockettts.Options{
		Pack: w.pack, Config: w.config, Logger: log, Hub: strings.Fields(w.hub), Token: strings.TrimSpace(os.Getenv("HF_TOKEN")),
		Offline: w.offline || yes.MatchString(os.Getenv("HF_HUB_OFFLINE")), Progress: downloads(log, s),
	}
	if endpoint := strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/"); len(o.Hub) == 0 && endpoint != "" {
		o.Hub = []string{endpoint + "/{repository}/resolve/{revision}/{path}"}
	}
	if w.pack == starterName || w.pack == "" && w.config == "" {
		o.Pack, o.PackFS = "", starter.FS()
	}
	return o
}

// openPack opens a pack without loading it.
func openPack(ctx context.Context, o pockettts.Options) (*pack.Pack, error) {
	switch {
	case o.PackFS != nil:
		return pack.OpenFS(o.PackFS, starterName)
	case o.Config != "":
		return hub.OpenConfig(ctx, o.Config, hubOptions(o))
	case !hub.IsRemote(o.Pack):
		return hub.OpenFolder(o.Pack)
	}
	return hub.Open(ctx, o.Pack, hubOptions(o))
}

// hubOptions are those of downloads that are not the package's.
func hubOptions(o pockettts.Options) hub.Options {
	// Without a folder a download says so.
	folder, _ := hub.DefaultFolder()
	from := hub.Options{Folder: folder, Shared: hub.SharedFolder(), Token: o.Token, Offline: o.Offline, Logger: o.Logger}
	if len(o.Hub) > 0 {
		from.Hubs = o.Hub
	}
	if o.Progress != nil {
		from.Progress = func(p hub.Progress) { o.Progress(pockettts.Progress(p)) }
	}
	return from
}
