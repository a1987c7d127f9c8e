package hub

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

// Files over HTTP: resumed where they were cut, checked, and kept.
//
//	fetch     a whole file of the cache, or its part and a request for the rest, or a request for all of it
//	run       as many connections as it takes, as long as they bring something
//	finish    size and hash are right: the part becomes the file. Wrong: it is gone

const (
	// retries are those in a row that bring nothing; the wait before the first of them doubles each time.
	retries    = 4
	firstPause = 200 * time.Millisecond
	// stall is how long a server may say nothing.
	stall         = 30 * time.Second
	progressEvery = 100 * time.Millisecond
	copyBytes     = 256 << 10
)

// Progress is how far a file is.
type Progress struct {
	Pack, File string
	Loaded     int64 // bytes that are there
	Total      int64 // of the whole file; -1 where that is not known
}

// remote is a file somewhere else.
type remote struct {
	identity string
	// volatile files may change under their address: they are asked for each time, and what is kept of them is used where
	// nobody answers.
	volatile bool
	hub      *address // of a file of the hub
	pack     string
	file     string   // for messages; empty: the pack's name is that of the file
	urls     []string // tried in this order
	token    string   // for the first of them
	hint     func(status int) string
	limit    int64              // largest size; 0 is none
	accept   func([]byte) error // of a file with a limit: refuses what must not replace a good one
	bytes    *int64             // what it has to have, where known
	sha256   string
}

func (r *remote) name() string {
	if r.file == "" {
		return r.pack
	}
	return r.pack + ": " + r.file
}

// fits tells whether a kept file can be the one that is wanted, by what is known before it is read.
func (r *remote) fits(kept Kept) bool {
	return kept.Identity == r.identity && (r.sha256 == "" || kept.SHA256 == "" || kept.SHA256 == r.sha256) &&
		(r.bytes == nil || kept.Bytes == nil || *kept.Bytes == *r.bytes)
}

// client is what fetches.
type client struct {
	http     *http.Client
	store    Store
	shared   string // the folder of the hub's own programs; empty: it is not looked at
	offline  bool
	progress func(Progress)
	logger   *slog.Logger
	pause    time.Duration
	stall    time.Duration

	mu      sync.Mutex
	damaged []string // files of the shared folder that are not trusted
}

// statusError is an answer that is an error, by its status.
type statusError struct {
	status  int
	message string
}

func (s *statusError) Error() string { return s.message }

func (s *statusError) Unwrap() error {
	if s.status == http.StatusNotFound || s.status == http.StatusGone {
		return pack.ErrNotFound
	}
	return pack.ErrNetwork
}

// passing is an error that may be gone a little later.
type passing struct{ error }

func (p *passing) Unwrap() error { return p.error }

func isPassing(err error) bool {
	var p *passing
	return errors.As(err, &p)
}

// find returns a file that is in the cache, or that the hub's own programs have fetched.
func (c *client) find(r *remote) (Kept, bool) {
	if kept, ok := c.store.Find(r.identity); ok && r.fits(kept) {
		return kept, true
	}
	return c.findShared(r)
}

// fetch makes sure that a file is in the cache.
func (c *client) fetch(ctx context.Context, r *remote) (Kept, error) {
	if kept, ok := c.find(r); ok && (!r.volatile || c.offline) {
		return kept, nil
	}
	if c.offline || len(r.urls) == 0 {
		what := "the pack"
		if r.file == "" {
			what = "it"
		}
		return Kept{}, fmt.Errorf("%s: %w: %s is not in the cache (%s), and nobody may be asked for it; load %s once with a network",
			r.name(), pack.ErrNetwork, r.identity, c.store.Folder, what)
	}
	leave, err := c.store.lock(ctx, keyOf(r.identity))
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%s: the cache %s cannot be used: %w", r.name(), c.store.Folder, err)
		}
		return Kept{}, err
	}
	defer leave()
	before, there := c.find(r)
	if there && !r.volatile { // somebody else was faster
		return before, nil
	}
	patience := retries
	if there {
		patience = 0
	}
	kept, err := c.transfer(ctx, r, patience)
	if err != nil && ctx.Err() == nil && there && isPassing(err) {
		c.logger.Warn(fmt.Sprintf("%s; using the copy in the cache", err))
		return before, nil
	}
	return kept, err
}

func (c *client) transfer(ctx context.Context, r *remote, patience int) (Kept, error) {
	t := &transfer{client: c, remote: r, total: -1, patience: patience}
	if err := t.open(); err != nil {
		return Kept{}, fmt.Errorf("%s: the cache %s cannot be used: %w", r.name(), c.store.Folder, err)
	}
	defer func() { t.part.close(t.keep && t.at > 0) }()
	kept, err := t.run(ctx)
	if errors.Is(err, errDamaged) && t.resumed {
		// What was there before may have been the damage.
		if err = t.restart(); err == nil {
			kept, err = t.run(ctx)
		}
	}
	return kept, err
}

// transfer is a file that is being fetched.
type transfer struct {
	*client
	remote   *remote
	part     *part
	meta     Meta // of the part
	hash     hash.Hash
	at       int64 // bytes that are there
	most     int64 // that there ever were
	total    int64 // -1 where it is not known
	patience int   // retries in a row that bring nothing
	resumed  bool  // some of them came from an earlier transfer
	keep     bool  // the part is worth something
	shown    time.Time
}

// errDamaged says that all of a file came, and is not the one that was wanted.
var errDamaged = fmt.Errorf("%w", pack.ErrPack)

// open takes over what an earlier transfer left, or begins with nothing.
func (t *transfer) open() (err error) {
	key := keyOf(t.remote.identity)
	before, known := t.store.at(key, key+".part")
	if t.part, err = t.store.openPart(key); err != nil {
		return err
	}
	t.hash = sha256.New()
	r := t.remote
	if !known || r.volatile || !r.fits(before) || r.bytes != nil && before.Size > *r.bytes {
		return t.restart()
	}
	t.meta = before.Meta
	if t.at, err = io.Copy(t.hash, t.part.file); err != nil {
		return t.restart()
	}
	t.most, t.resumed, t.keep = t.at, t.at > 0, true
	if t.meta.Bytes != nil {
		t.total = *t.meta.Bytes
	}
	return nil
}

// restart forgets what is there.
func (t *transfer) restart() error {
	t.hash.Reset()
	t.at, t.total, t.meta, t.resumed, t.keep = 0, -1, Meta{}, false, false
	return t.part.file.Truncate(0)
}

func (t *transfer) run(ctx context.Context) (Kept, error) {
	for failures, wait := 0, t.pause; ; failures, wait = failures+1, 2*wait {
		before := t.most
		if t.total < 0 || t.at < t.total { // else all of it came, and nobody was left to look at it
			if err := t.attempt(ctx); err != nil {
				if ctx.Err() != nil {
					return Kept{}, ctx.Err()
				}
				if t.most > before {
					failures, wait = 0, t.pause
				}
				if !isPassing(err) || failures == t.patience {
					return Kept{}, err
				}
				t.logger.Debug(fmt.Sprintf("%s; trying again", err))
				if err := pause(ctx, wait); err != nil {
					return Kept{}, err
				}
				continue
			}
		}
		return t.finish()
	}
}

// attempt asks one address after the other until one of them answers.
func (t *transfer) attempt(ctx context.Context) error {
	var all error
	for n, address := range t.remote.urls {
		token := ""
		if n == 0 {
			token = t.remote.token
		}
		before := t.most
		err := t.from(ctx, address, token)
		switch {
		case err == nil, ctx.Err() != nil, isFull(err), t.most > before:
			return err
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
		if n+1 < len(t.remote.urls) {
			t.logger.Warn(fmt.Sprintf("%s; asking the next hub", err))
		}
	}
	return all
}

// shownURL is an address without what may be secret in it.
func shownURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(an address that is none)"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// from fetches the rest of the file from an address, or all of it where the server has no right answer to that.
func (t *transfer) from(ctx context.Context, address, token string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	where := shownURL(address)
	silence := &passing{fmt.Errorf("%w: %s: no answer for %s", pack.ErrNetwork, where, t.stall)}
	watchdog := time.AfterFunc(t.stall, func() { cancel(silence) })
	defer watchdog.Stop()
	// Another address may have other bytes, unless a hash says what they have to be.
	same := t.meta.URL == where
	resume := t.at > 0 && (same || t.remote.sha256 != "")
	answer, err := t.request(ctx, address, token, resume, same)
	if err != nil {
		return t.why(ctx, where, "the request failed", err)
	}
	defer answer.Body.Close()
	encoded := answer.Header.Get("Content-Encoding") != ""
	if resume {
		total, ok := restOf(answer.Header.Get("Content-Range"), t.at)
		switch {
		case answer.StatusCode == http.StatusPartialContent && ok && !encoded && t.continues(answer.Header, total, same):
			t.total = total
			return t.receive(ctx, where, answer.Body, watchdog)
		case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
			return t.refused(where, answer.StatusCode)
		case answer.StatusCode != http.StatusOK: // a wrong 206, a 416, or whatever else: once more, and all of it
			answer.Body.Close()
			if err := t.restart(); err != nil {
				return err
			}
			return t.from(ctx, address, token)
		}
	}
	switch {
	case answer.StatusCode != http.StatusOK:
		return t.refused(where, answer.StatusCode)
	case strings.HasPrefix(strings.ToLower(answer.Header.Get("Content-Type")), "text/html"):
		return htmlError(where)
	case encoded:
		return fmt.Errorf("%s: %w: expected the bytes of the file, found Content-Encoding %q", where, pack.ErrPack, answer.Header.Get("Content-Encoding"))
	}
	if err := t.begin(where, answer); err != nil {
		return err
	}
	return t.receive(ctx, where, answer.Body, watchdog)
}

func (t *transfer) request(ctx context.Context, address, token string, resume, same bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "pocket-tts-wasm")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if resume {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.at))
		validator := t.meta.LastModified
		if t.meta.ETag != "" && !strings.HasPrefix(t.meta.ETag, "W/") {
			validator = t.meta.ETag
		}
		if same && validator != "" {
			request.Header.Set("If-Range", validator)
		}
	}
	return t.http.Do(request)
}

// why words the failure of a connection. Another try may do better, unless the caller has gone.
func (t *transfer) why(ctx context.Context, where, what string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause // the caller's, or silence
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // its text has the whole address
	}
	return &passing{fmt.Errorf("%w: %s: %s (%s)", pack.ErrNetwork, where, what, err)}
}

func (t *transfer) refused(where string, status int) error {
	message := fmt.Sprintf("%s: HTTP status %d", where, status)
	if t.remote.hint != nil {
		if hint := t.remote.hint(status); hint != "" {
			message += ": " + hint
		}
	}
	err := &statusError{status, message}
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return &passing{err}
	}
	return err
}

func htmlError(where string) error {
	return fmt.Errorf("%s: %w: expected a file of a pack, found an HTML page (an error or login page, or the start page of an app); check the address",
		where, pack.ErrPack)
}

var contentRange = regexp.MustCompile(`^bytes (\d+)-(\d+)/(\d+)$`)

// restOf is the total of `Content-Range: bytes from-(total-1)/total`; false for any other.
func restOf(header string, from int64) (total int64, ok bool) {
	match := contentRange.FindStringSubmatch(header)
	if match == nil {
		return 0, false
	}
	var numbers [3]int64
	for n := range numbers {
		var err error
		if numbers[n], err = strconv.ParseInt(match[n+1], 10, 64); err != nil {
			return 0, false
		}
	}
	return numbers[2], numbers[0] == from && numbers[1] == numbers[2]-1 && from < numbers[2]
}

// continues tells whether an answer has the rest of the same file.
func (t *transfer) continues(header http.Header, total int64, same bool) bool {
	differ := func(a, b string) bool { return same && a != "" && b != "" && a != b }
	want := t.total
	if t.remote.bytes != nil {
		want = *t.remote.bytes
	}
	return (want < 0 || want == total) && !differ(t.meta.ETag, header.Get("ETag")) && !differ(t.meta.LastModified, header.Get("Last-Modified"))
}

// begin starts with an answer that has all of the file.
func (t *transfer) begin(where string, answer *http.Response) error {
	r := t.remote
	total := answer.ContentLength
	switch {
	case r.bytes != nil && total >= 0 && total != *r.bytes:
		return fmt.Errorf("%s: %w: expected %d bytes, found %d", where, pack.ErrPack, *r.bytes, total)
	case r.bytes == nil && total < 0 && r.limit == 0: // it might not end
		return fmt.Errorf("%s: %w: the size is not known: give it as bytes in pack.json", r.name(), pack.ErrPack)
	case r.limit > 0 && total > r.limit:
		return fmt.Errorf("%s: %w: expected at most %d bytes, found %d", where, pack.ErrPack, r.limit, total)
	}
	if err := t.restart(); err != nil {
		return err
	}
	if t.total = total; total < 0 && r.bytes != nil {
		t.total = *r.bytes
	}
	t.meta = Meta{
		Identity: r.identity, URL: where, Pack: r.pack, SHA256: r.sha256,
		ETag: answer.Header.Get("ETag"), LastModified: answer.Header.Get("Last-Modified"),
	}
	if t.total >= 0 {
		t.meta.Bytes = &total
		if total < 0 {
			t.meta.Bytes = r.bytes
		}
	}
	if r.volatile { // a part of it would be worth nothing, and the copy that is there keeps its description
		return nil
	}
	t.keep = true
	return t.store.putMeta(keyOf(r.identity), t.meta)
}

// receive takes what comes.
func (t *transfer) receive(ctx context.Context, where string, body io.Reader, watchdog *time.Timer) error {
	reader := bufio.NewReaderSize(body, copyBytes)
	if t.at == 0 {
		if start, _ := reader.Peek(64); looksLikeHTML(start) {
			t.keep = false
			return htmlError(where)
		}
	}
	most := t.total
	if limit := t.remote.limit; limit > 0 && (most < 0 || limit < most) {
		most = limit
	}
	buffer := make([]byte, copyBytes)
	for {
		n, err := reader.Read(buffer)
		watchdog.Reset(t.stall)
		if n > 0 {
			if most >= 0 && t.at+int64(n) > most {
				t.keep = false
				return fmt.Errorf("%s: %w: expected at most %d bytes, found more", where, pack.ErrPack, most)
			}
			if err := t.write(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
			continue
		case err != io.EOF:
			return t.why(ctx, where, fmt.Sprintf("the transfer broke off after %d bytes", t.at), err)
		case t.total >= 0 && t.at < t.total:
			return &passing{fmt.Errorf("%w: %s: the transfer broke off: expected %d bytes, found %d", pack.ErrNetwork, where, t.total, t.at)}
		}
		t.total = t.at
		t.report(true)
		return nil
	}
}

func (t *transfer) write(data []byte) error {
	n, err := t.part.file.Write(data)
	if err != nil {
		if isFull(err) {
			t.keep = false // room for whoever needs it
		} else if err := t.part.file.Truncate(t.at); err != nil { // what was written is not in the hash
			t.keep = false
		}
		return fmt.Errorf("%s: the cache %s cannot take it: %w", t.remote.name(), t.store.Folder, err)
	}
	t.hash.Write(data)
	t.at += int64(n)
	t.most = max(t.most, t.at)
	t.report(false)
	return nil
}

func (t *transfer) report(end bool) {
	if t.progress == nil || !end && time.Since(t.shown) < progressEvery {
		return
	}
	t.shown = time.Now()
	t.progress(Progress{t.remote.pack, t.remote.file, t.at, t.total})
}

var page = regexp.MustCompile(`(?i)^\x{feff}?\s*<(!doctype html|html)[\s>]`)

// looksLikeHTML tells whether bytes begin like a page. No file of a pack does.
func looksLikeHTML(start []byte) bool { return page.Match(start) }

// finish judges what has come.
func (t *transfer) finish() (Kept, error) {
	r := t.remote
	found := hex.EncodeToString(t.hash.Sum(nil))
	switch {
	case r.bytes != nil && t.at != *r.bytes:
		t.keep = false
		return Kept{}, fmt.Errorf("%s: %w: expected %d bytes, found %d", r.name(), errDamaged, *r.bytes, t.at)
	case r.sha256 != "" && found != r.sha256:
		t.keep = false
		return Kept{}, fmt.Errorf("%s: %w: expected sha256 %s, found %s", r.name(), errDamaged, r.sha256, found)
	}
	if r.accept != nil {
		data, err := os.ReadFile(t.part.file.Name())
		if err == nil {
			err = r.accept(bytes.Clone(data))
		}
		if err != nil {
			t.keep = false
			return Kept{}, err
		}
	}
	t.meta.Bytes, t.meta.SHA256 = &t.at, found
	if err := t.part.commit(t.meta); err != nil {
		return Kept{}, fmt.Errorf("%s: the cache %s cannot take it: %w", r.name(), t.store.Folder, err)
	}
	key := keyOf(r.identity)
	return Kept{Meta: t.meta, Key: key, Path: t.store.path(key), Size: t.at, Complete: true}, nil
}
