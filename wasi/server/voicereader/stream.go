// GET /v1/stream/{job_id}: what was said of a job, and what is being said, over a WebSocket.

package voicereader

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/upgrade"
)

const (
	streamPath   = "/v1/stream/"
	subscribers  = 64  // at once
	queued       = 128 // live events that a subscriber may be behind
	messageBytes = 64 << 10
	pingEvery    = 20 * time.Second
)

func isStream(path string) bool { return strings.HasPrefix(path, streamPath) }

// protocolKey is the token among the sub-protocols: the one behind KeyProtocol.
func protocolKey(header http.Header) string {
	var names []string
	for _, line := range header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	for n, name := range names {
		if name == upgrade.KeyProtocol && n+1 < len(names) {
			return names[n+1]
		}
	}
	return ""
}

// streamURL is where a client finds its job, by the name that it has for this server.
func streamURL(r *http.Request, id string) string {
	host := r.Host
	if name, port, err := net.SplitHostPort(host); err == nil && strings.EqualFold(name, "localhost") {
		host = net.JoinHostPort("127.0.0.1", port)
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && host == "" {
		host = local.String()
	}
	scheme := "ws"
	if r.TLS != nil {
		scheme = "wss"
	}
	return scheme + "://" + host + streamPath + id
}

func (d *Door) stream(w http.ResponseWriter, r *http.Request) {
	if !d.service.OriginAllowed(r) {
		refuse(w, server.Refuse(server.Forbidden, "This page may not ask this server (--cors-origin)."))
		return
	}
	j, err := d.find(r.PathValue("id"))
	if err != nil {
		refuse(w, err)
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
	// Not that of the request: the library cuts a connection whose context ends, and a server that ends says so first.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	go watch(ctx, cancel, conn)
	go d.ping(ctx, cancel, conn)
	status, reason, err := d.send(r.Context(), ctx.Done(), conn, j)
	if err == nil {
		_ = conn.Close(status, reason) // fails where the client has gone
	}
}

// watch reads, so that pings and the end of a client are noticed; what it says is passed over.
func watch(ctx context.Context, cancel context.CancelFunc, conn *websocket.Conn) {
	defer cancel()
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return
		}
	}
}

// ping notices clients that have vanished.
func (d *Door) ping(ctx context.Context, cancel context.CancelFunc, conn *websocket.Conn) {
	defer cancel()
	for ticker := time.Tick(pingEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker:
		}
		limited, stop := context.WithTimeout(ctx, d.service.Limits().Idle)
		err := conn.Ping(limited)
		stop()
		if err != nil {
			return
		}
	}
}

var errGone = errors.New("the client has gone")

// send sends all events of a job and says how the connection ends. An error is one of the connection.
func (d *Door) send(ctx context.Context, gone <-chan struct{}, conn *websocket.Conn, j *job) (websocket.StatusCode, string, error) {
	_, _, live, _ := j.from(0) // what was there before counts for nothing
	for n := 0; ; n++ {
		e, ok, count, more := j.from(n)
		for !ok {
			select {
			case <-more:
			case <-gone:
				return 0, "", errGone
			case <-ctx.Done():
				return websocket.StatusGoingAway, "The server is closing.", nil
			}
			e, ok, count, more = j.from(n)
		}
		if count-max(n, live) > queued {
			// Nothing is lost: who comes again hears all of it.
			return websocket.StatusTryAgainLater, "The client reads too slowly.", nil
		}
		limited, stop := context.WithTimeout(ctx, d.service.Limits().Idle)
		err := conn.Write(limited, websocket.MessageText, j.message(e))
		stop()
		if err != nil {
			return 0, "", err
		}
		if e.isLast() {
			return websocket.StatusNormalClosure, "", nil
		}
	}
}
