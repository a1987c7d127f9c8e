package pockettts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// fileHashes lists the files of a folder by their paths, with their sha256.
func fileHashes(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			sum := sha256.Sum256(read(t, folder, path))
			found[path] = hex.EncodeToString(sum[:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func convert(t *testing.T, options Options, target string) *Converted {
	t.Helper()
	options.CacheDir = testCache
	converted, err := Convert(t.Context(), options, target, false)
	if err != nil {
		t.Fatal(err)
	}
	return converted
}

// TestConvertedPacksAreTheSameInEveryHost compares with what the JavaScript package wrote.
func TestConvertedPacksAreTheSameInEveryHost(t *testing.T) {
	var conversions []struct {
		Name, Source   string
		Precision      Precision
		WithoutEncoder bool
		Files          map[string]string
	}
	if err := json.Unmarshal(read(t, "../tests/hosts/conversions.json"), &conversions); err != nil {
		t.Fatal(err)
	}
	if len(conversions) == 0 {
		t.Error("none")
	}
	for _, c := range conversions {
		t.Run(c.Name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), c.Name)
			options := Options{Precision: c.Precision, NoCloning: c.WithoutEncoder}
			if source := filepath.Join("..", c.Source); filepath.Ext(source) == ".yaml" {
				options.Config = source
			} else {
				options.Pack = source
			}
			converted := convert(t, options, target)
			found := fileHashes(t, target)
			if !maps.Equal(found, c.Files) {
				t.Errorf("found\n%v, want\n%v", found, c.Files)
			}
			if converted.Precision != c.Precision || len(converted.Files) != len(found)-1 {
				t.Errorf("unexpected %+v", converted)
			}
			for _, file := range converted.Files {
				if info, err := os.Stat(filepath.Join(target, file.Path)); err != nil || info.Size() != file.Bytes || file.SHA256 != found[file.Path] {
					t.Errorf("%+v, %v", file, err)
				}
			}
		})
	}
}

func TestConvertedPacksSpeakLikeTheirSources(t *testing.T) {
	models := []string{"lsd6", "flow_matching", "drifting", "lsd_2026_01"}
	if testing.Short() {
		models = models[:1]
	}
	for _, name := range models {
		files := fixturePack(t, name)
		for _, precision := range []Precision{Q8, Q4} {
			folder := t.TempDir()
			once, twice := filepath.Join(folder, "once"), filepath.Join(folder, "twice")
			convert(t, Options{PackFS: files, Precision: precision}, once)
			convert(t, Options{Pack: once}, twice) // by the pack's own precision
			if !maps.Equal(fileHashes(t, once), fileHashes(t, twice)) {
				t.Errorf("%s in %s does not convert into itself", name, precision)
			}
			source, converted := load(t, Options{PackFS: files, Precision: precision}), load(t, Options{Pack: once})
			if got := converted.Info().Precision; got != precision || source.Info().Precision != precision {
				t.Errorf("%s: precision %s, want %s", name, got, precision)
			}
			want := speech(t, source, sentence, SpeakOptions{})
			if !bytes.Equal(want, speech(t, converted, sentence, SpeakOptions{})) {
				t.Errorf("%s in %s speaks differently when it is converted", name, precision)
			}
			if !bytes.Equal(want, speech(t, load(t, Options{Pack: once, Instances: 2}), sentence, SpeakOptions{})) {
				t.Errorf("%s in %s speaks differently with two instances", name, precision)
			}
			other := Q8
			if precision == Q8 {
				other = Q4
			}
			for _, wrong := range []Precision{F32, other} {
				if _, err := tryLoad(t, Options{Pack: once, Precision: wrong}); !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), "precision "+string(wrong)) {
					t.Errorf("%s in %s loaded as %s: %v", name, precision, wrong, err)
				}
			}
		}
	}
}

func TestEncoderOfAConvertedPack(t *testing.T) {
	files := fixturePack(t, "lsd6")
	recording := read(t, fixtures, "lsd6", "voice.wav")
	clone := func(options Options) ([]byte, error) {
		e := load(t, options)
		voice, err := e.CloneVoice(t.Context(), bytes.NewReader(recording), CloneOptions{})
		if err != nil {
			return nil, err
		}
		var exported bytes.Buffer
		err = e.ExportVoice(t.Context(), voice, &exported)
		return exported.Bytes(), err
	}
	want, err := clone(Options{PackFS: files, Precision: Q8})
	if err != nil {
		t.Fatal(err)
	}
	whole, without := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "without")
	convert(t, Options{PackFS: files}, whole)
	convert(t, Options{PackFS: files, NoCloning: true}, without)
	for _, instances := range []int{1, 2} {
		if got, err := clone(Options{Pack: whole, Instances: instances}); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d instances clone another voice: %v", instances, err)
		}
	}
	// In whichever order they are listed.
	var manifest map[string]any
	if err := json.Unmarshal(read(t, whole, "pack.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	list := manifest["files"].([]any)
	list[0], list[1] = list[1], list[0]
	text, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(whole, "pack.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := clone(Options{Pack: whole}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("with the encoder listed first: %v", err)
	}
	if _, err := clone(Options{Pack: without}); !errors.Is(err, ErrCloning) || !strings.Contains(err.Error(), "converted without its encoder") {
		t.Errorf("without the encoder: %v", err)
	}
	// It is not read where it is not used.
	if err := os.Remove(filepath.Join(whole, "encoder.safetensors")); err != nil {
		t.Fatal(err)
	}
	load(t, Options{Pack: whole, NoCloning: true})
}

func TestConvertRefuses(t *testing.T) {
	files := fixturePack(t, "lsd6")
	folder := t.TempDir()
	taken := filepath.Join(folder, "taken")
	convert(t, Options{PackFS: files}, taken)
	before := fileHashes(t, folder)
	broken := maps.Clone(files)
	voice := bytes.Clone(files["voice.safetensors"].Data)
	voice[len(voice)-1] ^= 1
	broken["voice.safetensors"] = &fstest.MapFile{Data: voice}
	clash := maps.Clone(files)
	clash["pack.json"] = &fstest.MapFile{Data: bytes.Replace(files["pack.json"].Data, []byte(`"voice.safetensors"`), []byte(`"PACK.json"`), 1)}
	fresh := filepath.Join(folder, "fresh")
	for name, c := range map[string]struct {
		options Options
		target  string
		replace bool
		want    string
	}{
		"f32":            {Options{PackFS: files, Precision: F32}, fresh, false, `Precision: expected "q8" or "q4", found "f32"`},
		"precision":      {Options{PackFS: files, Precision: "q2"}, fresh, false, `found "q2"`},
		"no source":      {Options{}, fresh, false, "expected exactly one"},
		"missing source": {Options{Pack: filepath.Join(folder, "none")}, fresh, false, "none: not found"},
		"taken":          {Options{PackFS: files}, taken, false, "taken: is there already; --force replaces a pack"},
		"no pack":        {Options{PackFS: files}, folder, true, "is not a pack; nothing else is replaced"},
		"own source":     {Options{Pack: taken}, taken, true, "the source is in it, and cannot be replaced"},
		"parent":         {Options{PackFS: files}, filepath.Join(folder, "none", "fresh"), false, "none: no such file"},
		"not a folder":   {Options{PackFS: files}, filepath.Join(taken, "pack.json", "fresh"), false, "expected a folder"},
		"other hash":     {Options{PackFS: broken}, fresh, false, "voice.safetensors: broken pack: expected sha256"},
		"name":           {Options{PackFS: clash}, fresh, false, "PACK.json: the converted pack has another file of this name"},
		"other integers": {Options{Pack: taken, Precision: Q4}, fresh, false, ".q8: integer weights that precision q4 does not have"},
	} {
		c.options.CacheDir = testCache
		if _, err := Convert(t.Context(), c.options, c.target, c.replace); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after := fileHashes(t, folder); !maps.Equal(before, after) {
			t.Errorf("%s: left behind %v", name, after)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestConvertReplacesAPack(t *testing.T) {
	folder := t.TempDir()
	target := filepath.Join(folder, "target")
	files := fixturePack(t, "lsd6")
	convert(t, Options{PackFS: files}, target)
	before := fileHashes(t, target)
	if _, err := Convert(t.Context(), Options{PackFS: files, Precision: Q4, CacheDir: testCache}, target, true); err != nil {
		t.Fatal(err)
	}
	if maps.Equal(before, fileHashes(t, target)) {
		t.Error("it did not")
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
