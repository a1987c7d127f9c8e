// Preparation on characters that remember where they come from, so that a chunk can be traced back to the caller's text.
#ifndef PTTS_TEXT_PREPARE_H_
#define PTTS_TEXT_PREPARE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text.h"

namespace ptts {

// Characters, and for each the byte of the original text it stands for.
struct TracedText {
  std::vector<char32_t> chars;
  std::vector<uint32_t> origin;

  size_t size() const { return chars.size(); }
  void push(char32_t c, uint32_t from) {
    chars.push_back(c);
    origin.push_back(from);
  }
  // As UTF-8; `byte_origin` (may be null) gets one entry per byte.
  std::string to_utf8(std::vector<uint32_t>* byte_origin) const;
};

// Keeps characters [begin, end).
void keep(TracedText* text, size_t begin, size_t end);
// Removes white space at both ends.
void strip(TracedText* text);

// Checks the length and the encoding.
[[nodiscard]] ptts_status trace(std::string_view utf8, TracedText* out);
[[nodiscard]] ptts_status prepare(const TextRules& rules, TracedText* text, int* frames_after_eos_guess);

}  // namespace ptts

#endif
