// The command generate: a text becomes a WAV file, written while it is spoken.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

// starterName is the pack that is in the program; a folder of that name is ./starter.
const starterName = "starter"

// Sizes that are refused before anything is read to its end: those of the engine and of the package.
const (
	textLimit  = 4 << 20
	voiceLimit = 64 << 20
	audioLimit = 256 << 20
)

const generateUsage = "generate [OPTIONS]"

func generate(ctx context.Context, args []string) error {
	o := new(options)
	if done, err := parseCommand(newFlags(o), generateUsage, "Speaks a text into a WAV file.", args); done || err != nil {
		return err
	}
	var told *events
	if o.jsonEvents {
		told = &events{to: os.Stderr, quiet: o.quiet}
	}
	return told.orError(o.generate(ctx, told))
}

// generate does what the command line asks for. Without events, stderr has lines for people.
func (o *options) generate(ctx context.Context, told *events) error {
	text, err := readText(ctx, o, os.Stdin)
	if err != nil {
		return err
	}
	if err := checkOptions(o); err != nil {
		return err
	}
	o.setConfigVoice()
	hold, err := holdSeconds(os.Getenv("FIRST_CHUNK_LENGTH_SECONDS"))
	if err != nil {
		return err
	}
	if err := checkOutput(o.outputPath); err != nil {
		return err
	}
	log, line := newConsole(o.quiet)
	if told != nil {
		log, line = slog.New(eventHandler{events: told}), nil
	}
	defer line.clear()
	if o.lsdSteps != nil {
		log.Warn("--lsd-decode-steps is deprecated, use --sampler-decode-steps")
	}
	if o.seedRandom {
		log.Info(fmt.Sprintf("Seed: %d", *o.seed))
	}
	voice, err := findVoice("--voice ", o.voice, o.voiceGiven)
	if err != nil {
		return err
	}
	return speak(ctx, o, text, voice, hold, log, line, told)
}

// readText returns what is to be spoken; blank texts end here, before anything is loaded.
func readText(ctx context.Context, o *options, stdin io.Reader) (string, error) {
	text := defaultText(o.official())
	if o.textGiven {
		text = o.text
	}
	if text == "-" {
		data, err := readAll(ctx, io.LimitReader(stdin, textLimit+1))
		if err != nil {
			return "", fmt.Errorf("reading stdin: %w", err)
		}
		if len(data) > textLimit {
			return "", failf("text: expected at most %d bytes, found more", textLimit)
		}
		text = string(data)
	}
	text = strings.TrimPrefix(text, "\ufeff") // a byte order mark says nothing
	if strings.TrimSpace(text) == "" {
		return "", failf("No input received from stdin.")
	}
	return text, nil
}

// readAll reads to the end or until the context is done; nothing else can interrupt a read of stdin.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(r)
		done <- result{data, err}
	}()
	select {
	case all := <-done:
		return all.data, all.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// checkOptions refuses what the flags ask for and this version does not have. Nothing has been loaded yet.
func checkOptions(o *options) error {
	if err := o.check(); err != nil {
		return err
	}
	switch {
	case o.checkpointGiven:
		return failf("--checkpoint: training checkpoints are not supported; export the model to safetensors and use --config.")
	case o.device != "cpu":
		return failf("--device %s: only cpu is supported.", o.device)
	case o.voiceGiven && o.voice == "":
		return failf("--voice: expected a name or a file, found an empty text.")
	case o.speed != nil && *o.speed == 0: // which means nothing else to the package
		return failf("--speed: expected 0.25 to 4, found 0")
	}
	return nil
}

// localPath turns a file: URL into the path that it names.
func localPath(path string) (string, error) {
	if !strings.HasPrefix(path, "file://") {
		return path, nil
	}
	location, err := url.Parse(path)
	if err != nil || location.Host != "" && location.Host != "localhost" || location.Path == "" {
		return "", fmt.Errorf("%s: expected a URL of this machine (file:///folder)", path)
	}
	local := location.Path
	if runtime.GOOS == "windows" { // file:///C:/folder
		local = strings.TrimPrefix(local, "/")
	}
	return filepath.FromSlash(local), nil
}

func isYAML(path string) bool {
	extension := filepath.Ext(path)
	return extension == ".yaml" || extension == ".yml"
}

// holdSeconds reads FIRST_CHUNK_LENGTH_SECONDS: audio held back before the first byte goes out.
func holdSeconds(value string) (float64, error) {
	if value == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	outOfRange := errors.Is(err, strconv.ErrRange) // as good as infinite
	if err != nil && !outOfRange || math.IsNaN(seconds) || strings.ContainsAny(value, "xX_") {
		return 0, failf("FIRST_CHUNK_LENGTH_SECONDS: expected a number, found '%s'.", value)
	}
	return max(0, seconds), nil
}

// voiceChoice is what --voice names: nothing, a name in the pack, a voice file or a recording.
type voiceChoice struct {
	flag      string // in front of it in messages
	arg       string
	seconds   float32 // of a recording that are taken; 0 is all
	voiceFile bool
	remote    bool  // at an address
	missing   bool  // there is no such file
	problem   error // why the file cannot be read
}

// setConfigVoice gives a configuration, which has no voices, the one that the reference speaks with.
func (o *options) setConfigVoice() {
	if o.configGiven && !o.voiceGiven {
		o.voice, o.voiceGiven = hub.ConfigVoice, true
	}
}

// findVoice tells what --voice names, as far as that can be told without the pack.
func findVoice(flag, arg string, given bool) (voiceChoice, error) {
	choice := voiceChoice{flag: flag, arg: arg, voiceFile: strings.HasSuffix(hub.FilePath(arg), ".safetensors")}
	if !given {
		return choice, nil
	}
	if choice.remote = pack.IsRemote(arg); choice.remote {
		if err := hub.CheckFile(arg); err != nil {
			return choice, failf("%s%s", strings.Replace(flag, " ", ": ", 1), err)
		}
		return choice, nil
	}
	info, err := os.Stat(arg)
	limit := int64(audioLimit)
	if choice.voiceFile {
		limit = voiceLimit
	}
	switch {
	case err != nil:
		choice.missing = true
		if choice.voiceFile {
			return choice, failf("%s%s: no such file", flag, arg)
		}
		return choice, nil
	case plain.Check(info) != nil:
		choice.problem = plain.Check(info)
	case info.Size() > limit:
		choice.problem = fmt.Errorf("expected at most %d bytes, found %d", limit, info.Size())
	}
	if choice.voiceFile && choice.problem != nil {
		return choice, failf("%s%s: %s", flag, arg, choice.problem)
	}
	return choice, nil
}

// load makes the voice; settings say how an address is asked.
func (c voiceChoice) load(ctx context.Context, engine *pockettts.Engine, settings pockettts.Options) (*pockettts.Voice, error) {
	known := slices.ContainsFunc(engine.Voices(), func(v pockettts.VoiceInfo) bool { return v.Name == c.arg })
	switch {
	case c.arg == "" || known && !c.voiceFile:
		return engine.Voice(ctx, c.arg)
	case c.missing:
		var names []string
		for _, info := range engine.Voices() {
			names = append(names, info.Name)
		}
		if len(names) == 0 {
			names = []string{"it has none"}
		}
		return nil, failf("%s%s: neither a voice of this pack (%s) nor a file.", c.flag, c.arg, strings.Join(names, ", "))
	}
	if c.problem != nil {
		return nil, failf("%s%s: %s", c.flag, c.arg, c.problem)
	}
	var voice *pockettts.Voice
	file, err := c.open(ctx, settings)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if c.voiceFile {
		voice, err = engine.LoadVoice(ctx, file)
	} else {
		voice, err = engine.CloneVoice(ctx, file, pockettts.CloneOptions{MaxSeconds: c.seconds})
	}
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", c.flag, hub.ShownAddress(c.arg), err)
	}
	return voice, nil
}

// open opens the file, or fetches it.
func (c voiceChoice) open(ctx context.Context, settings pockettts.Options) (io.ReadCloser, error) {
	if !c.remote {
		file, err := plain.Open(c.arg)
		if err != nil {
			return nil, failf("%s%s: %s", c.flag, c.arg, reasonOf(err))
		}
		return file, nil
	}
	limit := int64(audioLimit)
	if c.voiceFile {
		limit = voiceLimit
	}
	data, err := hub.File(ctx, c.arg, limit, hubOptions(settings))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// speak loads the model, speaks and reports.
func speak(ctx context.Context, o *options, text string, choice voiceChoice, hold float64, log *slog.Logger, line *status, told *events) error {
	started := time.Now()
	settings := o.settings(log, line)
	if told != nil {
		settings.Progress = told.download
	}
	settings.Precision, settings.CacheDir = pockettts.Precision(o.precision), o.cache
	settings.NoCloning = choice.voiceFile || choice.missing || choice.arg == ""
	switch o.instances {
	case "1":
		settings.Instances = 1
	case "2":
		settings.Instances = 2
	}
	if o.parallel != nil {
		settings.Parallel = *o.parallel
	}
	if o.cache == "none" {
		settings.CacheDir = pockettts.NoCache
	}
	engine, err := pockettts.Load(ctx, settings)
	if err != nil {
		return o.inFlags(err)
	}
	defer engine.Close()
	voice, err := choice.load(ctx, engine, settings)
	if err != nil {
		return err
	}
	info := engine.Info()
	log.Info(fmt.Sprintf("Pack %s (%s) loaded in %.2f s, %s", info.Name, info.Precision, time.Since(started).Seconds(), layout(info)))
	told.emit(loadedEvent{"loaded", info.Name, string(info.Precision), info.SampleRate, time.Since(started).Seconds()})

	speaking := time.Now()
	stream, err := engine.Speak(ctx, text, o.speakOptions(voice))
	if err != nil {
		return o.inFlags(err)
	}
	output := newOutput(o.outputPath, info.SampleRate, hold)
	result, err := write(stream, output, speaking, line, told)
	if err != nil {
		return err
	}
	memory, err := engine.Memory(ctx)
	if err != nil {
		return err
	}
	duration, took := float64(result.samples)/float64(info.SampleRate), time.Since(speaking).Seconds()
	log.Info(fmt.Sprintf("Generated %.2f s of audio in %.2f s (%.1fx real time), first frame after %d ms, sandbox memory %.1f MB, weights %.1f MB",
		duration, took, duration/took, result.first.Milliseconds(), float64(memory.Reserved)/1e6, float64(info.WeightBytes)/1e6))
	if o.outputPath != "-" {
		log.Info("Results written in " + o.outputPath)
	}
	told.emit(doneEvent{"done", o.outputPath, result.samples, duration, result.first.Seconds(), took})
	return nil
}

// layout says how many instances speak.
func layout(info pockettts.Info) string {
	text := "1 instance"
	if info.Instances > 1 {
		text = fmt.Sprintf("%d instances", info.Instances)
	}
	text += " (" + info.InstancesReason + ")"
	if info.Parallel > 1 {
		text += fmt.Sprintf(", chunks shared by %d", info.Parallel)
	}
	return text
}

func (o *options) speakOptions(voice *pockettts.Voice) pockettts.SpeakOptions {
	steps := o.steps
	if o.lsdSteps != nil {
		steps = o.lsdSteps
	}
	rate := float32(1)
	if o.speed != nil {
		rate = *o.speed
	}
	return pockettts.SpeakOptions{
		Rate: rate, Voice: voice, Seed: o.seed, RNG: pockettts.RNG(o.rng), Temperature: o.temperature, NoiseClamp: o.noiseClamp,
		EOSThreshold: o.eosThreshold, DecodeSteps: steps, FramesAfterEOS: o.framesAfterEOS, MaxTokens: o.maxTokens,
		RequireEnd: os.Getenv("KPOCKET_TTS_ERROR_WITHOUT_EOS") == "1",
	}
}

// inFlags says what the package says about its options in terms of the flags.
func (o *options) inFlags(err error) error {
	steps := "sampler-decode-steps"
	if o.lsdSteps != nil {
		steps = "lsd-decode-steps"
	}
	for _, name := range [][2]string{
		{"Temperature", "temperature"}, {"NoiseClamp", "noise-clamp"}, {"EOSThreshold", "eos-threshold"},
		{"DecodeSteps", steps}, {"FramesAfterEOS", "frames-after-eos"}, {"MaxTokens", "max-tokens"}, {"Parallel", "parallel"}, {"Workers", "workers"}, {"Rate", "speed"},
	} {
		if _, rest, found := strings.Cut(err.Error(), ": "+name[0]+": "); found && errors.Is(err, pockettts.ErrArgument) {
			return failf("--%s: %s", name[1], rest)
		}
	}
	return err
}

type spoken struct {
	samples int
	first   time.Duration // until the first frame was there
}

// write moves the frames of a stream into the output. What has gone out before a failure is left as good as it can be.
func write(stream *pockettts.Stream, output *output, started time.Time, line *status, told *events) (spoken, error) {
	var result spoken
	defer line.clear()
	for frame, err := range stream.Frames() {
		if err == nil {
			if result.samples == 0 {
				result.first = time.Since(started)
			}
			result.samples += len(frame.Samples)
			seconds := float64(result.samples) / float64(output.rate)
			line.show("%.1f s of audio, %.1fx real time", seconds, seconds/time.Since(started).Seconds())
			if err = output.write(frame.Samples); err == nil {
				told.emit(frameEvent{"frame", frame.Chunk, frame.Step, len(frame.Samples), result.samples})
			}
		}
		if err != nil {
			output.abort()
			return result, err
		}
	}
	return result, output.close()
}
