// Opening files of a pack: sizes and sha256 are checked while the bytes go by, so that nothing is read twice.

package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// Open opens a file of the pack. Reading it to the end fails with ErrPack when size or sha256 are not the
// manifest's. The size is known beforehand.
func (p *Pack) Open(file File) (io.ReadCloser, int64, error) {
	name := p.Where + ": " + file.Path
	opened, size, err := openPlain(p.files, file.Path, name, ErrPack)
	if err != nil {
		return nil, 0, err
	}
	if file.Bytes != nil && size != *file.Bytes {
		opened.Close()
		return nil, 0, fmt.Errorf("%s: %w: expected %d bytes, found %d", name, ErrPack, *file.Bytes, size)
	}
	checked := &checkedFile{file: opened, name: name, size: size, want: file.SHA256}
	if checked.want == "" && p.source != nil {
		checked.want = p.source.Sum(file.Path)
	}
	if checked.want != "" {
		checked.hash = sha256.New()
	}
	return checked, size, nil
}

// Size is that of a file which is at hand.
func (p *Pack) Size(file File) (int64, error) {
	opened, size, err := p.Open(file)
	if err != nil {
		return 0, err
	}
	return size, opened.Close()
}

// Read returns the whole of a file that is at most `limit` bytes long, checked.
func (p *Pack) Read(file File, limit int64) (data []byte, err error) {
	err = p.Fill(file, limit, func(size int) ([]byte, error) {
		data = make([]byte, size)
		return data, nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Fill is Read into the room that it asks for, once. What lies there after an error is not the file.
func (p *Pack) Fill(file File, limit int64, room func(size int) ([]byte, error)) error {
	r, size, err := p.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	if size > limit {
		return fmt.Errorf("%s: %s: %w: expected at most %d bytes, found %d", p.Where, file.Path, ErrPack, limit, size)
	}
	to, err := room(int(size))
	if err != nil {
		return err
	}
	// Up to the end, where the file is judged. One that became longer or shorter than it was is refused there, too.
	var rest [4096]byte
	for {
		into := to
		if len(into) == 0 {
			into = rest[:]
		}
		n, err := r.Read(into)
		switch to = to[min(n, len(to)):]; err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

type checkedFile struct {
	file fs.File
	name string
	size int64
	read int64
	hash hash.Hash
	want string
}

func (c *checkedFile) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	c.read += int64(n)
	if c.hash != nil {
		c.hash.Write(p[:n])
	}
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("%s: %w", c.name, err)
	}
	if err == io.EOF {
		if problem := c.finish(); problem != nil {
			return n, problem
		}
	}
	return n, err
}

func (c *checkedFile) finish() error {
	if c.read != c.size { // it changed while it was read
		return fmt.Errorf("%s: %w: expected %d bytes, found %d", c.name, ErrPack, c.size, c.read)
	}
	if c.hash == nil {
		return nil
	}
	if found := hex.EncodeToString(c.hash.Sum(nil)); found != c.want {
		return fmt.Errorf("%s: %w: expected sha256 %s, found %s", c.name, ErrPack, c.want, found)
	}
	return nil
}

func (c *checkedFile) Close() error { return c.file.Close() }
