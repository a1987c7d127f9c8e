//go:build unix

// Telling a handle that only appends.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func appends(file *os.File) bool {
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_APPEND != 0
}
