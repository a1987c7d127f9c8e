package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endsBy sends a signal and checks that the program ends by it at once.
func endsBy(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	begin := time.Now()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 128+int(sig) {
		t.Errorf("%s: %v", sig, err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("%s: it took %s to stop", sig, took)
	}
}

var signals = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// Under nohup the tests inherit an ignored SIGHUP and would hand it on, and the program rightly goes on ignoring it.
// A signal that is asked for here is back to its default in a child.
func defaultHangUp(t *testing.T) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(asked) })
}

func TestSignalWhileStdinIsRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	defaultHangUp(t)
	for _, sig := range signals {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := process(t, "generate", "--text", "-", "--output-path", "-")
		cmd.Stdin = read
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		endsBy(t, cmd, sig)
		read.Close()
		write.Close()
	}
}

func TestSignalWhileTheReaderStalls(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	cmd, _, stderr := start(t, "--output-path", "-", "-q")
	time.Sleep(2 * time.Second) // the pipe is full by now
	endsBy(t, cmd, syscall.SIGTERM)
	if stderr.Len() != 0 {
		t.Errorf("stderr %q", stderr)
	}
}

func TestHangUpLeavesAGoodFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	defaultHangUp(t)
	path := filepath.Join(t.TempDir(), "out.wav")
	cmd, _, _ := start(t, "--output-path", path)
	for range 1000 {
		if info, err := os.Stat(path); err == nil && info.Size() > 10_000 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	endsBy(t, cmd, syscall.SIGHUP)
	sizes(t, path)
}

func TestLargeStdinIsRefused(t *testing.T) {
	r := runWith(t, strings.Repeat("a", 5<<20), "generate", "--text", "-", "--output-path", "-")
	if want := "ERROR: text: expected at most 4194304 bytes, found more\n"; r.code != 1 || string(r.stderr) != want {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
}

func TestByteOrderMarkIsNotSpoken(t *testing.T) {
	plain := say(t, "--text", "Hello world.")
	if !bytes.Equal(plain, say(t, "--text", "\ufeffHello world.")) {
		t.Error("it is")
	}
}

func TestFullDeviceIsNamed(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	r := runWith(t, "", append([]string{"generate", "-q", "--text", "a", "--output-path", "/dev/full"}, model...)...)
	if want := "ERROR: --output-path /dev/full: no space left on device\n"; r.code != 1 || string(r.stderr) != want {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd := process(t, append([]string{"generate", "-q", "--text", "a", "--output-path", "-"}, model...)...)
	cmd.Stdout = full
	if r := finish(t, cmd, ""); r.code != 1 || string(r.stderr) != "ERROR: stdout: no space left on device\n" {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
}
