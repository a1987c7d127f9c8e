package guest

import "golang.org/x/sys/unix"

// largePages asks for pages of 2 MB: a step reads all weights of the language model once, 75 MB of the 100M model. On a
// virtual machine that has small ones by default it took 12.6 ms instead of 14.6 (make bench ONLY=wazero PACK=100m).
func largePages(memory []byte) {
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE) // where it is refused small ones do
}
