// The C interface from several threads, to be run under the thread sanitizer: with one handle, with a handle for each, and
// cancelled from outside.
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "packs.h"
#include "pocket_tts/pocket_tts_c.h"

using namespace ptts::testing_capi;

namespace {

constexpr const char* kTexts[] = {"One.", "Two three.", "Four!", "Five six."};
constexpr size_t kThreads = 4;

#define CHECK(condition)                                                                                 \
  do {                                                                                                   \
    if (condition) break;                                                                                \
    std::fprintf(stderr, "threads.cpp:%d: %s: %s\n", __LINE__, #condition, pocket_tts_get_last_error()); \
    std::exit(1);                                                                                        \
  } while (0)

PocketTTSHandle open(const std::string& pack, const char* precision) {
  PocketTTSConfigEx config;
  pocket_tts_config_ex_init(&config, sizeof config);
  config.models_dir = pack.c_str();
  config.precision = precision;
  config.max_frames = 4;
  PocketTTSHandle handle = pocket_tts_create_ex(&config);
  CHECK(handle != nullptr);
  return handle;
}

// A recording of its own for each thread.
std::vector<float> recording(size_t which) {
  std::vector<float> samples(4800);
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i] = static_cast<float>((i * (which + 3)) % 97) / 97.0f - 0.5f;
  return samples;
}

// A voice, and the text with it twice.
std::vector<float> speak(PocketTTSHandle handle, size_t which) {
  const std::vector<float> samples = recording(which);
  VoiceHandle voice = which % 2 == 0
                          ? pocket_tts_encode_voice(handle, "recorded")
                          : pocket_tts_encode_voice_from_samples(handle, samples.data(), 4800, 24000);
  CHECK(voice != nullptr);
  AudioResult whole;
  CHECK(pocket_tts_generate(handle, kTexts[which], voice, &whole) == 0);
  std::vector<float> heard;
  const auto hear = [](const float* piece, int count, int, void* user_data) {
    auto* to = static_cast<std::vector<float>*>(user_data);
    to->insert(to->end(), piece, piece + count);
  };
  const StreamingConfig config = {1, &heard};
  CHECK(pocket_tts_generate_streaming(handle, kTexts[which], voice, hear, &config) == whole.sample_count);
  CHECK(heard == std::vector<float>(whole.data, whole.data + whole.sample_count));
  pocket_tts_free_audio(&whole);
  pocket_tts_free_voice(voice);
  // The error of this thread, not of another.
  const std::string nobody = "nobody" + std::to_string(which);
  CHECK(pocket_tts_encode_voice(handle, nobody.c_str()) == nullptr);
  CHECK(std::strstr(pocket_tts_get_last_error(), nobody.c_str()) != nullptr);
  return heard;
}

void at_once(const std::function<void(size_t)>& work) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
  const TemporaryFolder folder;
  const std::string pack = make_pack("lsd6", folder.path() / "pack").string();
  for (const char* precision : {"fp32", "int8"}) {
    std::array<std::vector<float>, kThreads> expected, heard;
    PocketTTSHandle one = open(pack, precision);
    for (size_t i = 0; i < kThreads; ++i) expected[i] = speak(one, i);
    at_once([&](size_t i) { heard[i] = speak(one, i); });
    CHECK(heard == expected);
    // Handles of their own, and a voice of another one.
    VoiceHandle shared = pocket_tts_encode_voice(one, "recorded");
    at_once([&](size_t i) {
      PocketTTSHandle own = open(pack, precision);
      heard[i] = speak(own, i);
      AudioResult speech;
      CHECK(pocket_tts_generate(own, "One.", shared, &speech) == 0);
      pocket_tts_free_audio(&speech);
      pocket_tts_destroy(own);
    });
    CHECK(heard == expected);
    // Somebody cancels all the time; whatever that hits ends, and only that.
    std::atomic<bool> done = false;
    std::thread canceller([&] {
      while (!done) {
        pocket_tts_cancel_streaming(one);
        std::this_thread::yield();
      }
    });
    at_once([&](size_t i) {
      int finals = 0;
      const StreamingConfig config = {1, &finals};
      const auto hear = [](const float*, int, int is_final, void* user_data) {
        *static_cast<int*>(user_data) += is_final;
      };
      CHECK(pocket_tts_generate_streaming(one, kTexts[i], shared, hear, &config) >= 0);
      CHECK(finals == 1);
    });
    done = true;
    canceller.join();
    pocket_tts_free_voice(shared);
    pocket_tts_destroy(one);
  }
  std::puts("ok");
  return 0;
}
