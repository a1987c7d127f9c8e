// Converting packs: a model is loaded in integers, and its working weights are written as a pack that loads without
// converting (models/FORMAT.md). The JavaScript package writes the same bytes.

package pockettts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// Names of files that a converted pack has.
const (
	convertedModel   = "model.safetensors"
	convertedEncoder = "encoder.safetensors"
	licenseName      = "LICENSE"
)

// Converted describes the pack that Convert wrote.
type Converted struct {
	Precision Precision
	Files     []ConvertedFile
}

// ConvertedFile is a file of a converted pack.
type ConvertedFile struct {
	Path   string
	Bytes  int64
	SHA256 string
}

// Convert writes the model that options name as a pack with integer weights, which is smaller and loads without
// converting. Precision is Q8 or Q4; empty is the pack's own if that is one of them, else Q8. NoCloning leaves out what
// makes voices from audio. The target is a new folder, and there is all of it or nothing; replace allows it to be
// a pack that is there already.
func Convert(ctx context.Context, options Options, target string, replace bool) (*Converted, error) {
	ctx = orBackground(ctx)
	if options.Precision == F32 {
		return nil, fmt.Errorf("%w: Precision: expected %q or %q, found %q", ErrArgument, Q8, Q4, F32)
	}
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{options: options, gate: make(chan struct{}, 1), layout: layout{1, 1, 1, "asked for"}, queue: newQueue(1, 0)}
	if e.pack, err = openPack(ctx, options); err != nil {
		return nil, err
	}
	defer e.Close()
	for _, file := range e.pack.Files {
		if err := e.pack.Fetch(ctx, file); err != nil {
			return nil, err
		}
	}
	if own := Precision(e.pack.Precision); e.options.Precision == "" {
		e.options.Precision = Q8
		if own != "" && own != F32 {
			e.options.Precision = own
		}
	}
	place, free, err := e.checkTarget(target, replace)
	if err != nil {
		return nil, err
	}
	if err := e.checkNames(); err != nil {
		return nil, err
	}
	var converted *Converted
	err = e.do(ctx, func(w *worker) error {
		converted, err = e.convert(ctx, w, place, target, free)
		return err
	})
	return converted, err
}

// checkTarget finds the place of the target, and whether it is free. What is there has to be a pack that may be replaced.
func (e *Engine) checkTarget(target string, replace bool) (place string, free bool, err error) {
	named := func(err error) error { return fmt.Errorf("%s: %w", target, reason(err)) }
	place, err = filepath.Abs(target)
	if err != nil {
		return "", false, named(err)
	}
	parent, err := os.Stat(filepath.Dir(place))
	if err != nil {
		return "", false, fmt.Errorf("%s: %s: %w", target, filepath.Dir(place), reason(err))
	}
	if !parent.IsDir() {
		return "", false, fmt.Errorf("%s: %s: expected a folder", target, filepath.Dir(place))
	}
	found, err := os.Stat(place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place, true, nil
	case err != nil:
		return "", false, named(err)
	case !replace:
		return "", false, fmt.Errorf("%s: is there already; --force replaces a pack", target)
	}
	var names []os.DirEntry
	if found.IsDir() {
		if names, err = os.ReadDir(place); err != nil {
			return "", false, named(err)
		}
	}
	isPack := slices.ContainsFunc(names, func(d os.DirEntry) bool { return d.Name() == pack.ManifestName })
	if !found.IsDir() || len(names) > 0 && !isPack {
		return "", false, fmt.Errorf("%s: is not a pack; nothing else is replaced", target)
	}
	// What the source needs must not be replaced by it.
	read := []string{e.options.Pack, e.options.Config}
	if e.options.Config != "" {
		for _, file := range e.pack.Files {
			read = append(read, file.Path)
		}
	}
	for _, path := range read {
		if path != "" && within(place, path) {
			return "", false, fmt.Errorf("%s: the source is in it, and cannot be replaced", target)
		}
	}
	return place, false, nil
}

// within tells whether a path is a folder, or in it.
func within(folder, path string) bool {
	real := func(path string) string {
		path, err := filepath.Abs(path)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return ""
		}
		return path
	}
	inside, err := filepath.Rel(real(folder), real(path))
	return err == nil && filepath.IsLocal(inside)
}

// convertedPath is where a file goes: those of a configuration lie anywhere, those of a pack keep their places.
func (e *Engine) convertedPath(file pack.File) string {
	switch {
	case e.options.Config == "":
		return file.Path
	case file.TokenizerKind() == pack.KindJSON:
		return "tokenizer.json"
	}
	return "tokenizer.model"
}

func (e *Engine) checkNames() error {
	for _, file := range e.pack.Files {
		path := e.convertedPath(file)
		if !file.Role.IsWeights() && slices.Contains([]string{convertedModel, convertedEncoder, pack.ManifestName}, strings.ToLower(path)) {
			return fmt.Errorf("%s: %w: files: %s: the converted pack has another file of this name", e.pack.Where, ErrPack, path)
		}
	}
	return nil
}

func (e *Engine) convert(ctx context.Context, w *worker, place, target string, free bool) (converted *Converted, err error) {
	folder := filepath.Join(filepath.Dir(place), "."+filepath.Base(place)+"."+strings.ToLower(rand.Text()[:12]))
	if err := os.Mkdir(folder, 0o777); err != nil {
		return nil, fmt.Errorf("%s: %w", target, reason(err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	out := &packWriter{folder: folder, target: target}
	terms := e.pack.WeightsLicense()
	err = out.write(pack.File{Path: convertedModel, Role: pack.RoleWeights, License: terms}, func(to io.Writer) error {
		return w.guest.Export(ctx, w.model, guest.PartFlowLM|guest.PartMimiDecoder, to)
	})
	if err == nil && w.info.Parts&guest.PartMimiEncoder != 0 {
		err = out.write(pack.File{Path: convertedEncoder, Role: pack.RoleEncoder, License: terms}, func(to io.Writer) error {
			return w.guest.Export(ctx, w.model, guest.PartMimiEncoder, to)
		})
	}
	if err == nil {
		err = e.copyOthers(ctx, out)
	}
	if err != nil {
		return nil, err
	}
	manifest := e.pack.Manifest
	if e.options.Config != "" {
		manifest.Name = filepath.Base(place)
	}
	tokenizer := e.pack.WithRole(pack.RoleTokenizer)[0]
	if err := manifest.Converted(convertedModel, e.convertedPath(tokenizer)); err != nil {
		return nil, err
	}
	manifest.Files, manifest.Precision = out.files, string(e.options.Precision)
	if e.options.NoCloning && (manifest.Cloning == nil || manifest.Cloning.Available) {
		manifest.Cloning = &pack.Cloning{Reason: "converted without its encoder"}
	}
	text, err := manifest.JSON()
	if err != nil {
		return nil, err
	}
	err = out.write(pack.File{Path: pack.ManifestName}, func(to io.Writer) error {
		_, err := to.Write(text)
		return err
	})
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = out.moveTo(place, free)
	}
	if err != nil {
		return nil, err
	}
	converted = &Converted{Precision: e.options.Precision}
	for _, file := range manifest.Files {
		converted.Files = append(converted.Files, ConvertedFile{file.Path, *file.Bytes, file.SHA256})
	}
	return converted, nil
}

// copyOthers copies what is not weights, and the text of the licence, which a pack may have without listing it.
func (e *Engine) copyOthers(ctx context.Context, out *packWriter) error {
	listed := slices.Clone(e.pack.Files)
	unlisted := !slices.ContainsFunc(listed, func(f pack.File) bool { return f.Path == licenseName })
	if e.options.Config == "" && unlisted {
		listed = append(listed, pack.File{Path: licenseName, Role: pack.RoleOther})
	}
	for n, file := range listed {
		if file.Role.IsWeights() {
			continue
		}
		from, _, err := e.pack.Open(file)
		if n == len(e.pack.Files) && errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		entry := pack.File{Path: e.convertedPath(file), Role: file.Role, Name: file.Name, License: file.License}
		if file.Role == pack.RoleTokenizer {
			entry.Kind = file.TokenizerKind()
		}
		err = out.write(entry, func(to io.Writer) error {
			_, err := io.Copy(to, untilDone{ctx, from})
			return err
		})
		from.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// packWriter writes the files of a folder, with their sizes and hashes.
type packWriter struct {
	folder, target string
	files          []pack.File
}

// named says which target an error is about.
func (p *packWriter) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", p.target, reason(err))
}

func (p *packWriter) write(entry pack.File, content func(io.Writer) error) error {
	if same := slices.IndexFunc(p.files, func(f pack.File) bool { return f.Path == entry.Path }); same >= 0 {
		entry.Bytes, entry.SHA256 = p.files[same].Bytes, p.files[same].SHA256 // two names of one voice
		p.files = append(p.files, entry)
		return nil
	}
	path := filepath.Join(p.folder, filepath.FromSlash(entry.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return p.named(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return p.named(err)
	}
	to := &countingWriter{pack: p, file: file, hash: sha256.New()}
	err = content(to)
	if closed := p.named(file.Close()); err == nil {
		err = closed
	}
	entry.Bytes, entry.SHA256 = &to.bytes, hex.EncodeToString(to.hash.Sum(nil))
	p.files = append(p.files, entry)
	return err
}

type countingWriter struct {
	pack  *packWriter
	file  *os.File
	hash  hash.Hash
	bytes int64
}

func (c *countingWriter) Write(data []byte) (int, error) {
	n, err := c.file.Write(data)
	c.hash.Write(data[:n])
	c.bytes += int64(n)
	return n, c.pack.named(err)
}

// moveTo lets the finished folder take the place of the target, which is kept until then.
func (p *packWriter) moveTo(place string, free bool) error {
	if free {
		return p.named(os.Rename(p.folder, place))
	}
	old := p.folder + ".old"
	if err := os.Rename(place, old); err != nil {
		return p.named(err)
	}
	if err := os.Rename(p.folder, place); err != nil {
		return errors.Join(p.named(err), os.Rename(old, place))
	}
	return p.named(os.RemoveAll(old))
}

// reason is an error of the file system without its own idea of what it was called with.
func reason(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
