// `tokenizer.model`: a strict reader of SentencePiece's ModelProto (protocol buffers, proto2).
//
//   ModelProto     1 pieces*   2 trainer_spec   3 normalizer_spec   4 self_test_data (not read)   5 denormalizer_spec
//   SentencePiece  1 piece     2 score          3 type
//   TrainerSpec    3 model_type   24 treat_whitespace_as_suffix   35 byte_fallback   44 unk_surface   (the rest: how
//                  the model was trained)
//   NormalizerSpec 2 precompiled_charsmap   3 add_dummy_prefix   4 remove_extra_whitespaces   5 escape_whitespaces
//
// Refused: model types other than unigram and BPE, white space as a suffix or unescaped, and a precompiled character
// map, because that is a double-array trie the library walks without bounds; no Pocket TTS model has one (their
// normaliser is the identity).
#include <bit>
#include <cstring>

#include "unicode.h"
#include "vocabulary.h"

namespace ptts {

namespace {

constexpr const char* kFile = "tokenizer.model";

struct Field {
  uint32_t number = 0;
  uint32_t wire = 0;               // 0 varint, 1 eight bytes, 2 bytes, 5 four bytes
  uint64_t value = 0;              // wire 0 and 5
  std::span<const uint8_t> bytes;  // wire 2
};

// Reads one message field by field.
class MessageReader {
 public:
  MessageReader(std::span<const uint8_t> bytes, const char* where) : bytes_(bytes), where_(where) {}

  bool done() const { return position_ == bytes_.size(); }

  [[nodiscard]] ptts_status next(Field* field) {
    uint64_t tag = 0;
    PTTS_TRY(varint("a tag", &tag));
    field->wire = static_cast<uint32_t>(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > (1u << 29) - 1) {
      return fail(PTTS_ERROR_TOKENIZER, "%s: %s: byte %zu: expected a field number, found %llu", kFile,
                  where_, position_, static_cast<unsigned long long>(tag >> 3));
    }
    field->number = static_cast<uint32_t>(tag >> 3);
    field->bytes = {};
    switch (field->wire) {
      case 0: return varint("a number", &field->value);
      case 1: return take(8, field);
      case 5: return take(4, field);
      case 2: {
        uint64_t size = 0;
        PTTS_TRY(varint("a length", &size));
        return take(size, field);
      }
      default:
        return fail(PTTS_ERROR_TOKENIZER, "%s: %s: field %u: expected wire type 0, 1, 2 or 5, found %u",
                    kFile, where_, field->number, field->wire);
    }
  }

  // The field must have this wire type.
  [[nodiscard]] ptts_status want(const Field& field, uint32_t wire) const {
    if (field.wire == wire) return PTTS_OK;
    return fail(PTTS_ERROR_TOKENIZER, "%s: %s: field %u: expected wire type %u, found %u", kFile, where_,
                field.number, wire, field.wire);
  }

  [[nodiscard]] ptts_status flag(const Field& field, bool* value) const {
    PTTS_TRY(want(field, 0));
    *value = field.value != 0;
    return PTTS_OK;
  }

 private:
  ptts_status varint(const char* what, uint64_t* value) {
    *value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
      if (position_ == bytes_.size()) {
        return fail(PTTS_ERROR_TOKENIZER, "%s: %s: byte %zu: expected %s, found the end", kFile, where_,
                    position_, what);
      }
      const uint64_t byte = bytes_[position_++];
      *value |= (byte & 0x7F) << shift;
      if (byte < 0x80) return PTTS_OK;
    }
    return fail(PTTS_ERROR_TOKENIZER, "%s: %s: byte %zu: expected %s of at most ten bytes", kFile, where_,
                position_, what);
  }

  ptts_status take(uint64_t size, Field* field) {
    if (size > bytes_.size() - position_) {
      return fail(PTTS_ERROR_TOKENIZER, "%s: %s: field %u: expected %llu bytes, found %zu", kFile, where_,
                  field->number, static_cast<unsigned long long>(size), bytes_.size() - position_);
    }
    field->bytes = bytes_.subspan(position_, static_cast<size_t>(size));
    position_ += static_cast<size_t>(size);
    return PTTS_OK;
  }

  std::span<const uint8_t> bytes_;
  const char* where_;
  size_t position_ = 0;
};

std::string to_string(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

ptts_status read_piece(std::span<const uint8_t> bytes, size_t i, VocabularyPiece* piece) {
  MessageReader reader(bytes, "pieces");
  Field field;
  while (!reader.done()) {
    PTTS_TRY(reader.next(&field));
    switch (field.number) {
      case 1:
        PTTS_TRY(reader.want(field, 2));
        piece->text = to_string(field.bytes);
        break;
      case 2: {
        PTTS_TRY(reader.want(field, 5));
        uint32_t bits = 0;
        for (size_t k = 4; k-- > 0;) bits = bits << 8 | field.bytes[k];
        piece->score = std::bit_cast<float>(bits);
        break;
      }
      case 3:
        PTTS_TRY(reader.want(field, 0));
        if (field.value < 1 || field.value > 6) {
          return fail(PTTS_ERROR_TOKENIZER, "%s: type of piece %zu: expected 1 to 6, found %llu", kFile, i,
                      static_cast<unsigned long long>(field.value));
        }
        piece->type = static_cast<PieceType>(field.value);
        break;
      default: break;
    }
  }
  return PTTS_OK;
}

ptts_status read_trainer(std::span<const uint8_t> bytes, Vocabulary* out) {
  MessageReader reader(bytes, "trainer_spec");
  Field field;
  while (!reader.done()) {
    PTTS_TRY(reader.next(&field));
    switch (field.number) {
      case 3:
        PTTS_TRY(reader.want(field, 0));
        if (field.value != 1 && field.value != 2) {
          return fail(PTTS_ERROR_TOKENIZER,
                      "%s: trainer_spec.model_type: expected 1 (unigram) or 2 (BPE), found %llu", kFile,
                      static_cast<unsigned long long>(field.value));
        }
        out->bpe = field.value == 2;
        break;
      case 24: {
        bool suffix = false;
        PTTS_TRY(reader.flag(field, &suffix));
        if (suffix) {
          return fail(PTTS_ERROR_TOKENIZER,
                      "%s: trainer_spec.treat_whitespace_as_suffix: expected false, found true", kFile);
        }
        break;
      }
      case 35: PTTS_TRY(reader.flag(field, &out->byte_fallback)); break;
      case 44:
        PTTS_TRY(reader.want(field, 2));
        out->unknown_surface = to_string(field.bytes);
        if (out->unknown_surface.size() > kMaxPieceBytes ||
            find_invalid_utf8(out->unknown_surface) != std::string_view::npos) {
          return fail(PTTS_ERROR_TOKENIZER,
                      "%s: trainer_spec.unk_surface: expected UTF-8 of at most %zu bytes", kFile,
                      kMaxPieceBytes);
        }
        break;
      default: break;
    }
  }
  return PTTS_OK;
}

ptts_status read_normalizer(std::span<const uint8_t> bytes, const char* where, bool is_denormalizer,
                            Vocabulary* out) {
  MessageReader reader(bytes, where);
  Field field;
  bool escape = true;
  while (!reader.done()) {
    PTTS_TRY(reader.next(&field));
    if (field.number == 2) {
      PTTS_TRY(reader.want(field, 2));
      if (!field.bytes.empty()) {
        return fail(PTTS_ERROR_TOKENIZER,
                    "%s: %s.precompiled_charsmap: expected none (the identity normaliser), found %zu bytes",
                    kFile, where, field.bytes.size());
      }
    }
    if (is_denormalizer) continue;
    if (field.number == 3) PTTS_TRY(reader.flag(field, &out->dummy_prefix));
    if (field.number == 4) PTTS_TRY(reader.flag(field, &out->remove_extra_spaces));
    if (field.number == 5) PTTS_TRY(reader.flag(field, &escape));
  }
  if (!escape) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: %s.escape_whitespaces: expected true, found false", kFile, where);
  }
  return PTTS_OK;
}

}  // namespace

ptts_status read_sentencepiece_model(std::span<const uint8_t> file, size_t expected_size, Vocabulary* out) {
  MessageReader reader(file, "file");
  Field field;
  while (!reader.done()) {
    PTTS_TRY(reader.next(&field));
    if (field.number >= 1 && field.number <= 5) PTTS_TRY(reader.want(field, 2));
    switch (field.number) {
      case 1:
        if (out->pieces.size() == expected_size) {
          return fail(PTTS_ERROR_TOKENIZER, "%s: expected %zu pieces (n_bins), found more", kFile,
                      expected_size);
        }
        out->pieces.emplace_back();
        PTTS_TRY(read_piece(field.bytes, out->pieces.size() - 1, &out->pieces.back()));
        break;
      case 2: PTTS_TRY(read_trainer(field.bytes, out)); break;
      case 3: PTTS_TRY(read_normalizer(field.bytes, "normalizer_spec", false, out)); break;
      case 5: PTTS_TRY(read_normalizer(field.bytes, "denormalizer_spec", true, out)); break;
      default: break;
    }
  }
  PTTS_TRY(check_vocabulary(*out, kFile, expected_size));
  for (size_t i = 0; i < out->pieces.size(); ++i) {
    if (out->pieces[i].type == PieceType::kUnknown) out->unknown_id = static_cast<int32_t>(i);
  }
  return PTTS_OK;
}

}  // namespace ptts
