//go:build unix

package plain

import "syscall"

// withoutWaiting opens a FIFO at once.
const withoutWaiting = syscall.O_NONBLOCK
