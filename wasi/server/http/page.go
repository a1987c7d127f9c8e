// The page at /: one box for a text, a voice, a button, and sound while it is made. Nothing comes from other hosts.

package http

import (
	"embed"
	"html/template"
	"net/http"
)

//go:embed page
var pages embed.FS

// policy lets the page load its own files and ask its own server, and nothing else.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

var pageTemplate = template.Must(template.ParseFS(pages, "page/page.html"))

// pageFile is a part of the page.
type pageFile struct{ path, kind string }

var pageFiles = map[string]pageFile{
	"/page.js":  {"page/page.js", "text/javascript; charset=utf-8"},
	"/page.css": {"page/page.css", "text/css; charset=utf-8"},
	"/icon.svg": {"page/icon.svg", "image/svg+xml"},
}

func pageHeaders(w http.ResponseWriter, kind string) {
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache")
}

func (f pageFile) serve(w http.ResponseWriter, _ *http.Request) {
	data, err := pages.ReadFile(f.path)
	if err != nil {
		detail(w, http.StatusNotFound, "Not Found")
		return
	}
	pageHeaders(w, f.kind)
	_, _ = w.Write(data)
}

// page lists the voices only where no key is asked for: it is open to all.
func (d *door) page(w http.ResponseWriter, _ *http.Request) {
	shown := struct {
		Text, Language string
		Voices         []string
		Key, Upload    bool
	}{Text: d.options.Text, Language: d.service.Language(), Key: !d.service.Authorized(""), Upload: d.service.CanClone()}
	if !shown.Key {
		for _, voice := range d.service.Voices() {
			shown.Voices = append(shown.Voices, voice.Name)
		}
	}
	pageHeaders(w, "text/html; charset=utf-8")
	_ = pageTemplate.Execute(w, shown) // fails where the client has gone
}
