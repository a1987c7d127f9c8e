// Package hub finds packs that are not on this machine: official ones by name (models/packs.json), those of the model hub
// by address, any at a URL. Their files are fetched once, checked, resumed where they were cut, and kept.
//
//	p, err := hub.Open(ctx, "english", hub.Options{Folder: folder})
//	err = p.Fetch(ctx, file)       // now p.Open(file) works
//	data, err := hub.File(ctx, "https://host/voice.wav", limit, hub.Options{Folder: folder})
package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

const (
	manifestLimit = 1 << 20
	smallLimit    = 64 << 20 // bytes of a tokenizer, and of a voice
)

// limitOf is what a file of unknown size may have; 0 for weights, whose size has to be known.
func limitOf(role pack.Role) int64 {
	if role == pack.RoleTokenizer || role == pack.RoleVoice {
		return smallLimit
	}
	return 0
}

// ErrArgument is wrapped by errors about options. It is the public package's own.
var ErrArgument = errors.New("invalid argument")

// IsArgument tells whether an error is about the options.
func IsArgument(err error) bool { return errors.Is(err, ErrArgument) }

// Options says where packs come from and where they are kept.
type Options struct {
	Folder   string   // of the cache
	Shared   string   // folder of the hub's own programs, which is read; empty is none
	Hubs     []string // templates, tried in order; nil is the registry's own
	Token    string   // for the first hub
	Offline  bool     // only what is in the cache
	HTTP     *http.Client
	Progress func(Progress)
	Logger   *slog.Logger

	pause, stall time.Duration // of tests
}

// IsRemote tells whether a name is one of a pack that Open finds.
func IsRemote(name string) bool { return pack.IsRemote(name) || slices.Contains(Names(), name) }

// OpenFolder opens the pack in a folder, which is what a name means that is not Open's. Who has mistyped one of those hears so.
func OpenFolder(name string) (*pack.Pack, error) {
	p, err := pack.OpenFolder(name)
	if err == nil || strings.ContainsAny(name, `/\.`) {
		return p, err
	}
	if _, missing := os.Lstat(name); errors.Is(missing, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: neither a folder nor the name of an official pack", name, pack.ErrNotFound)
	}
	return nil, err
}

// Open finds a pack. Of its files nothing is fetched, but a pack.json.
func Open(ctx context.Context, name string, o Options) (*pack.Pack, error) {
	r, err := known()
	if err != nil {
		return nil, err
	}
	p, err := newSource(o, r)
	if err != nil {
		return nil, err
	}
	var opened *pack.Pack
	switch n := slices.IndexFunc(r.Packs, func(p official) bool { return p.Name == name }); {
	case n >= 0:
		opened, err = p.official(&r.Packs[n])
	default:
		opened, err = p.prefix(ctx, name)
	}
	if err != nil {
		p.Close()
	}
	return opened, err
}

// source is the files of a pack that is somewhere else.
type source struct {
	client   *client
	options  Options
	registry *registry
	idle     func() // lets connections go

	mu   sync.Mutex
	at   map[string]Kept // files that have been fetched
	find func(file pack.File) ([]*remote, error)
}

func newSource(o Options, r *registry) (*source, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Folder == "" {
		return nil, fmt.Errorf("%w: expected a folder for downloads, found none in this environment: POCKET_TTS_CACHE names one", ErrArgument)
	}
	if o.Hubs == nil {
		o.Hubs = []string{r.Hub}
	}
	for _, template := range o.Hubs {
		if _, err := expand(template, address{"owner/name", "main", "file"}); err != nil {
			return nil, err
		}
	}
	if strings.ContainsFunc(o.Token, func(c rune) bool { return c < '!' || c > '~' }) {
		return nil, fmt.Errorf("%w: token: expected printable letters", ErrArgument) // not shown: it is a secret
	}
	idle := func() {}
	if o.HTTP == nil {
		transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 30 * time.Second}
		o.HTTP, idle = &http.Client{Transport: transport}, transport.CloseIdleConnections
	}
	if o.pause == 0 {
		o.pause = firstPause
	}
	if o.stall == 0 {
		o.stall = stall
	}
	c := &client{
		http: o.HTTP, store: Store{o.Folder}, shared: o.Shared, offline: o.Offline, progress: o.Progress, logger: o.Logger, pause: o.pause, stall: o.stall,
	}
	return &source{client: c, options: o, registry: r, idle: idle, at: map[string]Kept{}}, nil
}

// hubRemote is how a file of the hub is fetched.
func (s *source) hubRemote(a address, packName string) *remote {
	r := &remote{identity: a.String(), volatile: !a.pinned(), hub: &a, pack: packName, file: a.Path, token: s.options.Token}
	for _, template := range s.options.Hubs {
		if text, err := expand(template, a); err == nil { // looked at before
			r.urls = append(r.urls, text)
		}
	}
	r.hint = func(status int) string {
		if status != http.StatusUnauthorized && status != http.StatusForbidden {
			return ""
		}
		whom, where := "everybody", ""
		if s.options.Token != "" {
			whom = "this token"
		}
		if terms := s.registry.Repositories[a.Repository].Terms; terms != "" {
			where = " (" + terms + ")"
		}
		return fmt.Sprintf("the hub does not give %s to %s: agree to its terms%s and pass a token of that account", a.Repository, whom, where)
	}
	return r
}

const withoutCloning = "these weights are without voice cloning; those with it are gated: pass a token of an account that has agreed to their terms"

// official is a pack of the registry.
func (s *source) official(o *official) (*pack.Pack, error) {
	m := pack.Manifest{Format: 1, Name: o.Name, Config: o.Config, DefaultVoice: o.DefaultVoice}
	remotes, gated := map[string][]*remote{}, s.options.Token != ""
	add := func(a address, file pack.File) {
		file.Path = a.Path
		r := s.hubRemote(a, o.Name)
		r.bytes, r.sha256, r.limit = file.Bytes, file.SHA256, limitOf(file.Role)
		if gated && file.Role.IsWeights() {
			file.Bytes, file.SHA256 = nil, "" // they may be of the one or of the other file
		}
		remotes[a.Path] = append(remotes[a.Path], r)
		if len(remotes[a.Path]) == 1 {
			m.Files = append(m.Files, file)
		}
	}
	// The gated weights have the path of the public ones. They come first: those are for who is refused.
	for _, cloning := range []bool{true, false} {
		for _, f := range o.Files {
			if f.Cloning == cloning && (gated || !cloning) {
				add(f.address, pack.File{Role: f.Role, Kind: f.Kind, Bytes: f.Bytes, SHA256: f.SHA256})
			}
		}
	}
	if !gated {
		m.Cloning = &pack.Cloning{Reason: withoutCloning}
	}
	for _, voice := range s.registry.Voices {
		a := s.registry.VoiceFiles
		a.Path = strings.NewReplacer("{pack}", o.Name, "{voice}", voice.Name).Replace(a.Path)
		add(a, pack.File{Role: pack.RoleVoice, Name: voice.Name, License: voice.License})
	}
	s.find = func(file pack.File) ([]*remote, error) {
		if found := remotes[file.Path]; found != nil {
			return found, nil
		}
		return nil, fmt.Errorf("%s: %s: %w: no such file in this pack", o.Name, file.Path, pack.ErrNotFound)
	}
	return pack.New(m, o.Name, s), nil
}

// prefix is a pack at an address. What its pack.json has a hash for is kept by its hash: the address says nothing of
// the content. What has none is asked for each time.
func (s *source) prefix(ctx context.Context, name string) (*pack.Pack, error) {
	where, below, err := s.below(name)
	if err != nil {
		return nil, err
	}
	var manifest *pack.Manifest
	r := below(pack.ManifestName)
	r.pack, r.limit = where, manifestLimit
	r.accept = func(data []byte) error {
		_, err := pack.ParseManifest(data, r.name())
		return err
	}
	kept, err := s.client.fetch(ctx, r)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(kept.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", r.name(), pack.ErrNotFound, err)
	}
	if manifest, err = pack.ParseManifest(data, r.name()); err != nil {
		_ = s.client.store.Remove(kept.Key)
		return nil, err
	}
	s.find = func(file pack.File) ([]*remote, error) {
		r := below(file.Path)
		r.pack, r.bytes, r.limit = where, file.Bytes, limitOf(file.Role)
		if file.SHA256 != "" {
			r.identity, r.sha256, r.volatile = "sha256:"+file.SHA256, file.SHA256, false
		}
		return []*remote{r}, nil
	}
	return pack.New(*manifest, where, s), nil
}

// below tells where the files of a pack at an address are.
func (s *source) below(name string) (where string, below func(path string) *remote, err error) {
	if strings.HasPrefix(name, "hf://") {
		a, ok := parseAddress(name)
		if !ok {
			return "", nil, fmt.Errorf("%w: pack: expected hf://OWNER/NAME[/PATH][@REVISION], found %q", ErrArgument, name)
		}
		return name, func(path string) *remote {
			file := a
			file.Path = strings.TrimPrefix(a.Path+"/"+path, "/")
			return s.hubRemote(file, name)
		}, nil
	}
	base, err := url.Parse(name)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return "", nil, fmt.Errorf("%w: pack: expected a URL of http or https, found %q", ErrArgument, name)
	}
	base.RawQuery, base.Fragment = "", ""
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	return base.Redacted(), func(path string) *remote {
		u := base.ResolveReference(&url.URL{Path: path})
		return &remote{identity: u.Redacted(), volatile: true, file: path, urls: []string{u.String()}}
	}, nil
}

// Fetch makes sure that a file of the pack is in the cache.
func (s *source) Fetch(ctx context.Context, file pack.File) error {
	if _, ok := s.fetched(file.Path); ok {
		return nil
	}
	remotes, err := s.find(file)
	if err != nil {
		return err
	}
	for n, r := range remotes {
		var kept Kept
		if kept, err = s.client.fetch(ctx, r); err == nil {
			s.mu.Lock()
			s.at[file.Path] = kept
			s.mu.Unlock()
			return nil
		}
		if n+1 == len(remotes) || ctx.Err() != nil {
			return err
		}
		var status *statusError
		refused := errors.As(err, &status) && !isPassing(err)
		// Without a network, what is there is better than nothing.
		if _, ok := s.client.find(remotes[n+1]); !ok && !refused {
			return err
		}
		s.client.logger.Warn(fmt.Sprintf("%s; loading the weights without voice cloning", err))
	}
	return err
}

func (s *source) fetched(path string) (Kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, ok := s.at[path]
	return kept, ok
}

// Sum is what the file had when it came.
func (s *source) Sum(path string) string {
	kept, _ := s.fetched(path)
	return kept.SHA256
}

// Open and Stat implement fs.FS and fs.StatFS for what has been fetched.
func (s *source) Open(path string) (fs.File, error) {
	kept, ok := s.fetched(path)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return os.Open(kept.Path)
}

func (s *source) Stat(path string) (fs.FileInfo, error) {
	kept, ok := s.fetched(path)
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
	}
	return os.Stat(kept.Path)
}

// Recheck reads what has been fetched again and removes what is damaged, or gone; true when there was such a file. Then
// fetching again may help.
func (s *source) Recheck(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	damaged := false
	for path, kept := range s.at {
		if kept.shared && kept.SHA256 == "" { // nobody knows what it should be
			continue
		}
		if _, right, err := kept.Check(ctx); right || ctx.Err() != nil {
			continue
		} else if kept.shared { // it is not ours to remove
			s.client.distrust(kept.Path)
		} else if err == nil {
			_ = s.client.store.Remove(kept.Key)
		}
		delete(s.at, path)
		damaged = true
	}
	return damaged
}

// Kept tells whether a file is in the cache; nothing is fetched.
func (s *source) Kept(file pack.File) bool {
	remotes, err := s.find(file)
	return err == nil && slices.ContainsFunc(remotes, func(r *remote) bool { _, ok := s.client.find(r); return ok })
}

// Close lets connections go.
func (s *source) Close() error {
	s.idle()
	return nil
}
