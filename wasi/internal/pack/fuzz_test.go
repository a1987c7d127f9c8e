package pack

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"testing"
)

// FuzzManifest: what is taken for a manifest names files below the pack only, and is the same when it is written and read.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"a","config":{},"files":[{"path":"t","role":"tokenizer"},{"path":"v","role":"voice","name":"n"}],"default_voice":"n"}`))
	f.Add([]byte(`{"format":1,"name":"a","config":{},"files":[{"path":"../t","role":"tokenizer"}]}`))
	f.Add([]byte(`{"format":1,"format":1}`))
	f.Add([]byte("\ufeff<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data, "pack.json")
		if err != nil {
			if !errors.Is(err, ErrPack) || m != nil {
				t.Errorf("%v, %v", m, err)
			}
			return
		}
		for _, file := range m.Files {
			if !fs.ValidPath(file.Path) || !isRole(file.Role) || file.SHA256 != "" && len(file.SHA256) != 64 || file.Bytes != nil && *file.Bytes < 0 {
				t.Errorf("taken: %+v", file)
			}
		}
		text, err := m.JSON()
		if err != nil {
			t.Fatalf("it cannot be written: %v", err)
		}
		again, err := ParseManifest(text, "pack.json")
		if err != nil {
			t.Fatalf("written, it cannot be read: %v\n%s", err, text)
		}
		var a, b any
		if json.Unmarshal(m.Config, &a) != nil || json.Unmarshal(again.Config, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("the configuration became %s", again.Config)
		}
		m.Config, again.Config = nil, nil
		if !reflect.DeepEqual(m, again) {
			t.Errorf("%+v became %+v", m, again)
		}
	})
}

// FuzzConfig: every file is a configuration or an error that says which kind.
func FuzzConfig(f *testing.F) {
	for _, path := range []string{"lsd6", "drifting", "pointwise2m"} {
		if data, err := os.ReadFile("../../../tests/golden/fixtures/" + path + "/config.yaml"); err == nil {
			f.Add(data)
		}
	}
	f.Add([]byte("weights_path: hf://a/b/c@d\nflow_lm: {lookup_table: {tokenizer_path: x}}"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := readConfig(data, "config.yaml")
		switch {
		case err == nil:
			var fields map[string]any
			if json.Unmarshal(p.Config, &fields) != nil {
				t.Errorf("taken: %s", p.Config)
			}
		case !errors.Is(err, ErrConfig) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnsupported):
			t.Errorf("no error of ours: %v", err)
		}
	})
}
