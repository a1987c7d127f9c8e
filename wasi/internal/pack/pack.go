// Package pack reads packs: a folder with a pack.json (models/FORMAT.md) or a configuration file of the reference.
//
//	p, err := pack.OpenFolder("models/starter")
//	for _, file := range p.WithRole(pack.RoleVoice) {
//		r, size, err := p.Open(file)      // fails at the end when the bytes are not the ones that were named
//	}
package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// ManifestName is the file that makes a folder a pack.
const ManifestName = "pack.json"

const manifestLimit = 1 << 20

// ErrPack is wrapped by errors about a pack.json, or a file that is not the one it names (size, sha256).
var ErrPack = errors.New("broken pack")

// ErrNotFound is wrapped by errors about a pack, or a file of one, that is not there.
var ErrNotFound = errors.New("not found")

// ErrNetwork is wrapped by errors about files that would have to be fetched and cannot be.
var ErrNetwork = errors.New("network")

// ErrUnsupported is wrapped by errors about what this version cannot do.
var ErrUnsupported = errors.New("not supported")

// Role says what a file of a pack is for.
type Role string

// The roles of files.
const (
	RoleWeights       Role = "weights"
	RoleWeightsFlowLM Role = "weights-flow-lm"
	RoleWeightsMimi   Role = "weights-mimi"
	RoleEncoder       Role = "weights-encoder"
	RoleTokenizer     Role = "tokenizer"
	RoleVoice         Role = "voice"
	RoleOther         Role = "other"
)

const roleNames = "one of weights, weights-flow-lm, weights-mimi, weights-encoder, tokenizer, voice, other"

func isRole(r Role) bool {
	switch r {
	case RoleWeights, RoleWeightsFlowLM, RoleWeightsMimi, RoleEncoder, RoleTokenizer, RoleVoice, RoleOther:
		return true
	}
	return false
}

// IsWeights is true for files of tensors that make the model.
func (r Role) IsWeights() bool { return strings.HasPrefix(string(r), string(RoleWeights)) }

// Kinds of tokenizer files.
const (
	KindSentencePiece = "sentencepiece"
	KindJSON          = "json"
)

// File is an entry of a manifest.
type File struct {
	Path    string
	Role    Role
	Kind    string // of a tokenizer: "sentencepiece" or "json"
	Name    string // of a voice
	Bytes   *int64 // nil when nothing is promised
	SHA256  string // likewise when empty
	License string
}

// Cloning says whether voices can be made from audio.
type Cloning struct {
	Available bool
	Reason    string
}

// Manifest is the content of a pack.json. Fields that it does not know are left to later versions of the format.
type Manifest struct {
	Format       int
	Name         string
	Description  string
	License      string
	Config       json.RawMessage // the fields of the reference's configuration files
	Files        []File
	DefaultVoice string
	Precision    string // "f32", "q8", "q4" or empty
	Cloning      *Cloning
}

// Pack is a manifest and the place where its files are.
type Pack struct {
	Manifest
	Where  string // for messages: a path, or what the embedding program calls it
	files  fs.FS
	folder *os.Root // to be closed, if it is ours
	source Source   // of files that are not at hand; nil where all of them are
}

// Source is where the files of a pack come from that are not at hand. As a file system, it has those that were fetched.
type Source interface {
	fs.FS
	// Fetch makes sure that a file is at hand.
	Fetch(ctx context.Context, file File) error
	// Kept tells whether Fetch needs nobody else for that.
	Kept(file File) bool
	// Sum is the sha256 of a file that was fetched, as it came.
	Sum(path string) string
	// Recheck reads what was fetched again; true when something is gone or damaged, and Fetch may help.
	Recheck(ctx context.Context) bool
	Close() error
}

// New is a pack with files that come from somewhere else. Close closes the source.
func New(m Manifest, where string, source Source) *Pack {
	return &Pack{Manifest: m, Where: where, files: source, source: source}
}

// Remote tells whether files of the pack may have to be fetched.
func (p *Pack) Remote() bool { return p.source != nil }

// Fetch makes sure that a file is at hand.
func (p *Pack) Fetch(ctx context.Context, file File) error {
	if p.source == nil {
		return nil
	}
	return p.source.Fetch(ctx, file)
}

// Kept tells whether a file can be had without a network.
func (p *Pack) Kept(file File) bool { return p.source == nil || p.source.Kept(file) }

// Recheck looks for damage in what was fetched; true when there was some, and fetching again may help.
func (p *Pack) Recheck(ctx context.Context) bool { return p.source != nil && p.source.Recheck(ctx) }

// Close lets go of the folder, or of connections; files that are open stay open.
func (p *Pack) Close() error {
	switch {
	case p.source != nil:
		return p.source.Close()
	case p.folder == nil:
		return nil
	}
	return p.folder.Close()
}

// OpenFS reads the pack in a file system; where names it in messages. Files are opened in it later, as they are needed.
func OpenFS(files fs.FS, where string) (*Pack, error) {
	name := where + ": " + ManifestName
	file, _, err := openPlain(files, ManifestName, name, ErrPack)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := readLimited(file, name, manifestLimit, ErrPack)
	if err != nil {
		return nil, err
	}
	manifest, err := ParseManifest(data, name)
	if err != nil {
		return nil, err
	}
	return &Pack{Manifest: *manifest, Where: where, files: files}, nil
}

// ParseManifest reads a pack.json; name is for messages.
func ParseManifest(data []byte, name string) (*Manifest, error) {
	manifest, err := parseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrPack, err)
	}
	return manifest, nil
}

// DefaultVoiceName is the voice that is spoken when none is asked for: the one that the manifest names, or the only one.
func (m *Manifest) DefaultVoiceName() string {
	if files := m.WithRole(RoleVoice); m.DefaultVoice == "" && len(files) == 1 {
		return files[0].Name
	}
	return m.DefaultVoice
}

// OpenFolder reads the pack in a folder. Its files cannot lie outside of the folder, not even through links.
func OpenFolder(path string) (*Pack, error) {
	inside, err := openFolder(path)
	if err != nil {
		return nil, notFound(path, err)
	}
	pack, err := OpenFS(inside, path)
	if err != nil {
		inside.root.Close()
		return nil, err
	}
	pack.folder = inside.root
	return pack, nil
}

// Voice finds a voice by name.
func (m *Manifest) Voice(name string) (File, bool) {
	for _, file := range m.Files {
		if file.Role == RoleVoice && file.Name == name {
			return file, true
		}
	}
	return File{}, false
}

// WithRole lists the files of a role, in the manifest's order.
func (m *Manifest) WithRole(role Role) []File {
	var found []File
	for _, file := range m.Files {
		if file.Role == role {
			found = append(found, file)
		}
	}
	return found
}

// TokenizerKind is the kind of a tokenizer file, told by its name when the manifest does not say.
func (f File) TokenizerKind() string {
	if f.Kind == "" && strings.HasSuffix(f.Path, ".json") {
		return KindJSON
	}
	if f.Kind == "" {
		return KindSentencePiece
	}
	return f.Kind
}

// readLimited reads the whole of a small file; a larger one is `tooLarge`.
func readLimited(r io.Reader, name string, limit int64, tooLarge error) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, notFound(name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: expected at most %d bytes, found more", name, tooLarge, limit)
	}
	return data, nil
}

// notFound makes an error of a file system one sentence; its text would name a path inside of the pack twice.
func notFound(name string, err error) error {
	if errors.Is(err, ErrPack) {
		return fmt.Errorf("%s: %w", name, err)
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return fmt.Errorf("%s: %w: %w", name, ErrNotFound, err)
}
