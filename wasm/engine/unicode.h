// The little Unicode that text preparation needs, with the meaning of Python's str methods: white space, digits, upper
// case.  And UTF-8, strictly: no surrogates, no over-long forms.
#ifndef PTTS_UNICODE_H_
#define PTTS_UNICODE_H_

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace ptts {

bool is_space(char32_t c);  // str.isspace, what strip() and split() cut at
bool is_digit(char32_t c);  // str.isdigit: superscripts count
bool is_upper(char32_t c);  // str.isupper of one character: title case does not count

// str.upper of one character, the full mapping: up to three characters ("ß" -> "SS").  Returns how many.
size_t to_upper(char32_t c, std::array<char32_t, 3>* out);

// Reads one character at `*position` and moves on; false, and no move, where the bytes are not UTF-8.
bool read_utf8(std::string_view text, size_t* position, char32_t* c);

// The offset of the first byte that is not UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

void append_utf8(char32_t c, std::string* text);

}  // namespace ptts

#endif
