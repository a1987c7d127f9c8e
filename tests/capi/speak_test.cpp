// Speaking through the C interface.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "pocket_tts.h"
#include "sha-256.h"
#include "tts.h"
#include "yyjson.h"

namespace ptts::testing_capi {
namespace {

constexpr float kNever = 1e9f;  // a threshold that no end reaches

std::string sha256_of_pcm(const Samples& samples) {
  std::string bytes;
  for (const float x : samples) {
    const int value = static_cast<int>(std::min(1.0f, std::max(-1.0f, x)) * 32767.0f);
    bytes += static_cast<char>(value & 255);
    bytes += static_cast<char>(value >> 8 & 255);
  }
  uint8_t sum[SIZE_OF_SHA_256_HASH];
  calc_sha_256(sum, bytes.data(), bytes.size());
  std::string text;
  for (const uint8_t byte : sum) {
    char hex[3];
    (void)std::snprintf(hex, sizeof hex, "%02x", byte);
    text += hex;
  }
  return text;
}

// The options of a request (tests/hosts/README.md).
void apply(yyjson_val* options, PocketTTSConfigEx* config) {
  const auto number = [&](const char* key, auto* to) {
    yyjson_val* value = yyjson_obj_get(options, key);
    if (value != nullptr) *to = static_cast<std::remove_reference_t<decltype(*to)>>(yyjson_get_num(value));
  };
  number("seed", &config->seed);
  number("temperature", &config->temperature);
  number("eosThreshold", &config->eos_threshold);
  number("noiseClamp", &config->noise_clamp);
  number("decodeSteps", &config->lsd_steps);
  number("framesAfterEos", &config->frames_after_eos);
  number("maxTokens", &config->max_tokens);
  if (yyjson_equals_str(yyjson_obj_get(options, "rng"), "torch")) config->flags |= POCKET_TTS_FLAG_TORCH_RNG;
}

TEST(Hosts, TheSameSamplesAsEverywhere) {
  const std::string requests = read_text(kRoot / "tests/hosts/requests.json");
  const std::string expected = read_text(kRoot / "tests/hosts/expected.json");
  yyjson_doc* asked = yyjson_read(requests.data(), requests.size(), 0);
  yyjson_doc* wanted = yyjson_read(expected.data(), expected.size(), 0);
  ASSERT_TRUE(asked != nullptr && wanted != nullptr);
  size_t i = 0, count = 0;
  yyjson_val* request = nullptr;
  yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(asked), "requests"), i, count, request) {
    const std::string name = yyjson_get_str(yyjson_obj_get(request, "name"));
    SCOPED_TRACE(name);
    const std::string model = yyjson_get_str(yyjson_obj_get(request, "model"));
    yyjson_val* precision = yyjson_obj_get(request, "precision");
    const Path pack = model == "starter" ? kRoot / "models/starter" : pack_of(model);
    const Handle handle = open(pack, [&](PocketTTSConfigEx* config) {
      config->precision = precision == nullptr ? "fp32" : yyjson_get_str(precision);
      config->flags = POCKET_TTS_FLAG_NO_CLONING;
      apply(yyjson_obj_get(request, "options"), config);
    });
    ASSERT_NE(handle, nullptr);
    const char* first = nullptr;
    ASSERT_EQ(pocket_tts_list_voices(handle.get(), &first, 1), 1);
    const Samples samples =
        spoken(handle, voice_of(handle, first), yyjson_get_str(yyjson_obj_get(request, "text")));
    yyjson_val* answer = yyjson_obj_get(yyjson_doc_get_root(wanted), name.c_str());
    EXPECT_EQ(samples.size(), kFrame * yyjson_get_uint(yyjson_obj_get(answer, "frames")));
    EXPECT_EQ(sha256_of_pcm(samples), yyjson_get_str(yyjson_obj_get(answer, "sha256")));
  }
  EXPECT_GE(count, 12u);
  yyjson_doc_free(asked);
  yyjson_doc_free(wanted);
}

TEST(Streaming, GivesTheSamplesOfGenerateInPieces) {
  const Handle handle = open(pack_of("lsd6"), [](PocketTTSConfigEx* config) { config->max_tokens = 8; });
  const Voice voice = voice_of(handle, "recorded");
  const Samples whole = spoken(handle, voice);
  ASSERT_GT(whole.size(), 10u * kFrame);
  for (const int frames : {1, 3, 5, 1000, std::numeric_limits<int>::max()}) {
    SCOPED_TRACE(frames);
    const Streamed streamed = stream(handle, voice, frames);
    EXPECT_EQ(streamed.samples(), whole);
    EXPECT_EQ(streamed.result, static_cast<int>(whole.size()));
    EXPECT_EQ(streamed.finals(), 1);
    EXPECT_EQ(streamed.pieces.back().is_final, 1);
    // Every piece but the last is full, so none waited for more than it had to.
    for (size_t i = 0; i + 1 < streamed.pieces.size(); ++i) {
      EXPECT_EQ(streamed.pieces[i].samples.size(), static_cast<size_t>(frames) * kFrame);
    }
    EXPECT_LT(streamed.pieces.back().samples.size(), static_cast<size_t>(frames) * kFrame);
  }
  for (const int frames : {0, -7})
    EXPECT_EQ(stream(handle, voice, frames).pieces[0].samples.size(), 5u * kFrame);
}

TEST(Streaming, EndsOnceWhateverTheNumberOfFrames) {
  for (const int frames : {1, 4, 5, 6, 10}) {
    SCOPED_TRACE(frames);
    const Handle handle = open(pack_of("lsd6"), [&](PocketTTSConfigEx* config) {
      config->max_frames = frames;
      config->eos_threshold = kNever;
    });
    const Streamed streamed = stream(handle, voice_of(handle, "recorded"), 5, "One two three.");
    EXPECT_EQ(streamed.result, frames * kFrame);
    EXPECT_EQ(streamed.samples().size(), static_cast<size_t>(frames * kFrame));
    EXPECT_EQ(streamed.finals(), 1);
    EXPECT_EQ(streamed.pieces.back().is_final, 1);
    EXPECT_EQ(streamed.pieces.size(), static_cast<size_t>(frames / 5 + 1));
  }
}

std::string long_text() {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "One two three four five six seven eight nine ten. ";
  return text;
}

TEST(Streaming, EndsOnceAlsoWhenNothingWasHeard) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice voice = voice_of(handle, "recorded");
  std::atomic<bool> done = false;
  std::thread other([&] {  // until it is seen: one that comes before the call begins is not meant for it
    while (!done) {
      pocket_tts_cancel_streaming(handle.get());
      std::this_thread::yield();
    }
  });
  const Streamed streamed = stream(handle, voice, 1 << 20, long_text());
  done = true;
  other.join();
  EXPECT_EQ(streamed.result, 0) << pocket_tts_get_last_error();
  ASSERT_EQ(streamed.pieces.size(), 1u);
  EXPECT_EQ(streamed.pieces[0].is_final, 1);
  EXPECT_TRUE(streamed.pieces[0].samples.empty());
}

// With one sequence of random numbers, frames beyond max_frames are made for nothing but its sake.
TEST(Streaming, IsCancelledAlsoWhereFramesArePassedOver) {
  const Handle handle = open(pack_of("lsd6"), [](PocketTTSConfigEx* config) {
    config->max_frames = 1;
    config->eos_threshold = kNever;
    config->flags = POCKET_TTS_FLAG_TORCH_RNG;
  });
  const Voice voice = voice_of(handle, "recorded");
  const auto steps = [&](bool cancel) {
    (void)ptts_probe(1);
    const Streamed streamed = stream(handle, voice, 1, "One two three.", [&](const Streamed&) {
      if (cancel) pocket_tts_cancel_streaming(handle.get());
    });
    EXPECT_EQ(streamed.finals(), 1);
    void* data = nullptr;
    size_t length = 0;
    EXPECT_EQ(ptts_probe_take(&data, &length), PTTS_OK);
    const std::string recorded(static_cast<const char*>(data), length);
    ptts_free(data);
    (void)ptts_probe(0);
    size_t count = 0;
    for (size_t at = 0; (at = recorded.find("\"latent#", at)) != recorded.npos; ++at) ++count;
    return count;
  };
  EXPECT_GT(steps(false), 20u);
  EXPECT_EQ(steps(true), 2u);
}

TEST(Streaming, IsCancelledFromAnotherThread) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice voice = voice_of(handle, "recorded");
  const Samples whole = spoken(handle, voice);
  std::mutex mutex;
  std::condition_variable changed;
  bool asked = false, cancelled = false;
  std::thread other([&] {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return asked; });
    pocket_tts_cancel_streaming(handle.get());
    cancelled = true;
    changed.notify_all();
  });
  const Streamed streamed = stream(handle, voice, 1, long_text(), [&](const Streamed& so_far) {
    if (so_far.pieces.size() != 3) return;
    std::unique_lock lock(mutex);
    asked = true;
    changed.notify_all();
    changed.wait(lock, [&] { return cancelled; });
  });
  other.join();
  EXPECT_LE(streamed.samples().size(), 5u * kFrame);
  EXPECT_GE(streamed.samples().size(), 3u * kFrame);
  EXPECT_EQ(streamed.result, static_cast<int>(streamed.samples().size()));
  EXPECT_EQ(streamed.finals(), 1);
  EXPECT_EQ(streamed.pieces.back().is_final, 1);
  // The handle works, and the next call is not cancelled.
  EXPECT_EQ(stream(handle, voice, 5).samples(), whole);
}

TEST(Streaming, ACallbackMayCancelAndNothingElse) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice voice = voice_of(handle, "recorded");
  std::string error;
  const Streamed streamed = stream(handle, voice, 1, kText, [&](const Streamed& so_far) {
    if (so_far.pieces.size() != 2) return;
    AudioResult result;
    EXPECT_EQ(pocket_tts_generate(handle.get(), kText, voice.get(), &result), -1);
    error = pocket_tts_get_last_error();
    EXPECT_EQ(pocket_tts_encode_voice(handle.get(), "recorded"), nullptr);
    pocket_tts_destroy(handle.get());  // refused, too
    pocket_tts_cancel_streaming(handle.get());
  });
  EXPECT_NE(error.find("callback"), error.npos) << error;
  EXPECT_EQ(streamed.pieces.size(), 3u);
  EXPECT_EQ(streamed.result, 2 * kFrame);
  EXPECT_FALSE(spoken(handle, voice).empty());
}

TEST(Streaming, AnExceptionOfTheCallbackEndsAtTheInterface) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice voice = voice_of(handle, "recorded");
  const auto hear = [](const float*, int, int, void*) { throw std::runtime_error("no more room"); };
  EXPECT_EQ(pocket_tts_generate_streaming(handle.get(), kText, voice.get(), hear, nullptr), -1);
  EXPECT_STREQ(pocket_tts_get_last_error(), "pocket_tts_generate_streaming: no more room");
  EXPECT_FALSE(spoken(handle, voice).empty());
}

TEST(Options, ZeroTemperatureIsSilenceOfNoiseInTheNewEntryAndTheDefaultInTheOldOne) {
  const auto speak = [](uint64_t seed, float temperature) {
    const Handle handle = open(pack_of("lsd6"), [&](PocketTTSConfigEx* config) {
      config->seed = seed;
      config->temperature = temperature;
      config->lsd_steps = 10;
      config->max_frames = 500;
    });
    return spoken(handle, voice_of(handle, "recorded"));
  };
  EXPECT_EQ(speak(1, 0), speak(2, 0));
  EXPECT_NE(speak(1, 0.3f), speak(2, 0.3f));
  EXPECT_EQ(speak(42, -1), speak(42, 0.3f));  // what this model's configuration says
  EXPECT_EQ(speak(42, std::nanf("")), speak(42, 0.3f));

  const std::string folder = pack_of("lsd6").string();
  const auto old = [&](const PocketTTSConfig& config) {
    const Handle handle(pocket_tts_create(&config), &pocket_tts_destroy);
    return spoken(handle, voice_of(handle, "recorded"));
  };
  EXPECT_EQ(old({folder.c_str(), nullptr, nullptr, 0, 0, 0}), speak(42, 0.3f));
  EXPECT_EQ(old({folder.c_str(), nullptr, nullptr, -1, -1, -1}), speak(42, 0.3f));
  EXPECT_EQ(old({folder.c_str(), nullptr, nullptr, 0.9f, 0, 0}), speak(42, 0.9f));
}

TEST(Options, TheirDefaultTemperatureWhereThePackHasNone) {
  const TemporaryFolder folder;
  make_pack("lsd6", folder.path() / "pack");
  std::string manifest = pack_json("lsd6");
  const std::string stated = R"("default_temperature":0.3,)";
  const size_t at = manifest.find(stated);
  ASSERT_NE(at, manifest.npos);
  write_text(folder.path() / "pack/pack.json", manifest.erase(at, stated.size()));
  const auto speak = [&](float temperature) {
    const Handle handle = open(folder.path() / "pack", [&](PocketTTSConfigEx* config) {
      config->temperature = temperature;
      config->lsd_steps = 10;
    });
    return spoken(handle, voice_of(handle, "recorded"));
  };
  const std::string name = (folder.path() / "pack").string();
  const PocketTTSConfig config = {name.c_str(), nullptr, nullptr, 0, 0, 0};
  const Handle handle(pocket_tts_create(&config), &pocket_tts_destroy);
  EXPECT_EQ(spoken(handle, voice_of(handle, "recorded")), speak(0.7f));
  EXPECT_EQ(speak(-1), speak(0.3f));
}

TEST(Options, MaxFramesLimitsEveryChunk) {
  for (const uint32_t flags : {0u, uint32_t{POCKET_TTS_FLAG_TORCH_RNG}}) {
    SCOPED_TRACE(flags);
    const auto speak = [&](int most) {
      const Handle handle = open(pack_of("lsd6"), [&](PocketTTSConfigEx* config) {
        config->max_frames = most;
        config->max_tokens = 8;
        config->eos_threshold = kNever;
        config->flags = flags;
      });
      return spoken(handle, voice_of(handle, "recorded"));
    };
    const Samples all = speak(0), some = speak(7);
    ASSERT_EQ(some.size(), 2u * 7 * kFrame);
    ASSERT_GT(all.size(), some.size());
    // The beginning of both chunks is what it was: the limit takes nothing else away.
    EXPECT_TRUE(std::equal(some.begin(), some.begin() + 7 * kFrame, all.begin()));
    const size_t second = all.size() / 2;
    bool found = false;
    for (size_t at = kFrame; at + 7 * kFrame <= all.size(); at += kFrame) {
      found = found || std::equal(some.begin() + 7 * kFrame, some.end(), all.begin() + static_cast<long>(at));
    }
    EXPECT_TRUE(found) << second;
  }
}

TEST(Options, SeedsAreHeard) {
  const auto speak = [](uint64_t seed) {
    const Handle handle = open(pack_of("lsd6"), [&](PocketTTSConfigEx* config) { config->seed = seed; });
    const Voice voice = voice_of(handle, "recorded");
    const Samples once = spoken(handle, voice);
    EXPECT_EQ(spoken(handle, voice), once);
    return once;
  };
  EXPECT_NE(speak(1), speak(2));
}

}  // namespace
}  // namespace ptts::testing_capi
