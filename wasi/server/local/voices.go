// Which voice speaks: clients of such servers send names of Kokoro's voices.

package local

import (
	"regexp"
	"slices"
	"time"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"
)

// choice is a voice for a request.
type choice struct {
	ask     string    // what the service is asked for; empty is its default
	name    string    // who speaks
	changed time.Time // of a voice that is a file
	other   bool      // than was asked for
}

// kokoro is a name of Kokoro's: a letter for the language, one for the sex, a name. Mixtures ("af_sky.4+af_bella.6") begin
// with one.
var kokoro = regexp.MustCompile(`^([abefhijpz])([fm])_[a-z]`)

// languages are codes by Kokoro's letters. There are no voices of Pocket TTS for those that are missing.
var languages = map[string]string{"a": "en", "b": "en", "e": "es", "f": "fr", "i": "it", "p": "pt"}

// speakers are the voices of the official packs, and of the starter, by language and sex, the likeliest first. Two that may
// not be used commercially are left out: nobody has asked for them by name.
var speakers = map[string][]string{
	"en f": {"alba", "fantine", "eponine", "azelma", "anna", "vera", "mary", "jane", "eve", "caro_davy", "slt"},
	"en m": {"marius", "javert", "charles", "paul", "george", "michael", "bill_boerst", "peter_yearsley", "stuart_bell"},
	"es f": {"lola"},
	"fr f": {"estelle"},
	"it m": {"giovanni"},
	"pt m": {"rafael"},
	"nl m": {"daan"},
	"de m": {"juergen"},
}

// choose finds the voice that a name means: its own; of the language and the sex that a name of Kokoro's has, else of the
// model's language and that sex; the default voice.
func (d *door) choose(asked string) choice {
	voices := d.service.Voices()
	find := func(name string) (choice, bool) {
		n := slices.IndexFunc(voices, func(v server.Voice) bool { return v.Name == name })
		if n < 0 {
			return choice{}, false
		}
		return choice{ask: name, name: name, changed: voices[n].Changed}, true
	}
	if found, ok := find(asked); ok {
		return found
	}
	if server.IsURL(asked) {
		// What lies there may be another voice next time.
		return choice{ask: asked, changed: time.Now()}
	}
	if parts := kokoro.FindStringSubmatch(asked); parts != nil {
		sex := " " + parts[2]
		for _, group := range []string{languages[parts[1]] + sex, d.service.Language() + sex, "en" + sex} {
			for _, name := range speakers[group] {
				if found, ok := find(name); ok {
					found.other = true
					return found
				}
			}
		}
	}
	fallback := choice{name: "default", other: asked != ""}
	for _, voice := range voices {
		if voice.Default {
			fallback.name, fallback.changed = voice.Name, voice.Changed
		}
	}
	return fallback
}
