// The C interface with owners, for tests.
#ifndef PTTS_TESTS_CAPI_TTS_H_
#define PTTS_TESTS_CAPI_TTS_H_

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "packs.h"
#include "pocket_tts/pocket_tts_c.h"

namespace ptts::testing_capi {

using Samples = std::vector<float>;
using Handle = std::unique_ptr<void, decltype(&pocket_tts_destroy)>;
using Voice = std::unique_ptr<void, decltype(&pocket_tts_free_voice)>;

inline constexpr const char* kText = "One two three. Four five six!";
inline constexpr int kFrame = 1920;

// The pack of a fixture, made once; gone when the tests end.
inline const Path& pack_of(const std::string& fixture) {
  static TemporaryFolder folder;
  static std::map<std::string, Path> made;
  const auto found = made.find(fixture);
  if (found != made.end()) return found->second;
  return made[fixture] = make_pack(fixture, folder.path() / fixture);
}

inline PocketTTSConfigEx config_of(const std::string& models_dir) {
  PocketTTSConfigEx config;
  pocket_tts_config_ex_init(&config, sizeof config);
  config.models_dir = models_dir.c_str();
  return config;
}

// A model with the defaults of create_ex, changed by `set`; a failure fails the test.
inline Handle open(const Path& folder, const std::function<void(PocketTTSConfigEx*)>& set = {}) {
  const std::string name = folder.string();
  PocketTTSConfigEx config = config_of(name);
  if (set) set(&config);
  Handle handle(pocket_tts_create_ex(&config), &pocket_tts_destroy);
  EXPECT_NE(handle, nullptr) << pocket_tts_get_last_error();
  return handle;
}

inline Voice voice_of(const Handle& handle, const std::string& source) {
  Voice voice(pocket_tts_encode_voice(handle.get(), source.c_str()), &pocket_tts_free_voice);
  EXPECT_NE(voice, nullptr) << pocket_tts_get_last_error();
  return voice;
}

inline Voice voice_of(const Handle& handle, const Samples& samples, int rate = 24000) {
  Voice voice(pocket_tts_encode_voice_from_samples(handle.get(), samples.data(),
                                                   static_cast<int>(samples.size()), rate),
              &pocket_tts_free_voice);
  EXPECT_NE(voice, nullptr) << pocket_tts_get_last_error();
  return voice;
}

inline Samples spoken(const Handle& handle, const Voice& voice, const std::string& text = kText) {
  AudioResult result;
  EXPECT_EQ(pocket_tts_generate(handle.get(), text.c_str(), voice.get(), &result), 0)
      << pocket_tts_get_last_error();
  EXPECT_EQ(result.sample_rate, 24000);
  Samples samples(result.data, result.data + result.sample_count);
  pocket_tts_free_audio(&result);
  EXPECT_EQ(result.data, nullptr);
  return samples;
}

struct Piece {
  Samples samples;
  int is_final;
};

struct Streamed {
  int result = 0;
  std::vector<Piece> pieces;

  Samples samples() const {
    Samples all;
    for (const Piece& piece : pieces) all.insert(all.end(), piece.samples.begin(), piece.samples.end());
    return all;
  }
  int finals() const {
    int count = 0;
    for (const Piece& piece : pieces) count += piece.is_final;
    return count;
  }
};

// `after` is called in the callback, with what has come so far.
inline Streamed stream(const Handle& handle, const Voice& voice, int frames, const std::string& text = kText,
                       const std::function<void(const Streamed&)>& after = {}) {
  struct State {
    Streamed streamed;
    const std::function<void(const Streamed&)>& after;
  } state = {{}, after};
  const auto hear = [](const float* samples, int count, int is_final, void* user_data) {
    State* to = static_cast<State*>(user_data);
    EXPECT_NE(samples, nullptr);
    to->streamed.pieces.push_back({Samples(samples, samples + count), is_final});
    if (to->after) to->after(to->streamed);
  };
  const StreamingConfig config = {frames, &state};
  state.streamed.result =
      pocket_tts_generate_streaming(handle.get(), text.c_str(), voice.get(), hear, &config);
  return state.streamed;
}

// A recording: a tone with a beat, of some loudness all along.
inline Samples tone(double hertz, double seconds, int rate = 24000) {
  Samples samples(static_cast<size_t>(seconds * rate));
  for (size_t i = 0; i < samples.size(); ++i) {
    const double t = static_cast<double>(i) / rate;
    samples[i] = static_cast<float>(0.3 * std::sin(6.283185307 * hertz * t) * (1 + 0.5 * std::sin(31.0 * t)));
  }
  return samples;
}

// A voice as the bytes of its file.
inline std::string bytes_of(const Voice& voice) {
  const TemporaryFolder folder;
  const Path path = folder.path() / "voice.safetensors";
  EXPECT_EQ(pocket_tts_export_voice(voice.get(), path.c_str()), 0) << pocket_tts_get_last_error();
  return read_text(path);
}

}  // namespace ptts::testing_capi

#endif
