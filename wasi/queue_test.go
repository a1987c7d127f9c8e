package pockettts

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// until waits for what other goroutines are about to do.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// queued is the state of an engine's queue.
func queued(e *Engine, open, waiting int) func() bool {
	return func() bool {
		o, w := e.Streams()
		return o == open && w == waiting
	}
}

func TestCallsWaitInTheOrderInWhichTheyCame(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), MaxStreams: 1, MaxQueue: 5})
	first := speak(t, e, sentence, SpeakOptions{})
	var mu sync.Mutex
	var order []int
	var group sync.WaitGroup
	for n := range 5 {
		group.Go(func() {
			s, err := e.Speak(context.Background(), sentence, SpeakOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, n)
			mu.Unlock()
			s.Close()
		})
		until(t, "the call waits", queued(e, 1, n+1))
	}
	// One more than may wait.
	if _, err := e.Speak(t.Context(), sentence, SpeakOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	if _, err := first.next(); err != nil { // the stream inside goes on meanwhile
		t.Error(err)
	}
	first.Close()
	group.Wait()
	for n, got := range order {
		if n != got {
			t.Errorf("the calls were served in the order %v", order)
			break
		}
	}
	if open, waiting := e.Streams(); open != 0 || waiting != 0 || len(order) != 5 {
		t.Errorf("%d open, %d waiting, %d served", open, waiting, len(order))
	}
}

func TestBoundOfStreams(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), MaxStreams: 3, MaxQueue: 100})
	want := speech(t, e, sentence, SpeakOptions{})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			got, err := trySpeech(e, sentence, SpeakOptions{})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d, %v", len(got), len(want), err)
			}
			if open, _ := e.Streams(); open > 3 {
				t.Errorf("%d streams at once", open)
			}
		})
	}
	group.Wait()
	// However a stream ends, its place is free again; a call that fails has never had one.
	for _, text := range []string{"", "\xff"} {
		if _, err := e.Speak(t.Context(), text, SpeakOptions{}); err == nil {
			t.Errorf("%q is spoken", text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := e.Speak(ctx, sentence, SpeakOptions{}); err != nil {
		t.Error(err)
	}
	cancel()
	until(t, "the place of a cancelled stream is free", queued(e, 0, 0))
}

func TestNoQueue(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), MaxStreams: 1, MaxQueue: NoQueue})
	s := speak(t, e, sentence, SpeakOptions{})
	if _, err := e.Speak(t.Context(), sentence, SpeakOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	s.Close()
	speak(t, e, sentence, SpeakOptions{}).Close()
}

func TestWaitingEndsWithItsContextAndWithClose(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), MaxStreams: 1, MaxQueue: 3})
	before, err := e.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	speak(t, e, sentence, SpeakOptions{})
	ended := make(chan error, 3)
	wait := func(ctx context.Context) {
		_, err := e.Speak(ctx, sentence, SpeakOptions{})
		ended <- err
	}
	ctx, cancel := context.WithCancel(t.Context())
	go wait(ctx)
	until(t, "the call waits", queued(e, 1, 1))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// Its place in the queue is free: three others wait.
	for n := range 3 {
		go wait(context.Background())
		until(t, "the call waits", queued(e, 1, n+1))
	}
	if after, err := e.Memory(t.Context()); err != nil || after.Reserved > before.Reserved+16<<20 {
		t.Errorf("waiting takes memory: %+v, %+v, %v", before, after, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
	if _, err := e.Speak(t.Context(), sentence, SpeakOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
	until(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestStreamsAreDealtToAllInstances(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), Parallel: 3, Workers: 3})
	want := speech(t, e, pieces, inPieces())
	taken := func() (counts [3]int) {
		l := e.current
		l.dealing.Lock()
		defer l.dealing.Unlock()
		for n, w := range l.workers {
			counts[n] = w.taken
		}
		return counts
	}
	// Alone, a text of several pieces takes every instance; beside others it leaves theirs to them.
	all := speak(t, e, pieces, inPieces())
	if taken() != [3]int{1, 1, 1} {
		t.Errorf("alone: %v", taken())
	}
	all.Close()
	var streams []*Stream
	for n, want := range [][3]int{{1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {2, 1, 1}, {2, 2, 1}} {
		streams = append(streams, speak(t, e, sentence, SpeakOptions{}))
		if taken() != want {
			t.Errorf("%d streams: %v, want %v", n+1, taken(), want)
		}
	}
	streams[1].Close()
	beside := speak(t, e, pieces, inPieces())
	if taken() != [3]int{2, 2, 1} {
		t.Errorf("in pieces beside others: %v", taken())
	}
	got, err := readPCM(beside)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("beside others: %d bytes, want %d, %v", len(got), len(want), err)
	}
	for _, s := range streams {
		s.Close()
	}
	if taken() != [3]int{} {
		t.Errorf("all closed: %v", taken())
	}
}

func TestHelperThatOnlyMakesSoundIsShared(t *testing.T) {
	e := load(t, Options{PackFS: fixturePack(t, "lsd6"), Instances: 2, Parallel: 2})
	want := speech(t, e, pieces, inPieces())
	var streams []*Stream
	for n := range 3 {
		s := speak(t, e, pieces, inPieces())
		streams = append(streams, s)
		if helps := len(s.lines) > 1; helps != (n == 0) || !helps && s.lines[0].decoder != e.current.workers[1] {
			t.Errorf("stream %d: %d lines", n, len(s.lines))
		}
	}
	var group sync.WaitGroup
	for n, s := range streams {
		group.Go(func() {
			if got, err := readPCM(s); err != nil || !bytes.Equal(got, want) {
				t.Errorf("stream %d: %d bytes, want %d, %v", n, len(got), len(want), err)
			}
		})
	}
	group.Wait()
	for _, w := range e.current.workers {
		if w.taken != 0 {
			t.Errorf("%d streams are left", w.taken)
		}
	}
}

func TestManyCallersLeaveNothingBehind(t *testing.T) {
	callers := 64
	if testing.Short() {
		callers = 16
	}
	e := load(t, Options{PackFS: starter.FS(), Parallel: 2, Workers: 2, MaxStreams: 8, MaxQueue: callers})
	want := speech(t, e, "Hi.", SpeakOptions{})
	round := func() {
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				if got, err := trySpeech(e, "Hi.", SpeakOptions{}); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, want %d, %v", len(got), len(want), err)
				}
			})
		}
		group.Wait()
	}
	round()
	goroutines := runtime.NumGoroutine()
	before, err := e.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	round()
	if after, err := e.Memory(t.Context()); err != nil || after.Allocated != before.Allocated {
		t.Errorf("%+v before, %+v after, %v", before, after, err)
	}
	until(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
}
