// The official clients are nobody's dependency but this test's.
module github.com/pocket-tts-wasm/pocket-tts-wasm/tests/openai

go 1.25.0

require github.com/openai/openai-go/v3 v3.60.0

require (
	github.com/tidwall/gjson v1.19.0 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.1 // indirect
	github.com/tidwall/sjson v1.2.5 // indirect
)
