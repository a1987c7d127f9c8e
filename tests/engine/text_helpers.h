// What the text tests share: tokenizers by name, rules from a golden profile.
#ifndef PTTS_TESTS_TEXT_HELPERS_H_
#define PTTS_TESTS_TEXT_HELPERS_H_

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "golden.h"
#include "text.h"
#include "tokenizer.h"

namespace ptts::testing_text {

inline std::unique_ptr<Tokenizer> load(uint32_t kind, std::string_view path, size_t pieces) {
  const std::vector<uint8_t> file = golden::read_file(path);
  std::unique_ptr<Tokenizer> tokenizer;
  EXPECT_EQ(Tokenizer::load(kind, file, pieces, &tokenizer), PTTS_OK) << path << ": " << last_message();
  return tokenizer;
}

// "english.model" or "english"; "small" is the one with 400 pieces.
inline std::unique_ptr<Tokenizer> load_model(std::string name) {
  if (!name.ends_with(".model")) name += ".model";
  const bool small = name == "small.model";
  return load(PTTS_TOKENIZER_SENTENCEPIECE, (small ? "text/" : "tokenizers/") + name, small ? 400 : 4000);
}

inline std::string str(yyjson_val* value) { return {yyjson_get_str(value), yyjson_get_len(value)}; }
inline std::string str(yyjson_val* object, const char* key) { return str(yyjson_obj_get(object, key)); }

inline std::vector<int32_t> ints(yyjson_val* array) {
  std::vector<int32_t> out;
  for (size_t i = 0; i < yyjson_arr_size(array); ++i) out.push_back(yyjson_get_int(yyjson_arr_get(array, i)));
  return out;
}

inline TextRules rules_of(yyjson_val* profile) {
  TextRules rules;
  const auto flag = [&](const char* key) { return yyjson_get_bool(yyjson_obj_get(profile, key)); };
  rules.pad_with_spaces_for_short_inputs = flag("pad_with_spaces_for_short_inputs");
  rules.remove_semicolons = flag("remove_semicolons");
  rules.append_terminal_punctuation = flag("append_terminal_punctuation");
  rules.capitalize_first_letter = flag("capitalize_first_letter");
  size_t i = 0;
  size_t count = 0;
  yyjson_val* key = nullptr;
  yyjson_val* value = nullptr;
  yyjson_obj_foreach(yyjson_obj_get(profile, "replace_characters"), i, count, key, value) {
    rules.replace_characters.emplace_back(str(key), str(value));
  }
  yyjson_val* frames = yyjson_obj_get(profile, "model_recommended_frames_after_eos");
  if (yyjson_is_int(frames)) rules.recommended_frames_after_eos = yyjson_get_int(frames);
  return rules;
}

}  // namespace ptts::testing_text

#endif
