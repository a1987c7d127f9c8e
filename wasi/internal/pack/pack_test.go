package pack

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

const goodManifest = `{
  "format": 1, "name": "tiny", "later": true, "config": {"flow_lm": {}}, "default_voice": "ann", "precision": "q8",
  "files": [
    {"path": "model.safetensors", "role": "weights", "bytes": 5,
     "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
    {"path": "tokenizer.json", "role": "tokenizer"},
    {"path": "voices/ann.safetensors", "role": "voice", "name": "ann", "license": "CC0"}
  ]}`

func packFS(manifest string) fstest.MapFS {
	return fstest.MapFS{
		"pack.json":              {Data: []byte(manifest)},
		"model.safetensors":      {Data: []byte("hello")},
		"tokenizer.json":         {Data: []byte("{}")},
		"voices/ann.safetensors": {Data: []byte("voice")},
	}
}

func TestManifestIsRead(t *testing.T) {
	p, err := OpenFS(packFS(goodManifest), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "tiny" || p.Precision != "q8" || len(p.Files) != 3 || p.Cloning != nil {
		t.Errorf("unexpected manifest %+v", p.Manifest)
	}
	voice, ok := p.Voice("ann")
	if !ok || voice.License != "CC0" {
		t.Errorf("voice ann: %+v, %v", voice, ok)
	}
	if kind := p.WithRole(RoleTokenizer)[0].TokenizerKind(); kind != KindJSON {
		t.Errorf("tokenizer.json is of kind %q", kind)
	}
	data, err := p.Read(p.Files[0], 100)
	if err != nil || string(data) != "hello" {
		t.Errorf("model.safetensors: %q, %v", data, err)
	}
}

func TestManifestIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"format":               {`"format": 1`, `"format": 2`, "format: expected 1, found 2"},
		"name":                 {`"name": "tiny"`, `"name": ""`, "name: expected a string"},
		"config":               {`{"flow_lm": {}}`, `[]`, "config: expected an object"},
		"precision":            {`"precision": "q8"`, `"precision": "q3"`, `precision: expected "f32", "q8" or "q4", found "q3"`},
		"parent":               {`"path": "model.safetensors"`, `"path": "../model.safetensors"`, "files[0].path"},
		"absolute":             {`"path": "model.safetensors"`, `"path": "/etc/passwd"`, "files[0].path"},
		"drive":                {`"path": "model.safetensors"`, `"path": "c:model"`, "files[0].path"},
		"backslash":            {`"path": "model.safetensors"`, `"path": "..\\model"`, "files[0].path"},
		"role":                 {`"role": "weights"`, `"role": "music"`, "files[0].role"},
		"sha256":               {`"sha256": "2cf2`, `"sha256": "zz`, "files[0].sha256"},
		"bytes":                {`"bytes": 5`, `"bytes": -5`, "files[0].bytes"},
		"type":                 {`"bytes": 5`, `"bytes": "5"`, "bytes"},
		"voice name":           {`"name": "ann", "license"`, `"license"`, "files[2].name"},
		"default":              {`"default_voice": "ann"`, `"default_voice": "bob"`, "default_voice"},
		"not JSON":             {`{`, `<html>`, "pack.json"},
		"key in capitals":      {`"format": 1`, `"Format": 1`, "format: expected 1, found nothing"},
		"name null":            {`"name": "tiny"`, `"name": null`, "name: expected a string, found null"},
		"license null":         {`"later": true`, `"license": null`, "license: expected a string, found null"},
		"description null":     {`"later": true`, `"description": null`, "description: expected a string, found null"},
		"precision null":       {`"precision": "q8"`, `"precision": null`, `precision: expected "f32", "q8" or "q4", found null`},
		"precision empty":      {`"precision": "q8"`, `"precision": ""`, `precision: expected "f32", "q8" or "q4", found ""`},
		"default null":         {`"default_voice": "ann"`, `"default_voice": null`, "default_voice: expected a string, found null"},
		"cloning null":         {`"later": true`, `"cloning": null`, "cloning: expected an object, found null"},
		"available":            {`"later": true`, `"cloning": {"available": 1}`, "cloning.available: expected a boolean, found 1"},
		"reason":               {`"later": true`, `"cloning": {"available": true, "reason": []}`, "cloning.reason: expected a string, found array"},
		"files null":           {`"files": [`, `"files": null, "more": [`, "files: expected an array, found null"},
		"sha256 null":          {`"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`, `null`, "files[0].sha256: expected 64"},
		"bytes null":           {`"bytes": 5`, `"bytes": null`, "files[0].bytes: expected a whole number of bytes, found null"},
		"bytes broken":         {`"bytes": 5`, `"bytes": 5.5`, "files[0].bytes: expected a whole number of bytes, found 5.5"},
		"bytes huge":           {`"bytes": 5`, `"bytes": 1e999`, "files[0].bytes: expected a whole number of bytes, found 1e999"},
		"kind null":            {`"role": "tokenizer"`, `"role": "tokenizer", "kind": null`, "files[1].kind: expected"},
		"path with an end":     {`"path": "tokenizer.json"`, `"path": "tokenizer.json/"`, "files[1].path"},
		"path with a dot":      {`"path": "tokenizer.json"`, `"path": "./tokenizer.json"`, "files[1].path"},
		"path with a zero":     {`"path": "tokenizer.json"`, `"path": "a\u0000b"`, "files[1].path"},
		"two tokenizers":       {`"role": "weights"`, `"role": "tokenizer"`, "files: expected exactly one tokenizer, found 2"},
		"two voices of a name": {`"role": "weights"`, `"role": "voice", "name": "ann"`, "files[2].name: expected a name that no other voice has"},
		"entry no object":      {`{"path": "tokenizer.json", "role": "tokenizer"}`, `null`, "files[1]: expected an object, found null"},
		"list":                 {`{`, `[{}]`, "pack.json"},
		"other bytes":          {`"tiny"`, "\"\xff\"", "expected UTF-8"},
		"deep":                 {`"later": true`, `"later": ` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "levels of nesting"},
		"key twice":            {`"later": true`, `"name": "tiny"`, `expected every key once, found "name" twice`},
		"key twice, inside":    {`"later": true`, `"later": [{"a": "a"}, {"a": 1, "b": {"a": 1}, "\u0061": 2}]`, `expected every key once, found "a" twice`},
		"second text":          {`"CC0"}`, `"CC0"}]} {`, "pack.json"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := OpenFS(packFS(strings.Replace(goodManifest, c.old, c.new, 1)), "tiny")
			if !errors.Is(err, ErrPack) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrPack with %q", err, c.want)
			}
		})
	}
	for name, content := range map[string]string{"content: expected an object, found null": "null", "what looks like HTML": " <html>"} {
		if _, err := OpenFS(packFS(content), "x"); !errors.Is(err, ErrPack) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", content, err)
		}
	}
	// The hash must not be switched off by an empty one.
	empty := strings.Replace(goodManifest, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "", 1)
	if _, err := OpenFS(packFS(empty), "x"); !errors.Is(err, ErrPack) {
		t.Errorf("empty sha256: %v", err)
	}
	if _, err := OpenFS(packFS("\ufeff"+strings.Replace(goodManifest, `"bytes": 5`, `"bytes": 5.0`, 1)), "x"); err != nil {
		t.Errorf("with a byte order mark: %v", err)
	}
	if _, err := OpenFS(fstest.MapFS{}, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no pack.json: %v", err)
	}
	huge := fstest.MapFS{"pack.json": {Data: make([]byte, manifestLimit+1)}}
	if _, err := OpenFS(huge, "huge"); !errors.Is(err, ErrPack) {
		t.Errorf("huge pack.json: %v", err)
	}
}

func TestFilesAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		change  func(*File)
		want    string
	}{
		"shorter": {"hell", nil, "expected 5 bytes, found 4"},
		"longer":  {"hello!", nil, "expected 5 bytes, found 6"},
		"flipped": {"hellp", nil, "expected sha256 2cf24"},
		"limit":   {"hello", func(f *File) { f.Bytes = nil }, "at most 4 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			files := packFS(goodManifest)
			files["model.safetensors"].Data = []byte(c.content)
			p, err := OpenFS(files, "tiny")
			if err != nil {
				t.Fatal(err)
			}
			file, limit := p.Files[0], int64(100)
			if c.change != nil {
				c.change(&file)
				limit = 4
			}
			if _, err := p.Read(file, limit); !errors.Is(err, ErrPack) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrPack with %q", err, c.want)
			}
		})
	}
}

func TestFolderPackCannotReachOutside(t *testing.T) {
	parent := t.TempDir()
	folder := filepath.Join(parent, "pack")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(parent, "secret"), "secret")
	write(t, filepath.Join(folder, "pack.json"), `{"format": 1, "name": "x", "config": {}, "files": [
		{"path": "model.safetensors", "role": "weights"}, {"path": "tokenizer.model", "role": "tokenizer"}]}`)
	if err := os.Symlink("../secret", filepath.Join(folder, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	p, err := OpenFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if data, err := p.Read(p.Files[0], 100); !errors.Is(err, ErrPack) || !strings.Contains(err.Error(), "leads out of the pack") {
		t.Errorf("a link that leaves the folder: %q, %v", data, err)
	}
	// A link that stays inside is followed, even an absolute one.
	write(t, filepath.Join(folder, "real.model"), "tokens")
	if err := os.Symlink(filepath.Join(folder, "real.model"), filepath.Join(folder, "tokenizer.model")); err != nil {
		t.Fatal(err)
	}
	if data, err := p.Read(p.Files[1], 100); err != nil || string(data) != "tokens" {
		t.Errorf("a link inside the folder: %q, %v", data, err)
	}
	if _, err := OpenFolder(filepath.Join(parent, "none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing folder: %v", err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestConfigIsTranslated(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "config.yaml"), `
weights_path: model.safetensors
replace_characters:
  "\u2019": ''''
  (: ','
  1: one
default_temperature: 0.0
flow_lm:
  insert_bos_before_voice: false
  lookup_table: {n_bins: 768, tokenizer: tokenizers, tokenizer_path: tokenizer.bin}
mimi:
  frame_rate: 12.5
  seanet: {ratios: [6, 5, 4]}
`)
	write(t, filepath.Join(folder, "model.safetensors"), "weights")
	write(t, filepath.Join(folder, "tokenizer.bin"), "tokenizer")
	p, err := OpenConfig(filepath.Join(folder, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(p.Config, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"weights_path": "model.safetensors", "default_temperature": 0,
		"replace_characters": {"’": "'", "(": ",", "1": "one"},
		"flow_lm": {"insert_bos_before_voice": false,
			"lookup_table": {"n_bins": 768, "tokenizer": "tokenizers", "tokenizer_path": "tokenizer.bin"}},
		"mimi": {"frame_rate": 12.5, "seanet": {"ratios": [6, 5, 4]}}}`), &want); err != nil {
		t.Fatal(err)
	}
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(want)
	if string(gotText) != string(wantText) {
		t.Errorf("got  %s\nwant %s", gotText, wantText)
	}
	if len(p.Files) != 2 || p.Files[0].TokenizerKind() != KindJSON || p.Files[1].Role != RoleWeights {
		t.Fatalf("files %+v", p.Files)
	}
	r, size, err := p.Open(p.Files[1])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); string(data) != "weights" || size != 7 || err != nil {
		t.Errorf("weights: %q, %d, %v", data, size, err)
	}
}

func TestConfigPathsAreFoundBesideTheFileFirst(t *testing.T) {
	folder, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(elsewhere)
	write(t, filepath.Join(folder, "config.yml"), "weights_path: w\nflow_lm: {lookup_table: {tokenizer_path: t.json}}\n")
	write(t, filepath.Join(folder, "w"), "beside")
	write(t, filepath.Join(elsewhere, "w"), "working directory")
	write(t, filepath.Join(elsewhere, "t.json"), "{}")
	p, err := OpenConfig(filepath.Join(folder, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Files[0].Path != "t.json" || p.Files[0].TokenizerKind() != KindJSON {
		t.Errorf("tokenizer %+v, want the one in the working directory", p.Files[0])
	}
	if p.Files[1].Path != filepath.Join(folder, "w") {
		t.Errorf("weights %+v, want the ones beside the file", p.Files[1])
	}
}

func TestConfigIsRefused(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "w"), "")
	for name, c := range map[string]struct {
		yaml string
		is   error
		want string
	}{
		"not YAML":  {"a: [", ErrConfig, "broken.yaml"},
		"a list":    {"- a", ErrConfig, "expected a mapping, found a list"},
		"empty":     {"", ErrConfig, "expected a mapping"},
		"missing":   {"weights_path: nothing", ErrNotFound, "weights_path: not found: no such file"},
		"remote":    {"weights_path: hf://a/b/c@d", ErrUnsupported, "weights_path: not supported: hf://a/b/c@d would have to be downloaded"},
		"alias":     {"a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]", ErrConfig, "alias"},
		"both miss": {"weights_path: hf://a/b/c@d\nweights_path_without_voice_cloning: nothing", ErrUnsupported, "hf://a/b/c@d"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder, "broken.yaml")
			write(t, path, c.yaml)
			_, err := OpenConfig(path)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v with %q", err, c.is, c.want)
			}
		})
	}
	write(t, filepath.Join(folder, "broken.yaml"), "weights_path: hf://a/b/c@d\nweights_path_without_voice_cloning: w")
	if _, err := OpenConfig(filepath.Join(folder, "broken.yaml")); err != nil {
		t.Errorf("the public weights are there, the gated ones are not: %v", err)
	}
}
