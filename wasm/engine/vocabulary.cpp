// The rules every vocabulary must keep before the sentencepiece library sees it, and the ModelProto written for it.
//
// Why each rule: the library is compiled without exceptions, so whatever makes it throw or fail a CHECK ends the
// instance.  Its trie takes keys as C strings (no NUL, no duplicates) and recurses once per byte of a key; its
// matcher for user-defined pieces keeps at most 64 pieces that are prefixes of each other; its Viterbi search
// compares scores (no NaN) and moves by whole characters (valid UTF-8).
#include "vocabulary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <string_view>

#include "unicode.h"

namespace ptts {

namespace {

constexpr size_t kMaxNestedUserPieces = 64;

ptts_status check_piece(const VocabularyPiece& piece, const char* file, size_t i) {
  const std::string& text = piece.text;
  if (text.empty()) return fail(PTTS_ERROR_TOKENIZER, "%s: piece %zu: expected text, found none", file, i);
  if (text.size() > kMaxPieceBytes) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: piece %zu: expected at most %zu bytes, found %zu", file, i,
                kMaxPieceBytes, text.size());
  }
  if (text.find('\0') != std::string::npos) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: piece %zu: expected text, found a NUL character in it", file, i);
  }
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: piece %zu: expected UTF-8, byte %zu is not", file, i, bad);
  }
  if (!std::isfinite(piece.score)) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: score of piece %zu \"%s\": expected a finite number", file, i,
                text.c_str());
  }
  return PTTS_OK;
}

ptts_status check_unknown_piece(const Vocabulary& vocabulary, const char* file) {
  const auto is_unknown = [](const VocabularyPiece& piece) { return piece.type == PieceType::kUnknown; };
  const auto count = std::count_if(vocabulary.pieces.begin(), vocabulary.pieces.end(), is_unknown);
  if (count != 1) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: expected one piece of type UNKNOWN, found %zu", file,
                static_cast<size_t>(count));
  }
  return PTTS_OK;
}

ptts_status check_byte_pieces(const Vocabulary& vocabulary, const char* file) {
  std::array<bool, 256> found{};
  size_t count = 0;
  for (size_t i = 0; i < vocabulary.pieces.size(); ++i) {
    const VocabularyPiece& piece = vocabulary.pieces[i];
    if (piece.type != PieceType::kByte) continue;
    const int byte = byte_of_piece(piece.text);
    if (byte < 0) {
      return fail(PTTS_ERROR_TOKENIZER,
                  "%s: piece %zu of type BYTE: expected \"<0x00>\" to \"<0xFF>\", found \"%s\"", file, i,
                  piece.text.c_str());
    }
    found[static_cast<size_t>(byte)] = true;
    ++count;
  }
  if (vocabulary.byte_fallback && std::count(found.begin(), found.end(), true) != 256) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: byte_fallback is on: expected 256 pieces of type BYTE, found %zu",
                file, count);
  }
  if (!vocabulary.byte_fallback && count > 0) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: byte_fallback is off: expected no pieces of type BYTE, found %zu",
                file, count);
  }
  return PTTS_OK;
}

// User-defined pieces that begin with each other, at most so many deep.
ptts_status check_user_pieces(const Vocabulary& vocabulary, const char* file) {
  std::vector<std::string_view> user;
  for (const VocabularyPiece& piece : vocabulary.pieces) {
    if (piece.type == PieceType::kUserDefined) user.push_back(piece.text);
  }
  std::sort(user.begin(), user.end());
  std::vector<std::string_view> nested;
  for (const std::string_view piece : user) {
    while (!nested.empty() && !piece.starts_with(nested.back())) nested.pop_back();
    nested.push_back(piece);
    if (nested.size() > kMaxNestedUserPieces) {
      return fail(PTTS_ERROR_TOKENIZER,
                  "%s: expected at most %zu user-defined pieces that begin with each other, "
                  "found more (\"%.*s\")",
                  file, kMaxNestedUserPieces, static_cast<int>(piece.size()), piece.data());
    }
  }
  return PTTS_OK;
}

ptts_status check_duplicates(const Vocabulary& vocabulary, const char* file) {
  std::vector<std::string_view> texts;
  texts.reserve(vocabulary.pieces.size());
  for (const VocabularyPiece& piece : vocabulary.pieces) texts.push_back(piece.text);
  std::sort(texts.begin(), texts.end());
  const auto twice = std::adjacent_find(texts.begin(), texts.end());
  if (twice != texts.end()) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: expected every piece once, found \"%.*s\" twice", file,
                static_cast<int>(twice->size()), twice->data());
  }
  return PTTS_OK;
}

// ---- protobuf ----------------------------------------------------------------------------------------------------

void put_varint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(0x80 | (value & 0x7F)));
  out->push_back(static_cast<char>(value));
}

void put_number(uint32_t field, uint64_t value, std::string* out) {
  put_varint(field << 3 | 0u, out);
  put_varint(value, out);
}

void put_bytes(uint32_t field, std::string_view bytes, std::string* out) {
  put_varint(field << 3 | 2u, out);
  put_varint(bytes.size(), out);
  out->append(bytes);
}

void put_float(uint32_t field, float value, std::string* out) {
  put_varint(field << 3 | 5u, out);
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(bits >> shift & 0xFF));
}

void put_piece(std::string_view text, float score, PieceType type, std::string* out) {
  std::string message;
  put_bytes(1, text, &message);
  put_float(2, score, &message);
  put_number(3, static_cast<uint64_t>(type), &message);
  put_bytes(1, message, out);
}

}  // namespace

int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int value = 0;
  for (const char c : {piece[3], piece[4]}) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'A' || c > 'F')) return -1;
    value = value * 16 + (digit ? c - '0' : c - 'A' + 10);
  }
  return value;
}

ptts_status check_vocabulary(const Vocabulary& vocabulary, const char* file, size_t expected_size) {
  const std::vector<VocabularyPiece>& pieces = vocabulary.pieces;
  if (pieces.size() != expected_size) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: expected %zu pieces (n_bins), found %zu", file, expected_size,
                pieces.size());
  }
  for (size_t i = 0; i < pieces.size(); ++i) PTTS_TRY(check_piece(pieces[i], file, i));
  PTTS_TRY(check_duplicates(vocabulary, file));
  PTTS_TRY(check_unknown_piece(vocabulary, file));
  PTTS_TRY(check_byte_pieces(vocabulary, file));
  PTTS_TRY(check_user_pieces(vocabulary, file));
  const bool any = std::any_of(pieces.begin(), pieces.end(), [](const VocabularyPiece& piece) {
    return piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined;
  });
  if (!any)
    return fail(PTTS_ERROR_TOKENIZER, "%s: expected at least one piece of type NORMAL, found none", file);
  return PTTS_OK;
}

std::string write_model_proto(const Vocabulary& vocabulary) {
  std::string out;
  for (const VocabularyPiece& piece : vocabulary.pieces) {
    // A JSON tokenizer matches every entry of its vocabulary in the text, "<s>" and "<0x41>" too.
    put_piece(piece.text, static_cast<float>(piece.score), vocabulary.json ? PieceType::kNormal : piece.type,
              &out);
  }
  // The library wants an unknown piece of its own; the engine maps its id, one past the end, back.
  if (vocabulary.json) put_piece("<unknown>", 0, PieceType::kUnknown, &out);

  std::string trainer;
  put_number(3, vocabulary.bpe ? 2 : 1, &trainer);
  put_number(35, vocabulary.byte_fallback && !vocabulary.json, &trainer);
  put_bytes(2, trainer, &out);

  std::string normalizer;
  put_number(3, vocabulary.dummy_prefix, &normalizer);
  put_number(4, vocabulary.remove_extra_spaces, &normalizer);
  put_number(5, 1, &normalizer);
  put_bytes(3, normalizer, &out);
  return out;
}

}  // namespace ptts
