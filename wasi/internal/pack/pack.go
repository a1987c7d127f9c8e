// Package pack reads packs: a folder with a pack.json (models/FORMAT.md) or a configuration file of the reference.
//
//	p, err := pack.OpenFolder("models/starter")
//	for _, file := range p.WithRole(pack.RoleVoice) {
//		r, size, err := p.Open(file)      // fails at the end when the bytes are not the ones that were named
//	}
package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// ManifestName is the file that makes a folder a pack.
const ManifestName = "pack.json"

const manifestLimit = 1 << 20

// ErrPack is wrapped by errors about a pack.json, or a file that is not the one it names (size, sha256).
var ErrPack = errors.New("broken pack")

// ErrNotFound is wrapped by errors about a pack, or a file of one, that is not there.
var ErrNotFound = errors.New("not found")

// ErrUnsupported is wrapped by errors about what this version cannot do.
var ErrUnsupported = errors.New("not supported")

// Role says what a file of a pack is for.
type Role string

// The roles of files.
const (
	RoleWeights       Role = "weights"
	RoleWeightsFlowLM Role = "weights-flow-lm"
	RoleWeightsMimi   Role = "weights-mimi"
	RoleTokenizer     Role = "tokenizer"
	RoleVoice         Role = "voice"
	RoleOther         Role = "other"
)

var roles = []Role{RoleWeights, RoleWeightsFlowLM, RoleWeightsMimi, RoleTokenizer, RoleVoice, RoleOther}

// IsWeights is true for files of tensors that make the model.
func (r Role) IsWeights() bool { return strings.HasPrefix(string(r), string(RoleWeights)) }

// Kinds of tokenizer files.
const (
	KindSentencePiece = "sentencepiece"
	KindJSON          = "json"
)

// File is an entry of a manifest.
type File struct {
	Path    string `json:"path"`
	Role    Role   `json:"role"`
	Kind    string `json:"kind"`   // of a tokenizer: "sentencepiece" or "json"
	Name    string `json:"name"`   // of a voice
	Bytes   *int64 `json:"bytes"`  // nil when nothing is promised
	SHA256  string `json:"sha256"` // likewise when empty
	License string `json:"license"`
}

// Cloning says whether voices can be made from audio.
type Cloning struct {
	Available bool   `json:"available"`
	Reason    string `json:"reason"`
}

// Manifest is the content of a pack.json. Fields that it does not know are left to later versions of the format.
type Manifest struct {
	Format       int             `json:"format"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	License      string          `json:"license"`
	Config       json.RawMessage `json:"config"` // the fields of the reference's configuration files
	Files        []File          `json:"files"`
	DefaultVoice string          `json:"default_voice"`
	Precision    string          `json:"precision"` // "f32", "q8" or empty
	Cloning      *Cloning        `json:"cloning"`
}

// Pack is a manifest and the place where its files are.
type Pack struct {
	Manifest
	Where  string // for messages: a path, or what the embedding program calls it
	files  fs.FS
	folder *os.Root // to be closed, if it is ours
}

// Close lets go of the folder; files that are open stay open.
func (p *Pack) Close() error {
	if p.folder == nil {
		return nil
	}
	return p.folder.Close()
}

// OpenFS reads the pack in a file system; where names it in messages. Files are opened in it later, as they are needed.
func OpenFS(files fs.FS, where string) (*Pack, error) {
	name := where + ": " + ManifestName
	file, err := files.Open(ManifestName)
	if err != nil {
		return nil, notFound(name, err)
	}
	defer file.Close()
	data, err := readLimited(file, name, manifestLimit, ErrPack)
	if err != nil {
		return nil, err
	}
	manifest, err := parseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrPack, err)
	}
	return &Pack{Manifest: *manifest, Where: where, files: files}, nil
}

// OpenFolder reads the pack in a folder. Its files cannot lie outside of the folder, not even through links.
func OpenFolder(folder string) (*Pack, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, notFound(folder, err)
	}
	pack, err := OpenFS(root.FS(), folder)
	if err != nil {
		root.Close()
		return nil, err
	}
	pack.folder = root
	return pack, nil
}

var sha256Digits = regexp.MustCompile(`^[0-9a-f]{64}$`)

func parseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if m.Format != 1 {
		return nil, fmt.Errorf("format: expected 1, found %d", m.Format)
	}
	if m.Name == "" {
		return nil, errors.New("name: expected a string, found none")
	}
	if len(m.Config) == 0 || m.Config[0] != '{' {
		return nil, errors.New("config: expected an object")
	}
	if m.Precision != "" && m.Precision != "f32" && m.Precision != "q8" {
		return nil, fmt.Errorf(`precision: expected "f32" or "q8", found %q`, m.Precision)
	}
	for n, file := range m.Files {
		if err := checkFile(file); err != nil {
			return nil, fmt.Errorf("files[%d].%w", n, err)
		}
	}
	if m.DefaultVoice != "" {
		if _, ok := m.Voice(m.DefaultVoice); !ok {
			return nil, fmt.Errorf("default_voice: expected the name of a voice in files, found %q", m.DefaultVoice)
		}
	}
	return &m, nil
}

func checkFile(f File) error {
	switch {
	// A pack names files below itself, whatever the host's idea of a path.
	case f.Path == "." || !fs.ValidPath(f.Path) || strings.ContainsAny(f.Path, `\:`):
		return fmt.Errorf("path: expected a relative path inside the pack, found %q", f.Path)
	case !slices.Contains(roles, f.Role):
		return fmt.Errorf("role: expected one of %v, found %q", roles, f.Role)
	case f.Kind != "" && f.Kind != KindSentencePiece && f.Kind != KindJSON:
		return fmt.Errorf("kind: expected %q or %q, found %q", KindSentencePiece, KindJSON, f.Kind)
	case f.Role == RoleVoice && f.Name == "":
		return errors.New("name: expected the name of the voice, found none")
	case f.Bytes != nil && *f.Bytes < 0:
		return fmt.Errorf("bytes: expected a number of bytes, found %d", *f.Bytes)
	case f.SHA256 != "" && !sha256Digits.MatchString(f.SHA256):
		return fmt.Errorf("sha256: expected 64 hexadecimal digits, found %q", f.SHA256)
	}
	return nil
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
		return nil, fmt.Errorf("%s: %w: expected at most %d bytes", name, tooLarge, limit)
	}
	return data, nil
}

// notFound makes an error of a file system one sentence; its text would name a path inside of the pack twice.
func notFound(name string, err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return fmt.Errorf("%s: %w: %w", name, ErrNotFound, err)
}
