package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

// deadlines remembers those that were set last, and how often the one for writing was.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
	writes      int
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.write = at
	d.writes++
	return nil
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = at
	return nil
}

// TestWaitingIsNotIdle: the body has to come in time, and then there is no deadline while the request waits for its turn or
// speaks.
func TestWaitingIsNotIdle(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	used := false
	err := service.ReadBody(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body")), func() error {
		if left := time.Until(w.read); left <= 0 || left > service.Limits().Idle {
			t.Errorf("%s are left for the body", left)
		}
		return nil
	}, func() error {
		used = true
		if !w.read.IsZero() {
			t.Errorf("a deadline in %s", time.Until(w.read))
		}
		return nil
	})
	if err != nil || !used {
		t.Errorf("%v", err)
	}
}

// TestBodiesThatDoNotEnd: a form may be complete before its body is. Who does not say the rest is given up, and holds no
// place meanwhile.
func TestBodiesThatDoNotEnd(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{MaxStreams: 1, MaxQueue: pockettts.NoQueue})
	service := servertest.Service(t, engine, server.Options{Limits: server.Limits{Idle: 300 * time.Millisecond}})
	place, err := url.Parse(servertest.Serve(t, service, ttshttp.New(service, ttshttp.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	const form = "--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nOne.\r\n--x--\r\n"
	for name, head := range map[string]string{
		"a length that is not kept":   "Content-Length: 10000\r\n\r\n" + form,
		"chunks without the last one": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(form), form),
	} {
		conn, err := net.Dial("tcp", place.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /tts HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"+head); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s", name, answer.Status)
		}
		if frames := servertest.Frames(t, service); frames > 0 {
			t.Errorf("%s: %d frames were spoken", name, frames)
		}
	}
}

// TestBodiesThatNobodyWants do not hold a connection.
func TestBodiesThatNobodyWants(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{Idle: 200 * time.Millisecond}})
	place, err := url.Parse(servertest.Serve(t, service, ttshttp.New(service, ttshttp.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", place.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if data, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(data), "HTTP/1.1 404") {
		t.Errorf("%v %s", err, data)
	}
}

// TestWhoDoesNotReadIsCutOff: whatever a door answers, and however long it is.
func TestWhoDoesNotReadIsCutOff(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{Idle: 200 * time.Millisecond}})
	written := make(chan error, 1)
	door := service.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 64<<20))
		written <- err
	}), server.Access{Door: "test"})
	address := servertest.Serve(t, service, door)
	servertest.Send(t, strings.TrimPrefix(address, "http://"), "GET / HTTP/1.1\r\nHost: localhost\r\n", "")
	select {
	case err := <-written:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it is still waited for")
	}
}

// TestAnswersHaveDeadlines: also those without a body, and a long one has as many as it has pieces, so that who reads slowly
// but reads gets all of it.
func TestAnswersHaveDeadlines(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{})
	idle := service.Limits().Idle
	for name, one := range map[string]struct {
		door   func(w http.ResponseWriter)
		body   string
		least  time.Duration
		writes int
	}{
		"nothing":                     {func(http.ResponseWriter) {}, "", idle, 2},
		"a status":                    {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }, "", idle, 3},
		"a megabyte":                  {func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 1<<20)) }, "", idle, 18},
		"behind a body that may come": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, "body", 2 * idle, 3},
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		began := time.Now()
		service.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { one.door(w) }), server.Access{Door: "test"}).
			ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader(one.body)))
		if w.write.Before(began.Add(one.least)) || w.writes != one.writes {
			t.Errorf("%s: %s from its beginning, %d deadlines", name, w.write.Sub(began), w.writes)
		}
	}
}

// TestFaultsAreLogged: a panic in a door is an error in the log, with its place, and the connection is broken off.
func TestFaultsAreLogged(t *testing.T) {
	lines := make(chan string, 8)
	service := servertest.Service(t, nil, server.Options{Logger: slog.New(slog.NewTextHandler(toLines(lines), nil))})
	address := servertest.Serve(t, service, service.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("a fault of this test")
	}), server.Access{Door: "test"}))
	if response, err := http.Get(address + "/"); err == nil {
		response.Body.Close()
		t.Errorf("%s", response.Status)
	}
	for {
		select {
		case line := <-lines:
			if strings.Contains(line, "a fault of this test") && strings.Contains(line, "level=ERROR") && strings.Contains(line, "body_test.go") {
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is said of it")
		}
	}
}

// TestPathsInTheLogAreOneWord: a client does not write the rest of the line, nor fill it.
func TestPathsInTheLogAreOneWord(t *testing.T) {
	lines := make(chan string, 8)
	service := servertest.Service(t, nil, server.Options{Logger: slog.New(slog.NewTextHandler(toLines(lines), nil))})
	door := service.Guard(http.NotFoundHandler(), server.Access{Door: "test"})
	for asked, want := range map[string]string{
		"/a%20status=200%0Ab": `path="/a%20status=200%0Ab"`, "/" + strings.Repeat("a", 10_000): "path=/" + strings.Repeat("a", 199) + "... ",
	} {
		door.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://localhost"+asked, nil))
		if line := <-lines; !strings.Contains(line, want) {
			t.Errorf("%.400q", line)
		}
	}
}

// toLines hands the lines of a log over.
type toLines chan<- string

func (l toLines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestLargeBodiesTogether: what has come of them counts, not what was announced, and small ones always pass.
func TestLargeBodiesTogether(t *testing.T) {
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{UploadBytes: 2 << 20}})
	read := func(body io.Reader, use func() error) error {
		r := httptest.NewRequest(http.MethodPost, "/", body)
		return service.ReadBody(httptest.NewRecorder(), r, func() error {
			_, err := io.Copy(io.Discard, r.Body)
			return err
		}, use)
	}
	large := func() io.Reader { return strings.NewReader(strings.Repeat("a", 2<<20)) }
	done := func() error { return nil }
	var nest func(depth int) error
	nest = func(depth int) error {
		if depth > 0 {
			return read(large(), func() error { return nest(depth - 1) })
		}
		if err := read(large(), done); problem(err) != server.Busy {
			t.Errorf("one too many: %v", err)
		}
		if err := read(strings.NewReader("small"), done); err != nil {
			t.Errorf("a small one: %v", err)
		}
		if err := read(io.LimitReader(zeros{}, 0), done); err != nil {
			t.Errorf("one of no length that is said, and none: %v", err)
		}
		return nil
	}
	for range 2 { // and then there is room again
		if err := nest(4); err != nil {
			t.Error(err)
		}
	}
}

// TestVoicesOfRequests are so many at once.
func TestVoicesOfRequests(t *testing.T) {
	engine := servertest.Engine(t)
	var file bytes.Buffer
	if err := engine.ExportVoice(t.Context(), nil, &file); err != nil {
		t.Fatal(err)
	}
	service := servertest.Service(t, nil, server.Options{Limits: server.Limits{Voices: 1}})
	upload := func() *server.Upload {
		return &server.Upload{Name: "a.safetensors", Data: bytes.NewReader(file.Bytes())}
	}
	for range 2 {
		if _, _, err := service.MakeVoice(t.Context(), server.Upload{Name: "a.safetensors", Data: strings.NewReader("a")}); problem(err) != server.VoiceBroken {
			t.Errorf("%v", err)
		}
		speech, err := service.Speak(t.Context(), server.Request{Door: "test", Text: sentence, Upload: upload()})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := service.MakeVoice(t.Context(), *upload()); problem(err) != server.Busy {
			t.Errorf("one too many: %v", err)
		}
		speech.Close()
		_, release, err := service.MakeVoice(t.Context(), *upload())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := service.Speak(t.Context(), server.Request{Door: "test", Text: sentence, Upload: upload()}); problem(err) != server.Busy {
			t.Errorf("one too many: %v", err)
		}
		release()
	}
}
