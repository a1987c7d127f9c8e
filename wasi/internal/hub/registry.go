package hub

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pocket-tts-wasm/pocket-tts-wasm/wasi/internal/pack"
)

//go:generate cp ../../../models/packs.json packs.json

// A generated copy of models/packs.json; a test proves that the two are equal.
//
//go:embed packs.json
var registryJSON []byte

// registry is models/packs.json: the official packs by name.
type registry struct {
	Format       int    `json:"format"`
	Hub          string `json:"hub"`
	Repositories map[string]struct {
		Terms string `json:"terms"`
	} `json:"repositories"`
	VoiceFiles address `json:"voice_files"`
	Voices     []struct {
		Name    string `json:"name"`
		License string `json:"license"`
	} `json:"voices"`
	Packs []official `json:"packs"`
}

// official is a pack of the registry.
type official struct {
	Name         string          `json:"name"`
	DefaultVoice string          `json:"default_voice"`
	Config       json.RawMessage `json:"config"`
	Files        []struct {
		address
		Role    pack.Role `json:"role"`
		Kind    string    `json:"kind"`
		Cloning bool      `json:"cloning"` // the gated weights, which make voices from audio
		Bytes   *int64    `json:"bytes"`
		SHA256  string    `json:"sha256"`
	} `json:"files"`
}

// address is a file of the hub.
type address struct {
	Repository string `json:"repository"`
	Revision   string `json:"revision"`
	Path       string `json:"path"`
}

func parseRegistry(data []byte) (*registry, error) {
	r := new(registry)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("packs.json: %w: %w", pack.ErrPack, err)
	}
	if r.Format != 1 {
		return nil, fmt.Errorf("packs.json: %w: format: expected 1, found %d", pack.ErrPack, r.Format)
	}
	if _, err := expand(r.Hub, address{"owner/name", "main", "file"}); err != nil {
		return nil, fmt.Errorf("packs.json: %w", err)
	}
	seen := map[string]bool{}
	for _, p := range r.Packs {
		if p.Name == "" || seen[p.Name] {
			return nil, fmt.Errorf("packs.json: %w: packs: expected names of their own, found %q", pack.ErrPack, p.Name)
		}
		seen[p.Name] = true
		for _, file := range p.Files {
			if _, ok := parseAddress(file.String()); !ok {
				return nil, fmt.Errorf("packs.json: %w: %s: expected a file of the hub, found %q", pack.ErrPack, p.Name, file.String())
			}
		}
	}
	return r, nil
}

// known is what this program carries.
func known() (*registry, error) { return parseRegistry(registryJSON) }

// Names lists the official packs.
func Names() []string {
	r, err := known()
	if err != nil {
		return nil // a test reads the registry
	}
	names := make([]string, len(r.Packs))
	for n, p := range r.Packs {
		names[n] = p.Name
	}
	return names
}

func (a address) String() string { return "hf://" + a.Repository + "/" + a.Path + "@" + a.Revision }

var fullRevision = regexp.MustCompile(`^[0-9a-f]{40}$`)

// pinned is true for a revision that says what the file is for ever.
func (a address) pinned() bool { return fullRevision.MatchString(a.Revision) }

var hubAddress = regexp.MustCompile(`^hf://([^/@]+/[^/@]+)(?:/([^@]*))?(?:@([^@]+))?$`)

// parseAddress reads hf://OWNER/NAME[/PATH][@REVISION]. Without a revision: the newest.
func parseAddress(text string) (address, bool) {
	match := hubAddress.FindStringSubmatch(text)
	if match == nil || !utf8.ValidString(text) {
		return address{}, false
	}
	a := address{match[1], match[3], strings.TrimSuffix(match[2], "/")}
	if a.Revision == "" {
		a.Revision = "main"
	}
	names := append(strings.Split(a.Repository, "/"), strings.Split(a.Revision, "/")...)
	if a.Path != "" {
		names = append(names, strings.Split(a.Path, "/")...)
	}
	return a, !slices.ContainsFunc(names, func(name string) bool { return name == "" || name == "." || name == ".." })
}

// encodePath makes a path part of a URL: '?', '#' and '%' are letters of a name.
func encodePath(path string) string {
	names := strings.Split(path, "/")
	for n, name := range names {
		names[n] = url.PathEscape(name)
	}
	return strings.Join(names, "/")
}

// expand fills a template with the names of a file.
func expand(template string, a address) (string, error) {
	text := strings.NewReplacer("{repository}", encodePath(a.Repository), "{revision}", url.PathEscape(a.Revision), "{path}", encodePath(a.Path)).Replace(template)
	u, err := url.Parse(text)
	if err != nil || !strings.Contains(template, "{path}") || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%w: hub: expected a URL of http or https with {repository}, {revision} and {path}, found %q", ErrArgument, template)
	}
	return text, nil
}
