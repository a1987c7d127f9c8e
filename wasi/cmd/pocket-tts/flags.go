// The flags of generate. Options take the long form with a space or `=`; values may start with `-`; of a repeated flag
// the last one counts.

package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// options is the command line of generate. What was not given is nil or empty.
type options struct {
	text  string
	voice string
	quiet bool
	where
	checkpoint string
	precision  string
	device     string
	outputPath string
	instances  string
	cache      string

	parallel       *int
	steps          *int
	lsdSteps       *int
	temperature    *float32
	noiseClamp     *float32
	eosThreshold   *float32
	framesAfterEOS *int
	maxTokens      *int
	speed          *float32

	seed       *uint64
	seedRandom bool
	rng        string

	textGiven, voiceGiven, checkpointGiven bool

	jsonEvents bool
}

// value is a flag whose text is checked as it is read.
type value struct {
	kind  string
	set   func(string) error
	flag  bool // takes no value
	shown string
}

func (v *value) String() string { return v.shown }
func (v *value) Type() string   { return v.kind }
func (v *value) Set(text string) error {
	if v.flag && text != notGiven {
		return errors.New("it does not take a value")
	}
	return v.set(text)
}

// notGiven stands for the value of a flag that has none; no command line can contain it.
const notGiven = "\x00"

func newFlags(o *options) *pflag.FlagSet {
	flags := pflag.NewFlagSet("generate", pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are worded in main.go
	flags.SortFlags = false
	flags.Usage = func() {}

	text := func(name, kind, usage, preset string, to *string, given *bool) {
		*to = preset
		flags.Var(&value{kind: kind, shown: preset, set: func(s string) error {
			*to = s
			if given != nil {
				*given = true
			}
			return nil
		}}, name, usage)
	}
	choice := func(name, usage string, to *string, allowed ...string) {
		flags.Var(&value{kind: strings.Join(allowed, "|"), set: func(s string) error {
			if !slices.Contains(allowed, s) {
				return fmt.Errorf("'%s' is not one of '%s'", s, strings.Join(allowed, "', '"))
			}
			*to = s
			return nil
		}}, name, usage)
	}
	onOff := func(name, short, usage string, set func()) {
		flag := flags.VarPF(&value{kind: "bool", flag: true, set: func(string) error { set(); return nil }}, name, short, usage)
		flag.NoOptDefVal = notGiven
	}

	text("text", "TEXT", "Text to speak; - reads all of stdin. Default: a sentence in the language", "", &o.text, &o.textGiven)
	text("voice", "VOICE", "A voice of the pack by name, a voice file (.safetensors), or a recording (.wav), here or at https:// or hf://", "", &o.voice, &o.voiceGiven)
	onOff("quiet", "q", "Only errors on stderr", func() { o.quiet = true })
	o.addFlags(flags)
	text("checkpoint", "PATH", "A training checkpoint (not supported)", "", &o.checkpoint, &o.checkpointGiven)
	choice("precision", "Working precision. Default: the pack's own, else q8", &o.precision, "f32", "q8", "q4")
	onOff("quantize", "", "Same as --precision q8", func() { o.precision = "q8" })
	onOff("no-quantize", "", "Same as --precision f32", func() { o.precision = "f32" })
	flags.Var(number("N", parseInt, &o.steps), "sampler-decode-steps", "Steps of the sampler. Default: 1")
	flags.Var(number("N", parseInt, &o.lsdSteps), "lsd-decode-steps", "Old name of --sampler-decode-steps")
	_ = flags.MarkHidden("lsd-decode-steps") // fails only for a flag that does not exist
	flags.Var(number("X", parseFloat, &o.temperature), "temperature", "Variance of the noise. Default: the model's own")
	flags.Var(number("X", parseFloat, &o.noiseClamp), "noise-clamp", "Truncate the noise to [-X, X]")
	flags.Var(number("X", parseFloat, &o.eosThreshold), "eos-threshold", "The end is a logit above X. Default: the model's own")
	flags.Var(number("N", parseInt, &o.framesAfterEOS), "frames-after-eos", "Frames made after the end was found")
	flags.Var(number("N", parseInt, &o.maxTokens), "max-tokens", "Tokens in a chunk. Default: 50")
	flags.Var(number("X", parseFloat, &o.speed), "speed", "Speed of the speech with its pitch kept, 0.25 to 4. Default: 1")
	flags.Var(&value{kind: "N|random", set: o.setSeed}, "seed", "Seed of the noise, 0 to 18446744073709551615. Default: 42")
	choice("rng", "Random streams: one for each chunk, or one sequential as in the reference", &o.rng, "chunk", "torch")
	choice("instances", "Instances of the engine that share the work on a chunk. Default: auto, 2 for larger models on two cores", &o.instances, "auto", "1", "2")
	flags.Var(number("N", parseInt, &o.parallel), "parallel", "Instances that share the chunks of a long text, each on a core; the others than the first only make sound. Default: 1")
	text("compile-cache", "PATH|none", "Where compiled code is kept between runs. Default: in the user's cache folder", "", &o.cache, nil)
	text("device", "cpu", "Only cpu", "cpu", &o.device, nil)
	text("output-path", "PATH", "Where the WAV goes; - is stdout", "./tts_output.wav", &o.outputPath, nil)
	onOff("json-events", "", "Every line on stderr is a JSON object: log, download, loaded, frame, done, error", func() { o.jsonEvents = true })
	return flags
}

// explainUsage words the errors of the flag parser as the reference does.
func explainUsage(err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown):
		if unknown.GetSpecifiedShortnames() != "" {
			return usagef("No such option: -%s", unknown.GetSpecifiedName())
		}
		return usagef("No such option: --%s", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return usagef("Option '--%s' requires an argument.", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return usagef("Invalid value for '--%s': %s.", invalid.GetFlag().Name, invalid.Unwrap())
	}
	return usageError{message: err.Error()}
}

// number is a flag that stays nil when it is not given.
func number[T any](kind string, parse func(string) (T, error), to **T) *value {
	return &value{kind: kind, set: func(text string) error {
		parsed, err := parse(strings.TrimSpace(text))
		if err == nil {
			*to = &parsed
		}
		return err
	}}
}

// parseInt reads decimal numbers of 32 bits only: "010" is ten, as in Python.
func parseInt(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("'%s' does not fit 32 bits", text)
	}
	if err != nil {
		return 0, fmt.Errorf("'%s' is not a valid integer", text)
	}
	return int(n), nil
}

// parsePositive is parseInt from 1 on.
func parsePositive(text string) (int, error) {
	n, err := parseInt(text)
	if err == nil && n < 1 {
		err = fmt.Errorf("'%d' is less than 1", n)
	}
	return n, err
}

// parseFloat takes decimal numbers that are finite in the 32 bits of the engine.
func parseFloat(text string) (float32, error) {
	x, err := strconv.ParseFloat(text, 64)
	if strings.ContainsAny(text, "xX_") || err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("'%s' is not a valid float", text)
	}
	if math.IsNaN(x) || math.Abs(float64(float32(x))) > math.MaxFloat32 {
		return 0, fmt.Errorf("'%s' is not a finite number of 32 bits", text)
	}
	return float32(x), nil
}

func (o *options) setSeed(text string) error {
	if o.seedRandom = text == "random"; o.seedRandom {
		// 32 bits are all that the generator takes.
		seed := uint64(rand.Uint32())
		o.seed = &seed
		return nil
	}
	seed, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(text), "+"), 10, 64)
	if err != nil {
		return fmt.Errorf("'%s' is not 'random' or a whole number from 0 to %d", text, uint64(1<<64-1))
	}
	o.seed = &seed
	return nil
}
