package pockettts

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func cutAll(parts ...string) []string {
	var s sentences
	pieces := []string{}
	for _, part := range parts {
		pieces = append(pieces, s.push(part)...)
	}
	return append(pieces, s.end()...)
}

// The cases are those of the JavaScript package (tests/node/sentences.test.mjs).
func TestSentencesAreCutHoweverTheyCome(t *testing.T) {
	for text, want := range map[string][]string{
		"Hello there. How are you? Fine!":                        {"Hello there. ", "How are you? ", "Fine!"},
		`It costs 3.14 dollars, approx. ten. "Really?" he said.`: {"It costs 3.14 dollars, approx. ten. ", `"Really?" he said.`},
		"Dr. No met J. Smith vs. Mr. Bond. He won.":              {"Dr. No met J. Smith vs. Mr. Bond. ", "He won."},
		"Two things:\n1. Cut.\n2. Sew.\n\nThat is all":           {"Two things:\n1. Cut.\n", "2. Sew.\n", "\nThat is all"},
		"A title\n\nA text… Then (more.) End...":                 {"A title\n\n", "A text… ", "Then (more.) ", "End..."},
		"你好。再见！":                                                 {"你好。", "再见！"},
		"It was 1999. The end":                                   {"It was 1999. ", "The end"},
		"":                                                       {},
		"   ":                                                    {"   "},
		"One.\u00a0Two.\ufeffThree":                              {"One.\u00a0", "Two.\ufeff", "Three"},
	} {
		if got := cutAll(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := cutAll(strings.Split(text, "")...); !slices.Equal(got, want) {
			t.Errorf("%q, letter by letter: %q, want %q", text, got, want)
		}
		for at := range text {
			if got := cutAll(text[:at], "", text[at:]); !slices.Equal(got, want) {
				t.Errorf("%q in two at %d: %q, want %q", text, at, got, want)
			}
		}
	}
}

func TestSentenceIsUsedAsSoonAsItsEndIsCertain(t *testing.T) {
	var s sentences
	for _, step := range []struct {
		part string
		want []string
	}{{"One.", nil}, {" ", nil}, {"T", []string{"One. "}}, {"wo.\n", []string{"Two.\n"}}, {"Three", nil}} {
		if got := s.push(step.part); !slices.Equal(got, step.want) {
			t.Errorf("%q: %q, want %q", step.part, got, step.want)
		}
	}
	if got := s.end(); !slices.Equal(got, []string{"Three"}) {
		t.Errorf("the rest: %q", got)
	}
}

func TestPauseSettlesWhatIsAnEndUnlessMoreComes(t *testing.T) {
	for text, want := range map[string][]string{
		"One two. ":        {"One two. "},
		"One. Two! ":       {"One. ", "Two! "}, // the first one is certain anyway
		"One two.":         nil,                // no white space
		"It was 1999. ":    nil,                // 1999. 5 people?
		"Ask Dr. ":         nil,
		"1. ":              nil,
		"approx. ten and ": nil,
		"你好。":              {"你好。"},
		"":                 nil,
	} {
		var s sentences
		got := s.push(text)
		if got = append(got, s.settle()...); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if rest := strings.Join(append(got, s.end()...), ""); rest != text {
			t.Errorf("%q became %q", text, rest)
		}
	}
}

func TestTextWithoutAnEndIsCutBetweenWords(t *testing.T) {
	text := strings.Repeat("word ", 700)
	whole := cutAll(text)
	if got := cutAll(strings.SplitAfter(text, "o")...); !slices.Equal(got, whole) || len(whole) < 3 {
		t.Errorf("%d pieces, %d", len(got), len(whole))
	}
	for _, piece := range whole {
		if len(piece) > sentenceLimit || !strings.HasPrefix(piece, "word") {
			t.Errorf("%d bytes, begins %.8q", len(piece), piece)
		}
	}
	for _, text := range []string{strings.Repeat("😀", 700), strings.Repeat("x", 2500) + ". Y", strings.Repeat("a\u00a0", 900)} {
		pieces := cutAll(text)
		if strings.Join(pieces, "") != text || len(pieces) < 2 {
			t.Errorf("%.8q became %d pieces, or was changed", text, len(pieces))
		}
		for _, piece := range pieces {
			if !utf8.ValidString(piece) {
				t.Errorf("%.8q was cut within a character", text)
			}
		}
	}
}

// What a caller hands over at once is cut in time that grows with it, not with its square.
func TestLongTextsAreCut(t *testing.T) {
	length := partsLimit
	if testing.Short() {
		length /= 64
	}
	for _, unit := range []string{"x", ".", ".x", "\n", "\n ", "。", "word ", "A b. ", "\u00a0", "…", " "} {
		text := strings.Repeat(unit, length/len(unit))
		if pieces := cutAll(text); strings.Join(pieces, "") != text {
			t.Errorf("%q: something is lost", unit)
		}
	}
}

// The same texts and lengths in UTF-16 as in tests/node/sentences.test.mjs.
func TestLongRunsAreCutAlike(t *testing.T) {
	if testing.Short() {
		t.Skip("cuts long texts letter by letter")
	}
	for _, c := range []struct {
		text string
		want []int
	}{
		{strings.Repeat(" ", 4500) + "A b. C", []int{4000, 505, 1}},
		{strings.Repeat("\u3000", 3000) + "A", []int{1333, 1333, 335}},
		{strings.Repeat(".", 5000) + " A", []int{1000, 1000, 3001, 1}},
		{strings.Repeat("…", 2000) + " A", []int{1000, 1001, 1}},
		{"Ab." + strings.Repeat(" ", 5000) + "B", []int{4002, 1002}},
	} {
		for _, parts := range [][]string{{c.text}, strings.Split(c.text, "")} {
			var lengths []int
			for _, piece := range cutAll(parts...) {
				lengths = append(lengths, utf8.RuneCountInString(piece))
			}
			if !slices.Equal(lengths, c.want) {
				t.Errorf("%.9q in %d parts: %d, want %d", c.text, len(parts), lengths, c.want)
			}
		}
	}
}
