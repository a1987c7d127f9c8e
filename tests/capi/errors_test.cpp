// What the C interface refuses, and how it says so.
#include <sys/stat.h>

#include <thread>

#include "tts.h"

namespace ptts::testing_capi {
namespace {

namespace fs = std::filesystem;

std::string last_error() { return pocket_tts_get_last_error(); }

bool says(const std::string& part) {
  const bool found = last_error().find(part) != std::string::npos;
  if (!found) ADD_FAILURE() << "expected \"" << part << "\" in \"" << last_error() << "\"";
  return found;
}

// The message of a configuration that is refused.
std::string refusal(const Path& folder, const std::function<void(PocketTTSConfigEx*)>& set = {}) {
  const std::string name = folder.string();
  PocketTTSConfigEx config = config_of(name);
  if (set) set(&config);
  EXPECT_EQ(pocket_tts_create_ex(&config), nullptr);
  return last_error();
}

TEST(Errors, AreToldForEachThread) {
  EXPECT_EQ(pocket_tts_create(nullptr), nullptr);
  const std::string mine = last_error();
  EXPECT_NE(mine, "");
  std::thread([&] {
    EXPECT_STREQ(pocket_tts_get_last_error(), "");
    EXPECT_EQ(pocket_tts_sample_rate(nullptr), -1);
    EXPECT_STREQ(pocket_tts_get_last_error(), "pocket_tts_sample_rate: null argument");
  }).join();
  EXPECT_EQ(last_error(), mine);
}

TEST(Errors, NullIsRefusedOrAllowed) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice voice = voice_of(handle, "recorded");
  const Samples samples = tone(150, 0.1);
  const auto hear = [](const float*, int, int, void*) {};
  AudioResult result = {reinterpret_cast<float*>(1), 1, 1};
  const auto refused = [&](auto answer, auto expected) {
    EXPECT_EQ(answer, expected);
    return says("null argument");
  };
  EXPECT_TRUE(refused(pocket_tts_generate(nullptr, kText, voice.get(), &result), -1));
  EXPECT_EQ(result.data, nullptr);
  EXPECT_TRUE(refused(pocket_tts_generate(handle.get(), nullptr, voice.get(), &result), -1));
  EXPECT_TRUE(refused(pocket_tts_generate(handle.get(), kText, nullptr, &result), -1));
  EXPECT_TRUE(refused(pocket_tts_generate(handle.get(), kText, voice.get(), nullptr), -1));
  EXPECT_TRUE(refused(pocket_tts_generate_streaming(nullptr, kText, voice.get(), hear, nullptr), -1));
  EXPECT_TRUE(refused(pocket_tts_generate_streaming(handle.get(), kText, voice.get(), nullptr, nullptr), -1));
  EXPECT_TRUE(refused(pocket_tts_encode_voice(nullptr, "recorded"), nullptr));
  EXPECT_TRUE(refused(pocket_tts_encode_voice(handle.get(), nullptr), nullptr));
  EXPECT_TRUE(refused(pocket_tts_encode_voice_from_samples(handle.get(), nullptr, 10, 24000), nullptr));
  EXPECT_TRUE(refused(pocket_tts_export_voice(nullptr, "x"), -1));
  EXPECT_TRUE(refused(pocket_tts_list_voices(nullptr, nullptr, 0), -1));
  EXPECT_EQ(pocket_tts_list_voices(handle.get(), nullptr, 3), -1);
  pocket_tts_destroy(nullptr);
  pocket_tts_free_voice(nullptr);
  pocket_tts_free_audio(nullptr);
  pocket_tts_cancel_streaming(nullptr);
  pocket_tts_config_ex_init(nullptr, sizeof(PocketTTSConfigEx));
  result = {};
  pocket_tts_free_audio(&result);
}

TEST(Errors, TextIsUtf8WithSomethingToSpeak) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice voice = voice_of(handle, "recorded");
  AudioResult result;
  for (const char* text : {"a \xff b", "\xc3", "\xed\xa0\x80", "\xc0\xaf"}) {
    EXPECT_EQ(pocket_tts_generate(handle.get(), text, voice.get(), &result), -1);
    says("UTF-8");
    EXPECT_EQ(result.data, nullptr);
    EXPECT_EQ(result.sample_count, 0);
    int calls = 0;
    const StreamingConfig config = {5, &calls};
    const auto hear = [](const float*, int, int, void* user_data) { ++*static_cast<int*>(user_data); };
    EXPECT_EQ(pocket_tts_generate_streaming(handle.get(), text, voice.get(), hear, &config), -1);
    EXPECT_EQ(calls, 0);
  }
  for (const char* text : {"", "  \n"}) {
    EXPECT_EQ(pocket_tts_generate(handle.get(), text, voice.get(), &result), -1);
    says("empty");
  }
  EXPECT_FALSE(spoken(handle, voice, "Voilà.").empty());
}

TEST(Errors, SamplesHaveARateAndANumber) {
  const Handle handle = open(pack_of("lsd6"));
  Samples samples = tone(150, 0.5);
  const auto encode = [&](int count, int rate) {
    const Voice voice(pocket_tts_encode_voice_from_samples(handle.get(), samples.data(), count, rate),
                      &pocket_tts_free_voice);
    return voice != nullptr;
  };
  for (const int rate : {-1, 0, 999, 768001}) {
    EXPECT_FALSE(encode(1000, rate));
    says("sample_rate: expected 1000 to 768000 Hz");
  }
  for (const int count : {0, -5}) {
    EXPECT_FALSE(encode(count, 24000));
    says("sample_count: expected 1 to 43200000");
  }
  EXPECT_FALSE(encode(30 * 60 * 1000 + 1, 1000));  // refused before they are read
  says("sample_count: expected 1 to 1800000 (30 minutes)");
  EXPECT_TRUE(encode(12000, 1000));
  EXPECT_TRUE(encode(12000, 768000)) << last_error();
  samples[77] = std::nanf("");
  EXPECT_FALSE(encode(12000, 24000));
}

TEST(Errors, ConfigurationsAreCheckedBeforeTheLongRead) {
  const auto refused = [](const char* expected, const std::function<void(PocketTTSConfigEx*)>& set) {
    (void)refusal("no such folder", set);
    return says(expected);
  };
  EXPECT_TRUE(refused("precision: expected \"int8\"", [](auto* c) { c->precision = "int4"; }));
  EXPECT_TRUE(refused("temperature: expected 0 to 100", [](auto* c) { c->temperature = 101; }));
  EXPECT_TRUE(refused("noise_clamp", [](auto* c) { c->noise_clamp = -1; }));
  EXPECT_TRUE(refused("eos_threshold", [](auto* c) { c->eos_threshold = INFINITY; }));
  EXPECT_TRUE(refused("decode_steps: expected 1 to 1000", [](auto* c) { c->lsd_steps = 0; }));
  EXPECT_TRUE(refused("frames_after_eos", [](auto* c) { c->frames_after_eos = -2; }));
  EXPECT_TRUE(refused("max_tokens: expected 1 to 4096", [](auto* c) { c->max_tokens = 0; }));
  EXPECT_TRUE(refused("max_frames: expected 0", [](auto* c) { c->max_frames = -1; }));
  EXPECT_TRUE(refused("threads", [](auto* c) { c->threads = -1; }));
  EXPECT_TRUE(refused("flags", [](auto* c) { c->flags = 4; }));
  EXPECT_TRUE(refused("struct_size: expected", [](auto* c) { c->struct_size = 8; }));
  for (const char* language : {"", ".", "..", "a/b", "../a"}) {
    EXPECT_TRUE(refused("language: expected the name of a folder", [&](auto* c) { c->language = language; }));
  }
  EXPECT_TRUE(refused("models_dir: expected a folder", [](auto* c) { c->models_dir = ""; }));
}

TEST(Errors, WhatIsNoPackIsNamed) {
  const TemporaryFolder folder;
  (void)refusal(folder.path() / "none");
  says("none: expected a folder with a pack.json or the reference's files (models_dir), found none");
  (void)refusal(folder.path());
  says(
      "expected a pack (pack.json) or the reference's files (a configuration NAME.yaml, weights, a "
      "tokenizer), found neither");
  write_text(folder.path() / "model.safetensors", "");
  (void)refusal(folder.path());
  says("expected the model's configuration beside model.safetensors, found none");
  write_text(folder.path() / "flow_lm_main_int8.onnx", "");
  (void)refusal(folder.path());
  says(
      "found ONNX graphs (flow_lm_main_int8.onnx), which this library does not run: `npx pocket-tts-wasm "
      "packs convert");
  says("name TARGET as models_dir");
}

TEST(Errors, WithoutModelsTheDefaultSaysWhereItLooked) {
  EXPECT_EQ(pocket_tts_create(nullptr), nullptr);
  says("models_dir: none was named, there is no models/onnx in the working directory");
}

TEST(Errors, FilesAreWhatThePackPromises) {
  const TemporaryFolder folder;
  const Path pack = make_pack("lsd6", folder.path() / "pack");
  const std::string manifest = pack_json("lsd6");
  const auto refused = [&](const std::string& from, const std::string& to, const char* expected) {
    std::string text = manifest;
    text.replace(text.find(from), from.size(), to);
    write_text(pack / "pack.json", text);
    (void)refusal(pack);
    return says(expected);
  };
  const std::string weights = R"("role": "weights")", tokenizer = R"("role": "tokenizer")";
  EXPECT_TRUE(
      refused(weights, weights + R"(, "bytes": 5)", "model.safetensors: expected 5 bytes, found 1481000"));
  EXPECT_TRUE(refused(weights, weights + R"(, "sha256": ")" + std::string(64, 'a') + "\"",
                      "model.safetensors: expected sha256 aaaa"));
  EXPECT_TRUE(refused(tokenizer, tokenizer + R"(, "sha256": ")" + std::string(64, 'a') + "\"",
                      "tokenizer.model: expected sha256 aaaa"));
  EXPECT_TRUE(refused("\"path\": \"model.safetensors\"", "\"path\": \"other.safetensors\"",
                      "other.safetensors: expected a file, found none"));
  EXPECT_TRUE(refused("\"flow_lm\"", "\"flow_ml\"", "pack.json: config"));
  EXPECT_TRUE(refused(weights, R"("role": "weights-mimi")", "pack"));

  // A voice is checked when it is asked for.
  std::string text = manifest;
  text.replace(text.find("\"role\": \"voice\""), 15,
               R"("role": "voice", "sha256": ")" + std::string(64, 'b') + "\"");
  write_text(pack / "pack.json", text);
  EXPECT_EQ(pocket_tts_encode_voice(open(pack).get(), "recorded"), nullptr);
  says("voice.safetensors: expected sha256 bbbb");

  // A link may lead to another place in the pack, not out of it.
  write_text(pack / "pack.json", manifest);
  fs::rename(pack / "tokenizer.model", pack / "elsewhere");
  fs::create_symlink("elsewhere", pack / "tokenizer.model");
  EXPECT_NE(open(pack), nullptr);
  fs::remove(pack / "tokenizer.model");
  fs::rename(pack / "elsewhere", folder.path() / "elsewhere");
  fs::create_symlink("../elsewhere", pack / "tokenizer.model");
  (void)refusal(pack);
  says("tokenizer.model: leads out of the pack");
  fs::remove(pack / "tokenizer.model");
  ASSERT_EQ(mkfifo((pack / "tokenizer.model").c_str(), 0600), 0);
  (void)refusal(pack);
  says("tokenizer.model: expected a plain file, found a FIFO");

  // A tokenizer of the caller's own takes its place.
  const std::string own = (folder.path() / "elsewhere").string();
  const Handle handle = open(pack, [&](PocketTTSConfigEx* config) { config->tokenizer_path = own.c_str(); });
  EXPECT_FALSE(spoken(handle, voice_of(handle, "recorded")).empty());
  const std::string wrong = (kRoot / "models/starter/tokenizer.model").string();
  (void)refusal(pack, [&](PocketTTSConfigEx* config) { config->tokenizer_path = wrong.c_str(); });
  says("starter/tokenizer.model: ");
}

TEST(Version, IsTheEngines) { EXPECT_STREQ(pocket_tts_version(), "0.1.0"); }

}  // namespace
}  // namespace ptts::testing_capi
