// Listeners: HTTP servers with the limits of the service, several doors in one process, and their end.

package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/sockets"
)

const (
	headerBytes = 32 << 10
	headerTime  = 10 * time.Second
	// ending is how long the end of a server waits for its doors, which need a frame of speech, before it cuts the
	// connections.
	ending = 5 * time.Second
)

// Serve answers HTTP on a listener until the context ends: then nothing is accepted any more, what is being spoken ends
// at the next frame, and Serve returns nil. It closes the listener.
func (s *Service) Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var open atomic.Int64 // requests; Shutdown does not wait for those that are WebSockets by now
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			open.Add(1)
			defer open.Add(-1)
			handler.ServeHTTP(w, r)
		}),
		MaxHeaderBytes: headerBytes, ReadHeaderTimeout: headerTime, IdleTimeout: s.limits.Idle,
		BaseContext: func(net.Listener) context.Context { return requests },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			sockets.Narrow(conn)
			return ctx
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = listener.Close()
	cancel() // of every request: its speech ends
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), ending)
	defer stop()
	err := server.Shutdown(limit)
	if err != nil {
		err = server.Close()
	}
	<-ended
	for open.Load() > 0 && limit.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Run runs several doors until the context ends, or until one of them fails: then the others end too.
func Run(ctx context.Context, doors ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	failures := make(chan error, len(doors))
	for _, door := range doors {
		group.Go(func() {
			if err := door(ctx); err != nil {
				failures <- err
				cancel(err)
			}
		})
	}
	group.Wait()
	close(failures)
	return <-failures // the first; nil where there is none
}

// Bodies of more than smallBody bytes are read by so many requests at once: each is in memory. Together they have no more
// bytes than largestBodies of Limits.UploadBytes; what has come counts, not what was announced.
const (
	smallBody     = 1 << 20
	bodiesRead    = 16
	largestBodies = 4
)

// largeBody counts what is read of a body.
type largeBody struct {
	io.ReadCloser
	service *Service
	read    int64
}

func (b *largeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if b.service.bodyBytes.Add(int64(n)) > b.service.bodyLimit() {
		return 0, Refuse(Busy, "too many uploads at once; try again later")
	}
	return n, err
}

func (b *largeBody) free() { b.service.bodyBytes.Add(-b.read) }

func (s *Service) bodyLimit() int64 {
	return largestBodies * min(s.limits.UploadBytes, math.MaxInt64/largestBodies/2)
}

// ReadBody calls read, which takes in the body of a request and must be done within Limits.Idle, as must the client with
// saying the rest of it, and then use with what it has become: as long as that lasts, it counts as one of the large
// bodies if it is one.
func (s *Service) ReadBody(w http.ResponseWriter, r *http.Request, read, use func() error) error {
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		select {
		case s.bodies <- struct{}{}:
			defer func() { <-s.bodies }()
			body := &largeBody{ReadCloser: r.Body, service: s}
			defer body.free()
			r.Body = body
		default:
			return Refuse(Busy, "too many uploads at once; try again later")
		}
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.limits.Idle)) // a recorder of tests has none
	err := read()
	if err == nil {
		// A form may end before its body does. The rest would be waited for, without a limit, when the answer begins; and
		// that a client has gone is only noticed behind the end.
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err == nil {
		_ = control.SetReadDeadline(time.Time{}) // waiting for a turn is not to be taken for a client that has gone
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Refuse(TimeUp, "the body of the request did not come within %s", s.limits.Idle)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Cancelled, "the request ended before its body did", err}
	case err != nil:
		return err
	}
	return use()
}

// Sink is the body of an answer that is written while it is made: every Write reaches the client, or fails when that
// takes longer than Limits.Idle.
func (s *Service) Sink(w http.ResponseWriter) io.Writer {
	return &sink{w, http.NewResponseController(w), s.limits.Idle}
}

type sink struct {
	w       io.Writer
	control *http.ResponseController
	idle    time.Duration
}

// pieceBytes must arrive within Limits.Idle.
const pieceBytes = 64 << 10

func (s *sink) Write(p []byte) (int, error) {
	total := 0
	for piece := range slices.Chunk(p, pieceBytes) {
		_ = s.control.SetWriteDeadline(time.Now().Add(s.idle))
		n, err := s.w.Write(piece)
		if total += n; err == nil {
			err = s.control.Flush()
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
