// Outside of the module in wasi: that one needs no C compiler, this one does.
module github.com/pocket-tts-wasm/pocket-tts-wasm/examples/cgo

go 1.25.0
