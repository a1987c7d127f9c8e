// The sentence that is spoken when no text is given.

package main

import (
	"slices"
	"strings"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

const english = "Hello world. I am Kyutai's Pocket TTS. I'm fast enough to run on small CPUs. I hope you'll like me."

// sentences are those of the JavaScript package.
var sentences = map[string]string{
	"dutch":      "Goedendag. Deze stem ontstaat hier, op uw computer. Ze heeft geen netwerk nodig.",
	"french":     "Bonjour. Cette voix est calculée ici, sur votre ordinateur. Elle n'a besoin d'aucun réseau.",
	"german":     "Guten Tag. Diese Stimme entsteht hier, auf diesem Rechner. Sie braucht dafür kein Netz.",
	"italian":    "Buongiorno. Questa voce nasce qui, sul suo computer. Non ha bisogno della rete.",
	"portuguese": "Bom dia. Esta voz é criada aqui, no seu computador. Ela não precisa de rede.",
	"spanish":    "Buenos días. Esta voz se crea aquí, en su ordenador. No necesita ninguna red.",
}

// official is the official model that was named, by either flag; empty where it was none.
func (w *where) official() string {
	for _, name := range []string{w.language, w.pack} {
		if slices.Contains(pockettts.PackNames(), name) {
			return name
		}
	}
	return ""
}

// defaultText is in the language of the model of that name; English where it names no other one.
func defaultText(model string) string {
	for language, sentence := range sentences {
		if strings.HasPrefix(model, language) {
			return sentence
		}
	}
	return english
}
