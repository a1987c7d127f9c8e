// The guest module itself: wasm/ compiled with the preset `wasi`, committed so that users need no toolchain.
// `make guest` rebuilds it, and `make test` proves that a fresh build has the same bytes.

package guest

import _ "embed"

//go:embed pocket_tts.wasm
var moduleBytes []byte

// ModuleBytes returns the embedded guest module. It must not be changed.
func ModuleBytes() []byte { return moduleBytes }
