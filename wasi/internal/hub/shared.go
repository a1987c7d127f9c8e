package hub

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

// The folder in which the hub's own programs keep what they fetch: what the reference has fetched is read there, and not
// fetched again. Nothing is written into it. The JavaScript package on Node does the same.
//
//	models--OWNER--NAME/refs/REVISION       the commit that a branch was
//	models--OWNER--NAME/snapshots/COMMIT/PATH

// SharedFolder is where that folder is: HF_HUB_CACHE, HF_HOME/hub, huggingface/hub in what the system has for caches; empty
// where that cannot be told.
func SharedFolder() string {
	if folder := os.Getenv("HF_HUB_CACHE"); folder != "" {
		return folder
	}
	if home := os.Getenv("HF_HOME"); home != "" {
		return filepath.Join(home, "hub")
	}
	if caches := os.Getenv("XDG_CACHE_HOME"); caches != "" {
		return filepath.Join(caches, "huggingface", "hub")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "huggingface", "hub")
}

// refLimit is more than a commit takes.
const refLimit = 128

// sharedPath is where the file of a revision is, or of the one that a branch was when it was last asked for; empty where it
// is not.
func sharedPath(folder string, a address) string {
	folder = filepath.Join(folder, "models--"+strings.ReplaceAll(a.Repository, "/", "--"))
	if !a.pinned() {
		ref := filepath.Join(folder, "refs", filepath.FromSlash(a.Revision))
		file, err := plain.Open(ref)
		if err != nil {
			return ""
		}
		defer file.Close()
		data, err := io.ReadAll(io.LimitReader(file, refLimit+1))
		if err != nil || len(data) > refLimit {
			return ""
		}
		if a.Revision = strings.TrimSpace(string(data)); !a.pinned() {
			return ""
		}
	}
	path := filepath.Join(folder, "snapshots", a.Revision, filepath.FromSlash(a.Path))
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// findShared is find in that folder.
func (c *client) findShared(r *remote) (Kept, bool) {
	if c.shared == "" || r.hub == nil {
		return Kept{}, false
	}
	path := sharedPath(c.shared, *r.hub)
	info, err := os.Stat(path)
	if path == "" || err != nil || c.distrusts(path) {
		return Kept{}, false
	}
	size := info.Size()
	kept := Kept{
		Meta: Meta{Identity: r.identity, Pack: r.pack, Bytes: &size, SHA256: r.sha256},
		Key:  keyOf(r.identity), Path: path, Size: size, Complete: true, shared: true,
	}
	return kept, r.fits(kept) && (r.limit == 0 || size <= r.limit)
}

// distrust passes by a file whose bytes were not the ones that were promised.
func (c *client) distrust(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.damaged = append(c.damaged, path)
}

func (c *client) distrusts(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.damaged, path)
}
