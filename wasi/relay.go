// One reader of a file, many readers of its bytes: a file goes into several instances while it is read once.

package pockettts

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// What is read ahead of the slowest reader: relayBlocks of relayBytes.
const (
	relayBytes  = 256 << 10
	relayBlocks = 16
)

// block is a piece of a file.
type block struct {
	data    []byte
	err     error        // after the data: io.EOF, or why there is no more
	readers atomic.Int32 // that have not used it up
}

// relay reads a file once for n readers, beginning at once, and closes it. It ends with its context, or when
// everything is read; the group knows when.
func relay(ctx context.Context, group *sync.WaitGroup, from io.ReadCloser, n int) []io.Reader {
	free := make(chan *block, relayBlocks)
	for range relayBlocks {
		free <- new(block)
	}
	readers, queues := make([]io.Reader, n), make([]chan *block, n)
	for i := range n {
		queues[i] = make(chan *block, relayBlocks) // room for all: sending never waits
		readers[i] = &relayReader{ctx: ctx, queue: queues[i], free: free}
	}
	group.Go(func() {
		defer from.Close()
		for {
			var b *block
			select {
			case b = <-free:
			case <-ctx.Done():
				return
			}
			if b.data == nil {
				b.data = make([]byte, relayBytes)
			}
			var length int
			length, b.err = io.ReadFull(from, b.data[:relayBytes])
			if b.err == io.ErrUnexpectedEOF {
				b.err = io.EOF
			}
			b.data = b.data[:length]
			b.readers.Store(int32(n))
			for _, queue := range queues {
				queue <- b
			}
			if b.err != nil {
				return
			}
		}
	})
	return readers
}

type relayReader struct {
	ctx   context.Context
	queue <-chan *block
	free  chan<- *block
	block *block
	used  int
}

func (r *relayReader) Read(p []byte) (int, error) {
	if r.block == nil {
		select {
		case r.block = <-r.queue:
			r.used = 0
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n := copy(p, r.block.data[r.used:])
	r.used += n
	if r.used < len(r.block.data) {
		return n, nil
	}
	if err := r.block.err; err != nil { // the last block stays, and so does its error
		return n, err
	}
	if r.block.readers.Add(-1) == 0 {
		r.free <- r.block
	}
	r.block = nil
	return n, nil
}
