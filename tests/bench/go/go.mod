// The benchmark's program for Go. A module below the package's own path, so that it may use what is internal there.
module github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/bench

go 1.25.0

require github.com/pocket-tts-wasm/pocket-tts-wasm/wasi v0.0.0

require (
	github.com/gofrs/flock v0.13.0 // indirect
	github.com/tetratelabs/wazero v1.12.0 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/pocket-tts-wasm/pocket-tts-wasm/wasi => ../../../wasi
