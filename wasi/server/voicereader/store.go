// The voices that were made here, one folder each:
//
//	voices/UUID/meta.json           what is known of it
//	voices/UUID/prompt.safetensors  the voice file
//
// Everything is written beside its place, brought to the disk, and then renamed: a voice is there whole or not at all, and a
// change has happened or has not, whenever the process is killed. Names that begin with a dot are what was under way.

package voicereader

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

const (
	metaFile   = "meta.json"
	promptFile = "prompt.safetensors"
	lockFile   = ".lock"
	newPrefix  = ".new-"
	gonePrefix = ".gone-"
	tempPrefix = ".meta-"

	metaBytes  = 64 << 10
	mostVoices = 1000
)

// voice is what clients are told of a voice.
type voice struct {
	ID          string    `json:"voice_id"`
	DisplayName string    `json:"display_name"`
	CreatedAt   time.Time `json:"created_at"`
	Model       string    `json:"tts_model_id"`
	Language    *string   `json:"language_hint"`
	Description *string   `json:"description"`

	refText *string // kept with it
}

// store is the folder of the voices. It may be used by any number of goroutines, and by several processes.
type store struct {
	root *os.Root
	log  *slog.Logger
	lock *flock.Flock // of what changes the folder
	mu   sync.Mutex   // the same, within the process
}

func noVoice(id string) error {
	return &refusal{http.StatusNotFound, codeVoice, fmt.Sprintf("Voice %.80s was not found", id), nil}
}

// openStore opens a folder, which is made where it is missing, and takes away what was never finished there.
func openStore(folder string, log *slog.Logger) (*store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	s := &store{root: root, log: log, lock: flock.New(filepath.Join(folder, lockFile))}
	if err := s.change(context.Background(), s.clean); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *store) close() error { return errors.Join(s.lock.Close(), s.root.Close()) }

// change runs what changes the folder, one at a time over all processes.
func (s *store) change(ctx context.Context, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	limited, stop := context.WithTimeout(ctx, lockTime)
	defer stop()
	if locked, err := s.lock.TryLockContext(limited, 10*time.Millisecond); !locked {
		return fmt.Errorf("the folder of voices is in use by another process: %w", err)
	}
	defer s.lock.Unlock()
	return do()
}

// lockTime is how long another process may take for a change.
const lockTime = 30 * time.Second

// clean removes what was under way when a process was killed: nobody else has the lock.
func (s *store) clean() error {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		switch _, isVoice := parseUUID(name); {
		case strings.HasPrefix(name, newPrefix) || strings.HasPrefix(name, gonePrefix):
			err = errors.Join(err, s.root.RemoveAll(name))
		case isVoice && entry.IsDir():
			files, _ := fs.ReadDir(s.root.FS(), name) // one that cannot be read is no voice
			for _, file := range files {
				if strings.HasPrefix(file.Name(), tempPrefix) {
					err = errors.Join(err, s.root.Remove(path.Join(name, file.Name())))
				}
			}
		}
	}
	return err
}

// list finds the voices, the oldest first.
func (s *store) list() ([]voice, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("the folder of voices: %w", err)
	}
	var voices []voice
	for _, entry := range entries {
		id, ok := parseUUID(entry.Name())
		if !ok || id != entry.Name() {
			continue
		}
		_, found, err := s.read(id)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("A voice cannot be read and is left out", "voice", id, "error", err)
			}
			continue
		}
		voices = append(voices, found)
	}
	slices.SortFunc(voices, func(a, b voice) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return voices, nil
}

func (s *store) has(id string) bool {
	_, _, err := s.read(id)
	return err == nil
}

// read reads the meta.json of a voice: all of its fields, and those that are known.
func (s *store) read(id string) (map[string]json.RawMessage, voice, error) {
	file, err := s.open(path.Join(id, metaFile))
	if err != nil {
		return nil, voice{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, metaBytes+1))
	if err != nil {
		return nil, voice{}, err
	}
	return parseMeta(data, id)
}

// open opens a file of the folder, and nothing that is none.
func (s *store) open(name string) (*os.File, error) {
	file, _, err := plain.OpenIn(s.root, name)
	return file, err
}

// parseMeta reads a meta.json, of this engine or the one before it. Fields that are not known are kept.
func parseMeta(data []byte, id string) (map[string]json.RawMessage, voice, error) {
	if len(data) > metaBytes {
		return nil, voice{}, fmt.Errorf("%s: expected at most %d bytes, found more", metaFile, metaBytes)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, voice{}, fmt.Errorf("%s: %w", metaFile, err)
	}
	v := voice{}
	var created string
	for _, field := range []struct {
		key    string
		to     any
		needed bool
	}{
		{"voice_id", &v.ID, true}, {"display_name", &v.DisplayName, true}, {"created_at", &created, true}, {"tts_model_id", &v.Model, true},
		{"language_hint", &v.Language, false}, {"description", &v.Description, false}, {"ref_text", &v.refText, false},
	} {
		raw, ok := fields[field.key]
		if field.needed && (!ok || string(raw) == "null") {
			return nil, voice{}, fmt.Errorf("%s: expected %s, found none", metaFile, field.key)
		}
		if ok && json.Unmarshal(raw, field.to) != nil {
			return nil, voice{}, fmt.Errorf("%s: %s: expected a text", metaFile, field.key)
		}
	}
	var err error
	if v.CreatedAt, err = parseTime(created); err != nil {
		return nil, voice{}, fmt.Errorf("%s: created_at: %w", metaFile, err)
	}
	if known, ok := parseUUID(v.ID); !ok || known != id {
		return nil, voice{}, fmt.Errorf("%s: voice_id: expected %s, found %.80q", metaFile, id, v.ID)
	}
	v.ID = id
	return fields, v, nil
}

// parseTime reads a time of ISO 8601; one without a zone is of UTC.
func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if bare, wrong := time.Parse("2006-01-02T15:04:05.999999999", text); wrong == nil {
			at, err = bare, nil
		}
	}
	if err == nil && (at.UTC().Year() < 1 || at.UTC().Year() > 9999) {
		err = errors.New("the year does not fit")
	}
	return at.UTC(), err
}

// add keeps a new voice.
func (s *store) add(ctx context.Context, v voice, prompt []byte) (voice, error) {
	v.ID, v.CreatedAt = newUUID(), time.Now().UTC().Truncate(time.Microsecond)
	meta, err := metaOf(map[string]json.RawMessage{}, v)
	if err == nil {
		err = fits(meta)
	}
	if err != nil {
		return voice{}, err
	}
	return v, s.change(ctx, func() error {
		entries, err := fs.ReadDir(s.root.FS(), ".")
		if err != nil {
			return err
		}
		if len(entries) > mostVoices {
			return &refusal{http.StatusBadRequest, codeClone, fmt.Sprintf("There are %d voices already; delete some", mostVoices), nil}
		}
		temporary := newPrefix + v.ID
		err = s.root.Mkdir(temporary, 0o700)
		if err == nil {
			err = s.write(path.Join(temporary, promptFile), prompt)
		}
		if err == nil {
			err = s.write(path.Join(temporary, metaFile), meta)
		}
		if err == nil {
			s.sync(temporary)
			err = s.root.Rename(temporary, v.ID)
		}
		if err != nil {
			return errors.Join(err, s.root.RemoveAll(temporary))
		}
		s.sync(".")
		return nil
	})
}

// update changes what is known of a voice, and nothing else that its meta.json holds.
func (s *store) update(ctx context.Context, id string, c voiceChange) (voice, error) {
	var changed voice
	err := s.change(ctx, func() error {
		fields, v, err := s.read(id)
		if err != nil {
			return noVoice(id)
		}
		if c.name != "" {
			v.DisplayName = c.name
		}
		if c.toLanguage {
			v.Language = c.language
		}
		if c.toDescription {
			v.Description = c.description
		}
		meta, err := metaOf(fields, v)
		if err == nil {
			err = fits(meta)
		}
		if err != nil {
			return err
		}
		temporary := path.Join(id, tempPrefix+newUUID())
		if err = s.write(temporary, meta); err == nil {
			err = s.root.Rename(temporary, path.Join(id, metaFile))
		}
		if err != nil {
			_ = s.root.Remove(temporary) // the next start tries again
			return err
		}
		s.sync(id)
		changed = v
		return nil
	})
	return changed, err
}

// remove takes a voice away.
func (s *store) remove(ctx context.Context, id string) error {
	return s.change(ctx, func() error {
		gone := gonePrefix + newUUID()
		if err := s.root.Rename(id, gone); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return noVoice(id)
			}
			return err
		}
		s.sync(".")
		if err := s.root.RemoveAll(gone); err != nil {
			s.log.Warn("What is left of a voice goes with the next start", "error", err)
		}
		return nil
	})
}

// metaOf writes a meta.json with what is known over the fields that were there.
func metaOf(fields map[string]json.RawMessage, v voice) ([]byte, error) {
	known, err := json.Marshal(struct {
		voice
		RefText *string `json:"ref_text"`
	}{v, v.refText})
	if err == nil {
		err = json.Unmarshal(known, &fields)
	}
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	err = json.Indent(&indented, data, "", "  ")
	return append(indented.Bytes(), '\n'), err
}

// fits refuses a meta.json that would not be read again: its voice would be lost.
func fits(meta []byte) error {
	if len(meta) > metaBytes {
		message := fmt.Sprintf("What is said of the voice (ref_text, language) is too long: expected at most %d bytes in %s, found %d", metaBytes, metaFile, len(meta))
		return &refusal{http.StatusBadRequest, codeInvalid, message, nil}
	}
	return nil
}

// write makes a file that is on the disk when it returns.
func (s *store) write(name string, data []byte) error {
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// sync brings the names in a folder to the disk, on systems that can.
func (s *store) sync(name string) {
	if folder, err := s.root.Open(name); err == nil {
		_ = folder.Sync()
		_ = folder.Close()
	}
}
