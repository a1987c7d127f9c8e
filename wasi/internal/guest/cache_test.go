package guest

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// compileIn compiles with a cache and uses the result.
func compileIn(t *testing.T, folder string) {
	t.Helper()
	m, err := Compile(t.Context(), Config{CacheDir: folder, MaxMemory: 1 << 30})
	if err != nil {
		t.Error(err)
		return
	}
	if i, err := m.Instantiate(t.Context()); err != nil {
		t.Error(err)
	} else if version, err := i.Version(t.Context()); err != nil || version == "" {
		t.Errorf("version %q, %v", version, err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// cached finds the file of compiled code.
func cached(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*", "wazero-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var code []string
	for _, file := range files {
		if !strings.HasSuffix(file, sumSuffix) {
			code = append(code, file)
		}
	}
	if len(code) != 1 || len(files) != 2 {
		t.Fatalf("in the cache: %q", files)
	}
	return code[0]
}

func TestCacheThatCannotBeMadeCostsTimeOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Compile(t.Context(), Config{CacheDir: filepath.Join(file, "cache"), MaxMemory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCacheThatMayNotBeWrittenCostsTimeOnly(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	compileIn(t, folder) // as root it may; then this is a cache as any other
}

// A program that was built with another wazero has its code in the same folder, in a part of its own.
func TestCacheIsKeptBesideThatOfAnotherVersion(t *testing.T) {
	folder := t.TempDir()
	compileIn(t, folder)
	version := filepath.Dir(cached(t, folder))
	if err := os.Rename(version, filepath.Join(filepath.Dir(version), "wazero-another")); err != nil {
		t.Fatal(err)
	}
	var first os.FileInfo
	for range 2 {
		compileIn(t, folder)
		code, err := filepath.Glob(filepath.Join(version, "*"))
		if err != nil || len(code) != 2 || !strings.HasSuffix(code[1], sumSuffix) {
			t.Fatalf("in the cache: %q, %v", code, err)
		}
		file, err := os.Stat(code[0])
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !os.SameFile(first, file) {
			t.Error("it was compiled again")
		}
		first = file
	}
}

// Damage of every kind: wazero itself would notice some of it, trip over some, and run some.
func TestDamagedCacheIsNotTrustedAndReplaced(t *testing.T) {
	folder := t.TempDir()
	compileIn(t, folder)
	good, err := os.ReadFile(cached(t, folder))
	if err != nil {
		t.Fatal(err)
	}
	// "WAZEVO", the length of the version and itself, the number of functions, the table of their places.
	table := 7 + int(good[6]) + 4
	functions := int(binary.LittleEndian.Uint32(good[table-4:]))
	if functions < 100 || table+8*functions > len(good)/2 {
		t.Fatalf("%d functions in %d bytes: the layout of the file is another one", functions, len(good))
	}
	flipped := func(at int, bit byte) []byte {
		data := bytes.Clone(good)
		data[at] ^= bit
		return data
	}
	for name, damaged := range map[string][]byte{
		"empty":               {},
		"cut in the header":   good[:5],
		"cut in the table":    good[:table+100],
		"cut in the code":     good[:len(good)/2],
		"last byte missing":   good[:len(good)-1],
		"other magic":         flipped(0, 1),
		"other version":       flipped(8, 1),
		"more functions":      flipped(table-1, 0x40),
		"a function moved":    flipped(table+8*(functions/2), 0x10),
		"all functions moved": append(append(bytes.Clone(good[:table]), bytes.Repeat([]byte{0x10}, 8*functions)...), good[table+8*functions:]...),
		"huge code":           flipped(table+8*functions+4, 1),
		"other code":          flipped(len(good)/2, 4),
		"other end":           flipped(len(good)-1, 1),
		"zeros":               make([]byte, len(good)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(cached(t, folder), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			compileIn(t, folder)
			if after, err := os.ReadFile(cached(t, folder)); err != nil || bytes.Equal(after, damaged) || len(after) != len(good) {
				t.Errorf("%d bytes in the cache afterwards, want %d, %v", len(after), len(good), err)
			}
		})
	}
	t.Run("sum missing", func(t *testing.T) {
		if err := os.Remove(cached(t, folder) + sumSuffix); err == nil {
			compileIn(t, folder)
		}
		cached(t, folder)
	})
}

func TestLinksInTheCacheAreNotFollowed(t *testing.T) {
	folder, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "code")
	compileIn(t, folder)
	path := cached(t, folder)
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	code[100] ^= 0x40 // in the table of functions, which wazero does not check
	if err := os.WriteFile(elsewhere, code, 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(from, to string) {
		t.Helper()
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(from, to); err != nil {
			t.Skip(err)
		}
	}
	link(elsewhere, path)
	compileIn(t, folder)
	if info, err := os.Lstat(cached(t, folder)); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the link is still there: %v, %v", info, err)
	}
	version := filepath.Dir(path)
	link(filepath.Dir(elsewhere), version)
	if err := os.Rename(elsewhere, filepath.Join(filepath.Dir(elsewhere), filepath.Base(path))); err != nil {
		t.Fatal(err)
	}
	compileIn(t, folder)
	if info, err := os.Lstat(version); err != nil || !info.IsDir() {
		t.Errorf("the folder is still a link: %v, %v", info, err)
	}
}

func TestCacheIsSharedByManyAtOnce(t *testing.T) {
	folder := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 2 {
				compileIn(t, folder)
			}
		})
	}
	group.Wait()
	before := modified(t, cached(t, folder))
	compileIn(t, folder)
	if modified(t, cached(t, folder)) != before {
		t.Error("it was not used afterwards")
	}
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func TestLeftoversInTheCacheGo(t *testing.T) {
	folder := t.TempDir()
	compileIn(t, folder)
	left := filepath.Join(filepath.Dir(cached(t, folder)), "left.1"+tmpSuffix)
	fresh := filepath.Join(filepath.Dir(cached(t, folder)), "fresh.1"+tmpSuffix)
	for _, path := range []string{left, fresh} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(left, time.Time{}, time.Now().Add(-2*tmpAge)); err != nil {
		t.Fatal(err)
	}
	compileIn(t, folder)
	_, leftErr := os.Stat(left)
	_, freshErr := os.Stat(fresh)
	if !os.IsNotExist(leftErr) || freshErr != nil {
		t.Errorf("an old one: %v; one that is being written: %v", leftErr, freshErr)
	}
}
