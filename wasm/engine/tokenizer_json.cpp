// `tokenizer.json` (Hugging Face tokenizers): a unigram vocabulary behind one of the two layouts that conversions from
// SentencePiece have, both turned into the same Vocabulary.
//
//   metaspace    pre_tokenizer Metaspace: spaces become "▁", one is put in front unless the text starts with one
//   normalizer   normalizer Sequence [Prepend "▁", Replace " " -> "▁"]: one is always put in front
//
// How such a tokenizer differs from the .model it came from (Vocabulary's JSON flags):
//   - every entry of the vocabulary is matched in the text: "<s>" is the control id there, "<0x41>" a byte;
//   - with Metaspace a text that starts with a space gets no second "▁";
//   - bytes that are not UTF-8 decode to one U+FFFD each, for the whole run of bytes they stand in;
//   - entries of added_tokens are found in the raw text first, and special ones decode to nothing.
//
// Anything else in the pipeline (another model type, merges, truncation, templates ...) is refused by name.
#include <yyjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "unicode.h"
#include "vocabulary.h"

namespace ptts {

namespace {

constexpr const char* kFile = "tokenizer.json";
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // "▁"

struct FreeDocument {
  void operator()(yyjson_doc* document) const { yyjson_doc_free(document); }
};

std::string_view text_of(yyjson_val* value) {
  if (!yyjson_is_str(value)) return {};
  return {yyjson_get_str(value), yyjson_get_len(value)};
}

std::string_view type_of(yyjson_val* object) { return text_of(yyjson_obj_get(object, "type")); }

bool is_absent(yyjson_val* value) { return value == nullptr || yyjson_is_null(value); }

ptts_status refuse(const char* field, const char* expected, yyjson_val* found) {
  const std::string_view type = type_of(found);
  const std::string_view text = yyjson_is_str(found) ? text_of(found) : type;
  const char* what = found == nullptr ? "nothing" : yyjson_get_type_desc(found);
  return fail(PTTS_ERROR_TOKENIZER, "%s: %s: expected %s, found %s%s%.*s%s", kFile, field, expected, what,
              text.empty() ? "" : " \"", static_cast<int>(std::min<size_t>(text.size(), 64)), text.data(),
              text.empty() ? "" : "\"");
}

// Every key of an object is one of `known`.
template <size_t kCount>
ptts_status check_keys(yyjson_val* object, const char* where,
                       const std::array<std::string_view, kCount>& known) {
  size_t i = 0;
  size_t count = 0;
  yyjson_val* key = nullptr;
  yyjson_val* value = nullptr;
  yyjson_obj_foreach(object, i, count, key, value) {
    const std::string_view name = text_of(key);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return fail(PTTS_ERROR_TOKENIZER, "%s: %s%.*s: expected no such field", kFile, where,
                  static_cast<int>(std::min<size_t>(name.size(), 64)), name.data());
    }
  }
  return PTTS_OK;
}

ptts_status read_flag(yyjson_val* object, const char* key, const char* field, bool fallback, bool* value) {
  yyjson_val* found = yyjson_obj_get(object, key);
  *value = fallback;
  if (found == nullptr) return PTTS_OK;
  if (!yyjson_is_bool(found)) return refuse(field, "true or false", found);
  *value = yyjson_get_bool(found);
  return PTTS_OK;
}

// A Replace step of a pipeline: {"type": "Replace", "pattern": {"String": from}, "content": to}.
bool is_replace(yyjson_val* step, std::string_view from, std::string_view to) {
  return type_of(step) == "Replace" &&
         text_of(yyjson_obj_get(yyjson_obj_get(step, "pattern"), "String")) == from &&
         text_of(yyjson_obj_get(step, "content")) == to;
}

// ---- the parts of the file ---------------------------------------------------------------------------------------

ptts_status read_normalizer(yyjson_val* normalizer, bool* has_normalizer) {
  *has_normalizer = !is_absent(normalizer);
  if (!*has_normalizer) return PTTS_OK;
  yyjson_val* steps = yyjson_obj_get(normalizer, "normalizers");
  if (type_of(normalizer) != "Sequence" || !yyjson_is_arr(steps) || yyjson_arr_size(steps) != 2) {
    return refuse("normalizer", "null or a Sequence of Prepend and Replace", normalizer);
  }
  yyjson_val* prepend = yyjson_arr_get(steps, 0);
  if (type_of(prepend) != "Prepend" || text_of(yyjson_obj_get(prepend, "prepend")) != kSpaceMark) {
    return refuse("normalizer.normalizers[0]", "Prepend of \"\xE2\x96\x81\"", prepend);
  }
  if (!is_replace(yyjson_arr_get(steps, 1), " ", kSpaceMark)) {
    return refuse("normalizer.normalizers[1]", "Replace of \" \" by \"\xE2\x96\x81\"",
                  yyjson_arr_get(steps, 1));
  }
  return PTTS_OK;
}

ptts_status read_pre_tokenizer(yyjson_val* pre, bool has_normalizer, Vocabulary* out) {
  if (has_normalizer) {
    if (!is_absent(pre)) return refuse("pre_tokenizer", "null beside a normalizer", pre);
    out->prefix = Prefix::kAlways;
    out->prefix_before_space = true;
    return PTTS_OK;
  }
  if (type_of(pre) != "Metaspace") return refuse("pre_tokenizer", "Metaspace", pre);
  if (text_of(yyjson_obj_get(pre, "replacement")) != kSpaceMark) {
    return refuse("pre_tokenizer.replacement", "\"\xE2\x96\x81\"", yyjson_obj_get(pre, "replacement"));
  }
  bool add_prefix_space = true;  // how older files say it
  PTTS_TRY(read_flag(pre, "add_prefix_space", "pre_tokenizer.add_prefix_space", true, &add_prefix_space));
  yyjson_val* scheme = yyjson_obj_get(pre, "prepend_scheme");
  const std::string_view name = text_of(scheme);
  if (scheme == nullptr) {
    out->prefix = add_prefix_space ? Prefix::kAlways : Prefix::kNever;
  } else if (name == "always") {
    out->prefix = Prefix::kAlways;
  } else if (name == "first") {
    out->prefix = Prefix::kFirst;
  } else if (name == "never") {
    out->prefix = Prefix::kNever;
  } else {
    return refuse("pre_tokenizer.prepend_scheme", "\"always\", \"first\" or \"never\"", scheme);
  }
  return read_flag(pre, "split", "pre_tokenizer.split", true, &out->cut_at_spaces);
}

ptts_status check_decoder(yyjson_val* decoder) {
  constexpr const char* kExpected =
      "a Sequence of Replace \"\xE2\x96\x81\" by \" \", ByteFallback, Fuse and Strip of one leading \" \"";
  yyjson_val* steps = yyjson_obj_get(decoder, "decoders");
  if (type_of(decoder) != "Sequence" || !yyjson_is_arr(steps) || yyjson_arr_size(steps) != 4) {
    return refuse("decoder", kExpected, decoder);
  }
  if (!is_replace(yyjson_arr_get(steps, 0), kSpaceMark, " ")) {
    return refuse("decoder.decoders[0]", "Replace of \"\xE2\x96\x81\" by \" \"", yyjson_arr_get(steps, 0));
  }
  if (type_of(yyjson_arr_get(steps, 1)) != "ByteFallback") {
    return refuse("decoder.decoders[1]", "ByteFallback", yyjson_arr_get(steps, 1));
  }
  if (type_of(yyjson_arr_get(steps, 2)) != "Fuse") {
    return refuse("decoder.decoders[2]", "Fuse", yyjson_arr_get(steps, 2));
  }
  yyjson_val* strip = yyjson_arr_get(steps, 3);
  if (type_of(strip) != "Strip" || text_of(yyjson_obj_get(strip, "content")) != " " ||
      yyjson_get_num(yyjson_obj_get(strip, "start")) != 1 || !yyjson_is_num(yyjson_obj_get(strip, "stop")) ||
      yyjson_get_num(yyjson_obj_get(strip, "stop")) != 0) {
    return refuse("decoder.decoders[3]", "Strip of one leading \" \"", strip);
  }
  return PTTS_OK;
}

ptts_status read_piece(yyjson_val* entry, size_t i, VocabularyPiece* piece) {
  yyjson_val* text = yyjson_arr_get(entry, 0);
  yyjson_val* score = yyjson_arr_get(entry, 1);
  if (!yyjson_is_arr(entry) || yyjson_arr_size(entry) != 2 || !yyjson_is_str(text) || !yyjson_is_num(score)) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: model.vocab[%zu]: expected [text, number]", kFile, i);
  }
  piece->text = text_of(text);
  const double value = yyjson_get_num(score);
  if (!(std::abs(value) <= 1e30)) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: model.vocab[%zu]: expected a score within 1e30, found %g", kFile,
                i, value);
  }
  piece->score = value;
  if (byte_of_piece(piece->text) >= 0) piece->type = PieceType::kByte;
  return PTTS_OK;
}

ptts_status read_unigram(yyjson_val* model, size_t expected_size, Vocabulary* out) {
  if (!yyjson_is_obj(model)) return refuse("model", "an object", model);
  if (type_of(model) != "Unigram") return refuse("model.type", "\"Unigram\"", yyjson_obj_get(model, "type"));
  PTTS_TRY(check_keys(model, "model.",
                      std::to_array<std::string_view>({"type", "unk_id", "vocab", "byte_fallback"})));
  PTTS_TRY(read_flag(model, "byte_fallback", "model.byte_fallback", false, &out->byte_fallback));
  yyjson_val* vocab = yyjson_obj_get(model, "vocab");
  if (!yyjson_is_arr(vocab)) return refuse("model.vocab", "a list", vocab);
  if (yyjson_arr_size(vocab) != expected_size) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: model.vocab: expected %zu pieces (n_bins), found %zu", kFile,
                expected_size, yyjson_arr_size(vocab));
  }
  size_t i = 0;
  size_t count = 0;
  yyjson_val* entry = nullptr;
  out->pieces.resize(expected_size);
  yyjson_arr_foreach(vocab, i, count, entry) PTTS_TRY(read_piece(entry, i, &out->pieces[i]));

  yyjson_val* unknown = yyjson_obj_get(model, "unk_id");
  if (!yyjson_is_uint(unknown) || yyjson_get_uint(unknown) >= expected_size) {
    return refuse("model.unk_id", "an index into model.vocab", unknown);
  }
  out->unknown_id = static_cast<int32_t>(yyjson_get_uint(unknown));
  out->pieces[static_cast<size_t>(out->unknown_id)].type = PieceType::kUnknown;
  if (!out->byte_fallback) {  // then "<0x41>" is a piece like any other
    for (VocabularyPiece& piece : out->pieces) {
      if (piece.type == PieceType::kByte) piece.type = PieceType::kNormal;
    }
  }
  return PTTS_OK;
}

ptts_status read_added_token(yyjson_val* entry, size_t i, bool has_normalizer, Vocabulary* out) {
  AddedToken token;
  token.text = text_of(yyjson_obj_get(entry, "content"));
  yyjson_val* id = yyjson_obj_get(entry, "id");
  if (!yyjson_is_uint(id) || yyjson_get_uint(id) >= out->pieces.size() ||
      out->pieces[static_cast<size_t>(yyjson_get_uint(id))].text != token.text) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: added_tokens[%zu]: expected an entry of model.vocab and its id",
                kFile, i);
  }
  token.id = static_cast<int32_t>(yyjson_get_uint(id));
  bool single_word = false;
  bool strip_left = false;
  bool strip_right = false;
  bool normalized = false;
  PTTS_TRY(read_flag(entry, "single_word", "added_tokens[].single_word", false, &single_word));
  PTTS_TRY(read_flag(entry, "lstrip", "added_tokens[].lstrip", false, &strip_left));
  PTTS_TRY(read_flag(entry, "rstrip", "added_tokens[].rstrip", false, &strip_right));
  PTTS_TRY(read_flag(entry, "normalized", "added_tokens[].normalized", false, &normalized));
  PTTS_TRY(read_flag(entry, "special", "added_tokens[].special", false, &token.special));
  if (single_word || strip_left || strip_right || (normalized && has_normalizer)) {
    return fail(PTTS_ERROR_TOKENIZER,
                "%s: added_tokens[%zu]: expected single_word, lstrip, rstrip (and beside a normalizer, "
                "normalized) to "
                "be false",
                kFile, i);
  }
  out->added.push_back(std::move(token));
  return PTTS_OK;
}

ptts_status read_document(yyjson_val* root, size_t expected_size, Vocabulary* out) {
  if (!yyjson_is_obj(root)) return refuse("file", "an object", root);
  PTTS_TRY(check_keys(
      root, "",
      std::to_array<std::string_view>({"version", "truncation", "padding", "added_tokens", "normalizer",
                                       "pre_tokenizer", "post_processor", "decoder", "model"})));
  if (text_of(yyjson_obj_get(root, "version")) != "1.0") {
    return refuse("version", "\"1.0\"", yyjson_obj_get(root, "version"));
  }
  for (const char* key : {"truncation", "padding", "post_processor"}) {
    if (!is_absent(yyjson_obj_get(root, key))) return refuse(key, "null", yyjson_obj_get(root, key));
  }
  bool has_normalizer = false;
  PTTS_TRY(read_normalizer(yyjson_obj_get(root, "normalizer"), &has_normalizer));
  PTTS_TRY(read_pre_tokenizer(yyjson_obj_get(root, "pre_tokenizer"), has_normalizer, out));
  PTTS_TRY(check_decoder(yyjson_obj_get(root, "decoder")));
  PTTS_TRY(read_unigram(yyjson_obj_get(root, "model"), expected_size, out));

  yyjson_val* added = yyjson_obj_get(root, "added_tokens");
  if (is_absent(added)) return PTTS_OK;
  if (!yyjson_is_arr(added)) return refuse("added_tokens", "a list", added);
  if (yyjson_arr_size(added) > expected_size) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: added_tokens: expected at most %zu entries, found %zu", kFile,
                expected_size, yyjson_arr_size(added));
  }
  size_t i = 0;
  size_t count = 0;
  yyjson_val* entry = nullptr;
  yyjson_arr_foreach(added, i, count, entry) PTTS_TRY(read_added_token(entry, i, has_normalizer, out));
  return PTTS_OK;
}

}  // namespace

ptts_status read_tokenizer_json(std::span<const uint8_t> file, size_t expected_size, Vocabulary* out) {
  if (file.empty()) return fail(PTTS_ERROR_TOKENIZER, "%s: expected JSON, found an empty file", kFile);
  yyjson_read_err error{};
  // Without YYJSON_READ_INSITU the library copies the bytes: it never writes to them.
  const std::unique_ptr<yyjson_doc, FreeDocument> document(
      yyjson_read_opts(reinterpret_cast<char*>(const_cast<uint8_t*>(file.data())), file.size(),
                       YYJSON_READ_NOFLAG, nullptr, &error));
  if (document == nullptr) {
    return fail(PTTS_ERROR_TOKENIZER, "%s: expected JSON, found %s at byte %zu", kFile, error.msg, error.pos);
  }
  out->json = true;
  PTTS_TRY(read_document(yyjson_doc_get_root(document.get()), expected_size, out));
  return check_vocabulary(*out, kFile, expected_size);
}

}  // namespace ptts
