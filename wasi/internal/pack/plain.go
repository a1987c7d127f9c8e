// Only plain files are read.

package pack

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

// openPlain opens a plain file in a file system; name is for messages, broken what is wrapped for one that is not.
func openPlain(files fs.FS, path, name string, broken error) (fs.File, int64, error) {
	// Before it is opened: that alone can hang where the file system is the caller's.
	info, err := fs.Stat(files, path)
	if err != nil {
		return nil, 0, notFound(name, err)
	}
	if err := plain.Check(info); err != nil {
		return nil, 0, fmt.Errorf("%s: %w: %w", name, broken, err)
	}
	file, err := files.Open(path)
	if err == nil {
		if info, err = file.Stat(); err == nil {
			err = plain.Check(info)
		}
		if err != nil {
			file.Close()
		}
	}
	if err != nil {
		return nil, 0, notFound(name, err)
	}
	return file, info.Size(), nil
}

// errLeadsOut says that a file of a pack is, after following links, not in the pack.
var errLeadsOut = fmt.Errorf("%w: leads out of the pack", ErrPack)

// folder is a file system that ends at a folder. Links inside of it are followed, however they are written.
type folder struct {
	path string // real: no links in it
	root *os.Root
}

func openFolder(path string) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &folder{path, root}, nil
}

// real is where a file is in the folder, without links. What is opened by it cannot be outside, even if links change.
func (f *folder) real(name string) (string, error) {
	path, err := filepath.EvalSymlinks(filepath.Join(f.path, filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	inside, err := filepath.Rel(f.path, path)
	if err != nil || !filepath.IsLocal(inside) {
		return "", errLeadsOut
	}
	return inside, nil
}

// Open and Stat implement fs.FS and fs.StatFS.
func (f *folder) Open(name string) (fs.File, error) {
	inside, err := f.real(name)
	if err != nil {
		return nil, err
	}
	file, _, err := plain.OpenIn(f.root, inside)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (f *folder) Stat(name string) (fs.FileInfo, error) {
	inside, err := f.real(name)
	if err != nil {
		return nil, err
	}
	return f.root.Stat(inside)
}
