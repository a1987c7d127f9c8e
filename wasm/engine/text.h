// From the caller's text to what is spoken: preparation, and the plan of chunks with their ids and limits.
#ifndef PTTS_TEXT_H_
#define PTTS_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "status.h"
#include "tokenizer.h"

namespace ptts {

inline constexpr size_t kMaxTextBytes = size_t{4} << 20;
inline constexpr size_t kMaxChunkIds = 4096;

// The model's options for text; names as in its configuration.
struct TextRules {
  bool pad_with_spaces_for_short_inputs = false;
  bool remove_semicolons = false;
  bool append_terminal_punctuation = true;
  bool capitalize_first_letter = true;
  std::vector<std::pair<std::string, std::string>>
      replace_characters;                 // one character -> any text, none included
  int recommended_frames_after_eos = -1;  // -1: none
};

// The text as it is given to the tokenizer.  `frames_after_eos_guess` (may be null): 3 for up to four words, else 1.
[[nodiscard]] ptts_status prepare_text(std::string_view utf8, const TextRules& rules, std::string* text,
                                       int* frames_after_eos_guess);

struct Chunk {
  std::string text;                         // the piece as it was cut
  std::string prompt;                       // what is spoken: the piece, prepared again
  std::vector<int32_t> ids;                 // of the prompt
  int frames_after_eos = 0;                 // the model's recommendation, else the guess + 2
  uint32_t max_frames = 0;                  // ceil((ids / 3 + 2) * 12.5)
  size_t source_begin = 0, source_end = 0;  // bytes of the caller's text
  bool over_limit = false;                  // the piece has more than max_tokens ids and is spoken whole
};

// Cuts a text into chunks of at most `max_tokens` ids where it can, at sentence ends first.  Source ranges are in
// order and do not overlap; between two of them there is only white space.
[[nodiscard]] ptts_status plan_chunks(const Tokenizer& tokenizer, std::string_view utf8,
                                      const TextRules& rules, int max_tokens, std::vector<Chunk>* out);

}  // namespace ptts

#endif
