//go:build unix

package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// offered makes a module proxy of a folder that has this module, as it lies here, in one version; it returns what to install.
func offered(t *testing.T, proxy string) string {
	t.Helper()
	const module, version = "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi", "v0.1.0"
	folder := filepath.Join(proxy, filepath.FromSlash(module), "@v")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.MkdirAll(folder, 0o755),
		os.WriteFile(filepath.Join(folder, "list"), []byte(version+"\n"), 0o644),
		os.WriteFile(filepath.Join(folder, version+".info"), []byte(`{"Version":"`+version+`"}`), 0o644),
		os.WriteFile(filepath.Join(folder, version+".mod"), mod, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(folder, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	source := os.DirFS("../..")
	err = fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(source, path)
		if err != nil {
			return err
		}
		w, err := archive.Create(module + "@" + version + "/" + path)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err = errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	return module + "/cmd/pocket-tts@" + version
}

// TestGoInstall: somebody who has nothing but the module has a program that speaks.
func TestGoInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program once more")
	}
	proxy, folder := t.TempDir(), t.TempDir()
	what := offered(t, proxy)
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "install", what)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOBIN="+folder, "GOMODCACHE="+filepath.Join(folder, "mod"), "GOFLAGS=-modcacherw -trimpath", "CGO_ENABLED=0",
		"GOSUMDB=off", "GOWORK=off", "GOPROXY=file://"+proxy+",file://"+strings.TrimSpace(string(modules))+"/cache/download")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	installed := func(args ...string) result {
		cmd := process(t, args...)
		cmd.Path, cmd.Dir = filepath.Join(folder, "pocket-tts"), folder
		return finish(t, cmd, "")
	}
	module, err := os.ReadFile("../../internal/guest/pocket_tts.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if r, want := installed("--version"), fmt.Sprintf("pocket-tts %s (engine module %x)\n", version, sha256.Sum256(module)); string(r.stdout) != want {
		t.Errorf("%q, want %q", r.stdout, want)
	}
	want := runWith(t, "", "generate", "-q", "--text", "Hi.", "--output-path", "-").stdout
	if r := installed("generate", "-q", "--text", "Hi.", "--output-path", "-"); r.code != 0 || len(want) == 0 || !bytes.Equal(r.stdout, want) {
		t.Errorf("exit %d, %d bytes, want %d, %s", r.code, len(r.stdout), len(want), r.stderr)
	}
	if r := installed("licenses"); r.code != 0 || !bytes.Contains(r.stdout, []byte("\n==== github.com/tetratelabs/wazero v")) {
		t.Errorf("licenses: exit %d, %d bytes", r.code, len(r.stdout))
	}
}

// TestHomes: without a folder of its own the program speaks all the same, and says so where it needs one.
func TestHomes(t *testing.T) {
	if err := os.Chmod(filepath.Dir(program), 0o755); err != nil { // for somebody else
		t.Fatal(err)
	}
	empty, locked := t.TempDir(), t.TempDir()
	if err := os.Chmod(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	want := runWith(t, "", "generate", "-q", "--text", "Hi.", "--output-path", "-").stdout
	const nowhere = "found none in this environment"
	for name, row := range map[string]struct {
		home []string
		says string // to somebody who wants to download
	}{
		"none":      {nil, nowhere},
		"no name":   {[]string{"HOME="}, nowhere},
		"empty":     {[]string{"HOME=" + empty, "HF_HUB_OFFLINE=1"}, "is not in the cache (" + empty + "/.cache/pocket-tts-wasm/packs)"},
		"read-only": {[]string{"HOME=" + locked}, "permission denied"},
		"no folder": {[]string{"HOME=/dev/null"}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(args ...string) result {
				cmd := exec.CommandContext(t.Context(), program, args...)
				cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HF_ENDPOINT=http://127.0.0.1:1"}, row.home...)
				if name == "read-only" && os.Geteuid() == 0 { // who may write everywhere
					cmd.Dir = "/"
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				}
				return finish(t, cmd, "")
			}
			r := run("generate", "--text", "Hi.", "--output-path", "-")
			if r.code != 0 || !bytes.Equal(r.stdout, want) || bytes.Contains(r.stderr, []byte("WARNING")) {
				t.Errorf("exit %d, %d bytes, want %d, %s", r.code, len(r.stdout), len(want), r.stderr)
			}
			for _, args := range [][]string{{"generate", "--text", "a", "--language", "english"}, {"packs", "pull", "french"}} {
				if r := run(args...); r.code != 1 || bytes.Count(r.stderr, []byte("\n")) != 1 || !bytes.Contains(r.stderr, []byte(row.says)) {
					t.Errorf("%v: exit %d, %q, want %q", args, r.code, r.stderr, row.says)
				}
			}
			if r := run("packs", "list"); row.says == nowhere && (r.code != 0 || !bytes.Contains(r.stdout, []byte("\nenglish\n")) || !bytes.Contains(r.stdout, []byte("\nCache: none"))) {
				t.Errorf("packs list: exit %d, %s%s", r.code, r.stdout, r.stderr)
			}
			if r := run("--version"); r.code != 0 {
				t.Errorf("--version: exit %d, %s", r.code, r.stderr)
			}
		})
	}
	if kept, _ := filepath.Glob(filepath.Join(empty, ".cache", "pocket-tts-wasm", "wazero", "*")); len(kept) == 0 {
		t.Error("an empty home keeps nothing")
	}
}
