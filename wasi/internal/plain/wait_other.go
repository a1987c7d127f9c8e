//go:build !unix

package plain

// No FIFO lies among the files here.
const withoutWaiting = 0
