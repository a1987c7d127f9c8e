package server_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
	ttshttp "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/http"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server/openai"
	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/starter"
)

// Two doors on one listener, until the context ends.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	engine, err := pockettts.Load(ctx, pockettts.Options{PackFS: starter.FS()})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	service, err := server.New(server.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	if err := service.Start(ctx, engine, nil); err != nil {
		log.Fatal(err)
	}
	doors := http.NewServeMux()
	doors.Handle("/v1/", openai.New(service, openai.Options{}))
	doors.Handle("/", ttshttp.New(service, ttshttp.Options{}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- service.Serve(ctx, listener, doors) }()

	answer, err := http.Post("http://"+listener.Addr().String()+"/v1/audio/speech", "application/json",
		strings.NewReader(`{"input": "Hello there.", "response_format": "pcm"}`))
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status, answer.Header.Get("Content-Type"))

	cancel()
	fmt.Println(<-ended)
	// Output:
	// 200 OK audio/pcm
	// <nil>
}
