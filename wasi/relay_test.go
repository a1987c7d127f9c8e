package pockettts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
)

// closer notes that a file was closed.
type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func someBytes(n int) []byte {
	data, random := make([]byte, n), rand.New(rand.NewPCG(1, uint64(n)))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

func TestRelayGivesEveryReaderEverything(t *testing.T) {
	for _, size := range []int{0, 1, relayBytes - 1, relayBytes, relayBytes + 1, 3*relayBytes + 17, relayBytes * (relayBlocks + 3)} {
		data := someBytes(size)
		for _, end := range []error{nil, errors.New("the disk is gone")} {
			source := io.Reader(bytes.NewReader(data))
			if end != nil {
				source = io.MultiReader(source, iotest.ErrReader(end))
			}
			var reading, all sync.WaitGroup
			file := &closer{Reader: source}
			for n, r := range relay(t.Context(), &reading, file, 3) {
				all.Go(func() {
					got, err := io.ReadAll(iotest.OneByteReader(r))
					if n > 0 { // the first one is slow, the others are not
						rest, restErr := io.ReadAll(r)
						if len(rest) != 0 || !errors.Is(restErr, end) {
							t.Errorf("after the end: %d bytes, %v", len(rest), restErr)
						}
					}
					if !bytes.Equal(got, data) || !errors.Is(err, end) {
						t.Errorf("%d of %d bytes, %v", len(got), size, err)
					}
				})
			}
			all.Wait()
			reading.Wait()
			if !file.closed {
				t.Error("the file was not closed")
			}
		}
	}
}

func TestRelayReadsABoundedPartAhead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	file := &counted{}
	readers := relay(ctx, &reading, io.NopCloser(file), 2)
	// One reader goes as far as it can without the other.
	go func() { _, _ = io.Copy(io.Discard, readers[0]) }()
	if _, err := io.ReadFull(readers[1], make([]byte, 2*relayBytes)); err != nil {
		t.Fatal(err)
	}
	cancel()
	reading.Wait()
	if most := int64(relayBytes * (relayBlocks + 2)); file.bytes > most {
		t.Errorf("%d bytes were read, want at most %d", file.bytes, most)
	}
	if _, err := io.Copy(io.Discard, readers[1]); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v", err)
	}
}

// counted is endless.
type counted struct{ bytes int64 }

func (c *counted) Read(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}
