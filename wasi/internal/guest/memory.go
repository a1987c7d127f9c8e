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

// allocator reserves `limit` bytes of address space for one memory, or what the module's maximum allows if that is less.
type allocator struct {
	limit uint64
	grown int // times that the memory got its size, the first one included
}

func (a *allocator) Allocate(_, max uint64) experimental.LinearMemory {
	size := min(max, a.limit)
	var memory experimental.LinearMemory
	memory, err := reserve(size)
	if err != nil {
		// No such system call, or a limit on address space (ulimit -v): a slice that is copied when it grows.
		memory = &copiedMemory{limit: size}
	}
	return &countedMemory{memory, &a.grown}
}

type countedMemory struct {
	experimental.LinearMemory
	times *int
}

func (m *countedMemory) Reallocate(size uint64) []byte {
	*m.times++
	return m.LinearMemory.Reallocate(size)
}

// copiedMemory is the fallback, a plain slice. It is copied seldom: it gets room for half as much again.
type copiedMemory struct {
	bytes []byte
	limit uint64
}

func (m *copiedMemory) Reallocate(size uint64) []byte {
	if size > m.limit {
		return nil
	}
	if size > uint64(cap(m.bytes)) {
		grown := make([]byte, size, min(m.limit, max(size, uint64(cap(m.bytes))*3/2)))
		copy(grown, m.bytes)
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	return m.bytes
}

func (m *copiedMemory) Free() { m.bytes = nil }
