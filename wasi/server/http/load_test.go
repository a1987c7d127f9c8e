package http_test

import (
	"errors"
	"flag"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/internal/servertest"
)

// soak is how long the clients ask; make soak-serve has them ask for five minutes.
var soak = flag.Duration("soak", 2*time.Second, "how long TestManyClients lasts")

// clients ask at the same time: more than are spoken for and may wait.
const clients = 64

// heard is what one client, or all of them, have heard.
type heard struct {
	whole, left, busy int
	bytes             int64
	first             []time.Duration
	others            []error
}

func (h *heard) add(more heard) {
	h.whole, h.left, h.busy, h.bytes = h.whole+more.whole, h.left+more.left, h.busy+more.busy, h.bytes+more.bytes
	h.first, h.others = append(h.first, more.first...), append(h.others, more.others...)
}

// listen asks again and again; every eighth time it leaves in mid-speech. Each client begins with another one of the eight.
func listen(client *http.Client, address, text string, n int, until time.Time) (h heard) {
	for ; time.Now().Before(until); n++ {
		asked := time.Now()
		response, err := client.PostForm(address+"/tts", url.Values{"text": {text}})
		if err != nil {
			h.others = append(h.others, err)
			return h
		}
		switch response.StatusCode {
		case http.StatusOK:
			_, err = io.ReadFull(response.Body, make([]byte, 44+3840))
			h.first = append(h.first, time.Since(asked))
			if n%8 == 0 {
				h.left++
				break
			}
			var bytes int64
			if err == nil {
				bytes, err = io.Copy(io.Discard, response.Body)
			}
			h.whole, h.bytes = h.whole+1, h.bytes+3840+bytes
		case http.StatusTooManyRequests:
			h.busy++
			_, err = io.Copy(io.Discard, response.Body)
			time.Sleep(100 * time.Millisecond)
		default:
			err = errors.New(response.Status)
		}
		response.Body.Close()
		if err != nil {
			h.others = append(h.others, err)
		}
	}
	return h
}

// TestManyClients: they hear speech or that the queue is full, and nothing else; afterwards nothing is left of it.
func TestManyClients(t *testing.T) {
	engine := servertest.Load(t, pockettts.Options{Parallel: 2, MaxStreams: 32, MaxQueue: 16})
	before, heap := runtime.NumGoroutine(), uint64(0)
	text := sentence
	if *soak > 10*time.Second {
		text = "The quick brown fox jumps over the lazy dog, and nobody knows why it does."
	}
	memory := func() (uint64, uint64) {
		runtime.GC()
		runtime.GC() // what finalizers held
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		sandbox, err := engine.Memory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stats.HeapAlloc, sandbox.Allocated
	}
	var sandbox uint64
	var all heard
	func() {
		service, err := server.New(server.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer service.Close()
		if err := service.Start(t.Context(), engine, nil); err != nil {
			t.Fatal(err)
		}
		t.Run("clients", func(t *testing.T) { // the server ends with it
			address := servertest.Serve(t, service, ttshttp.New(service, ttshttp.Options{}))
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
			defer client.CloseIdleConnections()
			// A round of all voices and instances, after which nothing new should stay.
			round := func(length time.Duration) (sum heard) {
				var group sync.WaitGroup
				var mu sync.Mutex
				for n := range clients {
					group.Go(func() {
						one := listen(client, address, text, n, time.Now().Add(length))
						mu.Lock()
						defer mu.Unlock()
						sum.add(one)
					})
				}
				group.Wait()
				return sum
			}
			round(200 * time.Millisecond)
			servertest.Until(t, "streams end", func() bool { return streams(engine) == 0 })
			heap, sandbox = memory()
			began := time.Now()
			all = round(*soak)
			took := time.Since(began).Seconds()
			servertest.Until(t, "streams end", func() bool { return streams(engine) == 0 })
			heapAfter, sandboxAfter := memory()
			if sandboxAfter != sandbox {
				t.Errorf("the sandbox held %d bytes before and %d after", sandbox, sandboxAfter)
			}
			if heapAfter > heap+8<<20 {
				t.Errorf("the heap had %d bytes before and has %d after", heap, heapAfter)
			}
			slices.Sort(all.first)
			if len(all.first) == 0 {
				t.Fatal("nobody heard anything")
			}
			t.Logf("%d clients for %.0f s: %d heard all, %d left, %d were sent away; first sound p50 %d ms, p99 %d ms; %.1f s of sound a second",
				clients, took, all.whole, all.left, all.busy, all.first[len(all.first)/2].Milliseconds(), all.first[len(all.first)*99/100].Milliseconds(),
				float64(all.bytes)/48000/took)
		})
	}()
	for _, err := range all.others {
		t.Error(err)
	}
	if all.busy == 0 || all.whole == 0 || all.left == 0 {
		t.Errorf("%d heard all, %d left, %d were sent away: expected all of these", all.whole, all.left, all.busy)
	}
	servertest.Until(t, "the goroutines return", func() bool { return runtime.NumGoroutine() <= before })
}
