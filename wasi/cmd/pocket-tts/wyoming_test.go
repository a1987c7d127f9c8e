package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

var wyomingListens = regexp.MustCompile(`INFO: Listening on tcp://(\S+)`)

// startWyoming starts a program that serves the protocol on a free port, and waits until it listens.
func startWyoming(t *testing.T, environment []string, args ...string) (cmd *exec.Cmd, address string, log *bytes.Buffer) {
	t.Helper()
	cmd = process(t, args...)
	cmd.Env = append(cmd.Env, environment...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	log = new(bytes.Buffer) // complete when the program has ended
	ready := make(chan string, 8)
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(log, lines.Text())
			if found := wyomingListens.FindStringSubmatch(lines.Text()); found != nil {
				ready <- found[1]
			}
		}
	}()
	select {
	case address, ok := <-ready:
		if !ok {
			t.Fatalf("it ended: %s", log)
		}
		return cmd, address, log
	case <-time.After(time.Minute):
		t.Fatal("it does not listen")
	}
	return nil, "", nil
}

const request = `{"type": "describe"}` + "\n" + `{"type": "synthesize", "data": {"text": "Hello world."}}` + "\n"

// wyomingAnswer reads the answer to request: kinds of events, each once where it is repeated, and the sound.
func wyomingAnswer(t *testing.T, from io.Reader) (kinds string, info string, pcm []byte) {
	t.Helper()
	last := ""
	for r := bufio.NewReader(from); last != "audio-stop"; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			t.Fatalf("after %q: %v", kinds, err)
		}
		var head struct {
			Type          string `json:"type"`
			DataLength    int    `json:"data_length"`
			PayloadLength int    `json:"payload_length"`
		}
		if err := json.Unmarshal(line, &head); err != nil {
			t.Fatal(err)
		}
		rest := make([]byte, head.DataLength+head.PayloadLength)
		if _, err := io.ReadFull(r, rest); err != nil {
			t.Fatal(err)
		}
		if head.Type != last {
			kinds += head.Type + " "
		}
		if last = head.Type; last == "info" {
			info = string(rest)
		}
		pcm = append(pcm, rest[head.DataLength:]...)
	}
	return kinds, info, pcm
}

const answered = "info audio-start audio-chunk audio-stop "

// spokenPCM is what generate says without header and silence.
func spokenPCM(t *testing.T) []byte {
	file := say(t, "--text", "Hello world.")
	return file[wav.HeaderBytes : len(file)-2*wav.TailSamples]
}

func TestWyomingSaysWhatTheCommandLineSays(t *testing.T) {
	want := spokenPCM(t)
	folder := t.TempDir()
	for name, one := range map[string]struct{ environment, args []string }{
		"by flags": {nil, append([]string{"wyoming", "--host", "127.0.0.1", "--port", "0", "--debug", "--log-format", "x", "--debug-wav", "--debug-dir", folder}, model...)},
		"by environment": {[]string{"WYOMING_PORT=0", "WYOMING_HOST=localhost", "MODEL_VARIANT=b6369a24", "DEFAULT_VOICE=" + fixture + "/voice.safetensors", "PYTHONUNBUFFERED=1"},
			append([]string{"wyoming"}, model[:2]...)},
		"beside HTTP": {[]string{"WYOMING_PORT=0"}, append([]string{"serve", "--port", "0", "--with", "wyoming"}, model...)},
	} {
		cmd, address, log := startWyoming(t, one.environment, one.args...)
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request)
		kinds, info, pcm := wyomingAnswer(t, conn)
		if kinds != answered || !strings.Contains(info, `"version": "`+version+`"`) || !bytes.Equal(pcm, want) {
			t.Errorf("%s: %s, %s, %d bytes of sound, want %d", name, kinds, info, len(pcm), len(want))
		}
		conn.Close()
		if runtime.GOOS == "windows" {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "by flags" && !strings.Contains(log.String(), "DEBUG: DEBUG STREAM: sent 1024 samples") {
			t.Errorf("the log: %s", log)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "debug_*.wav")); len(files) != 1 {
		t.Errorf("recordings: %v", files)
	}
}

// TestWyomingEndsWhileItLoads: in the middle of compiling, which knows no contexts, it ends as well as later.
func TestWyomingEndsWhileItLoads(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	s := launch(t, process(t, "wyoming", "--port", "0", "--compile-cache", "none"), wyomingListens)
	if code := s.stop(t, syscall.SIGTERM); code != 0 || strings.Contains(s.logged(), "ERROR") || strings.Contains(s.logged(), "loaded in") {
		t.Errorf("exit %d: %s", code, s.logged())
	}
}

func TestWyomingLimits(t *testing.T) {
	for args, want := range map[string]string{
		"--max-text-chars 5":                 "info error audio-stop ", // of "Hello world.", which takes two seconds
		"--max-sound-seconds 1":              "info audio-start audio-chunk error audio-stop ",
		"--max-sound-seconds 60 --workers 2": answered,
	} {
		r := runWith(t, request, append(append([]string{"wyoming", "--uri", "stdio://", "-q"}, model...), strings.Fields(args)...)...)
		if kinds, _, _ := wyomingAnswer(t, bytes.NewReader(r.stdout)); r.code != 0 || kinds != want {
			t.Errorf("%s: exit %d, %s, want %s", args, r.code, kinds, want)
		}
	}
}

func TestWyomingOverStdio(t *testing.T) {
	r := runWith(t, request, append([]string{"wyoming", "--uri", "stdio://", "-q"}, model...)...)
	if r.code != 0 || len(r.stderr) != 0 {
		t.Fatalf("exit %d, stderr %q", r.code, r.stderr)
	}
	if kinds, _, pcm := wyomingAnswer(t, bytes.NewReader(r.stdout)); kinds != answered || !bytes.Equal(pcm, spokenPCM(t)) {
		t.Errorf("%s, %d bytes of sound", kinds, len(pcm))
	}
}

func TestWyomingCommandLinesThatAreRefused(t *testing.T) {
	for line, want := range map[string]struct {
		code  int
		error string
	}{
		"--nonsense":                        {2, "No such option"},
		"now":                               {2, "extra argument (now)"},
		"--prefix commas":                   {2, "'commas' is not one of 'direct', 'dots'"},
		"--workers 0":                       {2, "Invalid value for '--workers': '0' is less than 1."},
		"--port 65536":                      {1, "--port: expected 0 to 65535, found '65536'."},
		"--uri udp://localhost:1":           {1, "--uri udp://localhost:1: "},
		"--uri unix:///x --zeroconf":        {1, "--zeroconf needs a tcp:// server"},
		"--uri stdio:// --zeroconf kitchen": {1, "--zeroconf needs a tcp:// server"},
		"--variant nothing":                 {1, "Unknown language 'nothing'"},
		"--variant b6369a24 --pack x":       {1, "Cannot specify both variant and pack"},
		"--port 0 --voice nobody":           {1, "--voice nobody: neither a voice"},
	} {
		r := runWith(t, "", append([]string{"wyoming"}, strings.Fields(line)...)...)
		if r.code != want.code || !strings.Contains(string(r.stderr), want.error) {
			t.Errorf("%s: exit %d, %s", line, r.code, r.stderr)
		}
	}
	if r := runWith(t, "", "wyoming", "--help"); r.code != 0 || !strings.Contains(string(r.stdout), "--zeroconf") || !strings.Contains(string(r.stdout), "PREFIX_MIN_DURATION") {
		t.Errorf("exit %d, %s", r.code, r.stdout)
	}
}
