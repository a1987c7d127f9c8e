// Package pockettts speaks: Pocket TTS text-to-speech, run in a WebAssembly sandbox inside the Go process. No cgo, no
// Python, no native library.
//
//	engine, err := pockettts.Load(ctx, pockettts.Options{PackFS: starter.FS()})
//	if err != nil { ... }
//	defer engine.Close()
//	stream, err := engine.Speak(ctx, "Hello.", pockettts.SpeakOptions{})
//	if err != nil { ... }
//	defer stream.Close()
//	_, err = io.Copy(file, stream) // a WAV file, written while it is spoken
//
// The model comes from a pack: a folder with a pack.json, its weights and its voices ([Options]). The subpackage
// starter carries a small one inside the program. Official packs by name and packs at an address are fetched once, by the
// host, and kept in the user's cache folder; without one of those, nothing touches a network.
//
// A text that is still coming, such as the tokens of a language model, is spoken sentence by sentence
// ([Engine.SpeakParts]).
//
// # Sandbox
//
// The engine is a WebAssembly module without a single import: it sees its own memory and nothing else, no files, no
// environment, no clock, no network. Its memory is capped by [Options].MaxMemory. Hostile weights, voices or texts
// can make a call fail; they cannot do anything else.
//
// # Concurrency
//
// An [Engine] may be used by any number of goroutines. Calls take turns, in the order in which they came: several
// streams advance frame by frame beside each other, as many as [Options].MaxStreams; further ones wait in a queue that is
// bounded, too ([Options].MaxQueue, [ErrBusy]). With [Options].Workers they are dealt to several instances. A [Stream] belongs to one goroutine at a time, except for its
// Close. A cancelled context takes effect before the next frame, 80 ms of sound, or the next few, which are made together.
//
// # Speed
//
// Larger models speak with two instances of the module where there are two cores: one makes the latents of the next
// frames while the other makes sound of the last ones ([Options].Instances). The weights are shared out between them,
// not doubled. For long texts, [Options].Parallel spreads the pieces over several instances: one makes the latents of
// eight together, the others only make sound; with two cores, 2 is the fastest of all. The samples are the same in every case. What is made before it is read is
// bounded: 8 frames of sound and 32 latents with two instances; with Parallel, eleven pieces of the text with two instances,
// of each at most 41 seconds. A stream that nobody reads waits, and holds nobody up.
//
// Load reads every file once, while the module is compiled, and compiles only once for all programs of a user:
// compiled code is kept in the user's cache folder ([Options].CacheDir) and checked before it is used.
//
// # Errors
//
// Errors wrap one of the sentinels of this package ([ErrVoice], [ErrTextEmpty], ...) for errors.Is; their text says
// what was expected and what was found. The sentinels correspond to the codes of the JavaScript package.
package pockettts
