// Encoding and decoding over a checked Vocabulary: the sentencepiece library cuts normalised text into pieces, the
// rules around that (bytes for unknown characters, runs of unknown ones, decoding) are here, one set per file kind.
#include "tokenizer.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "piece_model.h"
#include "unicode.h"
#include "vocabulary.h"

namespace ptts {

namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";    // "▁"
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr size_t kMaxEncodeBytes = size_t{64} << 20;

// A stretch of normalised text, and where each of its bytes comes from (one more entry: the end).
struct Normalized {
  std::string text;
  std::vector<size_t> origin;

  void append(std::string_view bytes, size_t from) {
    text.append(bytes);
    origin.insert(origin.end(), bytes.size(), from);
  }
};

void append_with_spaces(std::string_view piece, std::string* text) {
  for (size_t i = 0; i < piece.size();) {
    const bool mark = piece.substr(i).starts_with(kSpaceMark);
    text->push_back(mark ? ' ' : piece[i]);
    i += mark ? kSpaceMark.size() : 1;
  }
}

}  // namespace

struct Tokenizer::Impl {
  Vocabulary vocabulary;
  std::unique_ptr<PieceModel> model;
  std::array<int32_t, 256> byte_ids{};
  std::vector<bool> hidden;                                 // by id: decodes to nothing
  std::unordered_map<std::string_view, int32_t> id_of;      // JSON only
  std::vector<std::pair<char, std::vector<size_t>>> added;  // added tokens by first byte, longest first

  struct Output {
    std::vector<int32_t>* ids;
    std::vector<uint32_t>* ends;  // may be null

    void push(int32_t id, size_t end) const {
      ids->push_back(id);
      if (ends != nullptr) ends->push_back(static_cast<uint32_t>(end));
    }
  };

  void index();
  const AddedToken* added_at(std::string_view rest) const;
  void push_unknown(const Normalized& normalized, size_t begin, size_t end, const Output& output) const;
  void cut(const Normalized& normalized, const Output& output) const;
  void encode_stretch(std::string_view text, size_t offset, const Output& output) const;
  void encode_json(std::string_view text, const Output& output) const;
  bool encode_model(std::string_view text, const Output& output) const;
  void flush_bytes(std::string* bytes, std::string* text) const;
  void decode_model(std::span<const int32_t> ids, std::string* text) const;
  void decode_json(std::span<const int32_t> ids, std::string* text) const;
};

void Tokenizer::Impl::index() {
  hidden.resize(vocabulary.pieces.size());
  for (size_t i = 0; i < vocabulary.pieces.size(); ++i) {
    const VocabularyPiece& piece = vocabulary.pieces[i];
    const auto id = static_cast<int32_t>(i);
    if (piece.type == PieceType::kByte) byte_ids[static_cast<size_t>(byte_of_piece(piece.text))] = id;
    hidden[i] = piece.type == PieceType::kControl;
    if (vocabulary.json) id_of.emplace(piece.text, id);
  }
  for (size_t i = 0; i < vocabulary.added.size(); ++i) {
    const AddedToken& token = vocabulary.added[i];
    if (token.special) hidden[static_cast<size_t>(token.id)] = true;
    auto group = std::find_if(added.begin(), added.end(), [&](auto& g) { return g.first == token.text[0]; });
    if (group == added.end()) group = added.insert(added.end(), {token.text[0], {}});
    group->second.push_back(i);
  }
  for (auto& [first, group] : added) {
    std::sort(group.begin(), group.end(), [&](size_t a, size_t b) {
      const size_t size_a = vocabulary.added[a].text.size();
      const size_t size_b = vocabulary.added[b].text.size();
      return size_a != size_b ? size_a > size_b : a < b;
    });
  }
}

// The longest added token that `rest` starts with, or null.
const AddedToken* Tokenizer::Impl::added_at(std::string_view rest) const {
  for (const auto& [first, group] : added) {
    if (first != rest[0]) continue;
    for (const size_t i : group) {
      if (rest.starts_with(vocabulary.added[i].text)) return &vocabulary.added[i];
    }
  }
  return nullptr;
}

// Text that no piece covers: its bytes where the model has them, else one unknown id.
void Tokenizer::Impl::push_unknown(const Normalized& normalized, size_t begin, size_t end,
                                   const Output& output) const {
  const std::string_view text = std::string_view(normalized.text).substr(begin, end - begin);
  if (vocabulary.json) {
    // A JSON tokenizer looks a run of unknown characters up as a whole; "<unk>" in a text is found this way.
    if (const auto found = id_of.find(text); found != id_of.end()) {
      return output.push(found->second, normalized.origin[end]);
    }
  }
  if (!vocabulary.byte_fallback) return output.push(vocabulary.unknown_id, normalized.origin[end]);
  char32_t c = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t first = i;
    if (!read_utf8(text, &i, &c)) ++i;
    for (size_t k = first; k < i; ++k) {
      output.push(byte_ids[static_cast<uint8_t>(text[k])], normalized.origin[begin + i]);
    }
  }
}

void Tokenizer::Impl::cut(const Normalized& normalized, const Output& output) const {
  std::vector<PieceModel::Piece> pieces;
  model->cut(normalized.text, &pieces);
  const auto own_unknown = static_cast<int32_t>(vocabulary.pieces.size());  // see write_model_proto
  size_t position = 0;
  size_t unknown_begin = 0;  // the run of unknown characters before `position`, if any
  const auto end_run = [&] {
    if (unknown_begin < position) push_unknown(normalized, unknown_begin, position, output);
  };
  for (const PieceModel::Piece& piece : pieces) {
    const bool unknown = piece.id == vocabulary.unknown_id || piece.id == own_unknown;
    if (!unknown) end_run();
    position += piece.bytes;
    if (!unknown) {
      output.push(piece.id, normalized.origin[position]);
      unknown_begin = position;
    }
  }
  end_run();
}

// JSON: one stretch of text between added tokens.
void Tokenizer::Impl::encode_stretch(std::string_view text, size_t offset, const Output& output) const {
  if (text.empty()) return;
  Normalized normalized;
  normalized.text.reserve(text.size() + text.size() / 2 + kSpaceMark.size());
  normalized.origin.reserve(text.size() + text.size() / 2 + kSpaceMark.size());
  const bool starts_with_space = text[0] == ' ' || text.starts_with(kSpaceMark);
  const bool wanted =
      vocabulary.prefix == Prefix::kAlways || (vocabulary.prefix == Prefix::kFirst && offset == 0);
  if (wanted && (!starts_with_space || vocabulary.prefix_before_space)) normalized.append(kSpaceMark, offset);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') {
      normalized.append(kSpaceMark, offset + i);
    } else {
      normalized.append(text.substr(i, 1), offset + i);
    }
  }
  normalized.origin.push_back(offset + text.size());
  if (!vocabulary.cut_at_spaces) return cut(normalized, output);

  // Each "▁" begins a word of its own.
  const std::string_view all = normalized.text;
  for (size_t begin = 0; begin < all.size();) {
    const size_t next = std::min(all.find(kSpaceMark, begin + 1), all.size());
    Normalized word;
    word.text = all.substr(begin, next - begin);
    word.origin.assign(normalized.origin.begin() + static_cast<ptrdiff_t>(begin),
                       normalized.origin.begin() + static_cast<ptrdiff_t>(next) + 1);
    cut(word, output);
    begin = next;
  }
}

void Tokenizer::Impl::encode_json(std::string_view text, const Output& output) const {
  size_t begin = 0;
  if (!added.empty()) {
    for (size_t i = 0; i < text.size();) {
      const AddedToken* token = added_at(text.substr(i));
      if (token == nullptr) {
        ++i;
        continue;
      }
      encode_stretch(text.substr(begin, i - begin), begin, output);
      i += token->text.size();
      output.push(token->id, i);
      begin = i;
    }
  }
  encode_stretch(text.substr(begin), begin, output);
}

bool Tokenizer::Impl::encode_model(std::string_view text, const Output& output) const {
  Normalized normalized;
  if (!model->normalize(text, &normalized.text, &normalized.origin)) return false;
  if (!normalized.text.empty()) cut(normalized, output);
  return true;
}

// A run of byte pieces becomes text.
void Tokenizer::Impl::flush_bytes(std::string* bytes, std::string* text) const {
  char32_t c = 0;
  const bool whole = find_invalid_utf8(*bytes) == std::string_view::npos;
  for (size_t i = 0; i < bytes->size();) {
    const size_t begin = i;
    // SentencePiece keeps the characters that are whole; a JSON tokenizer replaces every byte of a run with a bad one.
    if ((whole || !vocabulary.json) && read_utf8(*bytes, &i, &c)) {
      text->append(*bytes, begin, i - begin);
    } else {
      text->append(kReplacement);
      i = begin + 1;
    }
  }
  bytes->clear();
}

void Tokenizer::Impl::decode_model(std::span<const int32_t> ids, std::string* text) const {
  std::string bytes;
  bool at_start = true;  // the space of the dummy prefix is still to come
  const bool strips = vocabulary.dummy_prefix || vocabulary.remove_extra_spaces;
  for (const int32_t id : ids) {
    const VocabularyPiece& piece = vocabulary.pieces[static_cast<size_t>(id)];
    if (piece.type == PieceType::kByte) {
      bytes.push_back(static_cast<char>(byte_of_piece(piece.text)));
      continue;
    }
    flush_bytes(&bytes, text);
    if (!text->empty()) at_start = false;
    if (piece.type == PieceType::kControl) continue;
    if (piece.type == PieceType::kUnknown) {
      text->append(vocabulary.unknown_surface);
      continue;
    }
    std::string_view shown = piece.text;
    if (at_start && strips && shown.starts_with(kSpaceMark)) {
      shown.remove_prefix(kSpaceMark.size());
      at_start = vocabulary.remove_extra_spaces;
    }
    append_with_spaces(shown, text);
  }
  flush_bytes(&bytes, text);
}

void Tokenizer::Impl::decode_json(std::span<const int32_t> ids, std::string* text) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (hidden[static_cast<size_t>(id)]) continue;
    const std::string_view piece = vocabulary.pieces[static_cast<size_t>(id)].text;
    if (const int byte = byte_of_piece(piece); byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
      continue;
    }
    flush_bytes(&bytes, text);
    append_with_spaces(piece, text);
  }
  flush_bytes(&bytes, text);
  if (text->starts_with(' ')) text->erase(0, 1);
}

// ---- the class ---------------------------------------------------------------------------------------------------

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

ptts_status Tokenizer::load(uint32_t kind, std::span<const uint8_t> file, size_t expected_size,
                            std::unique_ptr<Tokenizer>* out) {
  if (kind != PTTS_TOKENIZER_SENTENCEPIECE && kind != PTTS_TOKENIZER_JSON) {
    return fail(PTTS_ERROR_ARGUMENT, "tokenizer kind: expected %d or %d, found %u",
                PTTS_TOKENIZER_SENTENCEPIECE, PTTS_TOKENIZER_JSON, kind);
  }
  if (file.size() > kMaxTokenizerBytes) {
    return fail(PTTS_ERROR_TOKENIZER, "tokenizer: expected at most %zu bytes, found %zu", kMaxTokenizerBytes,
                file.size());
  }
  if (expected_size == 0 || expected_size > kMaxPieces) {
    return fail(PTTS_ERROR_TOKENIZER, "tokenizer: expected 1 to %zu pieces (n_bins), asked for %zu",
                kMaxPieces, expected_size);
  }
  auto impl = std::make_unique<Impl>();
  PTTS_TRY(kind == PTTS_TOKENIZER_JSON ? read_tokenizer_json(file, expected_size, &impl->vocabulary)
                                       : read_sentencepiece_model(file, expected_size, &impl->vocabulary));
  std::vector<double> scores;
  if (impl->vocabulary.json) {
    for (const VocabularyPiece& piece : impl->vocabulary.pieces) scores.push_back(piece.score);
  }
  std::string error;
  impl->model = PieceModel::create(write_model_proto(impl->vocabulary), std::move(scores), &error);
  if (impl->model == nullptr) {
    return fail(PTTS_ERROR_TOKENIZER, "tokenizer: the sentencepiece library refuses the vocabulary: %s",
                error.c_str());
  }
  impl->index();
  out->reset(new Tokenizer(std::move(impl)));
  return PTTS_OK;
}

ptts_status Tokenizer::encode(std::string_view utf8, std::vector<int32_t>* ids) const {
  return encode(utf8, ids, nullptr);
}

ptts_status Tokenizer::encode(std::string_view utf8, std::vector<int32_t>* ids,
                              std::vector<uint32_t>* ends) const {
  ids->clear();
  if (ends != nullptr) ends->clear();
  if (utf8.size() > kMaxEncodeBytes) {
    return fail(PTTS_ERROR_TEXT_TOO_LONG, "text to tokenize: expected at most %zu bytes, found %zu",
                kMaxEncodeBytes, utf8.size());
  }
  if (const size_t bad = find_invalid_utf8(utf8); bad != std::string_view::npos) {
    return fail(PTTS_ERROR_TEXT_ENCODING, "text to tokenize: expected UTF-8, byte %zu is not", bad);
  }
  const Impl::Output output{ids, ends};
  if (impl_->vocabulary.json) {
    impl_->encode_json(utf8, output);
  } else if (!impl_->encode_model(utf8, output)) {
    return fail(PTTS_ERROR_TOKENIZER, "tokenizer: the text could not be normalised");
  }
  return PTTS_OK;
}

ptts_status Tokenizer::decode(std::span<const int32_t> ids, std::string* text) const {
  text->clear();
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || static_cast<size_t>(ids[i]) >= size()) {
      return fail(PTTS_ERROR_ARGUMENT, "token %zu: expected an id of 0 to %zu, found %d", i, size() - 1,
                  ids[i]);
    }
  }
  if (impl_->vocabulary.json) {
    impl_->decode_json(ids, text);
  } else {
    impl_->decode_model(ids, text);
  }
  return PTTS_OK;
}

size_t Tokenizer::size() const { return impl_->vocabulary.pieces.size(); }

}  // namespace ptts
