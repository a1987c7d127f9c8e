// Speaking a text through the C ABI, for tests that compare whole runs.
#ifndef PTTS_TESTS_SPEAK_H_
#define PTTS_TESTS_SPEAK_H_

#include <string>
#include <string_view>
#include <vector>

#include "model_files.h"

namespace ptts::testing_files {

Bytes read_voice(const std::string& fixture);

struct Speech {
  ptts_status status = PTTS_OK;  // the first failure, or PTTS_OK
  std::vector<float> pcm, latents;
  size_t chunks = 0;
};

// `block`: latents decoded per call.
Speech speak(ptts_handle model, ptts_handle voice, std::string_view text, const ptts_options& options,
             size_t block = 1);

// A digest of a run with the fixture's own voice and the model's defaults; empty when it failed.
std::string speak_and_hash(ptts_handle model, const std::string& fixture, std::string_view text);

}  // namespace ptts::testing_files

#endif
