// Package starter carries the starter voice inside the program: a small English model of 8 MB that needs no download.
//
//	engine, err := pockettts.Load(ctx, pockettts.Options{PackFS: starter.FS()})
//
// Programs that bring a pack of their own do not import this package, and do not grow by it.
//
// The folder pack is a generated copy of models/starter; a test proves that the two are equal.
package starter

import (
	"embed"
	"io/fs"
)

//go:generate go run copy.go ../../models/starter pack

//go:embed pack
var files embed.FS

// FS returns the pack: a pack.json and its files.
func FS() fs.FS {
	pack, err := fs.Sub(files, "pack")
	if err != nil {
		panic(err) // only for a path that is not one
	}
	return pack
}
