package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

// The cache: a folder that the JavaScript package on Node uses, too. KEY is a file, KEY.json what is known of it,
// KEY.part-PID-RANDOM a part that process PID is fetching, KEY.part one that nobody fetches. A process that was killed
// leaves a part that the next one takes over.
//
// KEY.lock is this package's own: of its processes, one fetches a file at a time. Those of the other package are known by
// their parts.

const (
	// lookEvery is how often somebody else's download is looked at.
	lookEvery = 100 * time.Millisecond
	// stillAfter is how long a part of another process may stand still before it is not waited for.
	stillAfter = time.Minute
	metaLimit  = 64 << 10
)

// Meta is what is known of a file in the cache.
type Meta struct {
	Identity string `json:"identity"` // hf://owner/name/path@revision, sha256:... or a URL
	URL      string `json:"url"`      // where its bytes came from
	Pack     string `json:"pack"`     // that asked for it first
	// Of the whole file, where known. A part has the sum that it should come to, a file the one that it had.
	Bytes        *int64 `json:"bytes,omitempty"`
	SHA256       string `json:"sha256,omitempty"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

// Kept is a file of the cache, or a part of one.
type Kept struct {
	Meta
	Key      string
	Path     string
	Size     int64 // bytes that are there
	Complete bool
	shared   bool // it is another program's, and not in this cache
}

// Alone tells whether a file is all that its name stands for: a voice, a recording, a configuration.
func (k Kept) Alone() bool {
	at, _, ok := fileAddress(k.Pack)
	return k.Pack == k.Identity || ok && at != nil && at.String() == k.Identity
}

// Store is a cache folder.
type Store struct{ Folder string }

// DefaultFolder is POCKET_TTS_CACHE, else pocket-tts-wasm/packs in what the system has for caches.
func DefaultFolder() (string, error) {
	if folder := os.Getenv("POCKET_TTS_CACHE"); folder != "" {
		return folder, nil
	}
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(base, "pocket-tts-wasm", "packs"), nil
}

func keyOf(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:])[:40]
}

// parseMeta reads what was kept; false when it is damaged.
func parseMeta(data []byte) (Meta, bool) {
	var m Meta
	if json.Unmarshal(data, &m) != nil || m.Identity == "" || m.Bytes != nil && *m.Bytes < 0 {
		return Meta{}, false
	}
	return m, true
}

func (s Store) path(name string) string { return filepath.Join(s.Folder, name) }

func (s Store) meta(key string) (Meta, bool) {
	file, err := plain.Open(s.path(key + ".json"))
	if err != nil {
		return Meta{}, false
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, metaLimit))
	if err != nil {
		return Meta{}, false
	}
	return parseMeta(data)
}

// at is the file of that name, with what is known of it.
func (s Store) at(key, name string) (Kept, bool) {
	info, err := os.Stat(s.path(name))
	if err != nil || !info.Mode().IsRegular() {
		return Kept{}, false
	}
	meta, ok := s.meta(key)
	return Kept{Meta: meta, Key: key, Path: s.path(name), Size: info.Size(), Complete: name == key}, ok
}

// Find returns the whole file with an identity, if it is there.
func (s Store) Find(identity string) (Kept, bool) {
	key := keyOf(identity)
	kept, ok := s.at(key, key)
	return kept, ok && kept.Identity == identity && kept.SHA256 != "" && kept.Bytes != nil && kept.Size == *kept.Bytes
}

var keptName = regexp.MustCompile(`^([0-9a-f]{40})(\.part(?:-.*)?)?$`)

// List returns everything in the cache.
func (s Store) List() ([]Kept, error) {
	entries, err := os.ReadDir(s.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []Kept
	for _, entry := range entries {
		if match := keptName.FindStringSubmatch(entry.Name()); match != nil {
			if kept, ok := s.at(match[1], entry.Name()); ok {
				all = append(all, kept)
			}
		}
	}
	return all, nil
}

var keyName = regexp.MustCompile(`^([0-9a-f]{40})(?:\.|$)`)

// Clear removes everything, also what cannot be read.
func (s Store) Clear() error {
	entries, err := os.ReadDir(s.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if match := keyName.FindStringSubmatch(entry.Name()); match != nil && !strings.HasSuffix(entry.Name(), ".lock") {
			errs = append(errs, s.Remove(match[1]))
		}
	}
	return errors.Join(errs...)
}

// Remove removes a file, its parts and what is known of it.
func (s Store) Remove(key string) error {
	entries, err := os.ReadDir(s.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if name := entry.Name(); name == key || strings.HasPrefix(name, key+".") {
			errs = append(errs, os.RemoveAll(s.path(name))) // a folder, too
		}
	}
	return errors.Join(errs...)
}

// Check reads a whole file and tells whether it is what it was when it came.
func (k Kept) Check(ctx context.Context) (found string, right bool, err error) {
	file, err := os.Open(k.Path)
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, untilDone{ctx, file}); err != nil {
		return "", false, err
	}
	found = hex.EncodeToString(hash.Sum(nil))
	return found, found == k.SHA256 && k.Bytes != nil && k.Size == *k.Bytes, nil
}

type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// lock waits until nobody else fetches a file. The result lets go.
func (s Store) lock(ctx context.Context, key string) (leave func(), err error) {
	if err := os.MkdirAll(s.Folder, 0o777); err != nil {
		return nil, err
	}
	own := flock.New(s.path(key + ".lock"))
	if locked, err := own.TryLockContext(ctx, lookEvery); err != nil || !locked {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, errors.ErrUnsupported) { // a file system without locks has none
			return nil, err
		}
	}
	leave = func() { _ = own.Close() } // the file stays: who removed it would let two others in
	if err := s.waitForOthers(ctx, key); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// waitForOthers waits for processes that do not know of the lock, and takes over what dead ones left. The lock is held.
func (s Store) waitForOthers(ctx context.Context, key string) error {
	for {
		entries, err := os.ReadDir(s.Folder)
		if err != nil {
			return err
		}
		busy := false
		for _, entry := range entries {
			rest, ok := strings.CutPrefix(entry.Name(), key+".part-")
			if !ok {
				continue
			}
			digits, _, _ := strings.Cut(rest, "-")
			pid, err := strconv.Atoi(digits)
			if err != nil {
				continue
			}
			info, err := entry.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			// One of this process is nobody's: who holds the lock would know.
			if pid == os.Getpid() || !alive(pid) {
				if err := s.removeFolder(key + ".part"); err != nil {
					return err
				}
				if err := os.Rename(s.path(entry.Name()), s.path(key+".part")); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			} else if time.Since(info.ModTime()).Abs() < stillAfter {
				busy = true
			}
		}
		if !busy {
			return nil
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, time_ time.Duration) error {
	timer := time.NewTimer(time_)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// putMeta writes what is known of a file, whole or not at all.
func (s Store) putMeta(key string, meta Meta) error {
	data, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	fresh := s.path(key + ".json-" + random())
	if err := os.WriteFile(fresh, data, 0o666); err != nil {
		_ = os.Remove(fresh)
		return err
	}
	return os.Rename(fresh, s.path(key+".json"))
}

func random() string {
	var bytes [6]byte
	_, _ = rand.Read(bytes[:]) // never fails
	return hex.EncodeToString(bytes[:])
}

// part is a file on its way into the cache. Its lock is held.
type part struct {
	store Store
	key   string
	file  *os.File
	whole bool // it is the file now, or gone
}

// removeFolder removes a folder in the place of a file, which would take none.
func (s Store) removeFolder(name string) error {
	if info, err := os.Lstat(s.path(name)); err != nil || !info.IsDir() {
		return nil
	}
	return os.RemoveAll(s.path(name))
}

// openPart opens the part that was left, or an empty one.
func (s Store) openPart(key string) (*part, error) {
	for _, other := range []string{key, key + ".json", key + ".part"} {
		if err := s.removeFolder(other); err != nil {
			return nil, err
		}
	}
	name := s.path(fmt.Sprintf("%s.part-%d-%s", key, os.Getpid(), random()))
	if err := os.Rename(s.path(key+".part"), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	return &part{store: s, key: key, file: file}, nil
}

// commit makes the part the file.
func (p *part) commit(meta Meta) error {
	err := errors.Join(p.file.Sync(), p.file.Close())
	if err == nil {
		err = p.store.putMeta(p.key, meta)
	}
	if err == nil {
		err = os.Rename(p.file.Name(), p.store.path(p.key))
	}
	p.whole = err == nil
	return err
}

// close leaves the part for the next time, or nothing of it.
func (p *part) close(keep bool) {
	if p.whole {
		return
	}
	p.whole = true
	_ = p.file.Close()
	if keep {
		_ = os.Rename(p.file.Name(), p.store.path(p.key+".part"))
	} else {
		_ = os.Remove(p.file.Name())
		if _, err := os.Stat(p.store.path(p.key)); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(p.store.path(p.key + ".json"))
		}
	}
}

// isFull tells whether a write failed because there is no room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
