// Look-ups in the generated tables, and UTF-8.
#include "unicode.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace ptts {

namespace {

struct CharRange {
  char32_t first, last, step;
};
struct CaseRange {
  char32_t first, last, step;
  int32_t delta;
};
struct SpecialUpper {
  char32_t c;
  std::array<char32_t, 3> upper;  // zeros at the end
};

#include "unicode_tables.inc"

// The range of a sorted table that has `c`, or null.
template <typename Range, size_t kCount>
const Range* find_range(const Range (&table)[kCount], char32_t c) {
  const Range* after =
      std::upper_bound(std::begin(table), std::end(table), c,
                       [](char32_t value, const Range& range) { return value < range.first; });
  if (after == std::begin(table)) return nullptr;
  const Range* range = after - 1;  // the last that starts at or before c; ranges do not overlap
  return c <= range->last && (c - range->first) % range->step == 0 ? range : nullptr;
}

}  // namespace

bool is_space(char32_t c) { return find_range(kSpaceRanges, c) != nullptr; }
bool is_digit(char32_t c) { return find_range(kDigitRanges, c) != nullptr; }
bool is_upper(char32_t c) { return find_range(kUpperRanges, c) != nullptr; }

size_t to_upper(char32_t c, std::array<char32_t, 3>* out) {
  const SpecialUpper* special =
      std::lower_bound(std::begin(kSpecialUpper), std::end(kSpecialUpper), c,
                       [](const SpecialUpper& entry, char32_t value) { return entry.c < value; });
  if (special != std::end(kSpecialUpper) && special->c == c) {
    *out = special->upper;
    return special->upper[2] != 0 ? 3 : 2;
  }
  const CaseRange* range = find_range(kSimpleUpper, c);
  (*out)[0] = range == nullptr ? c : static_cast<char32_t>(static_cast<int32_t>(c) + range->delta);
  return 1;
}

bool read_utf8(std::string_view text, size_t* position, char32_t* c) {
  const size_t i = *position;
  if (i >= text.size()) return false;
  const auto byte = [&](size_t k) { return static_cast<uint8_t>(text[i + k]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) {
    *c = lead;
    *position = i + 1;
    return true;
  }
  size_t length = 0;
  char32_t least = 0;
  char32_t value = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2, least = 0x80, value = lead & 0x1Fu;
  } else if ((lead & 0xF0) == 0xE0) {
    length = 3, least = 0x800, value = lead & 0x0Fu;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4, least = 0x10000, value = lead & 0x07u;
  } else {
    return false;
  }
  if (text.size() - i < length) return false;
  for (size_t k = 1; k < length; ++k) {
    if ((byte(k) & 0xC0) != 0x80) return false;
    value = value << 6 | (byte(k) & 0x3Fu);
  }
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return false;
  *c = value;
  *position = i + length;
  return true;
}

size_t find_invalid_utf8(std::string_view text) {
  size_t position = 0;
  char32_t c = 0;
  while (position < text.size()) {
    if (!read_utf8(text, &position, &c)) return position;
  }
  return std::string_view::npos;
}

void append_utf8(char32_t c, std::string* text) {
  const auto push = [&](char32_t byte) { text->push_back(static_cast<char>(static_cast<uint8_t>(byte))); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | c >> 6), push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | c >> 12), push(0x80 | (c >> 6 & 0x3F)), push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | c >> 18), push(0x80 | (c >> 12 & 0x3F)), push(0x80 | (c >> 6 & 0x3F)),
        push(0x80 | (c & 0x3F));
  }
}

}  // namespace ptts
