package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// ConfigVoice is the recording that a configuration without voices speaks with when none is named, as in the reference: the
// voices of the official models are states of these models alone.
const ConfigVoice = "hf://kyutai/tts-voices/alba-mackenna/casual.wav"

// fileAddress reads the address of one file: hf://OWNER/NAME/PATH[@REVISION], or else a URL of http or https.
func fileAddress(text string) (at *address, u *url.URL, ok bool) {
	if a, ok := parseAddress(text); ok && a.Path != "" {
		return &a, nil, true
	}
	u, err := url.Parse(text)
	return nil, u, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// CheckFile refuses what is no address of a file.
func CheckFile(text string) error {
	if _, _, ok := fileAddress(text); !ok {
		return fmt.Errorf("expected a local path, a URL of http or https, or hf://OWNER/NAME/PATH@REVISION, found %q", text)
	}
	return nil
}

// ShownAddress is an address without what may be secret in it.
func ShownAddress(text string) string {
	if _, u, ok := fileAddress(text); ok && u != nil {
		return shownURL(text)
	}
	return text
}

// FilePath is the path in an address, for its suffix: without a query, and without a revision. A path stays what it is.
func FilePath(text string) string {
	switch at, u, ok := fileAddress(text); {
	case !ok:
		return text
	case at != nil:
		return at.Path
	default:
		return u.Path
	}
}

// File is the whole of one file at an address of its own, limit bytes at most. What a full revision names is kept for ever. Of
// all else the newest is used, and the last one that was seen where nobody answers; what came with a query or a password, which
// are secrets, is not kept.
func File(ctx context.Context, text string, limit int64, o Options) ([]byte, error) {
	if err := CheckFile(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArgument, err)
	}
	r, err := known()
	if err != nil {
		return nil, err
	}
	s, err := newSource(o, r)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	wanted, secret := s.single(text)
	wanted.limit = limit
	if secret {
		folder, err := os.MkdirTemp("", "pocket-tts-wasm-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		s.client.store = Store{folder}
	}
	return s.client.read(ctx, wanted)
}

// single is how one file is fetched, and whether its address is a secret.
func (s *source) single(text string) (r *remote, secret bool) {
	at, u, _ := fileAddress(text)
	if at != nil {
		r = s.hubRemote(*at, text)
		if r.file = ""; !at.pinned() {
			r.identity = text
		}
		return r, false
	}
	shown := shownURL(text)
	return &remote{identity: shown, volatile: true, pack: shown, urls: []string{text}}, u.RawQuery != "" || u.User != nil
}

// read fetches a small file, and a second time where the copy that was there is damaged.
func (c *client) read(ctx context.Context, r *remote) ([]byte, error) {
	for again := false; ; again = true {
		kept, err := c.fetch(ctx, r)
		if err != nil {
			return nil, err
		}
		if kept.Size > r.limit { // it was kept when more was allowed
			return nil, fmt.Errorf("%s: %w: expected at most %d bytes, found %d", r.name(), pack.ErrPack, r.limit, kept.Size)
		}
		data, err := os.ReadFile(kept.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", r.name(), pack.ErrNotFound, err)
		}
		sum := sha256.Sum256(data)
		found := hex.EncodeToString(sum[:])
		if kept.SHA256 == "" || found == kept.SHA256 {
			return data, nil
		}
		if again {
			return nil, fmt.Errorf("%s: %w: expected sha256 %s, found %s", r.name(), pack.ErrPack, kept.SHA256, found)
		}
		if err := c.store.Remove(kept.Key); err != nil {
			return nil, err
		}
	}
}

// OpenConfig opens a configuration file of the reference, here or at an address, whose files are here or at the hub.
func OpenConfig(ctx context.Context, config string, o Options) (*pack.Pack, error) {
	name, folder := config, filepath.Dir(config)
	var data []byte
	var err error
	if pack.IsRemote(config) {
		name, folder = ShownAddress(config), "."
		if data, err = File(ctx, config, pack.ConfigLimit, o); IsArgument(err) {
			err = fmt.Errorf("config: %w", err)
		}
	} else {
		data, err = pack.ReadConfig(config)
	}
	if err != nil {
		return nil, err
	}
	read, err := pack.ParseConfig(data, name, folder, func(address string) error {
		if at, _, ok := fileAddress(address); !ok || at == nil {
			return fmt.Errorf("%w: expected a local path or hf://OWNER/NAME/PATH@REVISION, found %q; download it and name the local file", pack.ErrUnsupported, address)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(read.Files, func(f pack.File) bool { return pack.IsRemote(f.Path) }) {
		return read.Here(), nil
	}
	r, err := known()
	if err != nil {
		return nil, err
	}
	s, err := newSource(o, r)
	if err != nil {
		return nil, err
	}
	s.find = func(file pack.File) ([]*remote, error) {
		var remotes []*remote
		for _, text := range []string{file.Path, read.Public} {
			if at, _, ok := fileAddress(text); ok && at != nil && (text == file.Path || file.Role == pack.RoleWeights) {
				r := s.hubRemote(*at, name)
				r.limit = limitOf(file.Role)
				remotes = append(remotes, r)
			}
		}
		return remotes, nil
	}
	return pack.New(read.Manifest, name, &mixed{s}), nil
}

// mixed is a source of files of which some are here.
type mixed struct{ *source }

// Fetch, Kept, Open and Stat implement pack.Source.
func (m *mixed) Fetch(ctx context.Context, file pack.File) error {
	if !pack.IsRemote(file.Path) {
		return nil
	}
	return m.source.Fetch(ctx, file)
}

func (m *mixed) Kept(file pack.File) bool { return !pack.IsRemote(file.Path) || m.source.Kept(file) }

func (m *mixed) Open(path string) (fs.File, error) {
	if pack.IsRemote(path) {
		return m.source.Open(path)
	}
	return os.Open(path)
}

func (m *mixed) Stat(path string) (fs.FileInfo, error) {
	if pack.IsRemote(path) {
		return m.source.Stat(path)
	}
	return os.Stat(path)
}
