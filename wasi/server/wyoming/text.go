// Texts and voices as they are asked for, and as the engine takes them.

package wyoming

import (
	"encoding/json"
	"html"
	"regexp"
	"strings"
)

// lines are what ends a line (Python's splitlines).
var lines = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\v", " ", "\f", " ",
	"\x1c", " ", "\x1d", " ", "\x1e", " ", "\u0085", " ", "\u2028", " ", "\u2029", " ")

// oneLine makes one line of a text.
func oneLine(text string) string { return lines.Replace(strings.TrimSpace(text)) }

// voiceName reads the voice that data names; empty: none. What is not understood is as good as none.
func voiceName(data map[string]json.RawMessage) string {
	voice, err := object(data["voice"])
	if err != nil {
		return ""
	}
	name, err := text(voice, "name")
	if err != nil {
		return ""
	}
	return name
}

// isSSML tells whether a text is markup.
func isSSML(data map[string]json.RawMessage) bool {
	format, err := text(data, "text_format")
	return err == nil && format == "ssml"
}

// markup takes the tags out of SSML that may come in parts. It never fails: what is no tag is text.
type markup struct{ held string }

const (
	tagLimit    = 1024 // longer ones are text
	entityLimit = 12   // as are longer ones of these
)

var (
	// tag is a comment, or what begins like a tag; its end is the first `>`.
	tag = regexp.MustCompile(`^(?s:<!--.*?-->|<[A-Za-z/?!][^>]*>)`)
	// apart names the tags between which words do not belong together.
	apart = regexp.MustCompile(`^</?(?:speak|p|s|break|paragraph|sentence|audio|voice|desc|br)\b`)
)

// push returns the text that is certain.
func (m *markup) push(part string) string {
	in := m.held + part
	m.held = ""
	var out strings.Builder
	for in != "" {
		at := strings.IndexAny(in, "<&")
		if at < 0 {
			out.WriteString(in)
			break
		}
		out.WriteString(in[:at])
		in = in[at:]
		size, meaning, certain := markupAt(in)
		if !certain {
			m.held = in
			break
		}
		out.WriteString(meaning)
		in = in[size:]
	}
	return out.String()
}

// end returns the rest.
func (m *markup) end() string {
	rest := m.held
	m.held = ""
	if strings.HasPrefix(rest, "<") && len(rest) > 1 {
		return "" // a tag that was cut off
	}
	return html.UnescapeString(rest)
}

// markupAt reads what begins with `<` or `&`: how long it is and what it says. It is not certain where more may come.
func markupAt(in string) (size int, meaning string, certain bool) {
	if in[0] == '&' {
		end := strings.IndexAny(in[1:], "; \t\n<&")
		switch {
		case end < 0 && len(in) < entityLimit:
			return 0, "", false
		case end < 0 || in[1+end] != ';' || end+2 > entityLimit:
			return 1, "&", true
		}
		return end + 2, html.UnescapeString(in[:end+2]), true
	}
	switch found := tag.FindString(in); {
	case found != "" && apart.MatchString(found):
		return len(found), " ", true
	case found != "" && !strings.HasPrefix("<!--", found[:min(4, len(found))]) || len(found) >= len("<!---->") && strings.HasSuffix(found, "-->"):
		return len(found), "", true
	case len(in) > tagLimit:
		return 1, "<", true
	case len(in) == 1 || tagBegins(in[1]):
		return 0, "", false
	}
	return 1, "<", true
}

func tagBegins(c byte) bool {
	return c == '/' || c == '?' || c == '!' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
