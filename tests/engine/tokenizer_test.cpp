// Token ids and decoded text against what the sentencepiece and tokenizers packages gave.
#include "tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "golden.h"
#include "sentencepiece_processor.h"
#include "text_helpers.h"

namespace ptts {
namespace {

using testing_text::ints;
using testing_text::load;
using testing_text::load_model;
using testing_text::str;

constexpr const char* kLanguages[] = {"english", "french_24l", "german", "spanish", "portuguese", "italian"};

TEST(Tokenizer, GivesTheIdsOfTheOfficialLibrary) {
  const golden::Document document = golden::read_json("tokenizers/golden.json");
  size_t cases = 0;
  for (const char* language : kLanguages) {
    const auto tokenizer = load_model(language);
    ASSERT_NE(tokenizer, nullptr);
    yyjson_val* list = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(document.get()), language), "cases");
    for (size_t i = 0; i < yyjson_arr_size(list); ++i, ++cases) {
      const std::string text = str(yyjson_arr_get(list, i), "text");
      const std::vector<int32_t> expected = ints(yyjson_obj_get(yyjson_arr_get(list, i), "ids"));
      std::vector<int32_t> ids;
      ASSERT_EQ(tokenizer->encode(text, &ids), PTTS_OK);
      EXPECT_EQ(ids, expected) << language << ": " << text;
      std::string decoded;
      ASSERT_EQ(tokenizer->decode(ids, &decoded), PTTS_OK);
      EXPECT_EQ(decoded, text) << language;
    }
  }
  EXPECT_EQ(cases, 79u);
}

TEST(Tokenizer, GivesTheIdsOfTheReferenceForEveryText) {
  const golden::Document document = golden::read_json("text/text_golden.json");
  yyjson_val* cases = yyjson_obj_get(yyjson_doc_get_root(document.get()), "cases");
  ASSERT_EQ(yyjson_arr_size(cases), 116u);
  for (const char* name : {"english", "german", "french_24l", "spanish", "small"}) {
    const auto tokenizer = load_model(name);
    ASSERT_NE(tokenizer, nullptr);
    for (size_t i = 0; i < yyjson_arr_size(cases); ++i) {
      yyjson_val* item = yyjson_arr_get(cases, i);
      std::vector<int32_t> ids;
      ASSERT_EQ(tokenizer->encode(str(item, "text"), &ids), PTTS_OK);
      EXPECT_EQ(ids, ints(yyjson_obj_get(yyjson_obj_get(item, "ids"), name)))
          << name << ": " << str(item, "text");
    }
  }
}

// A layout of tokenizer.json against its goldens; `key` is where they differ from SentencePiece.
void check_json_layout(const char* file, const char* key) {
  const auto tokenizer = load(PTTS_TOKENIZER_JSON, file, 400);
  ASSERT_NE(tokenizer, nullptr);
  const std::string decoded_key = std::string(key) + "_decoded";
  const golden::Document document = golden::read_json("text/json_tokenizer_golden.json");
  yyjson_val* cases = yyjson_obj_get(yyjson_doc_get_root(document.get()), "cases");
  ASSERT_EQ(yyjson_arr_size(cases), 116u);
  for (size_t i = 0; i < yyjson_arr_size(cases); ++i) {
    yyjson_val* item = yyjson_arr_get(cases, i);
    yyjson_val* own_ids = yyjson_obj_get(item, key);
    yyjson_val* own_text = yyjson_obj_get(item, decoded_key.c_str());
    std::vector<int32_t> ids;
    std::vector<uint32_t> ends;
    ASSERT_EQ(tokenizer->encode(str(item, "text"), &ids, &ends), PTTS_OK);
    EXPECT_EQ(ids, ints(own_ids != nullptr ? own_ids : yyjson_obj_get(item, "sentencepiece")))
        << str(item, "text");
    EXPECT_EQ(ends.size(), ids.size());
    std::string decoded;
    ASSERT_EQ(tokenizer->decode(ids, &decoded), PTTS_OK);
    EXPECT_EQ(decoded, own_text != nullptr ? str(own_text) : str(item, "decoded")) << str(item, "text");
  }
}

TEST(Tokenizer, JsonWithMetaspaceMatchesTheReference) {
  check_json_layout("text/small.tokenizer.json", "metaspace");
}

TEST(Tokenizer, JsonWithNormalizersMatchesTheReference) {
  check_json_layout("text/small.tokenizer_normalizer.json", "normalizer");
}

TEST(Tokenizer, SizeIsThatOfTheVocabulary) {
  EXPECT_EQ(load_model("english")->size(), 4000u);
  EXPECT_EQ(load_model("small")->size(), 400u);
}

TEST(Tokenizer, EndsSayWhichTextATokenCovers) {
  const auto tokenizer = load_model("english");
  const std::string text = " Caf\xC3\xA9 \xF0\x9F\x98\x80 ok.";
  std::vector<int32_t> ids;
  std::vector<uint32_t> ends;
  ASSERT_EQ(tokenizer->encode(text, &ids, &ends), PTTS_OK);
  ASSERT_EQ(ends.size(), ids.size());
  EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end()));
  EXPECT_EQ(ends.back(), text.size());
  for (const uint32_t end : ends) {  // always between two characters
    EXPECT_TRUE(end == text.size() || (static_cast<uint8_t>(text[end]) & 0xC0) != 0x80) << end;
  }
}

// The engine decodes by itself, because the library keeps a message per token: the text must be the same, for ids that
// no text gives, too.
TEST(Tokenizer, DecodesAnyIdsAsTheLibraryDoes) {
  for (const char* name : {"tokenizers/english.model", "tokenizers/german.model", "text/small.model"}) {
    const std::vector<uint8_t> file = golden::read_file(name);
    sentencepiece::SentencePieceProcessor library;
    ASSERT_TRUE(
        library.LoadFromSerializedProto({reinterpret_cast<const char*>(file.data()), file.size()}).ok());
    std::unique_ptr<Tokenizer> tokenizer;
    ASSERT_EQ(Tokenizer::load(PTTS_TOKENIZER_SENTENCEPIECE, file, static_cast<size_t>(library.GetPieceSize()),
                              &tokenizer),
              PTTS_OK);
    std::mt19937 random(1);
    for (int round = 0; round < 3000; ++round) {
      std::vector<int32_t> ids(random() % 12);
      for (int32_t& id : ids) {
        // Half of them from the first ids: control, unknown and byte pieces.
        const uint32_t limit = random() % 2 == 0 ? 300 : static_cast<uint32_t>(tokenizer->size());
        id = static_cast<int32_t>(random() % limit);
      }
      std::string expected;
      ASSERT_TRUE(library.Decode(std::vector<int>(ids.begin(), ids.end()), &expected).ok());
      std::string text;
      ASSERT_EQ(tokenizer->decode(ids, &text), PTTS_OK);
      EXPECT_EQ(text, expected) << name << " round " << round;
    }
  }
}

TEST(Tokenizer, EncodesLongRandomTextAsTheLibraryDoes) {
  const std::vector<uint8_t> file = golden::read_file("tokenizers/english.model");
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(
      library.LoadFromSerializedProto({reinterpret_cast<const char*>(file.data()), file.size()}).ok());
  const auto tokenizer = load_model("english");
  const std::string_view kParts[] = {"the ",
                                     "speech",
                                     " ",
                                     "  ",
                                     "\xC3\xA9",
                                     "\xF0\x9F\x98\x80",
                                     "ing.",
                                     "12",
                                     "\n",
                                     "\xE2\x96\x81",
                                     "Q",
                                     "?!",
                                     std::string_view("\0x", 2),
                                     "<s>"};
  std::mt19937 random(2);
  std::string text;
  while (text.size() < 200000) text += kParts[random() % std::size(kParts)];
  std::vector<int> expected;
  ASSERT_TRUE(library.Encode(text, &expected).ok());
  std::vector<int32_t> ids;
  ASSERT_EQ(tokenizer->encode(text, &ids), PTTS_OK);
  EXPECT_EQ(ids, std::vector<int32_t>(expected.begin(), expected.end()));
}

TEST(Tokenizer, KeepsNulCharacters) {
  const auto tokenizer = load_model("english");
  const std::string text("a\0b", 3);
  std::vector<int32_t> ids;
  std::string decoded;
  ASSERT_EQ(tokenizer->encode(text, &ids), PTTS_OK);
  ASSERT_EQ(tokenizer->decode(ids, &decoded), PTTS_OK);
  EXPECT_EQ(decoded, text);
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = load_model("small");
  std::vector<int32_t> ids;
  EXPECT_EQ(tokenizer->encode("ab\xFF", &ids), PTTS_ERROR_TEXT_ENCODING);
  EXPECT_STREQ(last_message(), "text to tokenize: expected UTF-8, byte 2 is not");
}

TEST(Tokenizer, RefusesIdsOutsideTheVocabulary) {
  const auto tokenizer = load_model("small");
  std::string text;
  const std::vector<int32_t> high = {1, 400};
  EXPECT_EQ(tokenizer->decode(high, &text), PTTS_ERROR_ARGUMENT);
  EXPECT_STREQ(last_message(), "token 1: expected an id of 0 to 399, found 400");
  const std::vector<int32_t> negative = {-1};
  EXPECT_EQ(tokenizer->decode(negative, &text), PTTS_ERROR_ARGUMENT);
}

}  // namespace
}  // namespace ptts
