// Configuration files of the reference (YAML), as packs without a manifest: the same fields as JSON, and the files that
// they name.

package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/plain"
)

// ErrConfig is wrapped by errors about a configuration file.
var ErrConfig = errors.New("broken configuration")

var remote = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+://`)

// IsRemote is true for what would have to be fetched: http://, https://, hf://.
func IsRemote(path string) bool { return remote.MatchString(path) }

// ConfigLimit is what a configuration file may have, in bytes.
const ConfigLimit = 1 << 20

// OpenConfig reads a configuration file whose files are all on this machine. Paths in it are looked for beside the file
// first, then in the working directory (the reference looks in the working directory only).
func OpenConfig(path string) (*Pack, error) {
	data, err := ReadConfig(path)
	if err != nil {
		return nil, err
	}
	return readConfig(data, path)
}

// ReadConfig returns the text of a configuration file.
func ReadConfig(path string) ([]byte, error) {
	file, _, err := openPlain(paths{}, path, path, ErrConfig)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readLimited(file, path, ConfigLimit, ErrConfig)
}

func readConfig(data []byte, path string) (*Pack, error) {
	config, err := ParseConfig(data, path, filepath.Dir(path), func(address string) error {
		return fmt.Errorf("%w: %s would have to be downloaded", ErrUnsupported, address)
	})
	if err != nil {
		return nil, err
	}
	return config.Here(), nil
}

// Config is a configuration that was read.
type Config struct {
	Manifest
	// Public is the address of weights without voice cloning, should those of the manifest be refused to us.
	Public string
}

// Here is the pack of a configuration whose files are all on this machine.
func (c Config) Here() *Pack { return &Pack{Manifest: c.Manifest, Where: c.Name, files: paths{}} }

// ParseConfig reads the text of a configuration; name is what it is called, folder where its relative paths begin. far tells of
// an address in it whether it can be fetched; those stay in the manifest as they are.
func ParseConfig(data []byte, name, folder string, far func(address string) error) (*Config, error) {
	var content any
	if err := yaml.Unmarshal(data, &content); err != nil {
		return nil, fmt.Errorf("%s: %w: expected YAML: %s", name, ErrConfig, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	fields, ok := jsonValue(content).(map[string]any)
	if !ok {
		found := "a single value"
		switch content.(type) {
		case nil:
			found = "nothing"
		case []any:
			found = "a list"
		}
		return nil, fmt.Errorf("%s: %w: expected a mapping, found %s", name, ErrConfig, found)
	}
	config := new(Config)
	config.Format, config.Name = 1, name
	var err error
	if config.Manifest.Config, err = json.Marshal(fields); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrConfig, err)
	}
	if config.Files, err = configFiles(fields, folder, far); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if public := text(fields, "weights_path_without_voice_cloning"); IsRemote(public) && far(public) == nil {
		config.Public = public
	}
	return config, nil
}

// jsonValue makes what the YAML parser returns fit for JSON: keys are strings there. Numbers that JSON has no form
// for become strings, which the engine refuses with the name of the field.
func jsonValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = jsonValue(inner)
		}
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			out[fmt.Sprint(key)] = jsonValue(inner)
		}
		return out
	case []any:
		for n, inner := range v {
			v[n] = jsonValue(inner)
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	}
	return value
}

// configFiles lists what a configuration names, in the reference's order of precedence.
func configFiles(config map[string]any, folder string, far func(address string) error) ([]File, error) {
	flowLM, mimi := section(config, "flow_lm"), section(config, "mimi")
	table := section(flowLM, "lookup_table")
	var files []File
	add := func(field string, role Role, candidates ...string) error {
		var missing error
		for _, candidate := range candidates {
			if candidate == "" {
				continue
			}
			found, err := locate(candidate, folder, far)
			if err == nil {
				files = append(files, File{Path: found, Role: role})
				return nil
			}
			if missing == nil {
				missing = fmt.Errorf("%s: %w", field, err)
			}
		}
		return missing
	}
	tokenizer := text(table, "tokenizer_path")
	if err := add("flow_lm.lookup_table.tokenizer_path", RoleTokenizer, tokenizer); err != nil {
		return nil, err
	}
	if len(files) == 1 {
		files[0].Kind = KindSentencePiece
		if text(table, "tokenizer") == "tokenizers" || strings.HasSuffix(withoutRevision(tokenizer), ".json") {
			files[0].Kind = KindJSON
		}
	}
	// The bundle goes before a FlowLM file of its own; a Mimi file of its own goes before the bundle's Mimi, which the
	// engine sorts out.
	var err error
	if bundle := text(config, "weights_path"); bundle != "" {
		err = add("weights_path", RoleWeights, bundle, text(config, "weights_path_without_voice_cloning"))
	} else {
		err = add("flow_lm.weights_path", RoleWeightsFlowLM, text(flowLM, "weights_path"))
	}
	if err != nil {
		return nil, err
	}
	return files, add("mimi.weights_path", RoleWeightsMimi, text(mimi, "weights_path"))
}

func section(config map[string]any, name string) map[string]any {
	inner, _ := config[name].(map[string]any)
	return inner
}

func text(config map[string]any, name string) string {
	value, _ := config[name].(string)
	return value
}

func withoutRevision(path string) string {
	if strings.HasPrefix(path, "hf://") {
		path, _, _ = strings.Cut(path, "@")
	}
	return path
}

func locate(path, folder string, far func(address string) error) (string, error) {
	if IsRemote(path) {
		return path, far(path)
	}
	candidates := []string{path}
	if !filepath.IsAbs(path) {
		candidates = []string{filepath.Join(folder, path), path}
	}
	for _, candidate := range candidates {
		if info, err := os.Stat(candidate); err == nil {
			if err := plain.Check(info); err != nil {
				return "", fmt.Errorf("%w: %s: %w", ErrConfig, candidate, err)
			}
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%w: no such file: %s", ErrNotFound, strings.Join(candidates, " or "))
}

// paths opens files by their path on this machine.
type paths struct{}

func (paths) Open(name string) (fs.File, error) {
	file, err := plain.Open(name)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (paths) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }
