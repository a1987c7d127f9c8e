// Models of tests/golden/fixtures through the C ABI, and safetensors files made up for bad-input tests.
#ifndef PTTS_TESTS_MODEL_FILES_H_
#define PTTS_TESTS_MODEL_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pocket_tts.h"

namespace ptts::testing_files {

using Bytes = std::vector<uint8_t>;

// The fixture's configuration as JSON, from golden.json's neighbour config.json.
std::string config_json(const std::string& fixture);

// What a fixture's loading is made of; change a field to break it.
struct Parts {
  std::string config;
  Bytes tokenizer, weights;
  uint32_t tokenizer_kind = PTTS_TOKENIZER_SENTENCEPIECE;
  uint32_t parts = PTTS_PART_ALL, precision = PTTS_PRECISION_F32;
  size_t slice = 65536;
};
Parts read_parts(const std::string& fixture);

// PTTS_OK and a model, or the first failure (then everything is closed again).
ptts_status load(const Parts& parts, ptts_handle* model);

// A safetensors file: its header as text and the bytes behind it.
struct Container {
  std::string header;
  Bytes data;
};
Container open_container(const Bytes& file);
Bytes close_container(const Container& container);
// Replaces the first occurrence in the header; false when there is none.
bool replace_first(std::string* text, std::string_view from, std::string_view to);

}  // namespace ptts::testing_files

#endif
