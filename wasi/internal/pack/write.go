// Writing a pack.json: fields in the order of FORMAT.md, the configuration's in alphabetical order, numbers and strings as
// JavaScript's JSON.stringify writes them. So both hosts write the same bytes.

package pack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// field is one of an object whose fields have an order. Without a value it is left out.
type field struct {
	name  string
	value any
}

// JSON is the manifest as a pack.json.
func (m *Manifest) JSON() ([]byte, error) {
	var config any
	if err := json.Unmarshal(m.Config, &config); err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", ErrConfig, err)
	}
	files := make([]any, len(m.Files))
	for n, f := range m.Files {
		var size any // none, not a pointer that is nil
		if f.Bytes != nil {
			size = *f.Bytes
		}
		files[n] = []field{
			{"path", f.Path}, {"role", string(f.Role)}, {"kind", given(f.Kind)}, {"name", given(f.Name)},
			{"bytes", size}, {"sha256", given(f.SHA256)}, {"license", given(f.License)},
		}
	}
	var cloning any
	if m.Cloning != nil {
		cloning = []field{{"available", m.Cloning.Available}, {"reason", given(m.Cloning.Reason)}}
	}
	text, err := appendJSON(nil, []field{
		{"format", float64(m.Format)}, {"name", m.Name}, {"description", given(m.Description)}, {"license", given(m.License)},
		{"config", config}, {"files", files}, {"default_voice", given(m.DefaultVoice)}, {"precision", given(m.Precision)},
		{"cloning", cloning},
	}, "\n")
	return append(text, '\n'), err
}

// given is nil for a text that may be absent, and is.
func given(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// appendJSON writes a value in lines; line is what begins one at its level.
func appendJSON(to []byte, value any, line string) ([]byte, error) {
	inner := line + "  "
	switch v := value.(type) {
	case []field:
		return appendObject(to, slices.DeleteFunc(v, func(f field) bool { return f.value == nil }), line)
	case map[string]any:
		fields := make([]field, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, field{name, v[name]})
		}
		return appendObject(to, fields, line)
	case []any:
		if len(v) == 0 {
			return append(to, "[]"...), nil
		}
		for n, element := range v {
			var err error
			to = append(append(to, "[,"[min(n, 1)]), inner...)
			if to, err = appendJSON(to, element, inner); err != nil {
				return nil, err
			}
		}
		return append(append(to, line...), ']'), nil
	case string:
		return appendString(to, v), nil
	case float64:
		if v == 0 {
			v = 0 // without a sign
		}
		value = v
	}
	text, err := json.Marshal(value)
	return append(to, text...), err
}

func appendObject(to []byte, fields []field, line string) ([]byte, error) {
	if len(fields) == 0 {
		return append(to, "{}"...), nil
	}
	inner := line + "  "
	for n, f := range fields {
		var err error
		to = append(append(to, "{,"[min(n, 1)]), inner...)
		to = append(appendString(to, f.name), ": "...)
		if to, err = appendJSON(to, f.value, inner); err != nil {
			return nil, err
		}
	}
	return append(append(to, line...), '}'), nil
}

// appendString escapes what JSON makes one escape, and nothing else.
func appendString(to []byte, text string) []byte {
	const hex = "0123456789abcdef"
	short := map[rune]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}
	to = append(to, '"')
	for _, letter := range text {
		if escape, ok := short[letter]; ok {
			to = append(to, '\\', escape)
		} else if letter < 0x20 {
			to = append(to, '\\', 'u', '0', '0', hex[letter>>4], hex[letter&15])
		} else {
			to = utf8.AppendRune(to, letter)
		}
	}
	return append(to, '"')
}

// Converted makes the manifest of a pack that was converted: its weights are one file, and its configuration names its
// own files.
func (m *Manifest) Converted(weights, tokenizer string) error {
	var config map[string]any
	decoder := json.NewDecoder(bytes.NewReader(m.Config))
	if err := decoder.Decode(&config); err != nil {
		return fmt.Errorf("configuration: %w: %w", ErrConfig, err)
	}
	delete(config, "weights_path_without_voice_cloning")
	config["weights_path"] = weights
	flow := section(config, "flow_lm")
	delete(flow, "weights_path")
	delete(section(config, "mimi"), "weights_path")
	if table := section(flow, "lookup_table"); table != nil {
		table["tokenizer_path"] = tokenizer
	}
	var err error
	m.Config, err = json.Marshal(config)
	return err
}

// WeightsLicense is the licence of the weights, which may be that of several files.
func (m *Manifest) WeightsLicense() string {
	var terms []string
	for _, file := range m.Files {
		if file.Role.IsWeights() && file.License != "" && !slices.Contains(terms, file.License) {
			terms = append(terms, file.License)
		}
	}
	return strings.Join(terms, " AND ")
}
