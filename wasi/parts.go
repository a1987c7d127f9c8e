// Speaking a text that is still coming.

package pockettts

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// partsLimit is the engine's own limit of a text, in bytes.
const partsLimit = 4 << 20

// SpeakParts speaks a text that comes in parts, such as the tokens of a language model, sentence by sentence: each is
// spoken as soon as its end is certain, whatever the parts are. The end of the text is the closed channel. A part is
// received when it is needed; who cannot wait for that gives the channel a buffer.
//
// An end of a sentence becomes certain by what follows it ("approx. ten"). An empty part says that nothing follows for
// now: a sentence whose end has white space behind it is then spoken at once.
//
// The stream takes its turn as one of Speak does, when it is made. The context governs the whole stream. Errors in the text come with the frames: ErrTextEmpty when nothing of it could
// be spoken. RNGTorch needs the whole text and is refused with ErrArgument.
func (e *Engine) SpeakParts(ctx context.Context, parts <-chan string, options SpeakOptions) (*Stream, error) {
	ctx = orBackground(ctx)
	if parts == nil {
		return nil, fmt.Errorf("%w: expected a channel of text, found nil", ErrArgument)
	}
	if options.RNG == RNGTorch {
		return nil, fmt.Errorf("%w: RNG: expected %q for a text that comes in parts, found %q", ErrArgument, RNGChunk, RNGTorch)
	}
	if e.gate == nil { // never loaded
		return nil, ErrClosed
	}
	if options.Voice == nil {
		if err := e.fetchVoice(ctx, ""); err != nil {
			return nil, err
		}
	}
	if err := e.queue.enter(ctx); err != nil {
		return nil, err
	}
	s := &Stream{engine: e, ctx: ctx, placed: true, strict: options.RequireEnd, format: options.Format, loaded: new(loaded)}
	s.source = &sequence{whole: s, parts: parts, options: options}
	s.begin()
	return s, nil
}

// sequence speaks sentence after sentence, each with a stream of its own.
type sequence struct {
	whole   *Stream
	parts   <-chan string
	options SpeakOptions

	sentences sentences
	ready     []string
	bytes     int
	ended     bool

	current *Stream
	first   int // the chunk of the whole that is the first of the current stream
	chunks  int // spoken so far
}

func (q *sequence) next(ctx context.Context) (piece, error) {
	for {
		if q.current == nil {
			if err := q.open(ctx); err != nil {
				return piece{}, err
			}
		}
		frame, err := q.current.next()
		switch {
		case err == io.EOF:
			q.current = nil // it has closed itself
			continue
		case err != nil:
			return piece{}, err
		}
		frame.Chunk += q.first
		q.chunks = frame.Chunk + 1
		return piece{frame: frame}, nil
	}
}

// open begins the next sentence that can be spoken; io.EOF after the last.
func (q *sequence) open(ctx context.Context) error {
	for {
		text, err := q.sentence(ctx)
		if err == io.EOF && q.chunks == 0 {
			return fmt.Errorf("%w: nothing to speak in %d bytes", ErrTextEmpty, q.bytes)
		}
		if err != nil {
			return err
		}
		options := q.options
		seed := uint64(defaultSeed)
		set(&seed, options.Seed)
		options.Seed = Value(uint64(chunkSeed(seed, uint32(q.chunks))))
		stream, err := q.whole.engine.speak(ctx, text, options, false)
		if errors.Is(err, ErrTextEmpty) {
			continue // a row of dashes between two paragraphs is no reason to end
		}
		if err != nil {
			return err
		}
		q.current, q.first = stream, q.chunks
		q.whole.tokens += stream.tokens
		return nil
	}
}

// sentence waits for the next one; io.EOF after the last.
func (q *sequence) sentence(ctx context.Context) (string, error) {
	for len(q.ready) == 0 {
		if q.ended {
			return "", io.EOF
		}
		select {
		case part, ok := <-q.parts:
			if q.bytes += len(part); q.bytes > partsLimit {
				return "", fmt.Errorf("%w: expected at most %d bytes, found more", ErrTextTooLong, partsLimit)
			}
			switch {
			case !ok:
				q.ended = true
				q.ready = q.sentences.end()
			case part == "":
				q.ready = q.sentences.settle()
			default:
				q.ready = q.sentences.push(part)
			}
		case <-ctx.Done():
			return "", ctx.Err()
		case <-q.whole.engine.queue.closed:
			return "", ErrClosed
		}
	}
	text := q.ready[0]
	q.ready = q.ready[1:]
	return text, nil
}

// Close ends what is being spoken.
func (q *sequence) Close() error {
	if q.current == nil {
		return nil
	}
	return q.current.Close()
}

// defaultSeed is the engine's own.
const defaultSeed = 42

// chunkSeed is the seed that the engine takes for a chunk of a text with `seed` (wasm/engine/rng.h): a text of its own
// with it draws the same.
func chunkSeed(seed uint64, chunk uint32) uint32 {
	mix := func(x uint32) uint32 {
		x = (x ^ x>>16) * 0x85ebca6b
		x = (x ^ x>>13) * 0xc2b2ae35
		return x ^ x>>16
	}
	low := uint32(seed)
	if chunk == 0 {
		return low
	}
	return mix(mix(low^0x5bd1e995) + chunk*0x9e3779b9)
}
