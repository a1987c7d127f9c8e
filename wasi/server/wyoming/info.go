// What `describe` is answered with.

package wyoming

import "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/server"

type attribution struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

type voiceInfo struct {
	Name        string      `json:"name"`
	Attribution attribution `json:"attribution"`
	Installed   bool        `json:"installed"`
	Description string      `json:"description"`
	Version     string      `json:"version"`
	Languages   []string    `json:"languages"`
	Speakers    *struct{}   `json:"speakers"`
}

type program struct {
	Name        string      `json:"name"`
	Attribution attribution `json:"attribution"`
	Installed   bool        `json:"installed"`
	Description string      `json:"description"`
	Version     string      `json:"version"`
	Voices      []voiceInfo `json:"voices"`
	Streaming   bool        `json:"supports_synthesize_streaming"`
}

type info struct {
	ASR    []struct{} `json:"asr"`
	TTS    []program  `json:"tts"`
	Handle []struct{} `json:"handle"`
	Intent []struct{} `json:"intent"`
	Wake   []struct{} `json:"wake"`
	Mic    []struct{} `json:"mic"`
	Snd    []struct{} `json:"snd"`
}

const project = "https://github.com/kyutai-labs/pocket-tts"

// describe says what this server is and which voices it has; while the model loads, those of Options.Voices.
func (s *Server) describe() info {
	voices := s.service.Voices()
	if s.service.Engine() == nil {
		for _, name := range s.options.Voices {
			voices = append(voices, server.Voice{Name: name})
		}
	}
	described := make([]voiceInfo, len(voices))
	for n, voice := range voices {
		source := voice.License
		switch {
		case voice.Custom:
			source = "A voice of this server"
		case source == "":
			source = "See the source of the model"
		}
		described[n] = voiceInfo{
			Name: voice.Name, Attribution: attribution{source, project}, Installed: true,
			Description: "Pocket-TTS voice: " + voice.Name, Version: s.options.Version, Languages: []string{s.service.Language()},
		}
	}
	none := []struct{}{}
	return info{
		ASR: none, Handle: none, Intent: none, Wake: none, Mic: none, Snd: none,
		TTS: []program{{
			Name: "pocket-tts", Attribution: attribution{"Kyutai Pocket-TTS", project}, Installed: true,
			Description: "Fast Streaming Pocket-TTS", Version: s.options.Version, Voices: described, Streaming: true,
		}},
	}
}
