package server_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

var (
	soak   = flag.Duration("soak", time.Second, "how long the clients of TestManyClients ask (make soak-serve: 5m)")
	bench  = flag.Duration("bench-serve", 0, "how long the clients of TestSpeed ask (make bench-serve: 30s); 0 skips it")
	report = flag.String("report", "", "a Markdown file for what TestManyClients has found")
)

// clients ask at the same time: more than are spoken for and may wait, at four doors.
const clients = 64

const fox = "The quick brown fox jumps over the lazy dog, and nobody knows why it does."

// doorOf deals the clients to the doors.
func doorOf(n int) string {
	return []string{"http", "http", "openai", "speak-ws", "http", "wyoming", "http", "openai"}[n/8%8]
}

// heard is what the clients of one door, or all of them, have heard.
type heard struct {
	whole, left, slow, busy int
	bytes                   int64
	first                   []time.Duration
	others                  []error
}

func (h *heard) add(more heard) {
	h.whole, h.left, h.slow, h.busy, h.bytes = h.whole+more.whole, h.left+more.left, h.slow+more.slow, h.busy+more.busy, h.bytes+more.bytes
	h.first, h.others = append(h.first, more.first...), append(h.others, more.others...)
}

// percentile is of the times to the first sound, in milliseconds.
func (h *heard) percentile(of int) int64 {
	if len(h.first) == 0 {
		return 0
	}
	slices.Sort(h.first)
	return h.first[len(h.first)*of/100].Milliseconds()
}

type manners int

const (
	polite manners = iota // hears everything
	hasty                 // vanishes in mid-speech every other time
	lazy                  // asks for minutes of sound and reads a byte of it a second
)

// lazyTime is how long a lazy one takes for a request: what the system has in store for it lasts for hours, so that it
// would never notice that it was cut off.
const lazyTime = 30 * time.Second

// listen asks again and again, and at least until it has been heard once.
func listen(ctx context.Context, ask asking, text string, how manners, until time.Time, speaks func()) (h heard) {
	for ctx.Err() == nil && (time.Now().Before(until) || h.whole+h.left+h.slow == 0) {
		during, enough := ctx, context.CancelFunc(func() {})
		if how == lazy {
			text = long
			during, enough = context.WithTimeout(ctx, lazyTime)
		}
		caller, slow := newCaller(during.Done())
		asked, bytes := time.Now(), 0
		err := ask(during, caller, text, func(n int) bool {
			if bytes += n; bytes == n {
				h.first = append(h.first, time.Since(asked))
				speaks()
			}
			slow.Store(how == lazy)
			return how != hasty || h.left > h.whole
		})
		enough()
		h.bytes += int64(bytes)
		switch {
		case err == nil:
			h.whole++
		case errors.Is(err, errLeft):
			h.left++
		case errors.Is(err, errBusy):
			h.busy++
			time.Sleep(100 * time.Millisecond)
		case how == lazy && bytes > 0:
			h.slow++
		case ctx.Err() != nil: // the test is over
		default:
			h.others = append(h.others, err)
		}
	}
	return h
}

// load has the clients ask for a while.
func load(t *testing.T, ask map[string]asking, text string, length time.Duration, how func(n int) manners) map[string]*heard {
	sum := map[string]*heard{}
	for name := range ask {
		sum[name] = new(heard)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group, lazyOnes, answered sync.WaitGroup
	var mu sync.Mutex
	until := time.Now().Add(length)
	for n := range clients {
		wait, speaks := &group, func() {}
		if how(n) == lazy { // these do not end by themselves
			wait = &lazyOnes
			answered.Add(1)
			speaks = sync.OnceFunc(answered.Done)
		}
		wait.Go(func() {
			one := listen(ctx, ask[doorOf(n)], text, how(n), until, speaks)
			mu.Lock()
			defer mu.Unlock()
			sum[doorOf(n)].add(one)
		})
	}
	group.Wait()
	answered.Wait()
	cancel()
	lazyOnes.Wait()
	return sum
}

// kept is what there is in memory when nothing is spoken.
type kept struct {
	heap, sandbox uint64
	goroutines    int
}

func measure(t *testing.T, engine *pockettts.Engine) kept {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers held
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	sandbox, err := engine.Memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return kept{stats.HeapAlloc, sandbox.Allocated, runtime.NumGoroutine()}
}

func streams(engine *pockettts.Engine) int {
	open, _ := engine.Streams()
	return open
}

// TestManyClients: 64 at once hear speech, or that the queue is full, and nothing else, whoever of them vanishes or reads a
// byte a second; afterwards nothing is left of it.
func TestManyClients(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of both cores")
	}
	engine := servertest.Load(t, pockettts.Options{Parallel: 2, Workers: 2, MaxStreams: 32, MaxQueue: 16})
	text, limits := sentence, server.Limits{Idle: time.Second}
	if *soak > 10*time.Second {
		text, limits = fox, server.Limits{Idle: 20 * time.Second}
	}
	manner := func(n int) manners {
		switch n % 8 {
		case 0:
			return hasty
		case 1:
			return lazy
		}
		return polite
	}
	empty := runtime.NumGoroutine()
	var before, after kept
	var all map[string]*heard
	var took time.Duration
	func() {
		service, err := server.New(server.Options{Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		defer service.Close()
		if err := service.Start(t.Context(), engine, nil); err != nil {
			t.Fatal(err)
		}
		t.Run("clients", func(t *testing.T) { // the servers end with it
			ask := doors(t, service)
			quiet := func() {
				t.Helper()
				servertest.Until(t, "streams end", func() bool { return streams(engine) == 0 })
			}
			load(t, ask, text, 200*time.Millisecond, manner) // a round of all doors and instances, after which nothing new should stay
			quiet()
			before = measure(t, engine)
			began := time.Now()
			all = load(t, ask, text, *soak, manner)
			took = time.Since(began)
			quiet()
			servertest.Until(t, "the heap returns", func() bool {
				after = measure(t, engine)
				return after.heap <= before.heap+4<<20
			})
			if after.sandbox != before.sandbox {
				t.Errorf("the sandbox held %d bytes before and %d after", before.sandbox, after.sandbox)
			}
		})
	}()
	for _, door := range []string{"http", "openai", "speak-ws", "wyoming"} {
		h := all[door]
		t.Logf("%s: %d heard all, %d vanished, %d read slowly, %d were sent away; first sound p50 %d ms, p99 %d ms",
			door, h.whole, h.left, h.slow, h.busy, h.percentile(50), h.percentile(99))
		for _, err := range h.others {
			t.Errorf("%s: %v", door, err)
		}
		if h.whole == 0 || h.left == 0 || h.slow == 0 {
			t.Errorf("%s: %d heard all, %d vanished, %d read slowly: expected all of these", door, h.whole, h.left, h.slow)
		}
	}
	if total(all).busy == 0 {
		t.Error("nobody was sent away")
	}
	servertest.Until(t, "the goroutines return", func() bool { after.goroutines = runtime.NumGoroutine(); return after.goroutines <= empty })
	t.Logf("heap %d kB before and %d kB after, sandbox %d kB and %d kB, goroutines %d and %d",
		before.heap>>10, after.heap>>10, before.sandbox>>10, after.sandbox>>10, empty, after.goroutines)
	if *report != "" {
		before.goroutines = empty
		if err := os.WriteFile(*report, describe(engine, all, took, before, after, limits), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func total(all map[string]*heard) (sum heard) {
	for _, one := range all {
		sum.add(*one)
	}
	return sum
}

// describe writes the report.
func describe(engine *pockettts.Engine, all map[string]*heard, took time.Duration, before, after kept, limits server.Limits) []byte {
	var out strings.Builder
	info, sum := engine.Info(), total(all)
	fmt.Fprintf(&out, `# Servers under load

Written by `+"`make soak-serve`"+`: %d clients at once ask four doors of one process for %s, again and again. One in eight
vanishes in mid-speech, one in eight asks for minutes of sound and then reads one byte a second. The engine has %d instances
(pack %s, %s), 32 streams may be open and 16 requests wait; one more is told to come back, and does after a tenth of a
second. Client and server share the process and its %d cores (%s, %s/%s).

| door | heard all | vanished | read a byte a second | sent away (429, QUEUE_FULL, busy) | other errors | first sound p50 | p99 |
|---|---|---|---|---|---|---|---|
`, clients, took.Round(time.Second), info.Workers, info.Name, info.Precision, runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	row := func(name string, h heard) {
		fmt.Fprintf(&out, "| %s | %d | %d | %d | %d | %d | %d ms | %d ms |\n", name, h.whole, h.left, h.slow, h.busy, len(h.others), h.percentile(50), h.percentile(99))
	}
	for _, name := range []string{"http", "openai", "speak-ws", "wyoming"} {
		row(name, *all[name])
	}
	row("all", sum)
	fmt.Fprintf(&out, `
Times are from the request, connecting and waiting for a turn included, to the first byte of sound. Altogether %.1f seconds
of sound a second were heard. A client that reads nothing for %s is cut off (a minute by default).

| | before | after |
|---|---|---|
| heap of the process, after two collections | %d kB | %d kB |
| allocated in the sandbox, all instances | %d kB | %d kB |
| goroutines | %d | %d |

"Before" is when every door has been used for a moment and all streams have ended; for goroutines, before the servers were
started. "After" is when all streams have ended again; for goroutines, when the servers have. The test fails where the heap
does not return to within 4 MB, the sandbox to the byte, the goroutines to their number.
`, float64(sum.bytes)/48000/took.Seconds(), limits.Idle, before.heap>>10, after.heap>>10, before.sandbox>>10, after.sandbox>>10, before.goroutines, after.goroutines)
	return []byte(out.String())
}

// TestSpeed prints what make bench-serve is for: nobody is sent away, vanishes or dawdles.
func TestSpeed(t *testing.T) {
	if *bench == 0 {
		t.Skip("make bench-serve")
	}
	engine := servertest.Load(t, pockettts.Options{Parallel: 2, Workers: 2, MaxStreams: 32, MaxQueue: clients})
	service := servertest.Service(t, engine, server.Options{})
	all := load(t, doors(t, service), fox, *bench, func(int) manners { return polite })
	sum := total(all)
	for _, err := range sum.others {
		t.Error(err)
	}
	if sum.busy > 0 || sum.whole == 0 {
		t.Errorf("%d heard all, %d were sent away", sum.whole, sum.busy)
	}
	for _, name := range []string{"http", "openai", "speak-ws", "wyoming"} {
		fmt.Printf("%-9s %5d requests, first sound p50 %5d ms, p99 %5d ms\n", name, all[name].whole, all[name].percentile(50), all[name].percentile(99))
	}
	fmt.Printf("%d clients, %d instances: first sound p50 %d ms, p99 %d ms; %.1f seconds of sound a second\n",
		clients, engine.Info().Workers, sum.percentile(50), sum.percentile(99), float64(sum.bytes)/48000/bench.Seconds())
}

// Frames that a server may have made of the minutes that were asked for when nobody reads them. What lies in the buffers of
// the system is a few seconds of sound, at either end of the connection.
const framesAhead = 200

// TestNobodyReads: a client that reads a byte a second makes the engine wait, and is cut off. Counted in frames, so that it
// does not matter how fast they are made.
func TestNobodyReads(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	service := servertest.Service(t, engine, server.Options{Limits: server.Limits{Idle: 500 * time.Millisecond}})
	for name, ask := range doors(t, service) {
		before := servertest.Frames(t, service)
		ctx, cancel := context.WithCancel(t.Context())
		caller, slow := newCaller(ctx.Done())
		ended := make(chan error, 1)
		go func() {
			ended <- ask(ctx, caller, long, func(int) bool {
				slow.Store(true)
				return true
			})
		}()
		servertest.Until(t, name+" speaks", func() bool { return servertest.Frames(t, service) > before })
		servertest.Until(t, name+" ends", func() bool { return streams(engine) == 0 })
		made := servertest.Frames(t, service) - before
		t.Logf("%s: %d frames", name, made)
		if made > framesAhead {
			t.Errorf("%s: %d frames were made for a client that read a few bytes", name, made)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Errorf("%s: the client takes it for whole", name)
		}
	}
}

// TestClientVanishes: what it has asked for is not made any more. Counted in frames as well.
func TestClientVanishes(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{})
	service := servertest.Service(t, engine, server.Options{})
	for name, ask := range doors(t, service) {
		caller, _ := newCaller(nil)
		atEnd := 0
		err := ask(t.Context(), caller, long, func(int) bool {
			atEnd = servertest.Frames(t, service)
			return false
		})
		if !errors.Is(err, errLeft) {
			t.Errorf("%s: %v", name, err)
		}
		servertest.Until(t, name+" ends", func() bool { return streams(engine) == 0 })
		made := servertest.Frames(t, service) - atEnd
		t.Logf("%s: %d frames", name, made)
		if made > framesAhead {
			t.Errorf("%s: %d frames were made for a client that had gone", name, made)
		}
	}
}
