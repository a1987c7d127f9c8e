package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/wav"
)

// eventsOf is what a program tells on stderr: JSON objects, one a line, and nothing else.
func eventsOf(t *testing.T, stderr []byte) (all []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(stderr) {
		var event map[string]any
		if err := json.Unmarshal(line, &event); err != nil || event["type"] == nil || !bytes.HasPrefix(line, []byte(`{"type":`)) {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, event)
	}
	return all
}

func typesOf(all []map[string]any) (types []string) {
	for _, event := range all {
		types = append(types, event["type"].(string))
	}
	return types
}

// TestEvents: frames are told of in their order, and add up to what is in the output.
func TestEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.wav")
	args := append([]string{"generate", "--json-events", "--text", doorText, "--max-tokens", "12", "--seed", "random"}, model...)
	for _, quiet := range []bool{false, true} {
		args := append(slices.Clone(args), "--output-path", path)
		if quiet {
			args = append(args, "-q")
		}
		r := runWith(t, "", args...)
		all := eventsOf(t, r.stderr)
		logs := slices.Contains(typesOf(all), "log")
		all = slices.DeleteFunc(all, func(event map[string]any) bool { return event["type"] == "log" })
		if got := strings.Join(slices.Compact(typesOf(all)), " "); r.code != 0 || len(r.stdout) != 0 || got != "loaded frame done" || logs == quiet {
			t.Fatalf("exit %d, %s, log lines: %t", r.code, got, logs)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		samples, chunk, step := 0, 0, -1
		for _, event := range all {
			switch event["type"] {
			case "loaded":
				if event["pack"] == "" || event["precision"] != "f32" && event["precision"] != "q8" || event["sample_rate"] != 24000.0 || !(event["took"].(float64) > 0) {
					t.Errorf("%v", event)
				}
			case "frame":
				if event["chunk"] == float64(chunk+1) {
					chunk, step = chunk+1, -1
				}
				step++
				samples += int(event["samples"].(float64))
				if event["chunk"] != float64(chunk) || event["step"] != float64(step) || event["total_samples"] != float64(samples) {
					t.Fatalf("%v, expected chunk %d, step %d, %d samples", event, chunk, step, samples)
				}
			case "done":
				if event["output"] != path || event["total_samples"] != float64(samples) || event["seconds"] != float64(samples)/24000 ||
					!(event["first_frame"].(float64) > 0) || !(event["took"].(float64) >= event["first_frame"].(float64)) {
					t.Errorf("%v", event)
				}
			}
		}
		if chunk < 2 || len(file) != wav.HeaderBytes+2*(samples+wav.TailSamples) {
			t.Errorf("%d chunks, %d samples, %d bytes", chunk+1, samples, len(file))
		}
	}
	r := runWith(t, "", append(args, "--output-path", "-", "-q")...)
	if all := eventsOf(t, r.stderr); r.code != 0 || len(r.stdout) < 3840 || all[len(all)-1]["output"] != "-" {
		t.Errorf("exit %d, %d bytes, %v", r.code, len(r.stdout), all)
	}
}

// TestEventsOfFailures: one line, whatever failed first, and the exit code of everybody.
func TestEventsOfFailures(t *testing.T) {
	for name, args := range map[string][]string{
		"no text":     {"--text", " "},
		"no voice":    {"--voice", "nobody", "--text", "a", "--output-path", filepath.Join(t.TempDir(), "out.wav")},
		"no pack":     {"--pack", "nowhere/at/all", "--text", "a", "--output-path", filepath.Join(t.TempDir(), "out.wav")},
		"full device": append([]string{"--text", "a", "--output-path", "/dev/full"}, model...),
	} {
		if _, err := os.Stat("/dev/full"); err != nil && name == "full device" {
			continue
		}
		r := runWith(t, "", append([]string{"generate", "-q", "--json-events"}, args...)...)
		all := eventsOf(t, r.stderr)
		if n := len(all) - 1; r.code != 1 || len(r.stdout) != 0 || n < 0 || all[n]["type"] != "error" || all[n]["message"] == "" || len(all[n]) != 2 {
			t.Errorf("%s: exit %d, %v", name, r.code, all)
		}
	}
}

// TestDownloadsAreEvents: not each of their parts, but always the last one.
func TestDownloadsAreEvents(t *testing.T) {
	var lines bytes.Buffer
	e := &events{to: &lines}
	for loaded := range int64(1001) {
		e.download(pockettts.Progress{Pack: "p", File: "f", Loaded: loaded, Total: 1000})
	}
	e.download(pockettts.Progress{Pack: "p", File: "g", Loaded: 3, Total: 3})
	e.last = e.last.Add(-statusEvery)
	e.download(pockettts.Progress{Pack: "p", File: "h", Loaded: 7, Total: -1})
	all := eventsOf(t, lines.Bytes())
	if len(all) < 4 || len(all) > 900 {
		t.Fatalf("%d events", len(all))
	}
	last := fmt.Sprint(all[len(all)-3:])
	if want := "[map[file:f loaded:1000 pack:p total:1000 type:download] map[file:g loaded:3 pack:p total:3 type:download] map[file:h loaded:7 pack:p total:<nil> type:download]]"; last != want {
		t.Error(last)
	}
}
