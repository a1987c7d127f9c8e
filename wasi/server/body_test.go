package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

// deadlines remembers the one for reading that was set last.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
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
