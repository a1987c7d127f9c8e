//go:build !unix

package hub

import "os"

// alive tells whether a process is there: here, only then it is found.
func alive(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	_ = process.Release()
	return true
}
