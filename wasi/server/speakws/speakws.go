// Package speakws is the door for programs that speak over a WebSocket: a text goes in as a JSON message, its sound comes
// back while it is made, in base64 or as binary messages.
//
//	-> {"type":"synthesize","text":"Hello."}
//	<- {"type":"audio","data":"...","sample_rate":24000,"encoding":"pcm16","final":false}
//	<- {"type":"complete","duration_ms":960}
//
// Every synthesize is answered by audio and one complete, or by one error; answers keep the order of the requests. "cancel" ends
// the one that is spoken, "stop" the connection.
package speakws

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/upgrade"
)

// Limits of a connection that are not the service's.
const (
	messageBytes = 64 << 10
	waiting      = 4  // requests, besides the one that is spoken
	connections  = 64 // at once
	pingEvery    = 20 * time.Second
	// lastChance is how long a client that has read nothing for Limits.Idle may take to make room for the word of why it
	// is cut off: a message that was begun has to be ended first.
	lastChance = 5 * time.Second
)

// paths are all the same.
var paths = []string{"/api/v1/speak", "/api/v1/tts", "/ws/tts"}

// Owns tells whether a path is one of this door's, where it shares a listener with others.
func Owns(path string) bool { return slices.Contains(paths, path) }

type door struct {
	service *server.Service
	places  chan struct{}
}

// New makes the door of a service.
func New(service *server.Service) http.Handler {
	d := &door{service, make(chan struct{}, connections)}
	return service.Guard(d, server.Access{
		Door:   "speak-ws",
		Open:   func(r *http.Request) bool { return service.Authorized(protocolKey(r)) },
		Refuse: func(w http.ResponseWriter, _ *http.Request, err *server.Error) { refuse(w, err) },
	})
}

func refuse(w http.ResponseWriter, err *server.Error) {
	http.Error(w, err.Message, err.Problem.Status())
}

// protocolKey is the key among the sub-protocols.
func protocolKey(r *http.Request) string {
	var names []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	if len(names) == 2 && names[0] == upgrade.KeyProtocol {
		return names[1]
	}
	return ""
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !Owns(r.URL.Path):
		http.NotFound(w, r)
		return
	case !d.service.OriginAllowed(r):
		refuse(w, server.Refuse(server.Forbidden, "This page may not ask this server (--cors-origin)."))
		return
	}
	conn, done, full := upgrade.Accept(d.places, messageBytes, w, r)
	switch {
	case full != nil:
		refuse(w, full)
		return
	case conn == nil:
		return
	}
	defer done()
	newSession(d.service, conn).run(r.Context())
}

// session is a connection.
type session struct {
	// ctx is that of reads and writes: the library cuts the connection when it ends while one is in progress. So it is not
	// the server's, whose end is worth a word.
	ctx     context.Context
	cancel  context.CancelFunc
	service *server.Service
	conn    *websocket.Conn
	asked   chan *request
	current atomic.Pointer[request] // that is spoken
	writing sync.Mutex              // audio and its binary message stay together

	speaking context.Context // of all requests
	silence  context.CancelFunc
	leaving  atomic.Bool   // the connection ends; set by whoever sees to that
	left     chan struct{} // closed when leave has done so
}

func newSession(service *server.Service, conn *websocket.Conn) *session {
	s := &session{service: service, conn: conn, asked: make(chan *request, waiting), left: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.speaking, s.silence = context.WithCancel(s.ctx)
	return s
}

// run serves the connection until the client leaves, says stop or reads nothing any more, or the server ends.
func (s *session) run(parent context.Context) {
	defer s.cancel()
	unwatch := context.AfterFunc(parent, func() { s.leave(websocket.StatusGoingAway, "The server is closing.") })
	defer unwatch()
	spoken := make(chan struct{})
	go func() {
		defer close(spoken)
		s.speakAll(s.speaking)
	}()
	go s.ping()
	if s.read(s.speaking) == nil {
		s.leave(websocket.StatusNormalClosure, "")
	}
	s.silence()
	if s.leaving.CompareAndSwap(false, true) {
		s.cancel() // nobody reads what is being written
	} else {
		<-s.left
	}
	<-spoken
}

// leave ends all speech and then the connection, with the reason; the first one counts. It does not wait for that.
func (s *session) leave(code websocket.StatusCode, reason string) {
	if !s.leaving.CompareAndSwap(false, true) {
		return
	}
	s.silence()
	go func() {
		defer close(s.left)
		_ = s.conn.Close(code, reason) // fails where the client does not answer: then it is cut off
	}()
}

// tooSlow is what a client hears that has read nothing for Limits.Idle.
const tooSlow = "Nothing was read for too long."

// ping notices clients that have vanished, or read nothing.
func (s *session) ping() {
	for ticker := time.Tick(pingEvery); ; {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker:
		}
		limited, stop := context.WithTimeout(s.ctx, s.service.Limits().Idle)
		err := s.conn.Ping(limited)
		stop()
		if err != nil {
			s.leave(websocket.StatusTryAgainLater, tooSlow)
			return
		}
	}
}

// read handles messages; nil after stop. Requests end with their context.
func (s *session) read(speaking context.Context) error {
	for {
		kind, data, err := s.conn.Read(s.ctx)
		if err != nil {
			return err
		}
		var message map[string]json.RawMessage
		if kind != websocket.MessageText || json.Unmarshal(data, &message) != nil || message == nil {
			s.problem("", codeInvalid, "expected a JSON object in a text message")
			continue
		}
		switch field(message, "type") {
		case "synthesize":
			asked := s.request(message)
			asked.ctx, asked.cancel = context.WithCancelCause(speaking)
			select {
			case s.asked <- asked:
			default:
				asked.cancel(nil)
				s.problem(asked.id, codeQueue, "too many requests wait on this connection")
			}
		case "cancel":
			if current := s.current.Load(); current != nil {
				current.cancel(errCancelled)
			}
		case "stop":
			return nil
		default:
			s.problem(field(message, "id"), codeInvalid, `type: expected "synthesize", "cancel" or "stop"`)
		}
	}
}

// errCancelled ends what a client has cancelled.
var errCancelled = errors.New("cancelled")

// field is a string of a message; empty where there is none.
func field(message map[string]json.RawMessage, key string) string {
	var text string
	_ = json.Unmarshal(message[key], &text)
	return text
}

// write sends a message, and the binary one that belongs to it. Who does not take it within Limits.Idle hears no more than
// why, and that only if there is room for it soon.
func (s *session) write(message any, binary []byte) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	idle := s.service.Limits().Idle
	ctx, cancel := context.WithTimeout(s.ctx, idle+lastChance)
	defer cancel()
	slow := time.AfterFunc(idle, s.silence)
	err = s.conn.Write(ctx, websocket.MessageText, data)
	if err == nil && binary != nil {
		err = s.conn.Write(ctx, websocket.MessageBinary, binary)
	}
	if !slow.Stop() {
		s.leave(websocket.StatusTryAgainLater, tooSlow)
		err = errors.Join(errSlow, err)
	}
	return err
}

var errSlow = errors.New("the client does not read")

// problem says what is wrong.
func (s *session) problem(id, code, text string) {
	_ = s.write(struct {
		Type    string `json:"type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		ID      string `json:"id,omitempty"`
	}{"error", code, text, id}, nil) // its failure ends the reader, too
}
