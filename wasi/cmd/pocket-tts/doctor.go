// The command doctor: what works on this machine.

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

const doctorUsage = "doctor [OPTIONS]"

// finding is a line of the report. A problem makes the program fail.
type finding struct {
	name, text string
	problem    error
}

func newDoctorFlags(cache *string) *pflag.FlagSet {
	flags := newFlagSet("doctor")
	addText(flags, "compile-cache", "PATH|none", "Where compiled code is kept between runs. Default: in the user's cache folder", cache)
	return flags
}

func doctor(ctx context.Context, args []string) error {
	var cache string
	flags := newDoctorFlags(&cache)
	if done, err := parseCommand(flags, doctorUsage, "Says what works on this machine: caches (POCKET_TTS_CACHE, XDG_CACHE_HOME), memory, a word of the starter voice.", args); done || err != nil {
		return err
	}
	module := guest.ModuleBytes()
	report := []finding{
		{name: "program", text: fmt.Sprintf("pocket-tts %s, %s, %s/%s, %d processors in use", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))},
		{name: "engine module", text: fmt.Sprintf("sha256 %x, %d bytes", sha256.Sum256(module), len(module))},
		examineDownloads(),
	}
	report = append(report, examineSpeech(ctx, cache)...)
	problems := 0
	for _, f := range report {
		state := "ok  "
		if f.problem != nil {
			state, f.text = "FAIL", oneLine(f.problem.Error())
			problems++
		}
		if _, err := fmt.Printf("%s  %-14s  %s\n", state, f.name, printable(f.text)); err != nil {
			return err
		}
	}
	if problems > 0 {
		return failf("%d of %d checks failed.", problems, len(report))
	}
	return ctx.Err()
}

func examineDownloads() finding {
	f := finding{name: "downloads"}
	folder, err := hub.DefaultFolder()
	if err == nil {
		err = tryFolder(folder)
	}
	var kept []hub.Kept
	if err == nil {
		kept, err = hub.Store{Folder: folder}.List()
	}
	var bytes int64
	for _, k := range kept {
		bytes += k.Size
	}
	f.text, f.problem = fmt.Sprintf("%s, %d files, %s", folder, len(kept), megabytes(bytes)), err
	return f
}

// tryFolder makes a folder and writes in it.
func tryFolder(folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, "*.tmp")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// examineSpeech speaks a word twice, each time in an engine of its own: the second has what the first one compiled.
func examineSpeech(ctx context.Context, cache string) []finding {
	compiled, memory, speech := finding{name: "compiled code"}, finding{name: "memory"}, finding{name: "speech"}
	var took [2]time.Duration
	var sounds [2][]byte
	for n := range took {
		began := time.Now()
		options := pockettts.Options{PackFS: starter.FS(), CacheDir: cache}
		if cache == "none" {
			options.CacheDir = pockettts.NoCache
		}
		engine, err := pockettts.Load(ctx, options)
		if err != nil {
			compiled.problem, memory.problem, speech.problem = err, err, err
			return []finding{compiled, memory, speech}
		}
		took[n] = time.Since(began)
		began = time.Now()
		stream, err := engine.Speak(ctx, "Hello.", pockettts.SpeakOptions{Format: pockettts.PCM})
		var sound bytes.Buffer
		if err == nil {
			_, err = stream.WriteTo(&sound)
		}
		if err == nil && sound.Len() == 0 {
			err = errors.New("expected a word, found silence")
		}
		seconds, spent := float64(sound.Len()/2)/float64(engine.Info().SampleRate), time.Since(began).Seconds()
		speech.text = fmt.Sprintf("%.2f s of sound in %.2f s (%.1fx real time), sha256 %x", seconds, spent, seconds/spent, sha256.Sum256(sound.Bytes()))
		sounds[n] = sound.Bytes()
		m, memoryErr := engine.Memory(ctx)
		memory.text = fmt.Sprintf("%s in the sandbox, %s of it in use", megabytes(int64(m.Reserved)), megabytes(int64(m.Allocated)))
		memory.problem = errors.Join(memory.problem, memoryErr)
		speech.problem = errors.Join(speech.problem, err, engine.Close())
	}
	if speech.problem == nil && !bytes.Equal(sounds[0], sounds[1]) {
		speech.problem = errors.New("the same request gave two different sounds")
	}
	compiled.text = fmt.Sprintf("engine and starter voice loaded in %.2f s, again in %.2f s", took[0].Seconds(), took[1].Seconds())
	switch cache {
	case "none":
		compiled.text += "; not kept"
	case "":
		folder, err := os.UserCacheDir()
		if err == nil {
			folder = filepath.Join(folder, "pocket-tts-wasm", "wazero")
			err = tryFolder(folder)
		}
		compiled.text, compiled.problem = compiled.text+"; kept in "+folder, err
	default:
		compiled.text, compiled.problem = compiled.text+"; kept in "+cache, tryFolder(cache)
	}
	return []finding{compiled, memory, speech}
}
