// What can be asked for: Options of Load, SpeakOptions of Speak.

package pockettts

import (
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/hub"
)

// Precision is the working precision.
type Precision string

// The precisions. Parity with the reference is stated for F32.
const (
	F32 Precision = "f32"
	Q8  Precision = "q8" // integer weights, of 8 bits where most of them are: a quarter of the memory
	Q4  Precision = "q4" // the same with 4 bits in the language model's transformer
)

// precisions are in the order of guest.PrecisionF32 and the others.
var precisions = [...]Precision{F32, Q8, Q4}

// Options says what to load and within which bounds. Exactly one of Pack, PackFS and Config names the model.
type Options struct {
	// Pack is a folder with a pack.json, the name of an official pack (PackNames; a folder called so is ./NAME), or an address:
	// hf://OWNER/NAME[/PATH][@REVISION] or a URL. What is not on this machine is fetched once, checked, resumed where it was
	// cut, and kept.
	Pack string
	// PackFS is such a folder in a file system, starter.FS() for instance.
	PackFS fs.FS
	// Config is a configuration file of the reference (.yaml, .yml), here or at an address (https://, hf://). Paths in it are
	// local ones or hf:// addresses, whose files are fetched and kept like those of packs.
	Config string

	// Offline fetches nothing: what is not in the cache is ErrNetwork.
	Offline bool
	// PackDir is where downloads are kept; empty is the folder that the JavaScript package on Node uses, too:
	// POCKET_TTS_CACHE, else pocket-tts-wasm/packs in the user's cache folder. What the hub's own programs have fetched is read
	// where they keep it (HF_HUB_CACHE, HF_HOME), and not fetched again.
	PackDir string
	// Hub are URL templates with {repository}, {revision} and {path} for official packs and hf:// addresses: mirrors, tried
	// in order. Empty is the hub of the official packs.
	Hub []string
	// Token is that of an account which has agreed to the terms of the gated weights, which can make voices from audio. It
	// is sent to the first hub only.
	Token string
	// HTTPClient fetches; nil is one with the proxies of the environment.
	HTTPClient *http.Client
	// Progress hears of downloads, ten times a second at most for each file, from whichever goroutine fetches it.
	Progress func(Progress)

	// Precision is the pack's own when empty, and Q8 where the pack names none.
	Precision Precision
	// NoCloning leaves the part of the model out that makes voices from audio: less to load, less memory.
	// CloneVoice then fails with ErrCloning.
	NoCloning bool

	// Instances is how many instances of the sandbox speak a piece of text. With 2, one makes the latents of the next
	// frames while the other makes sound of the last ones: more speed on two cores, the same samples. 0 chooses: 2 for
	// larger models where there are two cores (GOMAXPROCS), else 1. Info says what was chosen.
	Instances int
	// Parallel is over how many instances the pieces of a long text are spread, each on a core; up to 16. One makes the
	// latents of several pieces together, all of them make sound. It comes in order and is the same, the first of it a little
	// later, and seconds of it are made before they are read. Those beyond Workers hold the decoder's weights only, an
	// eighth of the 100M model. 0 and 1 are one piece after the other.
	Parallel int
	// Workers is how many whole instances there are for many callers, each on a core and with the weights of its own; up to
	// 16. Every stream begins in the one that the fewest others speak with; with Parallel it has others to help it while
	// nobody else does. A server gives both as many as it has cores. 0 is 1.
	Workers int

	// MaxStreams is how many streams are open at once; Speak waits for one of them to end, first come, first served. 0 is
	// 32. Each takes memory in the sandbox: with the starter voice 3 MB, more with larger models and longer pieces,
	// and with Parallel for each of the pieces that are spoken together, up to eight.
	MaxStreams int
	// MaxQueue is how many calls of Speak wait; one more fails with ErrBusy at once. 0 is 64, NoQueue none.
	MaxQueue int

	// MaxMemory caps the memory of each instance in bytes; 0 is 2 GiB, at most 4 GiB are possible. It is reserved as
	// address space only: memory that was never used is never taken.
	MaxMemory uint64
	// CacheDir keeps the compiled engine between runs; empty is pocket-tts-wasm/wazero in the user's cache folder,
	// NoCache none. A cache that cannot be used, or is damaged, costs time and nothing else.
	CacheDir string
	// Logger hears of warnings, such as a sentence that had to be cut off; nil is silence.
	Logger *slog.Logger
}

// Progress is how far the download of a file is.
type Progress struct {
	Pack, File string
	Loaded     int64 // bytes that are there
	Total      int64 // bytes of the whole file; -1 where that is not known
}

// PackNames lists the official packs: names for Options.Pack.
func PackNames() []string { return hub.Names() }

// NoCache as Options.CacheDir compiles the engine anew on every Load.
const NoCache = "-"

// NoQueue as Options.MaxQueue lets no call wait.
const NoQueue = -1

const (
	defaultStreams   = 32
	defaultQueue     = 64
	defaultMaxMemory = 2 << 30
	largestMemory    = 4 << 30
	// The engine itself with nothing loaded needs about a megabyte.
	smallestMemory = 8 << 20
	mostParallel   = 16
)

// withDefaults fills in what is left open.
func (o Options) withDefaults() (Options, error) {
	named := 0
	for _, is := range []bool{o.Pack != "", o.PackFS != nil, o.Config != ""} {
		if is {
			named++
		}
	}
	if named != 1 {
		return o, fmt.Errorf("%w: expected exactly one of Pack, PackFS and Config, found %d", ErrArgument, named)
	}
	if (hub.IsRemote(o.Pack) || o.Config != "") && o.PackDir == "" {
		folder, err := hub.DefaultFolder()
		if err != nil && o.Config == "" { // of a configuration all may be here
			return o, fmt.Errorf("%w: PackDir: expected a folder, found none in this environment: %w", ErrArgument, err)
		}
		o.PackDir = folder
	}
	if o.Precision != "" && !slices.Contains(precisions[:], o.Precision) {
		return o, fmt.Errorf("%w: Precision: expected %q, %q or %q, found %q", ErrArgument, F32, Q8, Q4, o.Precision)
	}
	if o.Instances < 0 || o.Instances > 2 {
		return o, fmt.Errorf("%w: Instances: expected 0 (automatic), 1 or 2, found %d", ErrArgument, o.Instances)
	}
	if o.Workers < 0 || o.Workers > mostParallel { // servers give both the same
		return o, fmt.Errorf("%w: Workers: expected 0 to %d, found %d", ErrArgument, mostParallel, o.Workers)
	}
	if o.Parallel < 0 || o.Parallel > mostParallel {
		return o, fmt.Errorf("%w: Parallel: expected 0 to %d, found %d", ErrArgument, mostParallel, o.Parallel)
	}
	if o.MaxStreams < 0 || o.MaxQueue < NoQueue {
		return o, fmt.Errorf("%w: MaxStreams, MaxQueue: expected 0 or more (or NoQueue), found %d, %d", ErrArgument, o.MaxStreams, o.MaxQueue)
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = defaultStreams
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = defaultQueue
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = defaultMaxMemory
	}
	if o.MaxMemory < smallestMemory || o.MaxMemory > largestMemory {
		return o, fmt.Errorf("%w: MaxMemory: expected %d to %d bytes, found %d", ErrArgument, smallestMemory, uint64(largestMemory), o.MaxMemory)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch o.CacheDir {
	case NoCache:
		o.CacheDir = ""
	case "":
		if folder, err := os.UserCacheDir(); err == nil {
			o.CacheDir = filepath.Join(folder, "pocket-tts-wasm", "wazero")
		} else {
			o.Logger.Debug("compiled code is not cached", "reason", err)
		}
	}
	return o, nil
}

// Format is what a Stream reads as.
type Format string

// The formats.
const (
	// WAV is a file: 16 bit, mono. It ends with 200 ms of silence. Read gives it a header with placeholder sizes, as
	// the length is not known yet; WriteTo corrects the sizes where the destination can seek.
	WAV Format = "wav"
	// PCM is the samples alone, 16 bit, little-endian, without the silence.
	PCM Format = "pcm"
)

// RNG selects the random streams.
type RNG string

// The random streams.
const (
	// RNGChunk draws every chunk of a text from a stream of its own.
	RNGChunk RNG = "chunk"
	// RNGTorch draws all chunks from one stream, as the reference does.
	RNGTorch RNG = "torch"
)

// SpeakOptions says how to speak. The zero value speaks with the pack's default voice and the model's own settings;
// a nil number is the model's default ([Value] makes a pointer).
type SpeakOptions struct {
	Voice  *Voice // nil: the pack's default voice
	Format Format // empty: WAV

	// Seed of the noise, 42 by default: the same seed, text, voice and options give the same samples.
	Seed *uint64
	RNG  RNG // empty: RNGChunk

	Temperature    *float32 // variance of the noise, 0 to 100
	NoiseClamp     *float32 // > 0 keeps the noise within [-x, x], up to 1e6; 0, the default, does not
	EOSThreshold   *float32 // the speech ends when the model's logit exceeds it
	DecodeSteps    *int     // steps of the sampler, 1 to 1000, 1 by default
	FramesAfterEOS *int     // frames spoken after the end was found, 0 to 10000
	MaxTokens      *int     // longest piece of text that is spoken in one go, 1 to 4096, 50 by default

	// Rate is the speed of the speech with its pitch kept, 0.25 to 4; 0 is 1. With another one than 1 a frame has any
	// number of samples, and the last one of a stream comes after the end of the text.
	Rate float32

	// RequireEnd makes it an error (ErrNoEnd) when a piece is cut off at its length limit; otherwise it is a warning.
	RequireEnd bool
}

// Value returns a pointer to v, for optional fields.
func Value[T any](v T) *T { return &v }

// apply writes what is set over the model's defaults.
func (o SpeakOptions) apply(to *guest.Options) error {
	switch o.Format {
	case "", WAV, PCM:
	default:
		return fmt.Errorf("%w: Format: expected %q or %q, found %q", ErrArgument, WAV, PCM, o.Format)
	}
	if o.Rate != 0 && !(o.Rate >= slowest && o.Rate <= fastest) {
		return fmt.Errorf("%w: Rate: expected %g to %g, found %g", ErrArgument, slowest, float32(fastest), o.Rate)
	}
	switch o.RNG {
	case "":
	case RNGChunk:
		to.RNG = guest.RNGChunk
	case RNGTorch:
		to.RNG = guest.RNGTorch
	default:
		return fmt.Errorf("%w: RNG: expected %q or %q, found %q", ErrArgument, RNGChunk, RNGTorch, o.RNG)
	}
	set(&to.Seed, o.Seed)
	// The ranges are the engine's. They are looked at here so that messages have this package's names.
	for _, number := range []struct {
		name        string
		to, value   *float32
		least, most float32
		expected    string
	}{
		{"Temperature", &to.Temperature, o.Temperature, 0, 100, "0 to 100"},
		{"NoiseClamp", &to.NoiseClamp, o.NoiseClamp, 0, 1e6, "0 (none) to 1e6"},
		{"EOSThreshold", &to.EOSThreshold, o.EOSThreshold, -math.MaxFloat32, math.MaxFloat32, "a finite number"},
	} {
		set(number.to, number.value)
		if v := number.value; v != nil && !(*v >= number.least && *v <= number.most) { // NaN too
			return fmt.Errorf("%w: %s: expected %s, found %g", ErrArgument, number.name, number.expected, *v)
		}
	}
	for _, number := range []struct {
		name        string
		to          *int32
		value       *int
		least, most int
	}{
		{"DecodeSteps", &to.DecodeSteps, o.DecodeSteps, 1, 1000},
		// -1 would ask for the default in the engine's own language; here, nil does.
		{"FramesAfterEOS", &to.FramesAfterEOS, o.FramesAfterEOS, 0, 10000},
		{"MaxTokens", &to.MaxTokens, o.MaxTokens, 1, 4096},
	} {
		if number.value == nil {
			continue
		}
		if *number.value < number.least || *number.value > number.most {
			return fmt.Errorf("%w: %s: expected %d to %d, found %d", ErrArgument, number.name, number.least, number.most, *number.value)
		}
		*number.to = int32(*number.value)
	}
	return nil
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}
