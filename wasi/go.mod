module github.com/pocket-tts-wasm/pocket-tts-wasm/wasi

go 1.25.0

require (
	github.com/gofrs/flock v0.13.0
	github.com/spf13/pflag v1.0.10
	github.com/tetratelabs/wazero v1.12.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/sys v0.44.0
	golang.org/x/term v0.43.0
)
