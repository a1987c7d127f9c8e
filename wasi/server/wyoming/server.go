// Package wyoming is the door for Home Assistant: the Wyoming protocol, over TCP, a Unix socket, or standard input and
// output.
//
//	door, err := wyoming.New(service, wyoming.Options{})
//	if err != nil { ... }
//	listener, err := wyoming.Listen("tcp://127.0.0.1:10201")
//	if err != nil { ... }
//	err = door.Serve(ctx, listener)
//
// The protocol has no authentication: who can reach the listener can speak. Text that is still coming is spoken
// sentence by sentence, between one audio-start and one audio-stop; `describe` and `ping` are answered meanwhile. A client
// that leaves ends its speech at the next frame.
package wyoming

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/sockets"
)

// Prefix is what is spoken before a text.
type Prefix string

// The prefixes.
const (
	// Direct speaks the text as it is: the first frame is sent as soon as it is made.
	Direct Prefix = "direct"
	// Dots speaks "... " before the text and cuts that away (Trim), as servers for models before 4.x did. Streamed text is
	// then spoken when all of it is there.
	Dots Prefix = "dots"
)

// Options of a Server. The zero value speaks text as it is, to 32 connections.
type Options struct {
	Prefix Prefix // empty: Direct
	Trim   Trim   // with Dots
	// Connections is how many there may be at once; one more is closed. 0 is 32.
	Connections int
	// DebugDir, if there is one, gets a WAV file of everything that is said.
	DebugDir string
	// Voices are listed while the model loads and its own are not known.
	Voices []string
	// Version is that of the program, for lists.
	Version string
}

// Server serves connections.
type Server struct {
	service *server.Service
	options Options
	log     *slog.Logger
	places  chan struct{}
}

// New makes a server of a service, which need not have been started: who asks for speech before waits.
func New(service *server.Service, options Options) (*Server, error) {
	switch options.Prefix {
	case "":
		options.Prefix = Direct
	case Direct, Dots:
	default:
		return nil, fmt.Errorf("%w: Prefix: expected %q or %q, found %q", pockettts.ErrArgument, Direct, Dots, options.Prefix)
	}
	options.Trim = options.Trim.withDefaults()
	if t := options.Trim; t.Min < 0 || t.Max < t.Min || t.Gap < 0 || t.Max > time.Minute {
		return nil, fmt.Errorf("%w: Trim: expected 0 <= Min <= Max <= 1m and a Gap of 0 or more, found %s, %s, %s", pockettts.ErrArgument, t.Min, t.Max, t.Gap)
	}
	if options.Connections < 0 {
		return nil, fmt.Errorf("%w: Connections: expected 0 (32) or more, found %d", pockettts.ErrArgument, options.Connections)
	}
	if options.Connections == 0 {
		options.Connections = 32
	}
	if options.Version == "" {
		options.Version = "0"
	}
	return &Server{service, options, service.Log(), make(chan struct{}, options.Connections)}, nil
}

// Listen opens the listener of tcp://HOST:PORT or unix:///PATH.
func Listen(uri string) (net.Listener, error) {
	address, err := url.Parse(uri)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: expected tcp://HOST:PORT or unix:///PATH", pockettts.ErrArgument, uri)
	}
	switch {
	case address.Scheme == "tcp" && address.Port() != "":
		return net.Listen("tcp", address.Host)
	case address.Scheme == "unix" && address.Host+address.Path != "":
		return listenUnix(address.Host + address.Path)
	}
	return nil, fmt.Errorf("%w: %s: expected tcp://HOST:PORT or unix:///PATH", pockettts.ErrArgument, uri)
}

// listenUnix takes the place of a socket that a server has left behind which was killed: one that is there and where
// nobody listens.
func listenUnix(path string) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	if info, wrong := os.Lstat(path); wrong != nil || info.Mode().Type() != os.ModeSocket {
		return nil, err
	}
	conn, refused := net.DialTimeout("unix", path, time.Second)
	if refused == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: another server listens there", err)
	}
	if !errors.Is(refused, syscall.ECONNREFUSED) {
		return nil, err
	}
	if wrong := os.Remove(path); wrong != nil {
		return nil, fmt.Errorf("%w, and nobody listens there: %w", err, wrong)
	}
	return net.Listen("unix", path)
}

// Serve serves a listener until the context ends: then nothing is accepted any more, what is being spoken ends at the next
// frame, and Serve returns nil. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	defer listener.Close()
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel() // before the wait
	for wait := time.Duration(0); ; {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // no file descriptors left, for instance: it passes
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Warn("Wyoming: a connection could not be accepted", "error", err)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			continue
		}
		wait = 0
		select {
		case s.places <- struct{}{}:
		default:
			s.log.Warn("Wyoming: too many connections", "connections", cap(s.places))
			_ = conn.Close()
			continue
		}
		sockets.Narrow(conn)
		group.Go(func() {
			defer func() { <-s.places }()
			s.serve(ctx, conn, false)
		})
	}
}

// ServePipe serves one client over a pair of streams, such as standard input and output, until it has nothing more to
// say and has heard everything.
func (s *Server) ServePipe(ctx context.Context, in io.Reader, out io.Writer) {
	s.serve(ctx, pipe{in, out}, true)
}

// pipe is what can be read, written, and not closed: a read that waits goes on waiting.
type pipe struct {
	io.Reader
	io.Writer
}

func (pipe) Close() error { return nil }
