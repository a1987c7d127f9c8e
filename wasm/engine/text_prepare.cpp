// Preparation of a text, in the reference's order:
//
//   1 strip                                    5 ";" -> "," if asked
//   2 replacements (only if there are any),    6 count the words: up to four -> guess 3, else 1
//     white space collapsed, then a comma,     7 first character upper case
//     semicolon or colon after . ! ? … dropped 8 terminal punctuation
//   3 empty: an error                          9 eight spaces in front of fewer than five words
//   4 line ends -> spaces, one pass of
//     two spaces -> one
#include "text_prepare.h"

#include <algorithm>
#include <array>
#include <utility>

#include "unicode.h"

namespace ptts {

namespace {

constexpr std::u32string_view kTerminal = U".!?\u2026";
constexpr std::u32string_view kWeak = U",;:-\u2013\u2014";
constexpr std::u32string_view kClosers = U"\"'\u201D\u2019)]\u00BB";
constexpr std::u32string_view kDroppedAfterTerminal = U",;:";
constexpr int kPadding = 8;

bool one_of(char32_t c, std::u32string_view set) { return set.find(c) != std::u32string_view::npos; }

size_t count_words(const TracedText& text) {
  size_t words = 0;
  bool inside = false;
  for (const char32_t c : text.chars) {
    const bool space = is_space(c);
    if (!space && !inside) ++words;
    inside = !space;
  }
  return words;
}

struct Replacement {
  char32_t from;
  std::u32string to;
};

ptts_status read_replacements(const TextRules& rules, std::vector<Replacement>* out) {
  for (const auto& [key, value] : rules.replace_characters) {
    Replacement replacement{};
    size_t position = 0;
    if (!read_utf8(key, &position, &replacement.from) || position != key.size()) {
      return fail(PTTS_ERROR_CONFIG, "replace_characters: expected keys of one character, found \"%s\"",
                  key.c_str());
    }
    char32_t c = 0;
    for (position = 0; position < value.size();) {
      if (!read_utf8(value, &position, &c)) {
        return fail(PTTS_ERROR_CONFIG, "replace_characters: expected UTF-8 values, that of \"%s\" is not",
                    key.c_str());
      }
      replacement.to.push_back(c);
    }
    out->push_back(std::move(replacement));
  }
  return PTTS_OK;
}

ptts_status replace_characters(const TextRules& rules, TracedText* text) {
  std::vector<Replacement> replacements;
  PTTS_TRY(read_replacements(rules, &replacements));
  TracedText out;
  const auto push = [&](char32_t c, uint32_t from) {
    if (is_space(c)) {  // runs become one space, none at the start
      if (out.size() > 0 && out.chars.back() != U' ') out.push(U' ', from);
    } else {
      out.push(c, from);
    }
  };
  for (size_t i = 0; i < text->size(); ++i) {
    const char32_t c = text->chars[i];
    const auto found = std::find_if(replacements.rbegin(), replacements.rend(),
                                    [&](const Replacement& replacement) { return replacement.from == c; });
    if (found == replacements.rend()) {
      push(c, text->origin[i]);
    } else if (found->to.size() > kMaxTextBytes - std::min(out.size(), kMaxTextBytes)) {
      return fail(PTTS_ERROR_TEXT_TOO_LONG,
                  "text: expected at most %zu characters after replace_characters of the model, found more",
                  kMaxTextBytes);
    } else {
      for (const char32_t to : found->to) push(to, text->origin[i]);
    }
  }
  strip(&out);
  *text = std::move(out);
  return PTTS_OK;
}

// "Hi?, she said" -> "Hi? she said": what a deleted closing quote leaves behind.
void drop_marks_after_terminal(TracedText* text) {
  TracedText out;
  for (size_t i = 0; i < text->size(); ++i) {
    out.push(text->chars[i], text->origin[i]);
    if (!one_of(text->chars[i], kTerminal)) continue;
    size_t next = i + 1;
    while (next < text->size() && is_space(text->chars[next])) ++next;
    if (next < text->size() && one_of(text->chars[next], kDroppedAfterTerminal)) i = next;
  }
  *text = std::move(out);
}

// Line ends become spaces; then one pass from left to right that makes two spaces one (four become two).
void join_lines(TracedText* text) {
  TracedText out;
  const auto is_blank = [&](size_t i) {
    return i < text->size() && (text->chars[i] == U' ' || text->chars[i] == U'\n' || text->chars[i] == U'\r');
  };
  for (size_t i = 0; i < text->size(); ++i) {
    out.push(is_blank(i) ? U' ' : text->chars[i], text->origin[i]);
    if (is_blank(i) && is_blank(i + 1)) ++i;
  }
  *text = std::move(out);
}

void capitalize(TracedText* text) {
  if (is_upper(text->chars[0])) return;
  std::array<char32_t, 3> upper{};
  const size_t count = to_upper(text->chars[0], &upper);
  text->chars[0] = upper[0];
  text->chars.insert(text->chars.begin() + 1, upper.begin() + 1,
                     upper.begin() + static_cast<ptrdiff_t>(count));
  text->origin.insert(text->origin.begin() + 1, count - 1, text->origin[0]);
}

// A sentence must end like one.  Looks past closing quotes and brackets.
void end_sentence(TracedText* text) {
  size_t core = text->size();
  while (core > 0 && (text->chars[core - 1] == U' ' || one_of(text->chars[core - 1], kClosers))) --core;
  if (core == 0 || one_of(text->chars[core - 1], kTerminal)) return;
  const uint32_t last = text->origin.back();
  if (!one_of(text->chars[core - 1], kWeak)) return text->push(U'.', last);

  TracedText closers = *text;
  keep(&closers, core, text->size());
  strip(&closers);
  while (core > 0 && (text->chars[core - 1] == U' ' || one_of(text->chars[core - 1], kWeak))) --core;
  const uint32_t mark = text->origin[core];
  keep(text, 0, core);
  text->push(U'.', mark);
  for (size_t i = 0; i < closers.size(); ++i) text->push(closers.chars[i], closers.origin[i]);
}

}  // namespace

std::string TracedText::to_utf8(std::vector<uint32_t>* byte_origin) const {
  std::string text;
  text.reserve(chars.size());
  for (size_t i = 0; i < chars.size(); ++i) {
    append_utf8(chars[i], &text);
    if (byte_origin != nullptr) byte_origin->resize(text.size(), origin[i]);
  }
  return text;
}

void keep(TracedText* text, size_t begin, size_t end) {
  text->chars.resize(end);
  text->origin.resize(end);
  text->chars.erase(text->chars.begin(), text->chars.begin() + static_cast<ptrdiff_t>(begin));
  text->origin.erase(text->origin.begin(), text->origin.begin() + static_cast<ptrdiff_t>(begin));
}

void strip(TracedText* text) {
  size_t begin = 0;
  size_t end = text->size();
  while (begin < end && is_space(text->chars[begin])) ++begin;
  while (end > begin && is_space(text->chars[end - 1])) --end;
  keep(text, begin, end);
}

ptts_status trace(std::string_view utf8, TracedText* out) {
  if (utf8.size() > kMaxTextBytes) {
    return fail(PTTS_ERROR_TEXT_TOO_LONG, "text: expected at most %zu bytes, found %zu", kMaxTextBytes,
                utf8.size());
  }
  out->chars.reserve(utf8.size());
  out->origin.reserve(utf8.size());
  char32_t c = 0;
  for (size_t position = 0; position < utf8.size();) {
    const size_t begin = position;
    if (!read_utf8(utf8, &position, &c)) {
      return fail(PTTS_ERROR_TEXT_ENCODING, "text: expected UTF-8, byte %zu (0x%02X) is not", begin,
                  static_cast<unsigned>(static_cast<uint8_t>(utf8[begin])));
    }
    out->push(c, static_cast<uint32_t>(begin));
  }
  return PTTS_OK;
}

ptts_status prepare(const TextRules& rules, TracedText* text, int* frames_after_eos_guess) {
  strip(text);
  if (!rules.replace_characters.empty()) {
    PTTS_TRY(replace_characters(rules, text));
    drop_marks_after_terminal(text);
  }
  if (text->size() == 0) return fail(PTTS_ERROR_TEXT_EMPTY, "Text prompt cannot be empty");
  join_lines(text);
  if (rules.remove_semicolons) std::replace(text->chars.begin(), text->chars.end(), U';', U',');
  if (frames_after_eos_guess != nullptr) *frames_after_eos_guess = count_words(*text) <= 4 ? 3 : 1;
  if (rules.capitalize_first_letter) capitalize(text);
  if (rules.append_terminal_punctuation) end_sentence(text);
  if (rules.pad_with_spaces_for_short_inputs && count_words(*text) < 5) {
    text->chars.insert(text->chars.begin(), kPadding, U' ');
    text->origin.insert(text->origin.begin(), kPadding, text->origin[0]);
  }
  return PTTS_OK;
}

ptts_status prepare_text(std::string_view utf8, const TextRules& rules, std::string* text,
                         int* frames_after_eos_guess) {
  TracedText traced;
  PTTS_TRY(trace(utf8, &traced));
  PTTS_TRY(prepare(rules, &traced, frames_after_eos_guess));
  *text = traced.to_utf8(nullptr);
  return PTTS_OK;
}

}  // namespace ptts
