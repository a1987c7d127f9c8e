// Tokenizer files that are wrong: every one is answered with a status and a message that names the field; none crashes
// (the sanitizer build runs these too).
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "golden.h"
#include "text_helpers.h"
#include "tokenizer.h"

namespace ptts {
namespace {

using Bytes = std::vector<uint8_t>;

ptts_status load_bytes(uint32_t kind, const Bytes& file, size_t pieces, std::unique_ptr<Tokenizer>* out) {
  return Tokenizer::load(kind, file, pieces, out);
}

// A tokenizer that did load must also work.
void use(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  std::string text;
  ASSERT_EQ(tokenizer.encode("Hello, w\xC3\xB6rld! \xF0\x9F\x98\x80 1.5", &ids), PTTS_OK);
  ASSERT_EQ(tokenizer.decode(ids, &text), PTTS_OK);
}

void expect_refused(uint32_t kind, const std::string& file, size_t pieces, const std::string& message) {
  std::unique_ptr<Tokenizer> tokenizer;
  const Bytes bytes(file.begin(), file.end());
  EXPECT_EQ(Tokenizer::load(kind, bytes, pieces, &tokenizer), PTTS_ERROR_TOKENIZER) << message;
  EXPECT_EQ(tokenizer, nullptr);
  EXPECT_EQ(std::string(last_message()), message);
}

// ---- damaged files -----------------------------------------------------------------------------------------------

TEST(HostileTokenizer, TruncatedModelsAreRefused) {
  const Bytes file = golden::read_file("text/small.model");
  for (size_t size = 0; size < file.size(); ++size) {
    std::unique_ptr<Tokenizer> tokenizer;
    const Bytes part(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
    const ptts_status status = load_bytes(PTTS_TOKENIZER_SENTENCEPIECE, part, 400, &tokenizer);
    // The pieces come first: a cut after the last one leaves a model with other rules, or none.
    if (status == PTTS_OK) use(*tokenizer);
    if (size < 5000) EXPECT_EQ(status, PTTS_ERROR_TOKENIZER) << size;
  }
}

TEST(HostileTokenizer, FlippedBitsInModelsDoNoHarm) {
  for (const auto& [name, pieces] : {std::pair{"text/small.model", 400}, {"tokenizers/german.model", 4000}}) {
    const Bytes file = golden::read_file(name);
    std::mt19937 random(3);
    size_t loaded = 0;
    for (int round = 0; round < (pieces == 400 ? 3000 : 300); ++round) {
      Bytes damaged = file;
      const size_t flips = 1 + random() % 8;
      for (size_t i = 0; i < flips; ++i)
        damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1u << random() % 8);
      std::unique_ptr<Tokenizer> tokenizer;
      if (load_bytes(PTTS_TOKENIZER_SENTENCEPIECE, damaged, static_cast<size_t>(pieces), &tokenizer) !=
          PTTS_OK) {
        EXPECT_STRNE(last_message(), "");
        continue;
      }
      ++loaded;
      use(*tokenizer);
    }
    EXPECT_GT(loaded, 0u);  // letters and scores may change: still a tokenizer
  }
}

TEST(HostileTokenizer, RandomBytesAreRefused) {
  std::mt19937 random(4);
  for (int round = 0; round < 2000; ++round) {
    Bytes file(random() % 200);
    for (uint8_t& byte : file) byte = static_cast<uint8_t>(random());
    std::unique_ptr<Tokenizer> tokenizer;
    EXPECT_EQ(load_bytes(PTTS_TOKENIZER_SENTENCEPIECE, file, 400, &tokenizer), PTTS_ERROR_TOKENIZER);
    EXPECT_EQ(load_bytes(PTTS_TOKENIZER_JSON, file, 400, &tokenizer), PTTS_ERROR_TOKENIZER);
  }
}

TEST(HostileTokenizer, TruncatedAndFlippedJsonDoesNoHarm) {
  const Bytes file = golden::read_file("text/small.tokenizer.json");
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    Bytes damaged = file;
    if (round % 2 == 0) {
      damaged.resize(random() % damaged.size());
    } else {
      for (size_t i = 0; i < 1 + random() % 4; ++i) {
        damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1u << random() % 8);
      }
    }
    std::unique_ptr<Tokenizer> tokenizer;
    const ptts_status status = load_bytes(PTTS_TOKENIZER_JSON, damaged, 400, &tokenizer);
    EXPECT_TRUE(status == PTTS_ERROR_TOKENIZER || (status == PTTS_OK && round % 2 == 1)) << status;
    if (status == PTTS_OK) use(*tokenizer);
  }
}

// ---- models written by hand --------------------------------------------------------------------------------------

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(0x80 | (value & 0x7F)));
  out.push_back(static_cast<char>(value));
  return out;
}
std::string number(uint32_t field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes_field(uint32_t field, const std::string& value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}
std::string real(uint32_t field, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  std::string out = varint(field << 3 | 5);
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(bits >> shift));
  return out;
}
std::string piece(const std::string& text, float score = -1, int type = 1) {
  return bytes_field(1, bytes_field(1, text) + real(2, score) + number(3, static_cast<uint64_t>(type)));
}
const std::string kUnknown = piece("<unk>", 0, 2);
const std::string kRules = bytes_field(3, number(4, 0));  // spaces are kept

void expect_model_refused(const std::string& model, size_t pieces, const std::string& message) {
  expect_refused(PTTS_TOKENIZER_SENTENCEPIECE, model, pieces, "tokenizer.model: " + message);
}

TEST(HostileTokenizer, ASmallModelWrittenByHandWorks) {
  const std::string model = kUnknown + piece("\xE2\x96\x81") + piece("a") + piece("b") + kRules;
  std::unique_ptr<Tokenizer> tokenizer;
  ASSERT_EQ(Tokenizer::load(PTTS_TOKENIZER_SENTENCEPIECE, Bytes(model.begin(), model.end()), 4, &tokenizer),
            PTTS_OK)
      << last_message();
  std::vector<int32_t> ids;
  std::vector<uint32_t> ends;
  ASSERT_EQ(tokenizer->encode("ab xyz", &ids, &ends), PTTS_OK);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 3, 1, 0}));  // unknown characters are one id
  EXPECT_EQ(ends, (std::vector<uint32_t>{0, 1, 2, 3, 6}));
  std::string text;
  ASSERT_EQ(tokenizer->decode(ids, &text), PTTS_OK);
  EXPECT_EQ(text, "ab  \xE2\x81\x87 ");
}

TEST(HostileTokenizer, TheMessageNamesTheField) {
  const std::string space = piece("\xE2\x96\x81");
  expect_model_refused("", 3, "expected 3 pieces (n_bins), found 0");
  expect_model_refused(kUnknown + space, 3, "expected 3 pieces (n_bins), found 2");
  expect_model_refused(kUnknown + space, 1, "expected 1 pieces (n_bins), found more");
  expect_model_refused(space + piece("a"), 2, "expected one piece of type UNKNOWN, found 0");
  expect_model_refused(kUnknown + piece("<u>", 0, 2), 2, "expected one piece of type UNKNOWN, found 2");
  expect_model_refused(kUnknown + piece("<s>", 0, 3), 2,
                       "expected at least one piece of type NORMAL, found none");
  expect_model_refused(kUnknown + space + space, 3,
                       "expected every piece once, found \"\xE2\x96\x81\" twice");
  expect_model_refused(kUnknown + piece(""), 2, "piece 1: expected text, found none");
  expect_model_refused(kUnknown + piece(std::string("a\0b", 3)), 2,
                       "piece 1: expected text, found a NUL character in it");
  expect_model_refused(kUnknown + piece("ab\xC3"), 2, "piece 1: expected UTF-8, byte 2 is not");
  expect_model_refused(kUnknown + piece(std::string(513, 'x')), 2,
                       "piece 1: expected at most 512 bytes, found 513");
  expect_model_refused(kUnknown + piece("a", std::nanf("")), 2,
                       "score of piece 1 \"a\": expected a finite number");
  expect_model_refused(kUnknown + piece("a", -INFINITY), 2,
                       "score of piece 1 \"a\": expected a finite number");
  expect_model_refused(kUnknown + piece("a", 0, 9), 2, "type of piece 1: expected 1 to 6, found 9");
  expect_model_refused(kUnknown + piece("a", 0, 0), 2, "type of piece 1: expected 1 to 6, found 0");
  expect_model_refused(kUnknown + space + piece("<0x41>", 0, 6), 3,
                       "byte_fallback is off: expected no pieces of type BYTE, found 1");
  expect_model_refused(kUnknown + space + piece("<0x41>", 0, 6) + bytes_field(2, number(35, 1)), 3,
                       "byte_fallback is on: expected 256 pieces of type BYTE, found 1");
  expect_model_refused(kUnknown + space + piece("<0x4g>", 0, 6), 3,
                       "piece 2 of type BYTE: expected \"<0x00>\" to \"<0xFF>\", found \"<0x4g>\"");
  expect_model_refused(kUnknown + space + bytes_field(2, number(3, 3)), 2,
                       "trainer_spec.model_type: expected 1 (unigram) or 2 (BPE), found 3");
  expect_model_refused(kUnknown + space + bytes_field(2, number(24, 1)), 2,
                       "trainer_spec.treat_whitespace_as_suffix: expected false, found true");
  expect_model_refused(
      kUnknown + space + bytes_field(3, bytes_field(2, "charsmap")), 2,
      "normalizer_spec.precompiled_charsmap: expected none (the identity normaliser), found 8 bytes");
  expect_model_refused(
      kUnknown + space + bytes_field(5, bytes_field(2, "charsmap")), 2,
      "denormalizer_spec.precompiled_charsmap: expected none (the identity normaliser), found 8 bytes");
  expect_model_refused(kUnknown + space + bytes_field(3, number(5, 0)), 2,
                       "normalizer_spec.escape_whitespaces: expected true, found false");
  expect_model_refused(bytes_field(1, number(1, 7)), 1, "pieces: field 1: expected wire type 2, found 0");
  expect_model_refused(varint(1 << 3 | 3), 1, "file: field 1: expected wire type 0, 1, 2 or 5, found 3");
  expect_model_refused(varint(1 << 3 | 2) + varint(100) + "short", 1,
                       "file: field 1: expected 100 bytes, found 5");
  expect_model_refused(std::string(11, '\xFF'), 1, "file: byte 10: expected a tag of at most ten bytes");
}

// The library's matcher keeps at most 64 user-defined pieces that begin with each other on its stack.
TEST(HostileTokenizer, DeeplyNestedUserPiecesAreRefused) {
  std::string model = kUnknown;
  for (size_t length = 1; length <= 65; ++length) model += piece(std::string(length, 'a'), 0, 4);
  std::unique_ptr<Tokenizer> tokenizer;
  EXPECT_EQ(Tokenizer::load(PTTS_TOKENIZER_SENTENCEPIECE, Bytes(model.begin(), model.end()), 66, &tokenizer),
            PTTS_ERROR_TOKENIZER);
  EXPECT_EQ(std::string(last_message()).find("tokenizer.model: expected at most 64 user-defined pieces"), 0u);
}

TEST(HostileTokenizer, TheLongestPiecesAndWorstScoresWork) {
  std::string model = kUnknown + piece("\xE2\x96\x81") + kRules;
  for (size_t length = 1; length <= 512; ++length) {
    model += piece(std::string(length, 'a'), length % 2 == 0 ? -3e38f : 3e38f);
  }
  std::unique_ptr<Tokenizer> tokenizer;
  ASSERT_EQ(Tokenizer::load(PTTS_TOKENIZER_SENTENCEPIECE, Bytes(model.begin(), model.end()), 514, &tokenizer),
            PTTS_OK)
      << last_message();
  std::vector<int32_t> ids;
  std::string text;
  ASSERT_EQ(tokenizer->encode(std::string(5000, 'a') + " b", &ids), PTTS_OK);
  ASSERT_EQ(tokenizer->decode(ids, &text), PTTS_OK);
  EXPECT_EQ(text, std::string(5000, 'a') + "  \xE2\x81\x87 ");
}

// ---- JSON --------------------------------------------------------------------------------------------------------

constexpr const char* kDecoder = R"("decoder":{"type":"Sequence","decoders":[
  {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},
  {"type":"Strip","content":" ","start":1,"stop":0}]})";
constexpr const char* kModel =
    R"("model":{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0],["▁",-1],["a",-2.5]]})";
constexpr const char* kMetaspace =
    R"("pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false})";

std::string json(const std::string& pre, const std::string& decoder, const std::string& model,
                 const std::string& more = "") {
  return R"({"version":"1.0",)" + pre + "," + decoder + "," + model + more + "}";
}

void expect_json_refused(const std::string& file, const std::string& message) {
  expect_refused(PTTS_TOKENIZER_JSON, file, 3, "tokenizer.json: " + message);
}

TEST(HostileTokenizer, ASmallJsonWrittenByHandWorks) {
  const std::string file = json(kMetaspace, kDecoder, kModel);
  std::unique_ptr<Tokenizer> tokenizer;
  ASSERT_EQ(Tokenizer::load(PTTS_TOKENIZER_JSON, Bytes(file.begin(), file.end()), 3, &tokenizer), PTTS_OK)
      << last_message();
  std::vector<int32_t> ids;
  ASSERT_EQ(tokenizer->encode("a xyz", &ids), PTTS_OK);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 1, 0}));
}

TEST(HostileTokenizer, TheMessageNamesTheFieldOfJson) {
  expect_json_refused("", "expected JSON, found an empty file");
  expect_json_refused("[]", "file: expected an object, found array");
  expect_json_refused(R"({"version":"2.0"})", R"(version: expected "1.0", found string "2.0")");
  expect_json_refused(R"({"version":"1.0","extra":1})", "extra: expected no such field");
  expect_json_refused(json(kMetaspace, kDecoder, kModel, R"(,"truncation":{"max_length":5})"),
                      "truncation: expected null, found object");
  expect_json_refused(
      json(kMetaspace, kDecoder, kModel, R"(,"post_processor":{"type":"TemplateProcessing"})"),
      R"(post_processor: expected null, found object "TemplateProcessing")");
  expect_json_refused(
      json(kMetaspace, kDecoder, kModel, R"(,"normalizer":{"type":"NFKC"})"),
      R"(normalizer: expected null or a Sequence of Prepend and Replace, found object "NFKC")");
  expect_json_refused(json(R"("pre_tokenizer":{"type":"ByteLevel"})", kDecoder, kModel),
                      R"(pre_tokenizer: expected Metaspace, found object "ByteLevel")");
  expect_json_refused(
      json(kMetaspace, R"("decoder":{"type":"Metaspace"})", kModel),
      "decoder: expected a Sequence of Replace \"▁\" by \" \", ByteFallback, Fuse and Strip of one "
      "leading \" \", found object \"Metaspace\"");
  expect_json_refused(json(kMetaspace, kDecoder, R"("model":{"type":"BPE","vocab":{},"merges":[]})"),
                      R"(model.type: expected "Unigram", found string "BPE")");
  expect_json_refused(
      json(kMetaspace, kDecoder, R"("model":{"type":"Unigram","unk_id":0,"vocab":[["a",0]]})"),
      "model.vocab: expected 3 pieces (n_bins), found 1");
  expect_json_refused(json(kMetaspace, kDecoder,
                           R"("model":{"type":"Unigram","unk_id":3,"vocab":[["a",0],["b",0],["c",0]]})"),
                      "model.unk_id: expected an index into model.vocab, found uint");
  expect_json_refused(json(kMetaspace, kDecoder,
                           R"("model":{"type":"Unigram","unk_id":0,"vocab":[["a",0],["b",0],["b",0]]})"),
                      "expected every piece once, found \"b\" twice");
  expect_json_refused(
      json(kMetaspace, kDecoder, R"("model":{"type":"Unigram","unk_id":0,"vocab":[["a",0],["b"],["c",0]]})"),
      "model.vocab[1]: expected [text, number]");
  expect_json_refused(json(kMetaspace, kDecoder,
                           R"("model":{"type":"Unigram","unk_id":0,"vocab":[["a",0],["b",-1e99],["c",0]]})"),
                      "model.vocab[1]: expected a score within 1e30, found -1e+99");
  expect_json_refused(json(kMetaspace, kDecoder, kModel, R"(,"added_tokens":[{"id":1,"content":"a"}])"),
                      "added_tokens[0]: expected an entry of model.vocab and its id");
  expect_json_refused(
      json(kMetaspace, kDecoder, kModel, R"(,"added_tokens":[{"id":2,"content":"a","lstrip":true}])"),
      "added_tokens[0]: expected single_word, lstrip, rstrip (and beside a normalizer, normalized) to "
      "be false");
}

TEST(HostileTokenizer, DeepJsonIsRefused) {
  const std::string deep =
      R"({"version":"1.0","model":)" + std::string(1000000, '[') + std::string(1000000, ']') + "}";
  std::unique_ptr<Tokenizer> tokenizer;
  EXPECT_EQ(Tokenizer::load(PTTS_TOKENIZER_JSON, Bytes(deep.begin(), deep.end()), 3, &tokenizer),
            PTTS_ERROR_TOKENIZER);
}

TEST(HostileTokenizer, OtherArgumentsAreChecked) {
  const Bytes file = golden::read_file("text/small.model");
  std::unique_ptr<Tokenizer> tokenizer;
  EXPECT_EQ(Tokenizer::load(7, file, 400, &tokenizer), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(Tokenizer::load(PTTS_TOKENIZER_SENTENCEPIECE, file, 0, &tokenizer), PTTS_ERROR_TOKENIZER);
  EXPECT_EQ(Tokenizer::load(PTTS_TOKENIZER_SENTENCEPIECE, file, size_t{1} << 30, &tokenizer),
            PTTS_ERROR_TOKENIZER);
  EXPECT_EQ(Tokenizer::load(PTTS_TOKENIZER_SENTENCEPIECE, file, 401, &tokenizer), PTTS_ERROR_TOKENIZER);
  EXPECT_STREQ(last_message(), "tokenizer.model: expected 401 pieces (n_bins), found 400");
  EXPECT_EQ(Tokenizer::load(PTTS_TOKENIZER_JSON, file, 400, &tokenizer),
            PTTS_ERROR_TOKENIZER);  // the wrong kind
}

}  // namespace
}  // namespace ptts
