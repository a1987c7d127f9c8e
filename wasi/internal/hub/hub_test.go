package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// noise is the content of a file: no two parts of it are alike.
func noise(seed byte, size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// server has files by their path, and a way to misbehave.
type server struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	files  map[string][]byte
	asked  []string // "path range if-range authorization"
	served int      // bytes of bodies
	// odd answers a request itself; false leaves it to the usual answer.
	odd func(w http.ResponseWriter, r *http.Request, data []byte) bool
}

func serve(t *testing.T) *server {
	s := &server{t: t, files: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

type counter struct {
	http.ResponseWriter
	s *server
}

func (c counter) Write(p []byte) (int, error) {
	c.s.mu.Lock()
	c.s.served += len(p)
	c.s.mu.Unlock()
	return c.ResponseWriter.Write(p)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(fmt.Sprint(r.URL.Path, " ", r.Header.Get("Range"), " ", r.Header.Get("If-Range"), " ", r.Header.Get("Authorization"))))
	data, odd := s.files[r.URL.Path], s.odd
	s.mu.Unlock()
	w = counter{w, s}
	if odd != nil && odd(w, r, data) {
		return
	}
	if data == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+sumOf(data)[:16]+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (s *server) setOdd(odd func(w http.ResponseWriter, r *http.Request, data []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odd = odd
}

func (s *server) seen() (asked []string, served int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked), s.served
}

func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.served = nil, 0
}

// cutting answers with at most so many bytes and then ends the connection.
func cutting(most int) func(w http.ResponseWriter, r *http.Request, data []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		w.Header().Set("ETag", `"`+sumOf(data)[:16]+`"`)
		http.ServeContent(&cut{ResponseWriter: w, left: most}, r, "", time.Time{}, bytes.NewReader(data))
		return true
	}
}

type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	c.ResponseWriter.(counter).ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

const model = "model.safetensors"

// putPack puts a pack at /pack/ and returns the content of its weights.
func (s *server) putPack(size int, hashed bool) []byte {
	weights, tokenizer := noise(1, size), noise(2, 1000)
	entry := func(path, role string, data []byte) map[string]any {
		e := map[string]any{"path": path, "role": role}
		if hashed {
			e["bytes"], e["sha256"] = len(data), sumOf(data)
		}
		return e
	}
	manifest, err := json.Marshal(map[string]any{
		"format": 1, "name": "test", "config": map[string]any{},
		"files": []any{entry(model, "weights", weights), entry("a #1/tokenizer.model", "tokenizer", tokenizer)},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/pack/pack.json"], s.files["/pack/"+model], s.files["/pack/a #1/tokenizer.model"] = manifest, weights, tokenizer
	return weights
}

func options(t *testing.T, folder string) Options {
	return Options{Folder: folder, pause: time.Millisecond, stall: 20 * time.Second}
}

func open(t *testing.T, name string, o Options) *pack.Pack {
	t.Helper()
	p, err := Open(t.Context(), name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// content fetches a file and reads it.
func content(ctx context.Context, p *pack.Pack, path string) ([]byte, error) {
	n := slices.IndexFunc(p.Files, func(f pack.File) bool { return f.Path == path })
	if err := p.Fetch(ctx, p.Files[n]); err != nil {
		return nil, err
	}
	return p.Read(p.Files[n], 1<<30)
}

func wantContent(t *testing.T, p *pack.Pack, path string, want []byte) {
	t.Helper()
	if got, err := content(t.Context(), p, path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d, %v", path, len(got), len(want), err)
	}
}

// leftovers are the files of a cache that are neither whole nor known nor locks.
func leftovers(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.Contains(entry.Name(), ".part") || strings.Contains(entry.Name(), ".json-") {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestPackAtAnAddressIsFetchedOnce(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(3<<20, true)
	var progress []Progress
	o := options(t, folder)
	o.Progress = func(p Progress) { progress = append(progress, p) }
	p := open(t, s.URL+"/pack", o)
	if _, err := p.Read(p.Files[0], 1<<30); !errors.Is(err, pack.ErrNotFound) {
		t.Errorf("read before it is fetched: %v", err)
	}
	wantContent(t, p, model, weights)
	wantContent(t, p, "a #1/tokenizer.model", s.files["/pack/a #1/tokenizer.model"])
	wantContent(t, p, model, weights)
	if asked, _ := s.seen(); !slices.Equal(asked, []string{"/pack/pack.json", "/pack/" + model, "/pack/a #1/tokenizer.model"}) {
		t.Errorf("asked for %q", asked)
	}
	last := progress[len(progress)-1]
	if last != (Progress{s.URL + "/pack/", "a #1/tokenizer.model", 1000, 1000}) {
		t.Errorf("the last progress is %+v", last)
	}
	// Again: the manifest is asked for, the rest is there. Without a network, so is the manifest.
	s.forget()
	wantContent(t, open(t, s.URL+"/pack/", options(t, folder)), model, weights)
	if asked, _ := s.seen(); !slices.Equal(asked, []string{"/pack/pack.json"}) {
		t.Errorf("asked again for %q", asked)
	}
	s.Close()
	o = options(t, folder)
	o.pause = time.Hour // what is there is not waited for
	wantContent(t, open(t, s.URL+"/pack/", o), model, weights)
	o = options(t, folder)
	o.Offline = true
	wantContent(t, open(t, s.URL+"/pack/", o), model, weights)
	if names := leftovers(t, folder); len(names) > 0 {
		t.Errorf("left over: %q", names)
	}
}

func TestOfflineAsksNobody(t *testing.T) {
	s := serve(t)
	s.putPack(1000, true)
	o := options(t, t.TempDir())
	o.Offline = true
	for _, name := range []string{s.URL + "/pack", "hf://owner/name@main", "english"} {
		o.Hubs = []string{s.URL + "/{repository}/{revision}/{path}"}
		p, err := Open(t.Context(), name, o)
		if err == nil {
			err = p.Fetch(t.Context(), p.Files[0])
			if p.Kept(p.Files[0]) {
				t.Errorf("%s is said to be there", name)
			}
		}
		if !errors.Is(err, pack.ErrNetwork) || !strings.Contains(err.Error(), "is not in the cache") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked, _ := s.seen(); len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
}

func TestCutTransfersGoOnWithoutAByteTwice(t *testing.T) {
	for _, hashed := range []bool{true, false} {
		s, folder := serve(t), t.TempDir()
		weights := s.putPack(1<<20, hashed)
		p := open(t, s.URL+"/pack", options(t, folder))
		s.forget()
		s.setOdd(cutting(300_000))
		wantContent(t, p, model, weights)
		tag := `"` + sumOf(weights)[:16] + `"`
		want := []string{
			"/pack/" + model, "/pack/" + model + " bytes=300000- " + tag,
			"/pack/" + model + " bytes=600000- " + tag, "/pack/" + model + " bytes=900000- " + tag,
		}
		if asked, served := s.seen(); !slices.Equal(asked, want) || served != len(weights) {
			t.Errorf("hashed %v: asked for %q, %d bytes served of %d", hashed, asked, served, len(weights))
		}
	}
}

func TestCancelledTransferGoesOnNextTime(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(4<<20, true)
	p := open(t, s.URL+"/pack", options(t, folder))
	ctx, cancel := context.WithCancel(t.Context())
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:1<<20])
		w.(counter).ResponseWriter.(http.Flusher).Flush()
		until(t, func() bool { return len(leftovers(t, folder)) == 1 && size(folder, leftovers(t, folder)[0]) == 1<<20 })
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, err := content(ctx, p, model); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	s.setOdd(nil)
	s.forget()
	wantContent(t, open(t, s.URL+"/pack", options(t, folder)), model, weights)
	if asked, _ := s.seen(); len(asked) != 2 || asked[1] != "/pack/"+model+" bytes=1048576-" {
		t.Errorf("asked for %q", asked)
	}
}

func size(folder, name string) int64 {
	info, err := os.Stat(filepath.Join(folder, name))
	if err != nil {
		return -1
	}
	return info.Size()
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for range 4000 {
		if holds() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("waited in vain")
}

// partial answers requests with a Range in its own way.
func partial(answer func(w http.ResponseWriter, from int, data []byte)) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
			return false
		}
		answer(w, from, data)
		return true
	}
}

func TestWrongPartialAnswersAreNotBelieved(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, from int, data []byte){
		"no range": func(w http.ResponseWriter, from int, data []byte) {
			w.WriteHeader(206)
			_, _ = w.Write(data[from:])
		},
		"from the start": func(w http.ResponseWriter, from int, data []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
			w.WriteHeader(206)
			_, _ = w.Write(data)
		},
		"one further": func(w http.ResponseWriter, from int, data []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from+1, len(data)-1, len(data)))
			w.WriteHeader(206)
			_, _ = w.Write(data[from+1:])
		},
		"another total": func(w http.ResponseWriter, from int, data []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data), len(data)+1))
			w.WriteHeader(206)
			_, _ = w.Write(append(slices.Clone(data[from:]), 0))
		},
		"another tag": func(w http.ResponseWriter, from int, data []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.Header().Set("ETag", `"another"`)
			w.WriteHeader(206)
			_, _ = w.Write(noise(9, len(data)-from))
		},
		"not satisfiable": func(w http.ResponseWriter, from int, data []byte) { w.WriteHeader(416) },
		"all of it": func(w http.ResponseWriter, from int, data []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data)
		},
	} {
		for _, hashed := range []bool{true, false} {
			s, folder := serve(t), t.TempDir()
			weights := s.putPack(500_000, hashed)
			p := open(t, s.URL+"/pack", options(t, folder))
			begun := false
			own := partial(answer)
			s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
				if !begun {
					begun = true
					return cutting(100_000)(w, r, data)
				}
				return own(w, r, data)
			})
			if got, err := content(t.Context(), p, model); err != nil || !bytes.Equal(got, weights) {
				t.Errorf("%s, hashed %v: %d bytes, %v", name, hashed, len(got), err)
			}
		}
	}
}

func TestDamageIsNotKept(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(500_000, true)
	p := open(t, s.URL+"/pack", options(t, folder))
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		_, _ = w.Write(noise(9, len(data)))
		return true
	})
	if _, err := content(t.Context(), p, model); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "expected sha256 "+sumOf(weights)) {
		t.Errorf("got %v", err)
	}
	if names := leftovers(t, folder); len(names) > 0 {
		t.Errorf("kept: %q", names)
	}
	// A size that differs is seen before anything is read.
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		_, _ = w.Write(data[:1000])
		return true
	})
	if _, err := content(t.Context(), p, model); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "expected 500000 bytes, found 1000") {
		t.Errorf("got %v", err)
	}
	s.setOdd(nil)
	wantContent(t, p, model, weights)
}

func TestDamagedPartIsFetchedAnew(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(500_000, true)
	store := Store{folder}
	identity := "sha256:" + sumOf(weights)
	key := keyOf(identity)
	total := int64(len(weights))
	if err := errors.Join(os.WriteFile(filepath.Join(folder, key+".part"), noise(7, 1000), 0o666),
		store.putMeta(key, Meta{Identity: identity, Pack: "x", URL: "x", Bytes: &total, SHA256: sumOf(weights)})); err != nil {
		t.Fatal(err)
	}
	wantContent(t, open(t, s.URL+"/pack", options(t, folder)), model, weights)
	if asked, _ := s.seen(); len(asked) != 3 || !strings.HasSuffix(asked[1], " bytes=1000-") || strings.Contains(asked[2], "bytes") {
		t.Errorf("asked for %q", asked)
	}
}

func TestDamagedCopyIsSeenAndMended(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(500_000, false) // the sum is that of the copy
	p := open(t, s.URL+"/pack", options(t, folder))
	wantContent(t, p, model, weights)
	if p.Recheck(t.Context()) {
		t.Error("a good copy is said to be damaged")
	}
	path := filepath.Join(folder, keyOf(s.URL+"/pack/"+model))
	if err := os.WriteFile(path, noise(3, len(weights)), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := content(t.Context(), p, model); !errors.Is(err, pack.ErrPack) {
		t.Errorf("damage: %v", err)
	}
	if !p.Recheck(t.Context()) {
		t.Error("the damage is not found")
	}
	wantContent(t, p, model, weights)
}

func TestSilenceIsCut(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(500_000, true)
	o := options(t, folder)
	o.stall = 300 * time.Millisecond
	p := open(t, s.URL+"/pack", o)
	s.forget()
	silent := 0
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		switch silent++; silent {
		case 1: // before the answer
		case 2: // in the middle
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:1000])
			w.(counter).ResponseWriter.(http.Flusher).Flush()
		default:
			return false
		}
		<-r.Context().Done()
		return true
	})
	wantContent(t, p, model, weights)
	if asked, _ := s.seen(); len(asked) != 3 || !strings.HasSuffix(asked[2], " bytes=1000-") {
		t.Errorf("asked for %q", asked)
	}
}

func TestPagesAreNamedAsSuch(t *testing.T) {
	s := serve(t)
	s.putPack(1000, false)
	for name, odd := range map[string]func(w http.ResponseWriter){
		"by its type":    func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html; charset=utf-8") },
		"by its content": func(w http.ResponseWriter) { w.Header().Set("Content-Type", "application/octet-stream") },
	} {
		s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
			odd(w)
			_, _ = io.WriteString(w, "\n <!DOCTYPE HTML><html>Please log in.</html>")
			return true
		})
		if _, err := Open(t.Context(), s.URL+"/pack", options(t, t.TempDir())); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "found an HTML page") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTriesAreBounded(t *testing.T) {
	s := serve(t)
	weights := s.putPack(1000, true)
	for name, c := range map[string]struct {
		status, failures, asked int
		good                    bool
	}{
		"soon better": {503, 2, 3, true}, "too many": {429, 1, 2, true}, "never better": {500, 1 << 30, 5, false},
		"not there": {404, 1 << 30, 1, false}, "gone": {410, 1 << 30, 1, false}, "refused": {403, 1 << 30, 1, false},
	} {
		s.setOdd(nil)
		p := open(t, s.URL+"/pack", options(t, t.TempDir()))
		s.forget()
		left := c.failures
		s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
			left--
			if left >= 0 {
				w.WriteHeader(c.status)
			}
			return left >= 0
		})
		got, err := content(t.Context(), p, model)
		asked, _ := s.seen()
		if len(asked) != c.asked || (err == nil) != c.good || c.good && !bytes.Equal(got, weights) {
			t.Errorf("%s: asked %d times, want %d, %v", name, len(asked), c.asked, err)
		}
		if want := pack.ErrNetwork; !c.good && (c.status == 404 || c.status == 410) != errors.Is(err, pack.ErrNotFound) || !c.good && c.status < 404 && !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One that always cuts at the same place and knows no ranges brings nothing new.
	s.setOdd(nil)
	p := open(t, s.URL+"/pack", options(t, t.TempDir()))
	s.forget()
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		r.Header.Del("Range")
		return cutting(500)(w, r, data)
	})
	if _, err := content(t.Context(), p, model); !errors.Is(err, pack.ErrNetwork) {
		t.Errorf("got %v", err)
	}
	if asked, _ := s.seen(); len(asked) != 1+retries {
		t.Errorf("asked %d times", len(asked))
	}
}

func TestTransfersEndThatDoNot(t *testing.T) {
	s := serve(t)
	s.putPack(1000, false)
	endless := func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return true
			}
		}
	}
	s.setOdd(endless)
	if _, err := Open(t.Context(), s.URL+"/pack", options(t, t.TempDir())); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "at most 1048576 bytes") {
		t.Errorf("an endless manifest: %v", err)
	}
	s.setOdd(nil)
	weights := s.putPack(1000, true)
	p := open(t, s.URL+"/pack", options(t, t.TempDir()))
	s.setOdd(endless)
	if _, err := content(t.Context(), p, model); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "at most 1000 bytes") {
		t.Errorf("an endless file: %v", err)
	}
	s.setOdd(nil)
	s.putPack(1000, false)
	p = open(t, s.URL+"/pack", options(t, t.TempDir()))
	s.setOdd(endless)
	if _, err := content(t.Context(), p, model); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "the size is not known: give it as bytes in pack.json") {
		t.Errorf("endless weights of unknown size: %v", err)
	}
	if _, err := content(t.Context(), p, "a #1/tokenizer.model"); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "at most 67108864 bytes") {
		t.Errorf("an endless tokenizer: %v", err)
	}
	s.setOdd(nil)
	s.putPack(1000, true)
	p = open(t, s.URL+"/pack", options(t, t.TempDir()))
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(weights)
		return true
	})
	if _, err := content(t.Context(), p, model); !errors.Is(err, pack.ErrPack) || !strings.Contains(err.Error(), "Content-Encoding") {
		t.Errorf("compressed: %v", err)
	}
}

func TestOfficialPacks(t *testing.T) {
	r, err := known()
	if err != nil {
		t.Fatal(err)
	}
	english := r.Packs[slices.IndexFunc(r.Packs, func(p official) bool { return p.Name == "english" })]
	s := serve(t)
	for _, f := range english.Files {
		s.files["/"+f.Repository+"/resolve/"+f.Revision+"/"+f.Path] = noise(byte(len(f.Repository)), 5000)
	}
	v := r.VoiceFiles
	s.files["/"+v.Repository+"/resolve/"+v.Revision+"/languages/english/embeddings/alba.safetensors"] = noise(5, 100)
	template := s.URL + "/{repository}/resolve/{revision}/{path}"
	public, gated := noise(byte(len("kyutai/pocket-tts-without-voice-cloning")), 5000), noise(byte(len("kyutai/pocket-tts")), 5000)
	weights := func(p *pack.Pack) string { return p.WithRole(pack.RoleWeights)[0].Path }

	t.Run("public", func(t *testing.T) {
		o := options(t, t.TempDir())
		o.Hubs = []string{template}
		p := open(t, "english", o)
		if p.Name != "english" || p.DefaultVoice != "alba" || len(p.WithRole(pack.RoleVoice)) != len(r.Voices) || p.Cloning == nil || p.Cloning.Available {
			t.Errorf("unexpected %+v", p.Manifest)
		}
		wantContent(t, p, weights(p), public)
		wantContent(t, p, "languages/english/embeddings/alba.safetensors", noise(5, 100))
		// Pinned files are asked for once; a second program needs nobody.
		s.forget()
		o.Offline = true
		wantContent(t, open(t, "english", o), weights(p), public)
		if asked, _ := s.seen(); len(asked) > 0 {
			t.Errorf("asked for %q", asked)
		}
	})
	t.Run("gated", func(t *testing.T) {
		o := options(t, t.TempDir())
		o.Hubs, o.Token = []string{template}, "secret"
		p := open(t, "english", o)
		if p.Cloning != nil {
			t.Errorf("cloning: %+v", p.Cloning)
		}
		s.forget()
		wantContent(t, p, weights(p), gated)
		if asked, _ := s.seen(); len(asked) != 1 || !strings.HasSuffix(asked[0], "Bearer secret") {
			t.Errorf("asked for %q", asked)
		}
	})
	t.Run("refused", func(t *testing.T) {
		var log bytes.Buffer
		o := options(t, t.TempDir())
		o.Hubs, o.Token, o.Logger = []string{template}, "secret", slog.New(slog.NewTextHandler(&log, nil))
		s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
			refused := strings.HasPrefix(r.URL.Path, "/kyutai/pocket-tts/")
			if refused {
				w.WriteHeader(403)
			}
			return refused
		})
		defer s.setOdd(nil)
		p := open(t, "english", o)
		wantContent(t, p, weights(p), public)
		if !strings.Contains(log.String(), "agree to its terms (https://huggingface.co/kyutai/pocket-tts)") || strings.Contains(log.String(), "secret") {
			t.Errorf("the log says %s", log.String())
		}
	})
	t.Run("mirrors", func(t *testing.T) {
		mirror := serve(t)
		mirror.files = s.files
		s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool { w.WriteHeader(404); return true })
		defer s.setOdd(nil)
		o := options(t, t.TempDir())
		o.Hubs, o.Token = []string{template, mirror.URL + "/{repository}/resolve/{revision}/{path}"}, "secret"
		p := open(t, "english", o)
		wantContent(t, p, weights(p), gated)
		if asked, _ := mirror.seen(); len(asked) != 1 || strings.Contains(asked[0], "secret") {
			t.Errorf("the mirror was asked for %q", asked)
		}
	})
	t.Run("no template", func(t *testing.T) {
		for _, template := range []string{"", "file:///{path}", "https://example.com/", "ftp://x/{path}"} {
			o := options(t, t.TempDir())
			o.Hubs = []string{template}
			if _, err := Open(t.Context(), "english", o); !IsArgument(err) {
				t.Errorf("%q: %v", template, err)
			}
		}
		o := options(t, t.TempDir())
		o.Token = "a b"
		if _, err := Open(t.Context(), "english", o); !IsArgument(err) || strings.Contains(err.Error(), "a b") {
			t.Errorf("a token with a space: %v", err)
		}
	})
}

func TestPackOfTheHub(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(1000, true)
	revision := strings.Repeat("ab", 20)
	for path, data := range s.files {
		s.files["/me/mine/"+revision+"/sub"+strings.TrimPrefix(path, "/pack")] = data
		s.files["/me/mine/main"+strings.TrimPrefix(path, "/pack")] = data
	}
	o := options(t, folder)
	o.Hubs = []string{s.URL + "/{repository}/{revision}/{path}"}
	for range 2 {
		wantContent(t, open(t, "hf://me/mine/sub@"+revision, o), model, weights)
		wantContent(t, open(t, "hf://me/mine", o), model, weights)
	}
	// Pinned, also the manifest is fetched once; the weights are the same by their hash.
	asked, _ := s.seen()
	want := []string{"/me/mine/" + revision + "/sub/pack.json", "/me/mine/" + revision + "/sub/" + model, "/me/mine/main/pack.json", "/me/mine/main/pack.json"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q", asked)
	}
	for _, name := range []string{"hf://me", "hf://me/mine/../x", "hf://me/mine@", "hf://me//x", "ftp://x/y", "https://", "hf://me/mine@a@b"} {
		if _, err := Open(t.Context(), name, o); !IsArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// helperVariable makes this test program one of the processes of a test.
const helperVariable = "POCKET_TTS_HUB_TEST"

func TestMain(m *testing.M) {
	if work := os.Getenv(helperVariable); work != "" {
		os.Exit(helper(strings.Split(work, "|")))
	}
	os.Exit(m.Run())
}

// helper fetches "address|folder".
func helper(args []string) int {
	p, err := Open(context.Background(), args[0], Options{Folder: args[1], pause: time.Millisecond})
	if err == nil {
		var data []byte
		if data, err = content(context.Background(), p, model); err == nil {
			fmt.Print(sumOf(data))
			return 0
		}
	}
	fmt.Print(err)
	return 1
}

func process(t *testing.T, address, folder string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), helperVariable+"="+address+"|"+folder)
	return cmd
}

func TestProcessesFetchAFileOnce(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(2<<20, true)
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if !strings.HasSuffix(r.URL.Path, "pack.json") {
			until(t, func() bool { asked, _ := s.seen(); return len(asked) == 4 }) // all of them want the weights
		}
		return false
	})
	var group sync.WaitGroup
	for range 3 {
		cmd := process(t, s.URL+"/pack", folder)
		group.Go(func() {
			if out, err := cmd.Output(); err != nil || string(out) != sumOf(weights) {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
	group.Wait()
	asked, _ := s.seen()
	if n := len(slices.DeleteFunc(asked, func(a string) bool { return strings.HasSuffix(a, "pack.json") })); n != 1 {
		t.Errorf("the weights were asked for %d times", n)
	}
}

func TestLoadsInOneProcessFetchAFileOnce(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(1<<20, true)
	packs := []*pack.Pack{open(t, s.URL+"/pack", options(t, folder)), open(t, s.URL+"/pack", options(t, folder))}
	s.forget()
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		time.Sleep(3 * lookEvery) // for whoever does not wait
		return false
	})
	var group sync.WaitGroup
	for _, p := range packs {
		group.Go(func() { wantContent(t, p, model, weights) })
	}
	group.Wait()
	if asked, served := s.seen(); len(asked) != 1 || served != len(weights) {
		t.Errorf("asked for %q, %d bytes served", asked, served)
	}
}

func TestKilledProcessLeavesAPart(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(2<<20, true)
	cmd := process(t, s.URL+"/pack", folder)
	s.setOdd(func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if strings.HasSuffix(r.URL.Path, "pack.json") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:1<<20])
		w.(counter).ResponseWriter.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { names := leftovers(t, folder); return len(names) == 1 && size(folder, names[0]) == 1<<20 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s.setOdd(nil)
	s.forget()
	wantContent(t, open(t, s.URL+"/pack", options(t, folder)), model, weights)
	if asked, _ := s.seen(); len(asked) != 2 || asked[1] != "/pack/"+model+" bytes=1048576-" {
		t.Errorf("asked for %q", asked)
	}
}

// What a process of the JavaScript package fetches just now has its number in its name.
func TestDownloadsOfTheOtherPackageAreWaitedFor(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(1000, true)
	p := open(t, s.URL+"/pack", options(t, folder))
	s.forget()
	identity, total := "sha256:"+sumOf(weights), int64(len(weights))
	key := keyOf(identity)
	theirs := filepath.Join(folder, fmt.Sprintf("%s.part-%d-0123456789ab", key, os.Getppid()))
	if err := errors.Join(os.WriteFile(theirs, weights, 0o666),
		Store{folder}.putMeta(key, Meta{Identity: identity, URL: "u", Pack: "p", Bytes: &total, SHA256: sumOf(weights)})); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		got, err := content(t.Context(), p, model)
		if !bytes.Equal(got, weights) {
			err = fmt.Errorf("%d bytes, %w", len(got), err)
		}
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("it was not waited for: %v", err)
	case <-time.After(3 * lookEvery):
	}
	if err := os.Rename(theirs, filepath.Join(folder, key)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if asked, _ := s.seen(); len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
}

func TestFullDiskIsSaidAndLeavesNothing(t *testing.T) {
	limit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skip("no prlimit to make files end early")
	}
	s, folder := serve(t), t.TempDir()
	s.putPack(3<<20, true)
	inner := process(t, s.URL+"/pack", folder)
	cmd := exec.CommandContext(t.Context(), limit, "--fsize=1048576", inner.Path)
	cmd.Env = inner.Env
	out, err := cmd.Output()
	if err == nil || !strings.Contains(string(out), "the cache "+folder+" cannot take it") || !strings.Contains(string(out), syscall.EFBIG.Error()) {
		t.Errorf("%s, %v", out, err)
	}
	if names := leftovers(t, folder); len(names) > 0 {
		t.Errorf("left over: %q", names)
	}
}

func TestCacheThatCannotBeMade(t *testing.T) {
	s := serve(t)
	s.putPack(1000, true)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.URL+"/pack", options(t, filepath.Join(file, "cache"))); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("got %v", err)
	}
}

func TestStoreListsAndRemoves(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	s.putPack(1000, true)
	store := Store{folder}
	if kept, err := (Store{filepath.Join(folder, "none")}).List(); err != nil || len(kept) > 0 {
		t.Errorf("%v, %v", kept, err)
	}
	p := open(t, s.URL+"/pack", options(t, folder))
	if _, err := content(t.Context(), p, model); err != nil {
		t.Fatal(err)
	}
	kept, err := store.List()
	if err != nil || len(kept) != 2 {
		t.Fatalf("%+v, %v", kept, err)
	}
	for _, k := range kept {
		if _, right, err := k.Check(t.Context()); !right || err != nil || !k.Complete || k.Pack != s.URL+"/pack/" {
			t.Errorf("%+v: %v", k, err)
		}
		if err := store.Remove(k.Key); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// What is no plain file is nothing, and nothing is waited for that does not move.
func TestOddThingsInTheCache(t *testing.T) {
	s, folder := serve(t), t.TempDir()
	weights := s.putPack(1<<20, true)
	p := open(t, s.URL+"/pack", options(t, folder))
	key := keyOf("sha256:" + sumOf(weights))
	block := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(folder, name, "inside"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	block(key)
	block(key + ".part")
	block(key + ".part-1-0123")
	future := filepath.Join(folder, key+".part-1-4567")
	tomorrow := time.Now().Add(24 * time.Hour)
	if err := errors.Join(os.WriteFile(future, []byte("x"), 0o666), os.Chtimes(future, tomorrow, tomorrow)); err != nil {
		t.Fatal(err)
	}
	if mkfifo, err := exec.LookPath("mkfifo"); err == nil {
		if err := exec.CommandContext(t.Context(), mkfifo, filepath.Join(folder, key+".json")).Run(); err != nil {
			t.Fatal(err)
		}
	}
	s.forget()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 {
		if got, err := content(ctx, p, model); err != nil || !bytes.Equal(got, weights) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	wantContent(t, open(t, s.URL+"/pack", options(t, folder)), model, weights)
	if asked, _ := s.seen(); len(asked) != 2 { // the weights, pack.json
		t.Errorf("asked for %q", asked)
	}

	block(strings.Repeat("a", 40))
	block(strings.Repeat("b", 40) + ".json")
	store := Store{folder}
	if kept, err := store.List(); err != nil || len(kept) != 3 { // the weights, a part of another process, pack.json
		t.Errorf("%+v, %v", kept, err)
	}
	if err := store.Clear(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestRegistryEqualsTheOriginal(t *testing.T) {
	original, err := os.ReadFile("../../../models/packs.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("outside of the repository")
	}
	if err != nil || !bytes.Equal(original, registryJSON) {
		t.Errorf("packs.json differs from models/packs.json: run go generate ./internal/hub (%v)", err)
	}
	if names := Names(); len(names) != 27 {
		t.Errorf("%d official packs", len(names))
	}
}

func FuzzRegistry(f *testing.F) {
	f.Add([]byte(`{"format": 1, "hub": "https://x/{path}", "packs": [{"name": "a", "files": [{"repository": "o/n", "revision": "main", "path": "p"}]}]}`))
	f.Add([]byte(`{"format": 2}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRegistry(data)
		if err != nil {
			if !errors.Is(err, pack.ErrPack) && !IsArgument(err) {
				t.Errorf("no error of ours: %v", err)
			}
			return
		}
		for _, p := range r.Packs {
			s, err := newSource(Options{Folder: t.TempDir()}, r)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := s.official(&p)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range opened.Files {
				remotes, err := s.find(file)
				if err != nil || len(remotes) == 0 || len(remotes[0].urls) != 1 {
					t.Errorf("%+v cannot be found: %v", file, err)
				}
			}
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, text := range []string{"hf://a/b", "hf://a/b/c@d", "hf://a/../b", "hf://a/b/c%2f..@x", "https://a/b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := parseAddress(text)
		if !ok {
			return
		}
		full, err := expand("https://hub.test/{repository}/{revision}/{path}", a)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		// Whatever the names are, they stay in their places.
		want := 3 + 1 + strings.Count(a.Path, "/")
		if a.Path == "" {
			want = 4
		}
		rest := strings.TrimPrefix(full, "https://hub.test/")
		if rest == full || strings.Count(rest, "/") != want-1 || strings.ContainsAny(rest, "?#\\ ") || slices.Contains(strings.Split(rest, "/"), "..") {
			t.Errorf("%q becomes %q", text, full)
		}
		if again, ok := parseAddress(a.String()); a.Path != "" && (!ok || again != a) {
			t.Errorf("%+v is written as %q", a, a.String())
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"identity":"sha256:00","url":"u","pack":"p","bytes":5,"sha256":"00"}`), "bytes 0-4/5")
	f.Add([]byte(`{"identity":"x","bytes":-1}`), "bytes 5-4/5")
	f.Fuzz(func(t *testing.T, data []byte, header string) {
		if m, ok := parseMeta(data); ok && (m.Identity == "" || m.Bytes != nil && *m.Bytes < 0) {
			t.Errorf("%q is taken for %+v", data, m)
		}
		if total, ok := restOf(header, 3); ok && total <= 3 {
			t.Errorf("%q is taken for the rest of %d bytes", header, total)
		}
	})
}
