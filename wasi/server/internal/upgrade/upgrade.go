// Package upgrade makes WebSockets of requests, as all doors that have them do.
package upgrade

import (
	"net/http"

	"github.com/coder/websocket"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// KeyProtocol is the sub-protocol that brings a key, as browsers can set no headers: "auth.bearer.v1, KEY".
const KeyProtocol = "auth.bearer.v1"

// Accept makes a WebSocket that takes one of the places and messages of at most limit bytes; the caller has looked at its Origin.
// done closes it and gives the place back. No connection and no error: the request was no handshake, and has been answered.
func Accept(places chan struct{}, limit int64, w http.ResponseWriter, r *http.Request) (conn *websocket.Conn, done func(), full *server.Error) {
	select {
	case places <- struct{}{}:
	default:
		return nil, nil, server.Refuse(server.Busy, "There are too many connections.")
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{KeyProtocol}, InsecureSkipVerify: true})
	if err != nil {
		<-places
		return nil, nil, nil
	}
	conn.SetReadLimit(limit)
	return conn, func() {
		_ = conn.CloseNow() // fails where it is closed
		<-places
	}, nil
}
