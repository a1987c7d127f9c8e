// Text to token ids and back.  Two file kinds, one vocabulary: `tokenizer.model` (SentencePiece) and `tokenizer.json`
// (the Hugging Face layout of the same vocabulary, see tokenizer_json.cpp).  Both end in the real sentencepiece
// library, which may abort on a broken model: load() therefore checks a file completely first (tokenizer_model.cpp).
#ifndef PTTS_TOKENIZER_H_
#define PTTS_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "status.h"

namespace ptts {

class Tokenizer {
 public:
  // `kind` is PTTS_TOKENIZER_*; the vocabulary must have `expected_size` pieces.
  [[nodiscard]] static ptts_status load(uint32_t kind, std::span<const uint8_t> file, size_t expected_size,
                                        std::unique_ptr<Tokenizer>* out);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // The ids of a text as it is; no beginning or end token.
  [[nodiscard]] ptts_status encode(std::string_view utf8, std::vector<int32_t>* ids) const;

  // The same; `ends[i]` is where in `utf8` the text of token i ends (ids inside one character: its end).
  [[nodiscard]] ptts_status encode(std::string_view utf8, std::vector<int32_t>* ids,
                                   std::vector<uint32_t>* ends) const;

  [[nodiscard]] ptts_status decode(std::span<const int32_t> ids, std::string* text) const;

  // Pieces in the vocabulary.
  size_t size() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ptts

#endif
