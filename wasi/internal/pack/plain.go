// Only plain files are read: opening a FIFO waits for a writer who may never come, and a device may have no end.

package pack

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckPlain fails for anything that is not a plain file.
func CheckPlain(info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	found := "something else"
	switch mode := info.Mode(); {
	case mode.IsDir():
		found = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		found = "a FIFO"
	case mode&fs.ModeDevice != 0:
		found = "a device"
	case mode&fs.ModeSocket != 0:
		found = "a socket"
	}
	return fmt.Errorf("expected a plain file, found %s", found)
}

// openPlain opens a plain file in a file system; name is for messages, broken what is wrapped for one that is not.
func openPlain(files fs.FS, path, name string, broken error) (fs.File, int64, error) {
	// Before it is opened: that alone can hang.
	info, err := fs.Stat(files, path)
	if err != nil {
		return nil, 0, notFound(name, err)
	}
	if err := CheckPlain(info); err != nil {
		return nil, 0, fmt.Errorf("%s: %w: %w", name, broken, err)
	}
	file, err := files.Open(path)
	if err == nil {
		if info, err = file.Stat(); err != nil {
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
	return f.root.Open(inside)
}

func (f *folder) Stat(name string) (fs.FileInfo, error) {
	inside, err := f.real(name)
	if err != nil {
		return nil, err
	}
	return f.root.Stat(inside)
}
