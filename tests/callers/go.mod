// The decoder is nobody's dependency but this test's.
module github.com/pocket-tts-wasm/pocket-tts-wasm/tests/callers

go 1.25.0

require github.com/go-audio/wav v1.1.0

require (
	github.com/go-audio/audio v1.0.0 // indirect
	github.com/go-audio/riff v1.0.0 // indirect
)
