//go:build unix

// Reserved address space with mmap.

package guest

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

type mappedMemory struct {
	reserved []byte // all of the address space; only the first `usable` bytes may be touched
	usable   uint64
}

func reserve(size uint64) (experimental.LinearMemory, error) {
	reserved, err := unix.Mmap(-1, 0, int(size), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	largePages(reserved)
	return &mappedMemory{reserved: reserved}, nil
}

func (m *mappedMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) {
		return nil
	}
	if size > m.usable {
		if err := unix.Mprotect(m.reserved[:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			return nil
		}
		m.usable = size
	}
	return m.reserved[:size:len(m.reserved)]
}

func (m *mappedMemory) Free() {
	if m.reserved == nil {
		return
	}
	// Fails only for a range that is not mapped, which this one is.
	_ = unix.Munmap(m.reserved)
	m.reserved, m.usable = nil, 0
}
