// Linear memory that grows in place.
//
// wazero's own memory is a Go slice. Growing it copies everything (100 -> 200 MB: 144 ms), and reserving its maximum
// with WithMemoryCapacityFromMax has two catches (wazero 1.12): a maximum declared by the module then overrides
// WithMemoryLimitPages, and a reserved slice that the collector hands out a second time is cleared, which touches
// every page of it. So the address space is reserved from the operating system and made usable page by page;
// what the guest never touched costs nothing, and closing gives everything back at once.

package guest

import (
	"github.com/tetratelabs/wazero/experimental"
)

// allocator reserves `limit` bytes of address space per memory, or what the module's maximum allows if that is less.
type allocator struct {
	limit uint64
}

func (a allocator) Allocate(_, max uint64) experimental.LinearMemory {
	size := min(max, a.limit)
	if reserved, err := reserve(size); err == nil {
		return reserved
	}
	// No such system call, or a limit on address space (ulimit -v): a slice that is copied when it grows.
	return &copiedMemory{limit: size}
}

// copiedMemory is the fallback, a plain slice.
type copiedMemory struct {
	bytes []byte
	limit uint64
}

func (m *copiedMemory) Reallocate(size uint64) []byte {
	if size > m.limit {
		return nil
	}
	if size > uint64(cap(m.bytes)) {
		grown := make([]byte, size)
		copy(grown, m.bytes)
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	return m.bytes
}

func (m *copiedMemory) Free() { m.bytes = nil }
