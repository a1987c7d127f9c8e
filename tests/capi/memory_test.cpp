// Memory through the C interface: all of it comes back, and where it ends an error is told.
#include <cstdlib>
#include <new>

#include "pocket_tts.h"
#include "tts.h"

namespace {

thread_local long allowed = -1;  // allocations until the next one fails; < 0: all

void* take(std::size_t bytes) {
  if (allowed == 0) {
    allowed = -1;
    throw std::bad_alloc();
  }
  if (allowed > 0) --allowed;
  void* memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Of the whole test program, and of the library in it.
void* operator new(std::size_t bytes) { return take(bytes); }
void* operator new[](std::size_t bytes) { return take(bytes); }
// (Who asks this way can do without: it does not count.)
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes > 0 ? bytes : 1);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace ptts::testing_capi {
namespace {

// The leak sanitizer looks at what is left of it in the sanitized build.
TEST(Memory, AHundredRoundsLeaveNothing) {
  const Samples recording = tone(150, 0.5);
  const Path& pack = pack_of("lsd6");
  const uint64_t before = ptts_allocated_bytes();
  for (int i = 0; i < 100; ++i) {
    const Handle handle = open(pack, [](PocketTTSConfigEx* config) { config->max_frames = 3; });
    const Voice voice =
        voice_of(handle, i % 2 == 0 ? recording : Samples(recording.begin() + i, recording.end()));
    const Voice named = voice_of(handle, "recorded");
    EXPECT_FALSE(spoken(handle, voice, "One.").empty());
    EXPECT_EQ(
        stream(handle, named, 2, "One.", [&](const Streamed&) { pocket_tts_cancel_streaming(handle.get()); })
            .finals(),
        1);
    EXPECT_EQ(pocket_tts_encode_voice(handle.get(), "nobody"), nullptr);
  }
  EXPECT_EQ(ptts_allocated_bytes(), before);
}

// Runs `call` with one allocation after another failing, to the `most`th or until it goes through; `call` tells whether it
// did.  Returns how many failed.
template <typename Call>
int failures(Call call, long most = 1 << 20) {
  int failed = 0;
  for (long n = 0; n < most; n = n + 1 + n / 8) {
    allowed = n;
    const bool done = call();
    const bool all = allowed >= 0;
    allowed = -1;
    if (done) {
      EXPECT_TRUE(all) << "allocation " << n << " failed and nobody noticed";
      return failed;
    }
    const std::string error = pocket_tts_get_last_error();
    EXPECT_NE(error.find("memory"), error.npos) << error;
    ++failed;
  }
  return failed;
}

TEST(Memory, WhereItEndsAnErrorIsTold) {
  const std::string pack = pack_of("lsd6").string(), voice_name = "recorded";
  PocketTTSConfigEx config = config_of(pack);
  config.max_frames = 2;
  const uint64_t before = ptts_allocated_bytes();
  {
    Handle handle(nullptr, &pocket_tts_destroy);
    // Up to where the tokenizer is read: the vendored protobuf does not survive an allocation that fails.
    const auto create = [&] {
      handle.reset(pocket_tts_create_ex(&config));
      return handle != nullptr;
    };
    EXPECT_GT(failures(create, 25), 10);
    EXPECT_TRUE(create()) << pocket_tts_get_last_error();
    Voice voice(nullptr, &pocket_tts_free_voice);
    EXPECT_GT(failures([&] {
                voice.reset(pocket_tts_encode_voice(handle.get(), voice_name.c_str()));
                return voice != nullptr;
              }),
              3);
    AudioResult result;
    EXPECT_GT(failures([&] { return pocket_tts_generate(handle.get(), "One.", voice.get(), &result) == 0; }),
              3);
    pocket_tts_free_audio(&result);
    const auto hear = [](const float*, int, int, void*) {};
    EXPECT_GT(failures([&] {
                return pocket_tts_generate_streaming(handle.get(), "One.", voice.get(), hear, nullptr) >= 0;
              }),
              3);
    EXPECT_FALSE(spoken(handle, voice).empty());
  }
  EXPECT_EQ(ptts_allocated_bytes(), before);
}

}  // namespace
}  // namespace ptts::testing_capi
