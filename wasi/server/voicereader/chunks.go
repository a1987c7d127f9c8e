// Where a text is cut: after every sentence, and where one is too long.

package voicereader

import "strings"

// chunk is a piece of a text. It begins and ends with no space.
type chunk struct {
	text       string
	start, end int // in code points of the text
}

// boundaries end a sentence, each of them wherever it stands; a run of them belongs to the sentence before it.
const boundaries = ".!?;:\n。！？"

func isBoundary(r rune) bool { return strings.ContainsRune(boundaries, r) }

// cut cuts a text without space around it into pieces of at most so many code points.
func cut(text string, most int) []chunk {
	runes := []rune(text)
	var chunks []chunk
	add := func(start, end int) {
		start, end = trim(runes, start, end)
		if start < end {
			chunks = append(chunks, chunk{string(runes[start:end]), start, end})
		}
	}
	for at := 0; at < len(runes); {
		end := at
		for end < len(runes) && !isBoundary(runes[end]) {
			end++
		}
		for end < len(runes) && isBoundary(runes[end]) {
			end++
		}
		start, stop := trim(runes, at, end)
		for stop-start > most {
			// The last space within the limit, but none at its very end: the engine that set the ranges looked no further.
			until := start + most
			for n := until - 1; n > start; n-- {
				if runes[n] == ' ' {
					until = n
					break
				}
			}
			add(start, until)
			start, stop = trim(runes, until, stop)
		}
		add(start, stop)
		at = end
	}
	return chunks
}

func trim(runes []rune, start, end int) (int, int) {
	for start < end && isSpace(runes[start]) {
		start++
	}
	for start < end && isSpace(runes[end-1]) {
		end--
	}
	return start, end
}
