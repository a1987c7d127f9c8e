// Package sockets is what the listeners of all doors do with their connections.
package sockets

import "net"

// sendBytes is what the system takes in advance of a client that does not read: a second or two of sound. Left alone it
// takes megabytes, for which the engine would work a minute's worth of speech ahead of a client that has vanished. It
// bounds how fast a whole file goes over a long line, too: 640 KB a second where an answer takes a tenth of one.
const sendBytes = 64 << 10

// Narrow lets a connection hold back its writer early.
func Narrow(conn net.Conn) {
	if buffered, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = buffered.SetWriteBuffer(sendBytes) // without it there is more work for nothing, and no harm
	}
}
