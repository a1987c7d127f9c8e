package guest

import "golang.org/x/sys/unix"

// largePages asks for pages of 2 MB: a step reads all weights of the language model once, 75 MB of the 100M model, and on
// virtual machines a miss in the table of small pages costs more than the bytes.
func largePages(memory []byte) {
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE) // where it is refused small ones do
}
