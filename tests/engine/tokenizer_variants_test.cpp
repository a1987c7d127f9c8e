// Kinds of tokenizers that Pocket TTS does not ship but that load: BPE, no byte fallback, extra spaces removed,
// user-defined pieces; tokenizer.json with other prefix schemes, cut at spaces, with added tokens.  The expected ids
// and texts come from the official libraries (tests/golden/text/make_variants.py).
#include <gtest/gtest.h>

#include "golden.h"
#include "text_helpers.h"
#include "tokenizer.h"

namespace ptts {
namespace {

using testing_text::ints;
using testing_text::str;

std::vector<uint8_t> from_base64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<uint8_t> out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) break;  // '='
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<uint8_t>(bits >> count));
    }
  }
  return out;
}

TEST(TokenizerVariants, MatchTheOfficialLibraries) {
  const golden::Document document = golden::read_json("text/variants.json");
  yyjson_val* variants = yyjson_doc_get_root(document.get());
  ASSERT_EQ(yyjson_arr_size(variants), 13u);
  for (size_t i = 0; i < yyjson_arr_size(variants); ++i) {
    yyjson_val* variant = yyjson_arr_get(variants, i);
    SCOPED_TRACE(str(variant, "name"));
    const uint32_t kind = str(variant, "kind") == "json" ? PTTS_TOKENIZER_JSON : PTTS_TOKENIZER_SENTENCEPIECE;
    std::unique_ptr<Tokenizer> tokenizer;
    ASSERT_EQ(Tokenizer::load(kind, from_base64(str(variant, "file")),
                              yyjson_get_uint(yyjson_obj_get(variant, "pieces")), &tokenizer),
              PTTS_OK)
        << last_message();
    yyjson_val* cases = yyjson_obj_get(variant, "cases");
    for (size_t k = 0; k < yyjson_arr_size(cases); ++k) {
      const std::string text = str(yyjson_arr_get(yyjson_arr_get(cases, k), 0));
      std::vector<int32_t> ids;
      std::vector<uint32_t> ends;
      ASSERT_EQ(tokenizer->encode(text, &ids, &ends), PTTS_OK);
      EXPECT_EQ(ids, ints(yyjson_arr_get(yyjson_arr_get(cases, k), 1))) << '"' << text << '"';
      EXPECT_EQ(ends.size(), ids.size());
      EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end()));
      std::string decoded;
      ASSERT_EQ(tokenizer->decode(ids, &decoded), PTTS_OK);
      EXPECT_EQ(decoded, str(yyjson_arr_get(yyjson_arr_get(cases, k), 2))) << '"' << text << '"';
    }
  }
}

}  // namespace
}  // namespace ptts
