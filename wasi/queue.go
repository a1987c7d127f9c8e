// How many streams are open at once, and who is next.

package pockettts

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// queue lets a bounded number of streams in, and a bounded number of calls wait. Those who wait on a channel are served in
// the order in which they came, and nobody overtakes them: a place that becomes free is handed to the first of them.
type queue struct {
	places  chan struct{}
	most    int64 // that wait
	waiting atomic.Int64
	closed  chan struct{}
	closing sync.Once
}

func newQueue(places, most int) *queue {
	return &queue{places: make(chan struct{}, places), most: int64(max(0, most)), closed: make(chan struct{})}
}

// enter waits for a place. Without an error, leave must follow.
func (q *queue) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-q.closed:
		return ErrClosed
	default:
	}
	select {
	case q.places <- struct{}{}:
		return nil
	default:
	}
	if q.waiting.Add(1) > q.most {
		q.waiting.Add(-1)
		return fmt.Errorf("%w: %d streams are open and %d calls wait (Options.MaxStreams, MaxQueue)", ErrBusy, cap(q.places), q.most)
	}
	defer q.waiting.Add(-1)
	select {
	case q.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-q.closed:
		return ErrClosed
	}
}

func (q *queue) leave() { <-q.places }

func (q *queue) count() (inside, waiting int) { return len(q.places), int(q.waiting.Load()) }

// close ends the waiting, now and later.
func (q *queue) close() { q.closing.Do(func() { close(q.closed) }) }
