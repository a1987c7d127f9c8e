// Compiled code between runs.
//
// wazero keeps it in files and checks the code in them with a CRC, but not the table of functions in front of it: a
// flipped bit there would be a jump to anywhere. So every file gets a second one beside it with its SHA-256, and what
// does not agree with it is removed before wazero looks. Files appear under their names whole (written elsewhere and
// renamed), so any number of processes may use a folder; at worst one of them compiles once more.

package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

const (
	sumSuffix = ".sha256"
	tmpSuffix = ".tmp"
	// What a process that was killed left behind goes after this time.
	tmpAge = time.Hour
)

// compileCached is compile with a cache in a folder. It fails where the folder cannot be used.
func compileCached(ctx context.Context, config Config) (*Module, error) {
	sum := sha256.Sum256(moduleBytes)
	folder := filepath.Join(config.CacheDir, hex.EncodeToString(sum[:8])) // this module's part
	found, err := dropDamaged(folder)
	if err := unlessGone(err); err != nil {
		return nil, err
	}
	cache, err := wazero.NewCompilationCacheWithDir(folder)
	if err != nil {
		return nil, err
	}
	if found == 0 {
		err = tryWriting(folder) // before the time for compiling is spent
	}
	if err != nil {
		_ = cache.Close(ctx)
		return nil, err
	}
	module, err := compile(ctx, config, cache)
	if err == nil {
		// Also where something was found: that may be of another version of wazero.
		if problem := seal(folder); problem != nil {
			config.Logger.Debug("compiled code is not cached", "folder", folder, "reason", problem)
		}
	}
	return module, err
}

// dropDamaged removes the files of a cache that are not what was written, and counts the others.
func dropDamaged(folder string) (found int, err error) {
	err = eachCached(folder, func(path string) error {
		sum, err := fileSum(path)
		if err != nil {
			return unlessGone(err) // another process was faster
		}
		if want, err := os.ReadFile(path + sumSuffix); err == nil && string(want) == sum {
			found++
			return nil
		}
		// Whatever comes in its place is not that either.
		if err := unlessGone(os.Remove(path + sumSuffix)); err != nil {
			return err
		}
		return unlessGone(os.Remove(path))
	})
	return found, err
}

// seal writes the sums of the files in a cache that have none.
func seal(folder string) error {
	return eachCached(folder, func(path string) error {
		if _, err := os.Lstat(path + sumSuffix); !os.IsNotExist(err) {
			return err
		}
		sum, err := fileSum(path)
		if err != nil {
			return unlessGone(err)
		}
		file, err := os.CreateTemp(filepath.Dir(path), "*"+tmpSuffix)
		if err != nil {
			return err
		}
		_, err = file.WriteString(sum)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			err = os.Rename(file.Name(), path+sumSuffix)
		}
		if err != nil {
			_ = os.Remove(file.Name())
		}
		return err
	})
}

// eachCached calls a function for every file of compiled code, and removes old leftovers and what is neither a file nor a
// folder: wazero would follow a link to code that nobody has checked, and wait for a pipe for ever.
func eachCached(folder string, visit func(path string) error) error {
	versions, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, version := range versions {
		if !version.IsDir() {
			if err := dropOther(filepath.Join(folder, version.Name()), version); err != nil {
				return err
			}
			continue
		}
		files, err := os.ReadDir(filepath.Join(folder, version.Name()))
		if err != nil {
			return err
		}
		for _, file := range files {
			path := filepath.Join(folder, version.Name(), file.Name())
			if err := dropOther(path, file); err != nil {
				return err
			}
			switch {
			case strings.HasSuffix(path, tmpSuffix):
				if info, err := file.Info(); err == nil && time.Since(info.ModTime()) > tmpAge {
					_ = os.Remove(path)
				}
			case strings.HasSuffix(path, sumSuffix) || !file.Type().IsRegular():
			default:
				if err := visit(path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// dropOther removes links, pipes and the like.
func dropOther(path string, entry os.DirEntry) error {
	if entry.Type().IsRegular() || entry.IsDir() {
		return nil
	}
	return unlessGone(os.Remove(path))
}

func tryWriting(folder string) error {
	file, err := os.CreateTemp(folder, "*"+tmpSuffix)
	if err != nil {
		return err
	}
	file.Close()
	return os.Remove(file.Name())
}

func fileSum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func unlessGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
