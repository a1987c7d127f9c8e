package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestConvertedPackSpeaksLikeItsSource(t *testing.T) {
	for _, precision := range []string{"q8", "q4"} {
		target := filepath.Join(t.TempDir(), "target")
		r := runWith(t, "", "packs", "convert", model[1], "--precision", precision, target, "--without-encoder")
		if r.code != 0 || len(r.stdout) != 0 || !strings.HasSuffix(string(r.stderr), "\nINFO: Pack ("+precision+") written in "+target+"\n") {
			t.Fatalf("exit %d, stdout %d bytes, stderr %q", r.code, len(r.stdout), r.stderr)
		}
		args := []string{"generate", "-q", "--text", "Hello world.", "--output-path", "-", "--voice", model[3]}
		converted := runWith(t, "", append(args, "--pack", target)...)
		if want := say(t, "--text", "Hello world.", "--precision", precision); !bytes.Equal(converted.stdout, want) {
			t.Errorf("%s: exit %d, other samples, stderr %q", precision, converted.code, converted.stderr)
		}
		again := runWith(t, "", "packs", "convert", "starter", target)
		if want := "ERROR: " + target + ": is there already; --force replaces a pack\n"; again.code != 1 || string(again.stderr) != want {
			t.Errorf("exit %d, stderr %q", again.code, again.stderr)
		}
		if replaced := runWith(t, "", "packs", "convert", "starter", target, "--force", "-q"); replaced.code != 0 || len(replaced.stderr) != 0 {
			t.Errorf("exit %d, stderr %q", replaced.code, replaced.stderr)
		}
	}
}

func TestConvertUsage(t *testing.T) {
	for args, want := range map[string]string{
		"convert":                       "Missing argument 'SOURCE'.",
		"convert starter":               "Missing argument 'TARGET'.",
		"convert a b c":                 "Got unexpected extra argument (c)",
		"convert a b --precision f32":   "Invalid value for '--precision': 'f32' is not one of 'q8', 'q4'.",
		"convert a b --precision q2":    "Invalid value for '--precision': 'q2' is not one of 'q8', 'q4'.",
		"convert a b --precision":       "Option '--precision' requires an argument.",
		"convert a b --without-decoder": "No such option: --without-decoder",
		"convert a b --force=yes":       "Invalid value for '--force': it does not take a value.",
	} {
		r := runWith(t, "", append([]string{"packs"}, strings.Fields(args)...)...)
		if r.code != 2 || len(r.stdout) != 0 || !strings.HasPrefix(string(r.stderr), "Usage: pocket-tts packs convert SOURCE TARGET [OPTIONS]\n") ||
			!strings.HasSuffix(string(r.stderr), "\nERROR: "+want+"\n") {
			t.Errorf("%q: exit %d, stderr %q", args, r.code, r.stderr)
		}
	}
	for _, args := range []string{"--help", "-h", "convert --help", "convert -h"} {
		if r := runWith(t, "", append([]string{"packs"}, strings.Fields(args)...)...); r.code != 0 || !bytes.Contains(r.stdout, []byte("--without-encoder")) {
			t.Errorf("%q: exit %d, stdout %q", args, r.code, r.stdout)
		}
	}
}

func TestFailedConversionLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	target := filepath.Join(folder, "target")
	for name, c := range map[string]struct{ source, target, want string }{
		"source":        {filepath.Join(folder, "none"), target, "none: not found"},
		"configuration": {filepath.Join(folder, "none.yaml"), target, "none.yaml: not found"},
		"far source":    {"hf://a/b", target, "hf://a/b/pack.json@main is not in the cache"},
		"far target":    {model[1], "https://example.invalid/pack", "expected a folder of this machine"},
		"parent":        {model[1], filepath.Join(folder, "none", "target"), "none: no such file or directory"},
		"not a pack":    {folder, target, "pack.json: not found"},
	} {
		r := runWith(t, "", "packs", "convert", c.source, c.target)
		if r.code != 1 || len(r.stdout) != 0 || !bytes.HasPrefix(r.stderr, []byte("ERROR: ")) ||
			!bytes.Contains(r.stderr, []byte(c.want)) || bytes.Count(r.stderr, []byte("\n")) != 1 {
			t.Errorf("%s: exit %d, stderr %q", name, r.code, r.stderr)
		}
	}
	if runtime.GOOS == "linux" {
		full := exec.Command("bash", "-c", `trap "" XFSZ; ulimit -f 100; exec "$0" "$@"`, program, "packs", "convert", "--compile-cache", "none", model[1], target)
		if r := finish(t, full, ""); r.code != 1 || string(r.stderr) != "ERROR: "+target+": file too large\n" {
			t.Errorf("full: exit %d, stderr %q", r.code, r.stderr)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestSignalLeavesNoConversion(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	folder := t.TempDir()
	for _, wait := range []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond} {
		cmd := process(t, "packs", "convert", "-q", "starter", filepath.Join(folder, "target"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 10_000 {
			if entries, err := os.ReadDir(folder); err == nil && len(entries) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(wait)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err == nil {
			break // it was done before
		}
		entries, err := os.ReadDir(folder)
		if code := cmd.ProcessState.ExitCode(); code != 143 || err != nil || len(entries) != 0 {
			t.Errorf("after %s: exit %d, left behind %v, %v", wait, code, entries, err)
		}
	}
}
