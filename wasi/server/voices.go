// The voices of a service: those of the pack, and those of a folder of the operator.

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

// cloneSeconds is how much of a recording makes a voice, as in the reference.
const cloneSeconds = 30

// loadsWaiting bounds the requests that wait for a voice to be made.
const loadsWaiting = 16

// Voice describes a voice that can be asked for by its name.
type Voice struct {
	Name    string
	Custom  bool   // of Options.VoicesDir, not of the pack
	License string // as the pack states it; empty when nothing is known
	Default bool   // spoken when a request names none
	// Changed is when the file of a custom voice was written last: another time may be another voice.
	Changed time.Time
}

// Voices lists what can be asked for, sorted by name.
func (s *Service) Voices() []Voice {
	var voices []Voice
	started := s.engine.Load()
	if started != nil {
		for _, info := range started.engine.Voices() {
			voices = append(voices, Voice{Name: info.Name, License: info.License})
		}
	}
	files, err := s.folder.list()
	if err != nil {
		s.log.Warn("The folder of voices cannot be read", "error", err)
	}
	for name, file := range files {
		if !slices.ContainsFunc(voices, func(v Voice) bool { return v.Name == name }) {
			voices = append(voices, Voice{Name: name, Custom: true, Changed: file.time})
		}
	}
	for n := range voices {
		voices[n].Default = started != nil && voices[n].Name == started.name
	}
	slices.SortFunc(voices, func(a, b Voice) int { return strings.Compare(a.Name, b.Name) })
	return voices
}

// HasVoice tells whether there is a voice of that name.
func (s *Service) HasVoice(name string) bool {
	return slices.ContainsFunc(s.Voices(), func(v Voice) bool { return v.Name == name })
}

// CanClone tells whether voices are made from recordings here.
func (s *Service) CanClone() bool {
	engine := s.Engine()
	return engine != nil && s.options.AllowCloning && engine.Info().CanClone
}

// Upload is a voice that comes with a request: a voice file, or a recording of which the first 30 seconds are taken.
type Upload struct {
	Name string // its suffix says what it is: .safetensors or .wav
	Data io.Reader
}

// voice finds the voice of a request. It must be released.
func (s *Service) voice(ctx context.Context, started *speaker, request Request) (*pockettts.Voice, func(), error) {
	switch {
	case request.Held != nil:
		return request.Held, func() {}, nil
	case request.Upload != nil && request.Voice != "":
		return nil, nil, Refuse(Invalid, "expected a voice by name or an upload, found both")
	case request.Upload != nil:
		return s.uploaded(ctx, started.engine, *request.Upload, s.limits.UploadBytes)
	case request.Voice == "":
		return started.fallback, func() {}, nil
	case IsURL(request.Voice):
		upload, err := s.fetcher.fetch(ctx, request.Voice)
		if err != nil {
			return nil, nil, err
		}
		return s.uploaded(ctx, started.engine, *upload, fetchBytes)
	}
	return s.named(ctx, started.engine, request.Voice)
}

// IsURL tells whether a request names a voice by its URL.
func IsURL(voice string) bool {
	scheme, _, found := strings.Cut(voice, "://")
	return found && slices.Contains([]string{"http", "https", "hf"}, strings.ToLower(scheme))
}

// named finds a voice of the pack or the folder; the empty name is the pack's own choice.
func (s *Service) named(ctx context.Context, engine *pockettts.Engine, name string) (*pockettts.Voice, func(), error) {
	if name == "" || slices.ContainsFunc(engine.Voices(), func(v pockettts.VoiceInfo) bool { return v.Name == name }) {
		voice, err := engine.Voice(ctx, name)
		return voice, func() {}, err
	}
	return s.folder.take(ctx, engine, name)
}

// MakeVoice makes a voice for a door that keeps it, and bounds the length of what it is made from; it must be released. It waits
// for its turn, and no longer than the context lasts. Errors are [*Error]s.
func (s *Service) MakeVoice(ctx context.Context, upload Upload) (voice *pockettts.Voice, release func(), err error) {
	if err := s.Ready(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits.Time, timeUp)
	defer cancel()
	defer context.AfterFunc(s.run, cancel)()
	voice, release, err = s.uploaded(ctx, s.Engine(), upload, math.MaxInt64)
	switch {
	case err == nil:
		return voice, release, nil
	case s.run.Err() != nil:
		return nil, nil, Refuse(Closed, "The server is closing.")
	case context.Cause(ctx) == timeUp:
		return nil, nil, timeUp
	}
	return nil, nil, Explain(err)
}

// uploaded makes a voice that lives as long as a request, or a door, needs it: Limits.Voices of them at once.
func (s *Service) uploaded(ctx context.Context, engine *pockettts.Engine, upload Upload, most int64) (voice *pockettts.Voice, release func(), err error) {
	if strings.EqualFold(path.Ext(upload.Name), ".wav") && !s.options.AllowCloning {
		return nil, nil, Refuse(NoCloning, "this server makes no voices from recordings (--allow-cloning)")
	}
	select {
	case s.uploads <- struct{}{}:
	default:
		return nil, nil, Refuse(Busy, "too many requests have voices of their own; try again later")
	}
	defer func() {
		if err != nil {
			<-s.uploads
		}
	}()
	if err := s.folder.turn(ctx); err != nil {
		return nil, nil, err
	}
	defer s.folder.leave()
	if voice, err = loadVoice(ctx, engine, upload.Name, &limitedReader{upload.Data, most}); err != nil {
		return nil, nil, err
	}
	return voice, func() {
		_ = voice.Close() // an engine that is gone has taken it along
		<-s.uploads
	}, nil
}

// loadVoice reads a voice file or makes a voice from a recording.
func loadVoice(ctx context.Context, engine *pockettts.Engine, name string, data io.Reader) (*pockettts.Voice, error) {
	switch strings.ToLower(path.Ext(name)) {
	case ".safetensors":
		return engine.LoadVoice(ctx, data)
	case ".wav":
		return engine.CloneVoice(ctx, data, pockettts.CloneOptions{MaxSeconds: cloneSeconds})
	}
	return nil, Refuse(VoiceBroken, "expected a voice file (.safetensors) or a recording (.wav), found a file whose name ends in neither: "+
		"make a .wav of other recordings first, with ffmpeg -i RECORDING voice.wav for instance")
}

// limitedReader fails where io.LimitedReader ends.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, Refuse(TooLarge, "the upload is too large")
	}
	return n, err
}

// voiceName is what files in the folder, and so voices in requests, may be called.
var voiceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// folder keeps the voices of Options.VoicesDir that were asked for.
type folder struct {
	path    string // empty: there is none
	most    int
	cloning atomic.Bool // recordings count

	turns   chan struct{} // one voice is made at a time
	waiting chan struct{}

	mu    sync.Mutex
	held  map[string]*heldVoice
	clock int
}

type heldVoice struct {
	voice *pockettts.Voice
	stamp stamp // of the file that it was made from
	users int
	used  int // when, by the folder's clock
}

type stamp struct {
	file string
	size int64
	time time.Time
}

func newFolder(path string, most int, cloning bool) *folder {
	f := &folder{
		path: path, most: most, held: map[string]*heldVoice{},
		turns: make(chan struct{}, 1), waiting: make(chan struct{}, loadsWaiting),
	}
	f.cloning.Store(cloning)
	return f
}

// list finds the files by the names of their voices. A voice file comes before a recording.
func (f *folder) list() (map[string]stamp, error) {
	if f.path == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return f.listRoot(root)
}

func (f *folder) listRoot(root *os.Root) (map[string]stamp, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	files := map[string]stamp{}
	for _, entry := range entries { // sorted: .safetensors comes before .wav
		extension := path.Ext(entry.Name())
		name := strings.TrimSuffix(entry.Name(), extension)
		if extension != ".safetensors" && (extension != ".wav" || !f.cloning.Load()) || !voiceName.MatchString(name) {
			continue
		}
		info, err := root.Stat(entry.Name()) // follows links, and refuses those that lead out
		if _, known := files[name]; known || err != nil || !info.Mode().IsRegular() {
			continue
		}
		files[name] = stamp{entry.Name(), info.Size(), info.ModTime()}
	}
	return files, nil
}

// soundFiles are suffixes of what people put into a folder of voices.
var soundFiles = []string{".safetensors", ".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".wma"}

// unused lists what makes no voice though it looks like one: other recordings, names that no request can give, links that
// lead out. A recording beside the voice that was made of it is no news.
func (f *folder) unused() (names []string) {
	files, err := f.list()
	if err != nil || f.path == "" {
		return nil // what is wrong with it is said where voices are listed
	}
	entries, _ := os.ReadDir(f.path)
	for _, entry := range entries {
		extension := path.Ext(entry.Name())
		if _, known := files[strings.TrimSuffix(entry.Name(), extension)]; !known && slices.Contains(soundFiles, strings.ToLower(extension)) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// hidden lists the files whose voices nobody hears, as the pack has one of the same name.
func (f *folder) hidden(voices []pockettts.VoiceInfo) (names []string) {
	files, _ := f.list()
	for _, voice := range voices {
		if file, ok := files[voice.Name]; ok {
			names = append(names, file.file)
		}
	}
	return names
}

// take finds a voice by the name that a request gives, which is looked up and never used as a path.
func (f *folder) take(ctx context.Context, engine *pockettts.Engine, name string) (*pockettts.Voice, func(), error) {
	unknown := Refuse(VoiceUnknown, "there is no voice of that name")
	if f.path == "" || !voiceName.MatchString(name) {
		return nil, nil, unknown
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return nil, nil, fmt.Errorf("the folder of voices: %w", err)
	}
	defer root.Close()
	files, err := f.listRoot(root)
	if err != nil {
		return nil, nil, fmt.Errorf("the folder of voices: %w", err)
	}
	file, ok := files[name]
	if !ok {
		return nil, nil, unknown
	}
	if held := f.hold(name, file); held != nil {
		return held.voice, func() { f.release(held) }, nil
	}
	if err := f.turn(ctx); err != nil {
		return nil, nil, err
	}
	defer f.leave()
	if held := f.hold(name, file); held != nil { // somebody else has loaded it meanwhile
		return held.voice, func() { f.release(held) }, nil
	}
	data, info, err := plain.OpenIn(root, file.file)
	if err != nil {
		return nil, nil, fmt.Errorf("the folder of voices: %w", err)
	}
	defer data.Close()
	file.size, file.time = info.Size(), info.ModTime() // of what is read, should it be another one by now
	voice, err := loadVoice(ctx, engine, file.file, data)
	if err != nil {
		return nil, nil, err
	}
	held := f.keep(name, file, voice)
	return voice, func() { f.release(held) }, nil
}

// turn waits until this caller may make a voice.
func (f *folder) turn(ctx context.Context) error {
	select {
	case f.turns <- struct{}{}:
		return nil
	default:
	}
	select {
	case f.waiting <- struct{}{}:
		defer func() { <-f.waiting }()
	default:
		return Refuse(Busy, "too many voices are being made; try again later")
	}
	select {
	case f.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *folder) leave() { <-f.turns }

// hold takes a voice that is in memory and still what the file says.
func (f *folder) hold(name string, file stamp) *heldVoice {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := f.held[name]
	if held == nil || held.stamp != file {
		return nil
	}
	f.clock++
	held.users, held.used = held.users+1, f.clock
	return held
}

// keep remembers a voice, and forgets the one that was not asked for the longest where there are too many.
func (f *folder) keep(name string, file stamp, voice *pockettts.Voice) *heldVoice {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock++
	fresh := &heldVoice{voice: voice, stamp: file, users: 1, used: f.clock}
	if old := f.held[name]; old != nil && old.users == 0 {
		_ = old.voice.Close()
	}
	f.held[name] = fresh // an older one in use is closed by its last user
	for len(f.held) > f.most {
		oldest := ""
		for name, held := range f.held {
			if held.users == 0 && (oldest == "" || held.used < f.held[oldest].used) {
				oldest = name
			}
		}
		if oldest == "" {
			break // all of them speak; release looks again
		}
		_ = f.held[oldest].voice.Close()
		delete(f.held, oldest)
	}
	return fresh
}

func (f *folder) release(held *heldVoice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if held.users--; held.users > 0 {
		return
	}
	for name, kept := range f.held {
		if kept == held {
			if len(f.held) > f.most {
				delete(f.held, name)
				break
			}
			return
		}
	}
	_ = held.voice.Close() // nobody can ask for it any more
}

func (f *folder) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for name, held := range f.held {
		errs = append(errs, held.voice.Close())
		delete(f.held, name)
	}
	return errors.Join(errs...)
}
