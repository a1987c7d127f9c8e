// What was said lately: WAV files in memory, bounded in bytes and time.

package local

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// entry is a file. It does not change.
type entry struct {
	key  [sha256.Size]byte
	id   string // random: who does not know it cannot guess it
	data []byte

	// Guarded by the cache.
	place *list.Element
	until time.Time
	timer *time.Timer
}

// cache forgets the file that was not asked for the longest when it is full, and every file some time after it was last
// handed out.
type cache struct {
	most int
	time time.Duration

	mu    sync.Mutex
	bytes int
	byKey map[[sha256.Size]byte]*entry
	byID  map[string]*entry
	order list.List // the one that was asked for last is in front
}

func newCache(most int, time time.Duration) *cache {
	return &cache{most: most, time: time, byKey: map[[sha256.Size]byte]*entry{}, byID: map[string]*entry{}}
}

// find returns what was said for a key; nil: nothing.
func (c *cache) find(key [sha256.Size]byte) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.touch(c.byKey[key])
}

// named returns a file by its id; nil: there is none, or not any more.
func (c *cache) named(id string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.touch(c.byID[id])
}

// touch lets a file live on from now. mu is held.
func (c *cache) touch(e *entry) *entry {
	if e != nil {
		c.order.MoveToFront(e.place)
		e.until = time.Now().Add(c.time)
		e.timer.Reset(c.time)
	}
	return e
}

// add keeps a file of at most so many bytes as the cache may have. Where somebody else has made it meanwhile, it is theirs.
func (c *cache) add(key [sha256.Size]byte, data []byte) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.touch(c.byKey[key]); known != nil {
		return known
	}
	e := &entry{key: key, id: rand.Text(), data: data, until: time.Now().Add(c.time)}
	e.timer = time.AfterFunc(c.time, func() { c.expire(e) })
	e.place = c.order.PushFront(e)
	c.byKey[key], c.byID[e.id] = e, e
	for c.bytes += len(data); c.bytes > c.most; {
		c.drop(c.order.Back().Value.(*entry))
	}
	return e
}

// expire forgets a file whose time is over; it may have been asked for in the same moment.
func (c *cache) expire(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[e.id] == e && !time.Now().Before(e.until) {
		c.drop(e)
	}
}

// drop forgets a file; who is reading it goes on. mu is held.
func (c *cache) drop(e *entry) {
	e.timer.Stop()
	c.order.Remove(e.place)
	delete(c.byKey, e.key)
	delete(c.byID, e.id)
	c.bytes -= len(e.data)
}
