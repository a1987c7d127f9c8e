package wyoming

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTextBecomesOneLine(t *testing.T) {
	for in, want := range map[string]string{
		" a\nb ": "a b", "a\r\nb\rc": "a b c", "a\n\nb": "a  b", "\n \n": "", "a\u2028b\u0085c\vd": "a b c d",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestMarkupIsTakenOutHoweverItComes(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                           "plain",
		"<speak>One.<s>Two.</s></speak>":  " One. Two.  ",
		"Hello<break time='1s'/>world":    "Hello world",
		"<emphasis>w</emphasis>ord":       "word",
		"a &amp; b &lt;c&gt; &#228; &eh;": "a & b <c> ä &eh;",
		"3 < 4 & 5 > 2":                   "3 < 4 & 5 > 2",
		"a <!-- > no > --> b":             "a  b",
		"<?xml version='1.0'?>x":          "x",
		"<!DOCTYPE speak>x":               "x",
		"cut <em":                         "cut ",
		"cut <!-- ":                       "cut ",
		"cut &am":                         "cut &am",
		"a<":                              "a<",
		"&&amp;":                          "&&",
		"&#x0010FFFF;":                    "\U0010FFFF",
		"&#x00010FFFF;":                   "&#x00010FFFF;",
		"<" + strings.Repeat("x", 5000):   "<" + strings.Repeat("x", 5000),
	} {
		for size := 1; size <= len(in); size = size*2 + 1 {
			var m markup
			var got strings.Builder
			for rest := in; rest != ""; {
				n := min(size, len(rest))
				got.WriteString(m.push(rest[:n]))
				rest = rest[n:]
			}
			got.WriteString(m.end())
			if got.String() != want {
				t.Errorf("%.40q by %d: %.80q, want %.80q", in, size, got.String(), want)
			}
		}
	}
}

func FuzzMarkup(f *testing.F) {
	f.Add("<speak>a &amp; b</speak>", 3)
	f.Add("<!-- > --> &#x26; 1 < 2 <", 1)
	f.Fuzz(func(t *testing.T, in string, at int) {
		if at < 0 || at > len(in) {
			return
		}
		var whole, parts markup
		want := whole.push(in) + whole.end()
		if got := parts.push(in[:at]) + parts.push(in[at:]) + parts.end(); got != want && len(in) < tagLimit {
			t.Errorf("%q in two at %d: %q, want %q", in, at, got, want)
		}
	})
}

func TestVoiceNames(t *testing.T) {
	for in, want := range map[string]string{
		`{"voice": {"name": "alba"}}`:                 "alba",
		`{"voice": {"name": "alba", "speaker": "x"}}`: "alba",
		`{"voice": {"language": "en"}}`:               "",
		`{"voice": {"name": 3}}`:                      "",
		`{"voice": "alba"}`:                           "",
		`{"voice": null}`:                             "",
		`{}`:                                          "",
	} {
		var data map[string]json.RawMessage
		if err := json.Unmarshal([]byte(in), &data); err != nil {
			t.Fatal(err)
		}
		if got := voiceName(data); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// A kilohertz of samples makes the places readable: a sample is a millisecond.
func TestTrim(t *testing.T) {
	const rate = 1000
	trim := Trim{}.withDefaults()
	noise, quiet := float32(0.5), float32(0.004)
	signal := func(parts ...any) (x []float32) {
		for n := 0; n < len(parts); n += 2 {
			for range parts[n].(int) {
				x = append(x, parts[n+1].(float32))
			}
		}
		return x
	}
	for _, one := range []struct {
		name string
		x    []float32
		cut  int
	}{
		{"silence that begins at Min", signal(100, noise, 90, quiet, 800, noise), 190},
		{"silence from before Min: only what is behind counts", signal(50, noise, 100, quiet, 800, noise), 100},
		{"silence from before Min, long enough behind it", signal(50, noise, 130, quiet, 800, noise), 180},
		{"the first gap that is long enough", signal(150, noise, 79, quiet, 100, noise, 80, quiet, 500, noise), 409},
		{"a gap that is a millisecond short", signal(150, noise, 79, quiet, 771, noise), 100},
		{"silence that reaches Max", signal(900, noise, 100, quiet), 1000},
		{"silence cut short by Max", signal(950, noise, 200, quiet), 100},
		{"none", signal(1000, noise), 100},
		{"nothing but silence", signal(1000, float32(0)), 100},
		{"negative samples are loud too", signal(100, -noise, 80, -quiet, 800, -noise), 180},
		{"the threshold is a hundredth of the loudest", signal(100, noise, 80, float32(0.0049), 100, noise), 180},
		{"at the threshold it is no silence", signal(100, float32(1), 80, float32(0.01), 100, float32(1)), 100},
		{"shorter than Min", signal(60, noise), 60},
		{"as long as Min", signal(100, noise), 100},
		{"nothing", nil, 0},
	} {
		if got := trim.cut(one.x, rate); got != one.cut {
			t.Errorf("%s: cut at %d, want %d", one.name, got, one.cut)
		}
	}
	own := Trim{Min: 150 * time.Millisecond, Max: 500 * time.Millisecond, Gap: 20 * time.Millisecond}.withDefaults()
	if got := own.cut(signal(200, noise, 30, quiet, 500, noise), rate); got != 230 {
		t.Errorf("with settings of its own: cut at %d, want 230", got)
	}
	if trim.window(24000) != 24000 || samples(80*time.Millisecond, 24000) != 1920 {
		t.Error("the default window is not 24000 samples, or the gap not 1920")
	}
}
