// The Service: what is loaded once and asked by every door.

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

// Options of a Service. The zero value serves the voices of the engine's pack without a key to whoever can reach it.
type Options struct {
	// Voice is spoken when a request names none: a voice of the pack or of VoicesDir. Empty is the pack's own choice.
	Voice string
	// VoicesDir holds more voices: NAME.safetensors and, where AllowCloning, NAME.wav with names of the form
	// [A-Za-z0-9][A-Za-z0-9_-]{0,63}. Files may come and go while the service runs; links that lead out are not followed.
	VoicesDir string
	// Language is that of the model, a BCP 47 code for lists of voices. Default: en.
	Language string
	// Speak is how to speak where a request does not say: seed, temperature and the like. Voice, Format and Rate are the
	// request's.
	Speak pockettts.SpeakOptions

	Limits Limits

	// APIKey, if there is one, must be presented by every request that makes the server work.
	APIKey string
	// Origins are those of pages that may ask besides the server's own, exactly as browsers write them
	// ("https://example.com"); "*" is every page, without credentials.
	Origins []string
	// Hosts are names and addresses of this server besides localhost, as clients write them into Host, without a port. On an address
	// that others than this machine can reach, every Host is let in unless there are names here; and then IP addresses are as well.
	Hosts []string
	// AllowCloning makes voices from recordings, of VoicesDir and in requests. The consent of who speaks in them is the
	// operator's duty.
	AllowCloning bool
	// AllowVoiceURLs are prefixes of the URLs of voices that may be fetched for a request ("https://example.com/voices/",
	// "hf://kyutai/tts-voices/"). None: no URL is fetched.
	AllowVoiceURLs []string

	// Logger hears of each request, without its text; nil is silence.
	Logger *slog.Logger
}

// Limits of one request. Zero is the default.
type Limits struct {
	TextChars   int   // code points of a text; 16384. Doors may have less by themselves
	UploadBytes int64 // of a body; 25 MiB
	// Sound is how long a request may be. 0: as long as its text can take to be said, which is half a second for each
	// letter, digit and sign and ten seconds besides, and 30 minutes at most. It is a limit of its own as a model that
	// loses its way does not end with the text.
	Sound  time.Duration
	Time   time.Duration // that a request may take, waiting and slow reading included; an hour
	Idle   time.Duration // without progress of the other side; a minute
	Voices int           // of VoicesDir that are kept in memory, and as many that requests bring at once; 16
}

func (l Limits) withDefaults() (Limits, error) {
	for _, limit := range []struct {
		name  string
		value float64
	}{
		{"TextChars", float64(l.TextChars)}, {"UploadBytes", float64(l.UploadBytes)}, {"Sound", float64(l.Sound)},
		{"Time", float64(l.Time)}, {"Idle", float64(l.Idle)}, {"Voices", float64(l.Voices)},
	} {
		if limit.value < 0 {
			return l, fmt.Errorf("%w: Limits.%s: expected 0 or more, found %g", pockettts.ErrArgument, limit.name, limit.value)
		}
	}
	preset(&l.TextChars, 16384)
	preset(&l.UploadBytes, 25<<20)
	preset(&l.Time, time.Hour)
	preset(&l.Idle, time.Minute)
	preset(&l.Voices, 16)
	return l, nil
}

func preset[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// Service speaks for the doors. It may be used by any number of goroutines.
type Service struct {
	options Options
	limits  Limits
	log     *slog.Logger
	figures *figures
	folder  *folder
	fetcher *fetcher
	cors    *cors
	hosts   []string      // of Options.Hosts, in the form of plainHost
	bodies  chan struct{} // large ones that are being read
	uploads chan struct{} // voices of requests that are in memory

	bodyBytes atomic.Int64 // of the large bodies

	run    context.Context // ends with Close
	cancel context.CancelFunc
	group  sync.WaitGroup // speeches that are open
	mu     sync.Mutex     // of the transition to closed
	engine atomic.Pointer[speaker]
}

// speaker is what Start brings.
type speaker struct {
	engine   *pockettts.Engine
	fallback *pockettts.Voice
	name     string // of the fallback
}

// New checks the options. The service answers with Loading until Start.
func New(options Options) (*Service, error) {
	s := &Service{options: options, log: options.Logger, figures: newFigures(),
		bodies: make(chan struct{}, bodiesRead)}
	var err error
	if s.limits, err = options.Limits.withDefaults(); err != nil {
		return nil, err
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.options.Language == "" {
		s.options.Language = "en"
	}
	if options.VoicesDir != "" {
		info, err := os.Stat(options.VoicesDir)
		if err == nil && !info.IsDir() {
			err = errors.New("expected a folder")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: VoicesDir %s: %w", pockettts.ErrArgument, options.VoicesDir, err)
		}
	}
	s.uploads = make(chan struct{}, s.limits.Voices)
	s.folder = newFolder(options.VoicesDir, s.limits.Voices, options.AllowCloning)
	if s.fetcher, err = newFetcher(options.AllowVoiceURLs); err != nil {
		return nil, err
	}
	if s.cors, err = newCORS(options.Origins); err != nil {
		return nil, err
	}
	if s.hosts, err = newHosts(options.Hosts); err != nil {
		return nil, err
	}
	s.run, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Start hands over a loaded engine; from then on there is speech. The voice is spoken when a request names none; nil is
// Options.Voice, which is looked up here: one that is not there is an error, as are numbers in Options.Speak that the engine
// does not take. The caller closes the engine, after the
// service.
func (s *Service) Start(ctx context.Context, engine *pockettts.Engine, voice *pockettts.Voice) error {
	if engine == nil {
		return fmt.Errorf("%w: expected an Engine, found nil", pockettts.ErrArgument)
	}
	started := &speaker{engine: engine, fallback: voice}
	if voice != nil {
		started.name = voice.Name()
	}
	s.folder.cloning.Store(s.options.AllowCloning && engine.Info().CanClone)
	if names := s.folder.unused(); len(names) > 0 {
		s.log.Warn("Files in the folder of voices make no voices: expected NAME.safetensors, or NAME.wav where the model and this server can clone, "+
			"with letters, digits, _ and - in NAME, and no link that leads out", "files", strings.Join(names[:min(len(names), 10)], ", "))
	}
	if names := s.folder.hidden(engine.Voices()); len(names) > 0 {
		s.log.Warn("Files in the folder of voices are not heard, as the pack has voices of these names", "files", strings.Join(names, ", "))
	}
	if voice == nil {
		found, release, err := s.named(ctx, engine, s.options.Voice)
		if err != nil {
			return err
		}
		_ = release // kept until Close: it is always in use
		started.fallback, started.name = found, s.options.Voice
		if started.name == "" {
			started.name = found.Name()
		}
	}
	if err := s.try(ctx, started); err != nil {
		return err
	}
	if s.run.Err() != nil {
		return Refuse(Closed, "The server is closing.")
	}
	s.engine.Store(started)
	return nil
}

// try asks for speech with Options.Speak, of which nothing is spoken: what the engine does not take would be refused to every
// client as if it were theirs.
func (s *Service) try(ctx context.Context, started *speaker) error {
	options := s.options.Speak
	options.Voice = started.fallback
	stream, err := started.engine.Speak(ctx, "a", options)
	if err == nil {
		return stream.Close()
	}
	if errors.Is(err, pockettts.ErrArgument) {
		return err
	}
	return nil // that of this text; others may be spoken
}

// Ready is nil when there is speech, and else the reason why not.
func (s *Service) Ready() error {
	switch {
	case s.run.Err() != nil:
		return Refuse(Closed, "The server is closing.")
	case s.engine.Load() == nil:
		return Refuse(Loading, "The model is loading.")
	}
	return nil
}

// Close ends what is being spoken, waits for it (a frame), and gives the voices back.
func (s *Service) Close() error {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.group.Wait()
	return s.folder.close()
}

// Language is that of the model, a BCP 47 code.
func (s *Service) Language() string { return s.options.Language }

// Limits are those in force.
func (s *Service) Limits() Limits { return s.limits }

// Log is the logger of the service: never nil. What a request says is at most for its level Debug.
func (s *Service) Log() *slog.Logger { return s.log }

// Engine is what Start brought; nil before.
func (s *Service) Engine() *pockettts.Engine {
	if started := s.engine.Load(); started != nil {
		return started.engine
	}
	return nil
}
