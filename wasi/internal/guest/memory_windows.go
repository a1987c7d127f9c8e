// Reserved address space with VirtualAlloc.

package guest

import (
	"unsafe"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/windows"
)

type mappedMemory struct {
	address  uintptr
	reserved uint64
	usable   uint64
}

func reserve(size uint64) (experimental.LinearMemory, error) {
	address, err := windows.VirtualAlloc(0, uintptr(size), windows.MEM_RESERVE, windows.PAGE_NOACCESS)
	if err != nil {
		return nil, err
	}
	return &mappedMemory{address: address, reserved: size}, nil
}

func (m *mappedMemory) Reallocate(size uint64) []byte {
	if size > m.reserved {
		return nil
	}
	if size > m.usable {
		if _, err := windows.VirtualAlloc(m.address, uintptr(size), windows.MEM_COMMIT, windows.PAGE_READWRITE); err != nil {
			return nil
		}
		m.usable = size
	}
	// The address is not Go memory; going through a pointer to it keeps vet's pointer rules.
	base := *(**byte)(unsafe.Pointer(&m.address))
	return unsafe.Slice(base, m.reserved)[:size]
}

func (m *mappedMemory) Free() {
	if m.address == 0 {
		return
	}
	_ = windows.VirtualFree(m.address, 0, windows.MEM_RELEASE)
	m.address, m.reserved, m.usable = 0, 0, 0
}
