// Package plain opens plain files and nothing else: opening a FIFO waits for a writer who may never come, and a device may have
// no end. What is looked at is what was opened, so that nobody can put something else in its place meanwhile.
package plain

import (
	"fmt"
	"io/fs"
	"os"
)

// Check fails for anything that is not a plain file.
func Check(info fs.FileInfo) error {
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

// Open opens a plain file for reading, and never waits.
func Open(path string) (*os.File, error) {
	file, _, err := look(os.OpenFile(path, os.O_RDONLY|withoutWaiting, 0))
	return file, err
}

// OpenIn is Open below a root, with what is known of the file.
func OpenIn(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	return look(root.OpenFile(name, os.O_RDONLY|withoutWaiting, 0))
}

func look(file *os.File, err error) (*os.File, fs.FileInfo, error) {
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = Check(info)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}
