//go:build ignore

// Copies a pack: pack.json, the files that it names, and its licence. Usage: copy FROM TO
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: copy FROM TO")
	}
	from, to := os.Args[1], os.Args[2]
	data, err := os.ReadFile(filepath.Join(from, "pack.json"))
	if err != nil {
		log.Fatal(err)
	}
	var manifest struct{ Files []struct{ Path string } }
	if err := json.Unmarshal(data, &manifest); err != nil {
		log.Fatal(err)
	}
	paths := []string{"pack.json", "LICENSE"}
	for _, file := range manifest.Files {
		paths = append(paths, filepath.FromSlash(file.Path))
	}
	// Whatever the pack no longer names goes away.
	if err := os.RemoveAll(to); err != nil {
		log.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(filepath.Join(from, path))
		if err != nil {
			log.Fatal(err)
		}
		target := filepath.Join(to, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o777); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o666); err != nil {
			log.Fatal(err)
		}
	}
}
