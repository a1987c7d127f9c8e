// A connection: its reader answers what can be answered at once and hands the rest to utterances, which speak one after
// the other.

package wyoming

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Codes of error events.
const (
	codeSynthesis = "SynthesisError"
	codeVoice     = "VoiceLoadError"
	codeEvent     = "InvalidEvent"
)

// utterancesWaiting bounds the requests of a connection that are not spoken yet.
const utterancesWaiting = 16

type connection struct {
	server *Server
	log    *slog.Logger
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	rw     io.ReadWriteCloser

	// Of the reader.
	open *utterance    // streamed text whose stop has not come
	last chan struct{} // closed when the last utterance is over

	utterances sync.WaitGroup
	waiting    atomic.Int32 // utterances that are not over
	complete   atomic.Int32 // of them, those whose text is there: they need nothing of the client
	heard      atomic.Int64 // when something came or went, in nanoseconds

	writing sync.Mutex
	buffer  []byte
}

// serve serves one client. With drain, the end of what it says is not the end of what it hears.
func (s *Server) serve(ctx context.Context, rw io.ReadWriteCloser, drain bool) {
	c := &connection{server: s, log: s.log, rw: rw, last: make(chan struct{})}
	close(c.last)
	c.ctx, c.cancel = context.WithCancel(ctx)
	context.AfterFunc(c.ctx, func() { _ = rw.Close() }) // reads and writes in progress fail
	c.touch()
	if _, ok := rw.(deadliner); ok {
		go c.watch()
	}
	err := c.read()
	if c.open != nil {
		c.open.end()
	}
	if err != nil || !drain {
		c.cancel()
	}
	c.utterances.Wait()
	c.cancel()
}

// deadliner is a connection that can give up on a client that does not read.
type deadliner interface{ SetWriteDeadline(time.Time) error }

func (c *connection) touch() { c.heard.Store(time.Now().UnixNano()) }

// watch ends the connection when nothing has come or gone for Limits.Idle and nothing is due.
func (c *connection) watch() {
	limit := c.server.service.Limits().Idle
	for left := limit; ; {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(left):
		}
		left = limit - time.Since(time.Unix(0, c.heard.Load()))
		if c.complete.Load() > 0 {
			left = limit
		}
		if left <= 0 {
			c.log.Debug("Wyoming: an idle connection is closed")
			c.cancel()
			return
		}
	}
}

// read handles events until there are no more; nil at the end of the stream.
func (c *connection) read() error {
	// What waits for a pipe goes on waiting when the connection has ended otherwise.
	type result struct {
		event event
		err   error
	}
	events := make(chan result)
	go func() {
		for r := newReader(c.rw); ; {
			e, err := r.next()
			select {
			case events <- result{e, err}:
			case <-c.ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case r := <-events:
			switch {
			case r.err == io.EOF:
				return nil
			case errors.Is(r.err, errEvent):
				c.log.Warn("Wyoming: the client sends what is not the protocol", "error", r.err)
				_ = c.send("error", problem{r.err.Error(), codeEvent}, nil)
				return r.err
			case r.err != nil:
				return r.err
			}
			c.touch()
			if err := c.handle(r.event); err != nil {
				return err
			}
		}
	}
}

type problem struct {
	Text string `json:"text"`
	Code string `json:"code"`
}

type stopped struct {
	Timestamp *int `json:"timestamp"`
}

func (c *connection) handle(e event) error {
	switch e.kind {
	case "describe":
		return c.send("info", c.server.describe(), nil)
	case "ping":
		pong := struct {
			Text *string `json:"text"`
		}{}
		if echo, err := text(e.data, "text"); err == nil {
			pong.Text = &echo
		}
		return c.send("pong", pong, nil)
	case "synthesize":
		if c.open != nil {
			return nil // the whole of what comes in chunks, for servers that take no chunks
		}
		u, err := c.utterance(e, false)
		if err != nil {
			return err
		}
		u.add(e.data)
		u.end()
	case "synthesize-start":
		if c.open != nil {
			c.open.cancel(errAbandoned)
			c.open.end()
		}
		var err error
		c.open, err = c.utterance(e, true)
		return err
	case "synthesize-chunk":
		if c.open != nil {
			c.open.add(e.data)
		}
	case "synthesize-stop":
		if c.open == nil { // it is waited for all the same
			u, err := c.utterance(e, true)
			if err != nil {
				return err
			}
			c.open = u
		}
		c.open.end()
		c.open = nil
	}
	return nil
}

// utterance begins one that is spoken after those before it.
func (c *connection) utterance(e event, streaming bool) (*utterance, error) {
	if c.waiting.Add(1) > utterancesWaiting {
		c.waiting.Add(-1)
		err := errors.New("too many requests wait on this connection")
		_ = c.send("error", problem{err.Error(), codeEvent}, nil)
		return nil, err
	}
	u := &utterance{
		c: c, streaming: streaming, asked: voiceName(e.data), inbox: newInbox(c.server.service.Limits().TextChars),
	}
	if isSSML(e.data) {
		u.markup = new(markup)
	}
	u.ctx, u.cancel = context.WithCancelCause(c.ctx)
	before := c.last
	done := make(chan struct{})
	c.last = done
	c.utterances.Go(func() {
		defer close(done)
		defer c.waiting.Add(-1)
		defer u.over()
		select {
		case <-before:
			u.run()
		case <-c.ctx.Done():
		}
	})
	return u, nil
}

// send writes an event. When the client does not take it, the connection is over.
func (c *connection) send(kind string, data any, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var err error
	if c.buffer, err = appendEvent(c.buffer[:0], kind, data, payload); err != nil {
		return err
	}
	if limited, ok := c.rw.(deadliner); ok {
		_ = limited.SetWriteDeadline(time.Now().Add(c.server.service.Limits().Idle))
	}
	if _, err := c.rw.Write(c.buffer); err != nil {
		c.cancel()
		return err
	}
	c.touch()
	return nil
}
