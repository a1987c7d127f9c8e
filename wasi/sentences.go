// Where a text that is still coming can be cut: after a sentence, as soon as its end is certain. The rule is that of the
// JavaScript package (web/sentences.ts), cut for cut: the cuts are a matter of the joined text, however it was divided.
//
// An end is a run of . ! ? ... with the quotes and brackets that close behind it, and then
//   - a line break, or white space and a character that does not go on in lower case ("approx. ten"), unless the only
//     mark is the full stop of a title, an initial or an item's number ("Dr. No", "J. Smith", "2. Cut");
//   - for the full-width marks: anything.
//
// A blank line ends a sentence without a mark.

package pockettts

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sentenceLimit is the length in UTF-16 units, as JavaScript counts, after which text without an end is cut between
// two words.
const sentenceLimit = 1000

// runLimit is how much of a run of marks and white space is looked at, in bytes: time must not grow with its square.
const runLimit = 4 * sentenceLimit

// White space as JavaScript has it, and the same without the line feed.
const (
	spaces    = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	lineSpace = `\t\x{0b}-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
)

var (
	// A blank line; or marks, what closes behind them, and the white space after it.
	sentenceEnd = regexp.MustCompile(`^(?:\n[` + lineSpace + `]*\n|(?P<wide>[。！？]+)["'”’»)\]」』]*|(?P<marks>[.!?…]+)["'”’»)\]]*(?P<space>[` + spaces + `]+|$))`)
	// What a full stop follows without an end: titles, and initials.
	title = regexp.MustCompile(`(?:^|[` + spaces + `("'“‘«\[])(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Mt|Gen|Rev|Hon|Mme|Mlle|Hr|Fr|Sra|Dra|Sig|Dott|vs|cf)$`)
	item  = regexp.MustCompile(`(?:^|\n)[` + spaces + `]*\d{1,3}$`)
)

// certainty says what is known of what comes after a text.
type certainty int

const (
	unfinished certainty = iota // it goes on
	paused                      // it may go on, but nobody knows when
	finished                    // nothing comes
)

// sentences cuts a text that comes in parts.
type sentences struct{ text string }

// push returns the sentences that are complete with text, white space behind them included.
func (s *sentences) push(text string) []string {
	s.text += text
	return s.cut(unfinished)
}

// settle returns the sentence that is complete if what follows it is one of its own, which cannot be seen yet: an end
// that has its white space already. A number may go on.
func (s *sentences) settle() []string { return s.cut(paused) }

// end returns the rest.
func (s *sentences) end() []string {
	pieces := s.cut(finished)
	if s.text != "" {
		pieces = append(pieces, s.text)
		s.text = ""
	}
	return pieces
}

func (s *sentences) cut(known certainty) []string {
	var pieces []string
	for {
		end := nextCut(s.text, known)
		if end < 0 {
			return pieces
		}
		pieces = append(pieces, s.text[:end])
		s.text = s.text[end:]
	}
}

// nextCut is the end of the first sentence; -1: more has to come.
func nextCut(text string, known certainty) int {
	// Leading white space is nobody's: a blank line there ends nothing.
	// What has no end is a piece by itself.
	head := text[:wholeLength(text, runLimit)]
	lead := len(head) - len(strings.TrimLeftFunc(head, isSpace))
	if lead > 0 && lead == len(head) && lead < len(text) {
		return lead
	}
	for at := lead; ; {
		begin := nextMark(text, at)
		if begin < 0 {
			break
		}
		match := sentenceEnd.FindStringSubmatchIndex(text[begin:min(len(text), begin+runLimit)])
		if match == nil { // nor does one begin within a run of marks
			at = begin + 1
			if text[begin] != '\n' {
				run := text[begin:min(len(text), begin+runLimit)]
				at = begin + len(run) - len(strings.TrimLeft(run, marks))
			}
			continue
		}
		group := func(n int) (string, bool) {
			if match[2*n] < 0 {
				return "", false
			}
			return text[begin+match[2*n] : begin+match[2*n+1]], true
		}
		end := begin + match[1]
		_, wide := group(1)
		run, _ := group(2)
		space, marked := group(3)
		before := text[lead:begin]
		line := strings.IndexByte(space, '\n')
		at = end
		// What touches the end of what is here may go on.
		if end == len(text) && known != finished && line < 0 {
			if known == paused && (!marked || space != "" && !(run == "." && goesOn(before))) {
				return end
			}
			return -1
		}
		switch {
		case !marked && (!wide || end < len(text)):
			return end
		case !marked:
		case line >= 0:
			return end - len(space) + line + 1
		case space == "" || end == len(text):
		case startsLower(text[end:]):
		case run == "." && (title.MatchString(before) || item.MatchString(before)):
		default:
			return end
		}
	}
	if longerThan(text[lead:], sentenceLimit) {
		return lead + forced(text[lead:])
	}
	return -1
}

// wholeLength is the length of the characters that are within a limit, in bytes.
func wholeLength(text string, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return limit
}

// marks are those that may be followed by anything but white space without being an end.
const marks = ".!?…"

// nextMark is where an end may begin, at or after a place and within the limit; -1: nowhere.
func nextMark(text string, at int) int {
	window := text[:min(len(text), 3*sentenceLimit+3)] // a unit of UTF-16 takes three bytes at most
	if at >= len(window) {
		return -1
	}
	found := strings.IndexAny(window[at:], "\n。！？"+marks)
	if found < 0 || longerThan(window[:at+found], sentenceLimit) {
		return -1
	}
	return at + found
}

// goesOn: a full stop after it, with nothing to be seen behind, need not be an end.
func goesOn(before string) bool {
	digit := before != "" && before[len(before)-1] >= '0' && before[len(before)-1] <= '9'
	return digit || title.MatchString(before) || item.MatchString(before)
}

func startsLower(text string) bool {
	first, _ := utf8.DecodeRuneInString(text)
	return unicode.Is(unicode.Ll, first)
}

func isSpace(r rune) bool {
	return r == 0xfeff || r != 0x85 && unicode.IsSpace(r)
}

// units is the length of a character in UTF-16.
func units(r rune) int {
	if r >= 0x10000 {
		return 2
	}
	return 1
}

func longerThan(text string, limit int) bool {
	if len(text) <= limit {
		return false
	}
	for _, r := range text {
		if limit -= units(r); limit < 0 {
			return true
		}
	}
	return false
}

// forced cuts within the limit: between two words where there are two.
func forced(text string) int {
	left, end := sentenceLimit, 0
	for at, r := range text {
		if left -= units(r); left < 0 {
			break
		}
		end = at + utf8.RuneLen(r)
	}
	if space := strings.LastIndexFunc(text[:end], isSpace); space > 0 {
		_, size := utf8.DecodeRuneInString(text[space:])
		return space + size
	}
	return end
}
