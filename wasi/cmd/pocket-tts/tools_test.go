package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool is a program that other people have made; without it the test is skipped.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s on this machine", name)
	}
	return path
}

// TestWhatCurlHears: the command lines of the documents, and what comes of them in the eyes of curl, ffprobe and SoX.
func TestWhatCurlHears(t *testing.T) {
	curl := tool(t, "curl")
	s := startServer(t, "--with", "openai,local", "--local-address", "127.0.0.1:0")
	folder := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"--silent", "--show-error", "--fail-with-body", "--max-time", "60"}, args...)...)
		cmd.Dir = folder
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("curl %s: %v %s %s", strings.Join(args, " "), err, &stderr, out)
		}
		return string(out)
	}
	at := s.door(t, "local")
	run(s.address+"/tts", "-F", "text=Hello there.", "-o", "http.wav")
	run(s.address+"/v1/audio/speech", "-d", `{"input": "Hello there.", "stream": false}`, "-o", "openai.wav")
	run(s.address+"/v1/audio/speech", "-d", `{"input": "Hello there."}`, "-o", "openai-streamed.wav")
	run(s.address+"/v1/audio/speech", "-d", `{"input": "Hello there.", "response_format": "flac"}`, "-o", "openai.flac")
	run("-X", "POST", at+"/synthesize", "-H", "Content-Type: application/json", "-d", `{"text": "Hello there.", "voice": "af_heart"}`, "--output", "local.wav")
	var made struct{ URL string }
	if err := json.Unmarshal([]byte(run(at+"/synthesize", "-H", "Accept: application/json", "-d", `{"text": "Hello there."}`)), &made); err != nil {
		t.Fatal(err)
	}
	run(made.URL, "-o", "local-url.wav")

	files := map[string][]byte{}
	for _, name := range []string{"http.wav", "openai.wav", "openai-streamed.wav", "openai.flac", "local.wav", "local-url.wav"} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	samples := len(files["openai.wav"])/2 - 22
	if !bytes.Equal(files["local.wav"], files["openai.wav"]) || !bytes.Equal(files["local-url.wav"], files["openai.wav"]) ||
		!bytes.Equal(files["openai-streamed.wav"][44:], files["openai.wav"][44:]) || len(files["http.wav"]) != len(files["openai.wav"])+9600 {
		t.Errorf("they differ in more than the silence at the end and the sizes in the header")
	}
	if size := binary.LittleEndian.Uint32(files["local.wav"][40:]); int(size) != 2*samples {
		t.Errorf("the header says %d bytes, there are %d", size, 2*samples)
	}

	for _, name := range []string{"http.wav", "openai.wav", "openai-streamed.wav", "openai.flac", "local.wav"} {
		path := filepath.Join(folder, name)
		t.Run("ffprobe "+name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), tool(t, "ffprobe"), "-v", "error", "-show_entries", "stream=codec_type,sample_rate,channels,bits_per_raw_sample,bits_per_sample",
				"-of", "default=noprint_wrappers=1", path).CombinedOutput()
			for _, want := range []string{"codec_type=audio", "sample_rate=24000", "channels=1"} {
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%v, no %s in %s", err, want, out)
				}
			}
		})
		t.Run("sox "+name, func(t *testing.T) {
			raw, err := exec.CommandContext(t.Context(), tool(t, "sox"), path, "-t", "raw", "-e", "signed", "-b", "16", "-").Output()
			if want := files["openai.wav"][44:]; err != nil || !bytes.HasPrefix(raw, want) || len(raw)-len(want) > 9600 {
				t.Errorf("%v, %d bytes of sound, want %d", err, len(raw), len(want))
			}
		})
	}
}
