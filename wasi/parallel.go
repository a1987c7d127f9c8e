// Several pieces of a text at once. One instance makes the latents of a few of them together, so that the weights of the
// language model come from memory once for all of them; whole pieces become sound there or in instances that help it.
//
//	speaks     steps of up to mostLanes chunks; makes sound itself when the helpers have enough to do
//	helper     a few chunks that nobody has, as their latents come
//
// Latents are small (128 bytes): they wait for whoever makes sound of them first.

package pockettts

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/guest"
)

// Bounds of the chunks that are spoken at once.
const (
	// mostLanes is how many chunks take their steps together: eight rows of a product take little longer than four.
	mostLanes = 8
	// stepsBetween is how many steps lie between two chunks that begin while a helper has little to do: reading a chunk's
	// text takes as long as a few.
	stepsBetween = 8
	// linesPerHelper is how many chunks a helper makes sound of by turns: steps of several chunks come slowly.
	linesPerHelper = 4
	// chunksAhead is how many chunks may be complete and unread for each instance: chunks differ in length, and one that
	// is done should not have to wait for the one before.
	chunksAhead = 1
	// chunkFrames is what is kept of a chunk that is not read yet: 41 s, more than chunks of 50 tokens have.
	chunkFrames = 512
	// hungry is how many latents a helper has left when more are made before anything else, and plenty how many lie ready
	// when sound is made of them first.
	hungry = 2 * largestBlock
	plenty = 128
)

// parallel spreads the chunks of a text over its lines, of which the first speaks.
type parallel struct {
	lines   []*line
	helpers []*worker // of the others
	start   sync.Once

	order   chan chan piece // the chunks in the order of the text
	current chan piece
	begun   int   // chunks that are spoken, or were,
	chunks  int   // of so many
	waiting *take // the last of them, when there was no room for it in the sandbox
	steps   int   // since it began

	mu      sync.Mutex
	changed *sync.Cond
	takes   []*take // in the order of the text, until somebody has made sound of all of it
	over    bool    // none will be added
}

// take is a chunk that is being spoken. Its fields are guarded by parallel.mu.
type take struct {
	chunk   uint32
	latents []latent // no sound yet
	end     *latent  // what came after them
	line    *line    // that makes sound of it
	out     chan piece
}

func newParallel(lines []*line, chunks int) *parallel {
	p := &parallel{lines: lines, chunks: chunks}
	for _, l := range lines[1:] {
		if !slices.Contains(p.helpers, l.decoder) {
			p.helpers = append(p.helpers, l.decoder)
		}
	}
	p.order = make(chan chan piece, mostLanes+chunksAhead*(1+len(p.helpers)))
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *parallel) next(ctx context.Context) (piece, error) {
	p.start.Do(func() {
		group := &p.lines[0].stream.group
		wake := context.AfterFunc(ctx, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.changed.Broadcast()
		})
		var working sync.WaitGroup
		for n, l := range p.lines {
			working.Add(1)
			group.Go(func() {
				defer working.Done()
				if n == 0 {
					p.speak(ctx, l)
				} else {
					p.help(ctx, l)
				}
			})
		}
		group.Go(func() {
			working.Wait()
			wake()
			for _, left := range p.takes {
				close(left.out)
			}
			close(p.order)
		})
	})
	for {
		if p.current == nil {
			chunk, err := receive(ctx, p.order)
			if err != nil {
				return piece{}, err
			}
			p.current = chunk
		}
		made, err := receive(ctx, p.current)
		if err != io.EOF {
			return made, err
		}
		p.current = nil
	}
}

// speak makes the latents, and sound where the helpers leave it to.
func (p *parallel) speak(ctx context.Context, l *line) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, t := range p.takes {
			if t.end == nil { // nobody should wait for it
				t.end = &latent{err: fmt.Errorf("%w: chunk %d was not spoken to its end", ErrState, t.chunk)}
			}
		}
		p.over = true
		p.changed.Broadcast()
	}()
	sound, mute := &sounder{line: l, from: p, block: 1}, false
	for ctx.Err() == nil {
		p.mu.Lock()
		open := 0
		for _, t := range p.takes {
			if t.end == nil {
				open++
			}
		}
		next, begins := p.claimable(l, largestBlock), open < mostLanes && p.begun < p.chunks
		if mute || next != nil && open > 0 && cap(next.out)-len(next.out) <= largestBlock {
			next = nil // its reader is behind, and the latents of others, which come first, must not wait for that
		}
		if open == 0 && next == nil && !begins {
			p.mu.Unlock()
			return
		}
		// Only with nothing else to do it waits for a reader who leaves no room.
		begins = begins && p.waiting == nil && (len(p.order) < cap(p.order) || open == 0 && next == nil)
		begins = begins && (open == 0 || p.steps >= stepsBetween || !slices.ContainsFunc(p.helpers, p.hungry))
		speaks := (open > 0 || begins) && (next == nil || p.early())
		if !speaks {
			next.line = l
		}
		p.mu.Unlock()
		switch {
		case speaks && !p.step(ctx, l, begins):
			return
		case !speaks && !sound.make(ctx, next):
			// What was begun before it is heard to its end, and then the error.
			mute, p.chunks = true, p.begun
		}
	}
}

// claimable is the chunk that a line goes on with, or the first that nobody has, if there are as many latents of it; or nil.
// It is the caller's turn at p.mu.
func (p *parallel) claimable(l *line, latents int) *take {
	n := slices.IndexFunc(p.takes, func(t *take) bool { return t.line == l })
	if n < 0 {
		n = slices.IndexFunc(p.takes, func(t *take) bool { return t.line == nil })
	}
	if n < 0 || p.takes[n].end == nil && len(p.takes[n].latents) < latents {
		return nil
	}
	return p.takes[n]
}

// hungry says whether a helper will soon have nothing to do. It is the caller's turn at p.mu.
func (p *parallel) hungry(helper *worker) bool {
	waiting := 0
	for _, t := range p.takes {
		if t.line != nil && t.line != p.lines[0] && t.line.decoder == helper {
			waiting += len(t.latents)
		}
	}
	return waiting < hungry
}

// early says whether latents are wanted more than sound. It is the caller's turn at p.mu.
func (p *parallel) early() bool {
	held := 0
	for _, t := range p.takes {
		if t.line == nil || t.line == p.lines[0] {
			held += len(t.latents)
		}
	}
	return held < plenty || slices.ContainsFunc(p.helpers, p.hungry)
}

// step makes a latent of every chunk that has not ended, with one more chunk if it should; false when the text is at its end.
func (p *parallel) step(ctx context.Context, l *line, begins bool) bool {
	if begins {
		t := &take{chunk: uint32(p.begun), out: make(chan piece, chunkFrames)}
		if !send(ctx, p.order, t.out) {
			close(t.out)
			return false
		}
		p.begun++
		p.steps = 0
		p.waiting = t
		p.mu.Lock()
		p.takes = append(p.takes, t)
		p.mu.Unlock()
	}
	p.steps++
	begin := guest.NoChunk
	if p.waiting != nil {
		begin = p.waiting.chunk
	}
	w := l.speaker
	var steps []guest.Step
	err := w.use(ctx, l.stream, func() (err error) {
		steps, err = w.guest.SessionStepMany(context.WithoutCancel(ctx), l.session, mostLanes, begin, int(w.info.LatentWidth))
		return err
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changed.Broadcast()
	if err != nil {
		p.chunks = p.begun
		if p.waiting != nil && ctx.Err() == nil && w.set.over(nil) == nil {
			// It could not begin: the others are as they were.
			p.waiting.end, p.waiting = &latent{err: err}, nil
			return true
		}
	}
	for _, t := range p.takes {
		if t.end != nil {
			continue
		}
		n := slices.IndexFunc(steps, func(step guest.Step) bool { return step.Event.Chunk == t.chunk })
		if t == p.waiting && n < 0 && len(steps) > 0 {
			continue // later, with less to speak beside it
		}
		if t == p.waiting {
			p.waiting = nil
		}
		switch {
		case err != nil:
			t.end = &latent{err: err}
		case n < 0:
			t.end = &latent{err: fmt.Errorf("%w: chunk %d was not spoken", ErrState, t.chunk)}
		case steps[n].Status == guest.OK:
			t.latents = append(t.latents, latent{values: steps[n].Latent, event: steps[n].Event})
		default:
			t.end = &latent{status: steps[n].Status, event: steps[n].Event, err: explain(steps[n].Err, "")}
		}
	}
	return true
}

// help makes sound of chunks until there are no more.
func (p *parallel) help(ctx context.Context, l *line) {
	sound := &sounder{line: l, from: p, block: 1}
	for {
		p.mu.Lock()
		t := p.wanted(l)
		for t == nil && ctx.Err() == nil && !(p.over && !slices.ContainsFunc(p.takes, func(t *take) bool { return t.line == l || t.line == nil })) {
			p.changed.Wait()
			t = p.wanted(l)
		}
		if t == nil || ctx.Err() != nil {
			p.mu.Unlock()
			return
		}
		if l.codec == 0 {
			p.mu.Unlock()
			// Without memory for one more, the helper's other lines go on.
			if l.decoder.use(ctx, l.stream, func() error { return l.openCodec(context.WithoutCancel(ctx)) }) != nil {
				return
			}
			continue
		}
		t.line = l
		p.mu.Unlock()
		if !sound.make(ctx, t) {
			return
		}
	}
}

// wanted is the chunk that a helper's line goes on with, or a new one if the helper has little to do; or nil. It is the
// caller's turn at p.mu.
func (p *parallel) wanted(l *line) *take {
	t := p.claimable(l, 1)
	if t != nil && t.line == nil && !p.hungry(l.decoder) {
		return nil
	}
	return t
}

// sounder makes sound on a line, in blocks that grow (1, 2, 4).
type sounder struct {
	*line
	from  *parallel
	block int
}

// make makes sound of what there is of a chunk, a block at the most; false when that is the end of the line.
func (s *sounder) make(ctx context.Context, t *take) bool {
	s.from.mu.Lock()
	block := t.latents[:min(len(t.latents), s.block)]
	t.latents = t.latents[len(block):]
	done := t.end != nil && len(t.latents) == 0
	s.from.changed.Broadcast() // for those who wait until this helper has little to do
	s.from.mu.Unlock()
	s.block = min(2*s.block, largestBlock)
	var end *latent
	if done && t.end.err == nil {
		end = t.end
	}
	var pieces []piece
	err := s.decoder.use(ctx, s.stream, func() (err error) {
		pieces, err = s.soundOf(context.WithoutCancel(ctx), block, end)
		return err
	})
	if err == nil && done {
		err = t.end.err
	}
	if err != nil {
		pieces = append(pieces, piece{err: err})
	}
	for _, made := range pieces {
		if !send(ctx, t.out, made) {
			return false
		}
	}
	if done {
		s.from.mu.Lock()
		s.from.takes = slices.DeleteFunc(s.from.takes, func(one *take) bool { return one == t })
		s.from.mu.Unlock()
		close(t.out)
	}
	return err == nil
}
