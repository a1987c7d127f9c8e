// What a tokenizer file says, checked: the pieces and the rules around them.  Both readers fill it, and what is handed
// to the sentencepiece library is written from it, so that no byte of a file reaches the library unseen.
#ifndef PTTS_VOCABULARY_H_
#define PTTS_VOCABULARY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "status.h"

namespace ptts {

inline constexpr size_t kMaxTokenizerBytes = size_t{64} << 20;
inline constexpr size_t kMaxPieces = size_t{1} << 20;
inline constexpr size_t kMaxPieceBytes = 512;  // the library's trie builder recurses once per byte

// Numbers as in sentencepiece's ModelProto.
enum class PieceType : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct VocabularyPiece {
  std::string text;
  double score = 0;  // .model: a float
  PieceType type = PieceType::kNormal;
};

// When a JSON tokenizer puts "▁" in front of a text that does not start with one.
enum class Prefix : uint8_t { kNever, kAlways, kFirst };

// A token that a JSON tokenizer finds in the raw text, before anything else.
struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool special = false;  // not shown when decoded
};

struct Vocabulary {
  std::vector<VocabularyPiece> pieces;
  bool byte_fallback = false;
  int32_t unknown_id = 0;

  // .model files
  bool bpe = false;
  bool dummy_prefix = true;
  bool remove_extra_spaces = true;
  std::string unknown_surface = " \xE2\x81\x87 ";  // what an unknown piece decodes to

  // .json files: how they differ from a .model with the same pieces (tokenizer_json.cpp)
  bool json = false;
  Prefix prefix = Prefix::kAlways;
  bool prefix_before_space = false;  // a second "▁" before text that starts with a space or a "▁"
  bool cut_at_spaces = false;        // words are tokenized one by one
  std::vector<AddedToken> added;
};

// The number that "<0xNN>" stands for, or -1.
int byte_of_piece(std::string_view piece);

// Reads and checks a file; `expected_size` pieces.
[[nodiscard]] ptts_status read_sentencepiece_model(std::span<const uint8_t> file, size_t expected_size,
                                                   Vocabulary* out);
[[nodiscard]] ptts_status read_tokenizer_json(std::span<const uint8_t> file, size_t expected_size,
                                              Vocabulary* out);

// Every rule that the library relies on; `file` names the kind of file in messages.
[[nodiscard]] ptts_status check_vocabulary(const Vocabulary& vocabulary, const char* file,
                                           size_t expected_size);

// The ModelProto that the library is given.
std::string write_model_proto(const Vocabulary& vocabulary);

}  // namespace ptts

#endif
