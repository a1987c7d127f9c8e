// Reading a pack.json. It is parsed as plain JSON and checked field by field: Go's own mapping onto structures takes
// keys in any case and null for everything, and a sha256 of null would switch the check of a file off.

package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Whole numbers above this are not exact in every program that reads JSON.
const largestWhole = 1<<53 - 1

var (
	sha256Digits = regexp.MustCompile(`^[0-9a-f]{64}$`)
	scheme       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	html         = regexp.MustCompile(`^\s*<`)
)

// object is a JSON object with the name of the field that it is, for messages.
type object struct {
	where  string
	fields map[string]any
	err    error // the first thing that was wrong
}

func (o *object) fail(field, expected string) {
	if o.err == nil {
		value, present := o.fields[field]
		o.err = mismatch(o.where+field, expected, value, present)
	}
}

func mismatch(field, expected string, value any, present bool) error {
	return fmt.Errorf("%s: expected %s, found %s", field, expected, shown(value, present))
}

// shown describes a JSON value.
func shown(value any, present bool) string {
	if !present {
		return "nothing"
	}
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		const most = 100
		if runes := []rune(v); len(runes) > most {
			v = string(runes[:most]) + "..."
		}
		return strconv.Quote(v)
	case json.Number:
		return fmt.Sprintf("%.40s", v.String())
	case []any:
		return "array"
	}
	return "object"
}

// text is a string, empty when it may be absent and is.
func (o *object) text(field, expected string, required bool) string {
	value, present := o.fields[field]
	text, ok := value.(string)
	if !ok && (present || required) {
		o.fail(field, expected)
	}
	return text
}

// whole reads a whole number from 0; nil when it is absent.
func (o *object) whole(field, expected string) *int64 {
	value, present := o.fields[field]
	if !present {
		return nil
	}
	number, _ := value.(json.Number)
	x, err := strconv.ParseFloat(string(number), 64) // 5.0 and 5e0 are 5
	if err != nil || x < 0 || x > largestWhole || x != math.Trunc(x) {
		o.fail(field, expected)
		return nil
	}
	n := int64(x)
	return &n
}

// parseJSON reads one JSON value with its numbers as they are written.
func parseJSON(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}

// repeatedKey finds a key that an object of the next JSON value, which is well formed, has twice. Readers differ on what
// that means.
func repeatedKey(d *json.Decoder) (string, bool) {
	token, err := d.Token()
	if err != nil || token != json.Delim('{') && token != json.Delim('[') {
		return "", false
	}
	seen := map[string]bool{}
	for d.More() {
		if token == json.Delim('{') {
			key, _ := d.Token()
			name, _ := key.(string)
			if seen[name] {
				return name, true
			}
			seen[name] = true
		}
		if name, twice := repeatedKey(d); twice {
			return name, true
		}
	}
	_, _ = d.Token() // its end
	return "", false
}

func parseManifest(data []byte) (*Manifest, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, errors.New("expected UTF-8, found other bytes")
	}
	var raw map[string]json.RawMessage // the configuration goes to the engine as it is written
	value, err := parseJSON(data)
	if err != nil || !json.Valid(data) {
		switch {
		case err != nil && strings.Contains(err.Error(), "max depth"):
			return nil, errors.New("expected at most 10000 levels of nesting, found more")
		case html.Match(data):
			return nil, errors.New("expected JSON, found what looks like HTML")
		}
		return nil, errors.New("expected JSON, found something else")
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, mismatch("content", "an object", value, true)
	}
	if key, twice := repeatedKey(json.NewDecoder(bytes.NewReader(data))); twice {
		return nil, fmt.Errorf("expected every key once, found %s twice", shown(key, true))
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, errors.New("expected JSON, found something else")
	}
	return readManifest(&object{fields: fields}, raw["config"])
}

func readManifest(o *object, config json.RawMessage) (*Manifest, error) {
	m := &Manifest{Format: 1, Config: config}
	if format := o.whole("format", "1"); format == nil || *format != 1 {
		o.fail("format", "1")
	}
	if m.Name = o.text("name", "a string", true); m.Name == "" {
		o.fail("name", "a string of at least one character")
	}
	m.Description = o.text("description", "a string", false)
	m.License = o.text("license", "a string", false)
	if _, ok := o.fields["config"].(map[string]any); !ok {
		o.fail("config", "an object")
	}
	const precisions = `"f32", "q8" or "q4"`
	if m.Precision = o.text("precision", precisions, false); o.fields["precision"] != nil && !slices.Contains([]string{"f32", "q8", "q4"}, m.Precision) {
		o.fail("precision", precisions)
	}
	m.Cloning = readCloning(o)
	files, ok := o.fields["files"].([]any)
	if !ok {
		o.fail("files", "an array")
	}
	if o.err != nil {
		return nil, o.err
	}
	for n, value := range files {
		file, err := readFile(value, fmt.Sprintf("files[%d]", n), m)
		if err != nil {
			return nil, err
		}
		m.Files = append(m.Files, file)
	}
	if found := len(m.WithRole(RoleTokenizer)); found != 1 {
		return nil, fmt.Errorf("files: expected exactly one tokenizer, found %d", found)
	}
	m.DefaultVoice = o.text("default_voice", "a string", false)
	if _, ok := m.Voice(m.DefaultVoice); !ok && o.fields["default_voice"] != nil {
		o.fail("default_voice", "the name of a voice in files")
	}
	return m, o.err
}

func readCloning(o *object) *Cloning {
	value, present := o.fields["cloning"]
	if !present {
		return nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		o.fail("cloning", "an object")
		return nil
	}
	inner := &object{where: "cloning.", fields: fields}
	available, ok := fields["available"].(bool)
	if !ok {
		inner.fail("available", "a boolean")
	}
	cloning := &Cloning{Available: available, Reason: inner.text("reason", "a string", false)}
	if o.err == nil {
		o.err = inner.err
	}
	return cloning
}

// readFile reads an entry of files; before are those that come before it.
func readFile(value any, where string, before *Manifest) (File, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return File{}, mismatch(where, "an object", value, true)
	}
	o := &object{where: where + ".", fields: fields}
	const inside, digits, kinds = "a relative path inside the pack", "64 hexadecimal digits", `"sentencepiece" or "json"`
	f := File{
		Path: o.text("path", inside, true), Role: Role(o.text("role", roleNames, true)), Kind: o.text("kind", kinds, false),
		Name: o.text("name", "a string", false), Bytes: o.whole("bytes", "a whole number of bytes"),
		SHA256: o.text("sha256", digits, false), License: o.text("license", "a string", false),
	}
	// A pack names files below itself, whatever the host's idea of a path.
	if f.Path == "." || !fs.ValidPath(f.Path) || strings.ContainsAny(f.Path, "\\\x00") || scheme.MatchString(f.Path) {
		o.fail("path", inside)
	}
	if !isRole(f.Role) {
		o.fail("role", roleNames)
	}
	if fields["kind"] != nil && f.Kind != KindSentencePiece && f.Kind != KindJSON {
		o.fail("kind", kinds)
	}
	if fields["sha256"] != nil && !sha256Digits.MatchString(f.SHA256) {
		o.fail("sha256", digits)
	}
	if f.Role == RoleVoice {
		if f.Name == "" {
			o.fail("name", "the name of the voice")
		}
		if _, twice := before.Voice(f.Name); twice {
			o.fail("name", "a name that no other voice has")
		}
	}
	return f, o.err
}
