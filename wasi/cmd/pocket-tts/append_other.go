//go:build !unix

// Nothing tells whether a handle only appends.

package main

import "os"

func appends(*os.File) bool { return false }
