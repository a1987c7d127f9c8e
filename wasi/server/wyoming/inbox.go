// Text that has come and is not spoken yet: the connection's reader must never wait for the speech.

package wyoming

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// hush is how long a client may say nothing before a sentence is taken as complete whose end could still turn out to be
// none ("approx. ten").
const hush = 250 * time.Millisecond

type inbox struct {
	most int // code points

	mu     sync.Mutex
	text   strings.Builder
	chars  int
	ended  bool
	signal chan struct{} // something has changed
}

func newInbox(most int) *inbox { return &inbox{most: most, signal: make(chan struct{}, 1)} }

// push adds text; too much of it is refused.
func (b *inbox) push(text string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.chars += utf8.RuneCountInString(text); b.chars > b.most {
		return server.Refuse(server.TextTooLong, "text: expected at most %d characters, found more", b.most)
	}
	b.text.WriteString(text)
	b.tell()
	return nil
}

func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.tell()
}

func (b *inbox) tell() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// take empties the box.
func (b *inbox) take() (text string, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text = b.text.String()
	b.text.Reset()
	return text, b.ended
}

// all waits for the end of the text and takes it whole.
func (b *inbox) all(ctx context.Context) (string, error) {
	return b.wait(ctx, func() bool { return b.ended })
}

// some waits for something to speak and takes it; what it returns at the end of the text may be nothing.
func (b *inbox) some(ctx context.Context) (string, error) {
	return b.wait(ctx, func() bool { return b.ended || strings.TrimSpace(b.text.String()) != "" })
}

func (b *inbox) wait(ctx context.Context, enough func() bool) (string, error) {
	for {
		b.mu.Lock()
		ready := enough()
		b.mu.Unlock()
		if ready {
			text, _ := b.take()
			return text, nil
		}
		select {
		case <-b.signal:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// pour hands the text on as it comes, beginning with what has been taken, until its end.
func (b *inbox) pour(ctx context.Context, text string, to chan<- string) {
	timer := time.NewTimer(hush)
	defer timer.Stop()
	for settled := false; ; {
		if text != "" {
			select {
			case to <- text:
			case <-ctx.Done():
				return
			}
			settled = false
		}
		var ended bool
		if text, ended = b.take(); text != "" {
			continue
		}
		if ended {
			close(to)
			return
		}
		var quiet <-chan time.Time
		if !settled {
			timer.Reset(hush)
			quiet = timer.C
		}
		select {
		case <-b.signal:
		case <-quiet:
			settled = true
			select {
			case to <- "": // nothing follows for now
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
