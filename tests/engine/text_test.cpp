// Preparation and chunk plans against the reference, and what a plan promises beyond it.
#include "text.h"

#include <gtest/gtest.h>

#include <map>

#include "golden.h"
#include "text_helpers.h"

namespace ptts {
namespace {

using testing_text::ints;
using testing_text::load_model;
using testing_text::rules_of;
using testing_text::str;

// The caller's text of every chunk, checked for order and overlap.
std::vector<std::string> sources(const std::string& text, const std::vector<Chunk>& chunks) {
  std::vector<std::string> out;
  size_t reached = 0;
  for (const Chunk& chunk : chunks) {
    EXPECT_GE(chunk.source_begin, reached);
    EXPECT_LE(chunk.source_begin, chunk.source_end);
    EXPECT_LE(chunk.source_end, text.size());
    for (size_t i = reached; i < std::min(chunk.source_begin, text.size()); ++i) {
      // Only white space is left out (which may be of several bytes).
      EXPECT_TRUE(static_cast<uint8_t>(text[i]) <= 0x20 || static_cast<uint8_t>(text[i]) >= 0x80)
          << text << " " << i;
    }
    reached = chunk.source_end;
    out.push_back(text.substr(chunk.source_begin, chunk.source_end - chunk.source_begin));
  }
  return out;
}

struct Golden {
  golden::Document document = golden::read_json("text/text_golden.json");
  yyjson_val* root = yyjson_doc_get_root(document.get());
  yyjson_val* cases = yyjson_obj_get(root, "cases");

  template <typename Check>
  size_t each(const Check& check) const {
    size_t count = 0;
    std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers;
    size_t i = 0;
    size_t profiles = 0;
    yyjson_val* name = nullptr;
    yyjson_val* profile = nullptr;
    yyjson_obj_foreach(yyjson_obj_get(root, "profiles"), i, profiles, name, profile) {
      auto& tokenizer = tokenizers[str(profile, "tokenizer")];
      if (tokenizer == nullptr) tokenizer = load_model(str(profile, "tokenizer"));
      const TextRules rules = rules_of(profile);
      for (size_t k = 0; k < yyjson_arr_size(cases); ++k) {
        yyjson_val* item = yyjson_arr_get(cases, k);
        yyjson_val* result = yyjson_obj_get(yyjson_obj_get(item, "results"), yyjson_get_str(name));
        const std::string text = str(item, "text");
        SCOPED_TRACE(str(name) + ": " + text);
        check(*tokenizer, rules, text, result);
        ++count;
      }
    }
    return count;
  }
};

TEST(Text, PreparesEveryTextAsTheReferenceDoes) {
  const Golden golden;
  const size_t count =
      golden.each([](const Tokenizer&, const TextRules& rules, const std::string& text, yyjson_val* result) {
        std::string prepared;
        int guess = 0;
        const ptts_status status = prepare_text(text, rules, &prepared, &guess);
        if (yyjson_obj_get(result, "error") != nullptr) {
          EXPECT_EQ(status, PTTS_ERROR_TEXT_EMPTY);
          EXPECT_EQ(std::string("ValueError: ") + last_message(), str(result, "error"));
          return;
        }
        ASSERT_EQ(status, PTTS_OK) << last_message();
        EXPECT_EQ(prepared, str(result, "prepared"));
        EXPECT_EQ(guess, yyjson_get_int(yyjson_obj_get(result, "guess")));
      });
  EXPECT_EQ(count, 8u * 116u);
}

TEST(Text, PlansEveryTextAsTheReferenceDoes) {
  const Golden golden;
  golden.each([](const Tokenizer& tokenizer, const TextRules& rules, const std::string& text,
                 yyjson_val* result) {
    std::vector<Chunk> chunks;
    const ptts_status status = plan_chunks(tokenizer, text, rules, 50, &chunks);
    if (yyjson_obj_get(result, "error") != nullptr) {
      EXPECT_EQ(status, PTTS_ERROR_TEXT_EMPTY);
      return;
    }
    ASSERT_EQ(status, PTTS_OK) << last_message();
    yyjson_val* plan = yyjson_obj_get(result, "plan");
    ASSERT_EQ(chunks.size(), yyjson_arr_size(plan));
    for (size_t i = 0; i < chunks.size(); ++i) {
      yyjson_val* expected = yyjson_arr_get(plan, i);
      EXPECT_EQ(chunks[i].text, str(expected, "chunk"));
      EXPECT_EQ(chunks[i].prompt, str(expected, "prompt"));
      EXPECT_EQ(chunks[i].ids, ints(yyjson_obj_get(expected, "ids")));
      EXPECT_EQ(chunks[i].frames_after_eos, yyjson_get_int(yyjson_obj_get(expected, "frames_after_eos")));
      EXPECT_EQ(chunks[i].max_frames, yyjson_get_uint(yyjson_obj_get(expected, "max_gen_len")));
    }
    sources(text, chunks);

    ASSERT_EQ(plan_chunks(tokenizer, text, rules, 15, &chunks), PTTS_OK);
    yyjson_val* at_15 = yyjson_obj_get(result, "chunks_15");
    const bool same = at_15 == nullptr;  // recorded only where they differ
    ASSERT_EQ(chunks.size(), yyjson_arr_size(same ? plan : at_15));
    for (size_t i = 0; i < chunks.size(); ++i) {
      EXPECT_EQ(chunks[i].text, same ? str(yyjson_arr_get(plan, i), "chunk") : str(yyjson_arr_get(at_15, i)));
    }
    sources(text, chunks);
  });
}

// ---- what the goldens do not cover -------------------------------------------------------------------------------

class TextPlan : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> english_ = load_model("english");
  std::unique_ptr<Tokenizer> german_ = load_model("german");
  TextRules rules_;

  std::vector<std::string> texts(std::string_view text, int max_tokens) {
    std::vector<Chunk> chunks;
    EXPECT_EQ(plan_chunks(*english_, text, rules_, max_tokens, &chunks), PTTS_OK) << last_message();
    std::vector<std::string> out;
    for (const Chunk& chunk : chunks) out.push_back(chunk.text);
    return out;
  }
};

using Strings = std::vector<std::string>;

TEST_F(TextPlan, CutsAtTheObservedPlaces) {
  EXPECT_EQ(texts("Wait... what?! No. Yes", 5), (Strings{"Wait... what?!", "No. Yes."}));
  EXPECT_EQ(texts("Wait... what?! No. Yes", 1), (Strings{"Wait...", "what?!", "No.", "Yes."}));
  EXPECT_EQ(texts("one, two, three", 5), (Strings{"One, two,", "three."}));
  EXPECT_EQ(texts("Pi is 3.14 today. In 2020. 5 people came. Dr. Smith e.g. left", 5),
            (Strings{"Pi is 3.14 today.", "In 2020. 5 people came.", "Dr. Smith e.", "g. left."}));
  EXPECT_EQ(texts("This is it.5 people. 5.a", 50), (Strings{"This is it. 5 people. 5. a."}));
  EXPECT_EQ(texts("Version 1.2.3 is out. A", 50), (Strings{"Version 1.2.3 is out. A."}));
}

TEST_F(TextPlan, SourceRangesAreTheCallersOwnWords) {
  const std::string text = "  First one here.\n\nSecond (really) one!   Third,\tlast \xE2\x80\x94 ";
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*english_, text, rules_, 10, &chunks), PTTS_OK);
  EXPECT_EQ(sources(text, chunks),
            (Strings{"First one here.", "Second (really) one!", "Third,\tlast \xE2\x80\x94"}));
}

TEST_F(TextPlan, DeletedCharactersStayWithTheirWords) {
  rules_.replace_characters = {{"\xC2\xAB", ""}, {"\xC2\xBB", ""}};
  const std::string text = "\xC2\xABGuten Tag.\xC2\xBB Sagte er dann. \xC2\xABGut gesagt.\xC2\xBB";
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*german_, text, rules_, 8, &chunks), PTTS_OK);
  EXPECT_EQ(sources(text, chunks),
            (Strings{"\xC2\xABGuten Tag.\xC2\xBB", "Sagte er dann.", "\xC2\xABGut gesagt.\xC2\xBB"}));
}

TEST_F(TextPlan, SourceRangesOfCommaPiecesFollowTheText) {
  const std::string text = "\xC3\x84pfel, Birnen, Kirschen, Pflaumen, Trauben, Orangen und viel mehr";
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*german_, text, rules_, 12, &chunks), PTTS_OK);
  ASSERT_GT(chunks.size(), 2u);
  const Strings found = sources(text, chunks);
  for (size_t i = 0; i + 1 < chunks.size(); ++i) EXPECT_EQ(found[i], chunks[i].text);
}

TEST_F(TextPlan, RecommendedFramesReplaceTheGuess) {
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*english_, "Hi there.", rules_, 50, &chunks), PTTS_OK);
  EXPECT_EQ(chunks[0].frames_after_eos, 5);
  rules_.recommended_frames_after_eos = 0;
  ASSERT_EQ(plan_chunks(*english_, "Hi there.", rules_, 50, &chunks), PTTS_OK);
  EXPECT_EQ(chunks[0].frames_after_eos, 0);
}

TEST_F(TextPlan, AnUnbreakablePieceIsSpokenWholeAndSaysSo) {
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*english_, "one two three four five six seven eight nine ten", rules_, 5, &chunks),
            PTTS_OK);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_TRUE(chunks[0].over_limit);
  ASSERT_EQ(plan_chunks(*english_, "one two", rules_, 5, &chunks), PTTS_OK);
  EXPECT_FALSE(chunks[0].over_limit);
}

// In a JSON tokenizer one cut through a run of byte pieces spoils the whole run, numbers beside it included.
TEST(TextPlanOfJson, DecimalsInARunOfBytesAreKept) {
  const auto tokenizer = testing_text::load(PTTS_TOKENIZER_JSON, "text/small.tokenizer.json", 400);
  std::string text;
  for (int i = 0; i < 30; ++i) text += "\xE6\x97\xA5";
  text += "\xF0\x9D\x9F\x99.\xF0\x9D\x9F\x9A";  // digits of four bytes: 1.2
  for (int i = 0; i < 30; ++i) text += "\xE6\x97\xA5";
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*tokenizer, text + ".", TextRules{}, 50, &chunks), PTTS_OK);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].text, text + ".");
}

// ---- bad input ---------------------------------------------------------------------------------------------------

TEST_F(TextPlan, RefusesWhatIsNotText) {
  std::vector<Chunk> chunks;
  EXPECT_EQ(plan_chunks(*english_, "ok \xC3(", rules_, 50, &chunks), PTTS_ERROR_TEXT_ENCODING);
  EXPECT_STREQ(last_message(), "text: expected UTF-8, byte 3 (0xC3) is not");
  EXPECT_EQ(plan_chunks(*english_, "\xED\xA0\x80", rules_, 50, &chunks),
            PTTS_ERROR_TEXT_ENCODING);  // a surrogate
  EXPECT_EQ(plan_chunks(*english_, "", rules_, 50, &chunks), PTTS_ERROR_TEXT_EMPTY);
  EXPECT_EQ(plan_chunks(*english_, " \t\n\xE3\x80\x80", rules_, 50, &chunks), PTTS_ERROR_TEXT_EMPTY);
  EXPECT_STREQ(last_message(), "Text prompt cannot be empty");
  EXPECT_EQ(plan_chunks(*english_, "text", rules_, 0, &chunks), PTTS_ERROR_ARGUMENT);
}

TEST_F(TextPlan, RefusesMoreThanFourMebibytes) {
  std::vector<Chunk> chunks;
  const std::string text(kMaxTextBytes + 1, ' ');
  EXPECT_EQ(plan_chunks(*english_, text, rules_, 50, &chunks), PTTS_ERROR_TEXT_TOO_LONG);
  EXPECT_STREQ(last_message(), "text: expected at most 4194304 bytes, found 4194305");
}

TEST_F(TextPlan, ControlCharactersAreKept) {
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*english_, std::string("a\0b\x01 c", 6), rules_, 50, &chunks), PTTS_OK);
  EXPECT_EQ(chunks[0].prompt, std::string("A\0b\x01 c.", 7));
}

std::string repeated(std::string_view part, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

TEST_F(TextPlan, AMegabyteOfSentencesIsPlannedInTime) {
  const std::string text =
      repeated("It costs 3.50 euros, or so. Come in! \"Why?\" he said; nobody knew. ", 1 << 20);
  std::vector<Chunk> chunks;
  ASSERT_EQ(plan_chunks(*english_, text, rules_, 50, &chunks), PTTS_OK);
  EXPECT_GT(chunks.size(), 5000u);
  sources(text, chunks);
}

TEST_F(TextPlan, AMegabyteWithoutAPlaceToCutIsRefused) {
  std::vector<Chunk> chunks;
  for (const char* part : {"a", "\xF0\x9F\x98\x80", ".", "\"", ",", "-", "1.", "\xE2\x96\x81", "word "}) {
    SCOPED_TRACE(part);
    const ptts_status status = plan_chunks(*english_, repeated(part, 1 << 20), rules_, 50, &chunks);
    EXPECT_TRUE(status == PTTS_ERROR_TEXT_TOO_LONG || status == PTTS_OK) << status << " " << last_message();
    if (std::string_view(part) == "a") {
      EXPECT_EQ(status, PTTS_ERROR_TEXT_TOO_LONG);
      EXPECT_EQ(std::string_view(last_message())
                    .find("text: chunk 0 cannot be cut: expected at most 4096 tokens, found "),
                0u)
          << last_message();
    }
  }
}

TEST_F(TextPlan, ReplacementKeysAreSingleCharacters) {
  rules_.replace_characters = {{"ab", "c"}};
  std::string prepared;
  EXPECT_EQ(prepare_text("text", rules_, &prepared, nullptr), PTTS_ERROR_CONFIG);
}

TEST_F(TextPlan, ReplacementsMayNotGrowWithoutBound) {
  rules_.replace_characters = {{"a", std::string(1000, 'b')}};
  std::string prepared;
  EXPECT_EQ(prepare_text(std::string(4000, 'a'), rules_, &prepared, nullptr), PTTS_OK);
  EXPECT_EQ(prepare_text(std::string(5000, 'a'), rules_, &prepared, nullptr), PTTS_ERROR_TEXT_TOO_LONG);
}

}  // namespace
}  // namespace ptts
