package wyoming

import (
	"testing"
	"time"
)

func environment(pairs map[string]string) (Settings, error) {
	return Environment(func(name string) string { return pairs[name] })
}

func TestEnvironment(t *testing.T) {
	s, err := environment(nil)
	if want := (Settings{Host: "127.0.0.1", Port: "10201"}); err != nil || s != want || s.URI() != "tcp://127.0.0.1:10201" || s.Model() != "" {
		t.Errorf("%+v %v", s, err)
	}
	s, err = environment(map[string]string{
		"WYOMING_HOST": "::", "WYOMING_PORT": "1", "DEFAULT_VOICE": "alba", "MODEL_VARIANT": "b6369a24", "ZEROCONF": "true", "DEBUG_WAV": "Yes",
		"PREFIX_MIN_DURATION": "0.15", "PREFIX_MAX_DURATION": " 2 ", "PREFIX_SILENCE_GAP": "0.08",
	})
	want := Settings{
		Host: "::", Port: "1", Voice: "alba", Variant: "b6369a24", Zeroconf: "pocket-tts", DebugWAV: true,
		Trim: Trim{Min: 150 * time.Millisecond, Max: 2 * time.Second, Gap: 80 * time.Millisecond},
	}
	if err != nil || s != want || s.URI() != "tcp://[::]:1" || s.Model() != "english_2026-01" {
		t.Errorf("%+v %v", s, err)
	}
	s, err = environment(map[string]string{"ZEROCONF": "kitchen", "MODEL_VARIANT": "german", "DEBUG_WAV": "0"})
	if err != nil || s.Zeroconf != "kitchen" || s.Model() != "german" || s.DebugWAV {
		t.Errorf("%+v %v", s, err)
	}
	if s, err = environment(map[string]string{"ZEROCONF": "false"}); err != nil || s.Zeroconf != "" {
		t.Errorf("%+v %v", s, err)
	}
	for name, value := range map[string]string{
		"WYOMING_PORT": "65536", "PREFIX_MIN_DURATION": "-1", "PREFIX_MAX_DURATION": "soon", "PREFIX_SILENCE_GAP": "NaN",
	} {
		if _, err := environment(map[string]string{name: value}); err == nil {
			t.Errorf("%s=%s is taken", name, value)
		}
	}
}
