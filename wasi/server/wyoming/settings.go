// The settings of the servers that came before this one, under the names that their compose files give them.

package wyoming

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	pockettts "github.com/pocket-tts-wasm/pocket-tts-wasm/wasi"
)

// Settings are what the environment says.
type Settings struct {
	Host, Port string // WYOMING_HOST, 127.0.0.1; WYOMING_PORT, 10201
	Voice      string // DEFAULT_VOICE, else the model's own
	Variant    string // MODEL_VARIANT: a model by its name or its signature; empty: the program's own
	Zeroconf   string // ZEROCONF: a name; empty: not advertised
	DebugWAV   bool   // DEBUG_WAV: true, 1 or yes
	Trim       Trim   // PREFIX_MIN_DURATION, PREFIX_MAX_DURATION, PREFIX_SILENCE_GAP, in seconds
}

// DefaultName is what a server is called that is advertised without a name.
const DefaultName = "pocket-tts"

// signatures are names of models in the settings of older servers.
var signatures = map[string]string{"b6369a24": "english_2026-01", "a0ac5076": "english_2026-04"}

// Environment reads the settings; getenv is os.Getenv.
func Environment(getenv func(string) string) (Settings, error) {
	s := Settings{Host: getenv("WYOMING_HOST"), Port: getenv("WYOMING_PORT"), Voice: getenv("DEFAULT_VOICE"), Variant: getenv("MODEL_VARIANT")}
	if s.Host == "" {
		s.Host = "127.0.0.1"
	}
	if s.Port == "" {
		s.Port = "10201"
	}
	if err := s.CheckPort(); err != nil {
		return s, fmt.Errorf("WYOMING_PORT: %w", err)
	}
	if name := strings.TrimSpace(getenv("ZEROCONF")); strings.EqualFold(name, "true") {
		s.Zeroconf = DefaultName
	} else if !strings.EqualFold(name, "false") {
		s.Zeroconf = name
	}
	switch strings.ToLower(strings.TrimSpace(getenv("DEBUG_WAV"))) {
	case "true", "1", "yes":
		s.DebugWAV = true
	}
	for _, one := range []struct {
		name string
		to   *time.Duration
	}{{"PREFIX_MIN_DURATION", &s.Trim.Min}, {"PREFIX_MAX_DURATION", &s.Trim.Max}, {"PREFIX_SILENCE_GAP", &s.Trim.Gap}} {
		value := strings.TrimSpace(getenv(one.name))
		if value == "" {
			continue
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil || !(seconds > 0 && seconds <= 60) {
			return s, fmt.Errorf("%w: %s: expected seconds, more than 0 and at most 60, found %q", pockettts.ErrArgument, one.name, value)
		}
		*one.to = time.Duration(seconds * float64(time.Second))
	}
	return s, nil
}

// CheckPort refuses what is no port.
func (s Settings) CheckPort() error {
	if port, err := strconv.Atoi(s.Port); err != nil || port < 0 || port > 65535 {
		return fmt.Errorf("%w: expected a port, 0 to 65535, found %q", pockettts.ErrArgument, s.Port)
	}
	return nil
}

// URI is the address of the server.
func (s Settings) URI() string { return "tcp://" + net.JoinHostPort(s.Host, s.Port) }

// Model is the name of the model that Variant means.
func (s Settings) Model() string {
	if name, ok := signatures[s.Variant]; ok {
		return name
	}
	return s.Variant
}
