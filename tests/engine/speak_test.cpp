// Voices, sessions and codecs: the loop's promises and its refusals.
#include "speak.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "golden.h"

namespace ptts::testing_files {
namespace {

class SpeakTest : public testing::Test {
 protected:
  void open(const std::string& fixture, uint32_t precision = PTTS_PRECISION_F32) {
    Parts parts = read_parts(fixture);
    parts.precision = precision;
    ASSERT_EQ(load(parts, &model_), PTTS_OK) << ptts_message();
    const Bytes file = read_voice(fixture);
    ASSERT_EQ(ptts_voice_load(model_, file.data(), file.size(), &voice_), PTTS_OK) << ptts_message();
    ASSERT_EQ(ptts_options_init(model_, &options_), PTTS_OK);
  }
  void close() {
    if (voice_ != 0) EXPECT_EQ(ptts_close(voice_), PTTS_OK);
    if (model_ != 0) EXPECT_EQ(ptts_close(model_), PTTS_OK);
    voice_ = model_ = 0;
  }
  void TearDown() override {
    close();
    EXPECT_EQ(ptts_allocated_bytes(), 0u) << "something was not freed";
  }
  void expect_message(std::initializer_list<const char*> words) {
    for (const char* word : words) {
      EXPECT_NE(std::string(ptts_message()).find(word), std::string::npos)
          << word << " in: " << ptts_message();
    }
  }

  ptts_handle model_ = 0, voice_ = 0;
  ptts_options options_ = {};
};

constexpr std::string_view kTwoChunks = "Hello world, this is a test. Thank you for listening to it.";

TEST_F(SpeakTest, DecodingInAnyGroupingGivesTheSameBits) {
  open("lsd6");
  const Speech one = speak(model_, voice_, kTwoChunks, options_, 1);
  ASSERT_EQ(one.status, PTTS_OK) << ptts_message();
  ASSERT_FALSE(one.pcm.empty());
  for (const size_t block : {size_t{2}, size_t{5}, size_t{1000}}) {
    EXPECT_EQ(speak(model_, voice_, kTwoChunks, options_, block).pcm, one.pcm) << block;
  }
  EXPECT_EQ(one.pcm[0], 0.0f);  // faded in
}

TEST_F(SpeakTest, ChunksHaveStreamsOfTheirOwn) {
  open("lsd6");
  options_.max_tokens = 24;
  const Speech whole = speak(model_, voice_, kTwoChunks, options_);
  ASSERT_EQ(whole.status, PTTS_OK) << ptts_message();
  ASSERT_EQ(whole.chunks, 2u);
  // The second chunk alone, by seeking: what speaking chunks in parallel rests on.
  ptts_handle session = 0;
  ASSERT_EQ(ptts_session_open(model_, voice_, kTwoChunks.data(), kTwoChunks.size(), &options_, &session),
            PTTS_OK);
  ASSERT_EQ(ptts_session_seek(session, 1), PTTS_OK) << ptts_message();
  std::vector<float> latents;
  float latent[32];
  ptts_event event;
  while (ptts_session_step(session, latent, &event) == PTTS_OK)
    latents.insert(latents.end(), latent, latent + 32);
  ASSERT_LT(latents.size(), whole.latents.size());
  EXPECT_TRUE(std::equal(latents.begin(), latents.end(),
                         whole.latents.end() - static_cast<std::ptrdiff_t>(latents.size())));
  EXPECT_EQ(ptts_session_step(session, latent, &event), PTTS_DONE);
  EXPECT_EQ(ptts_session_step(session, latent, &event), PTTS_DONE);
  EXPECT_EQ(ptts_session_seek(session, 3), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_close(session), PTTS_OK);
  // One chunk sounds the same with both kinds of random streams.
  ptts_options torch = options_;
  torch.rng = PTTS_RNG_TORCH;
  EXPECT_EQ(speak(model_, voice_, "Thank you.", options_).pcm,
            speak(model_, voice_, "Thank you.", torch).pcm);
  EXPECT_NE(speak(model_, voice_, kTwoChunks, torch).pcm, whole.pcm);
}

// The latents of a text's chunks, of which up to `most` take their steps together.
std::vector<std::vector<float>> speak_together(ptts_handle model, ptts_handle voice, std::string_view text,
                                               const ptts_options& options, uint32_t most) {
  ptts_handle session = 0;
  uint32_t chunks = 0, count = 0;
  ptts_model_info info;
  EXPECT_EQ(ptts_model_get_info(model, &info), PTTS_OK);
  const size_t width = info.latent_width;
  EXPECT_EQ(ptts_session_open(model, voice, text.data(), text.size(), &options, &session), PTTS_OK)
      << ptts_message();
  EXPECT_EQ(ptts_session_chunk_count(session, &chunks), PTTS_OK);
  std::vector<std::vector<float>> spoken(chunks);
  std::vector<float> latents(most * width);
  std::vector<ptts_event> events(most);
  std::vector<ptts_status> statuses(most);
  uint32_t together = 0, ends = 0, next = 0;
  ptts_status status;
  while ((status = ptts_session_step_many(session, most, next < chunks ? next : PTTS_NONE, latents.data(),
                                          events.data(), statuses.data(), &count)) == PTTS_OK) {
    together = std::max(together, count);
    for (uint32_t i = 0; i < count; ++i) next += events[i].chunk == next;
    for (uint32_t i = 0; i < count; ++i) {
      std::vector<float>& chunk = spoken[events[i].chunk];
      EXPECT_EQ(events[i].step, chunk.size() / width);
      ends += statuses[i] == PTTS_CHUNK_END;
      if (statuses[i] == PTTS_OK) chunk.insert(chunk.end(), &latents[i * width], &latents[i * width] + width);
    }
  }
  EXPECT_EQ(status, PTTS_DONE) << ptts_message();
  EXPECT_EQ(together, std::min(most, chunks));
  EXPECT_EQ(ends, chunks);
  EXPECT_EQ(ptts_close(session), PTTS_OK);
  return spoken;
}

TEST_F(SpeakTest, ChunksThatAreSpokenTogetherAreThoseSpokenAlone) {
  const std::string_view text =
      "Hello world, this is a test. Thank you for listening to it. The old harbour wakes before the sun. "
      "Nobody knew why. "
      "She counted the coins twice, put them in the jar and closed the lid.";
  for (const char* fixture : {"lsd6", "drifting", "flow_matching", "pointwise2m", "german"}) {
    for (const uint32_t precision : {PTTS_PRECISION_F32, PTTS_PRECISION_Q8, PTTS_PRECISION_Q4}) {
      open(fixture, precision);
      options_.max_tokens = 20;
      options_.decode_steps = 2;
      const Speech alone = speak(model_, voice_, text, options_);
      ASSERT_EQ(alone.status, PTTS_OK) << ptts_message();
      ASSERT_GT(alone.chunks, 3u);
      for (const uint32_t most : {1u, 2u, 3u, 16u}) {
        std::vector<float> latents;
        for (const auto& chunk : speak_together(model_, voice_, text, options_, most)) {
          latents.insert(latents.end(), chunk.begin(), chunk.end());
        }
        EXPECT_EQ(latents, alone.latents) << fixture << ", precision " << precision << ", " << most;
      }
      close();
    }
  }
}

TEST_F(SpeakTest, ChunksTogetherKeepWithinWhatIsAskedFor) {
  open("lsd6");
  options_.max_tokens = 24;
  ptts_handle session = 0;
  float latents[17 * 32];
  ptts_event events[17];
  ptts_status statuses[17];
  uint32_t count = 0;
  const auto many = [&](uint32_t most, uint32_t end) {
    return ptts_session_step_many(session, most, end, latents, events, statuses, &count);
  };
  ASSERT_EQ(ptts_session_open(model_, voice_, kTwoChunks.data(), kTwoChunks.size(), &options_, &session),
            PTTS_OK);
  EXPECT_EQ(many(0, 0), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(many(17, 0), PTTS_ERROR_ARGUMENT);
  expect_message({"most", "expected", "17"});
  EXPECT_EQ(many(2, 2), PTTS_ERROR_ARGUMENT);
  expect_message({"begin", "expected a chunk below 2"});
  EXPECT_EQ(many(2, PTTS_NONE), PTTS_DONE);
  EXPECT_EQ(many(2, 1), PTTS_OK);  // in any order
  EXPECT_EQ(many(2, PTTS_NONE), PTTS_OK);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(many(2, 0), PTTS_OK);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(events[0].chunk, 1u);
  EXPECT_EQ(events[0].step, 2u);
  EXPECT_EQ(events[1].chunk, 0u);
  EXPECT_EQ(events[1].step, 0u);
  EXPECT_EQ(many(2, 0), PTTS_OK);  // no room
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(events[1].step, 1u);
  EXPECT_EQ(many(1, PTTS_NONE), PTTS_OK);
  EXPECT_EQ(count, 1u);  // the other one waits
  ASSERT_EQ(ptts_session_seek(session, 1), PTTS_OK);
  EXPECT_EQ(many(2, PTTS_NONE), PTTS_DONE);
  EXPECT_EQ(ptts_close(session), PTTS_OK);
  options_.rng = PTTS_RNG_TORCH;
  ASSERT_EQ(ptts_session_open(model_, voice_, kTwoChunks.data(), kTwoChunks.size(), &options_, &session),
            PTTS_OK);
  EXPECT_EQ(many(1, 0), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_close(session), PTTS_OK);
}

TEST_F(SpeakTest, TheSeedDecides) {
  open("lsd6");
  const Speech first = speak(model_, voice_, "Thank you.", options_);
  EXPECT_EQ(speak(model_, voice_, "Thank you.", options_).pcm, first.pcm);
  options_.seed = 43;
  EXPECT_NE(speak(model_, voice_, "Thank you.", options_).pcm, first.pcm);
}

TEST_F(SpeakTest, Int8StaysCloseToF32) {
  open("lsd6");
  options_.temperature = 0;
  const Speech exact = speak(model_, voice_, "Thank you.", options_);
  close();
  open("lsd6", PTTS_PRECISION_Q8);
  options_.temperature = 0;
  const Speech quantized = speak(model_, voice_, "Thank you.", options_);
  ASSERT_EQ(quantized.status, PTTS_OK) << ptts_message();
  double dot = 0, a = 0, b = 0;  // the first latents: later ones part, as any two random-weight runs do
  for (size_t i = 0; i < 4 * 32; ++i) {
    dot += static_cast<double>(exact.latents[i]) * static_cast<double>(quantized.latents[i]);
    a += static_cast<double>(exact.latents[i]) * static_cast<double>(exact.latents[i]);
    b += static_cast<double>(quantized.latents[i]) * static_cast<double>(quantized.latents[i]);
  }
  EXPECT_GT(dot / std::sqrt(a * b), 0.99);
  EXPECT_NE(exact.latents, quantized.latents);
}

TEST_F(SpeakTest, OptionsThatCannotBeAreRefused) {
  open("drifting");
  const ptts_options good = options_;
  const struct {
    const char* name;
    void (*spoil)(ptts_options&);
  } rows[] = {
      {"temperature", [](ptts_options& o) { o.temperature = -1; }},
      {"temperature", [](ptts_options& o) { o.temperature = NAN; }},
      {"temperature", [](ptts_options& o) { o.temperature = INFINITY; }},
      {"eos_threshold", [](ptts_options& o) { o.eos_threshold = NAN; }},
      {"noise_clamp", [](ptts_options& o) { o.noise_clamp = -1; }},
      {"noise_clamp", [](ptts_options& o) { o.noise_clamp = NAN; }},
      {"decode_steps", [](ptts_options& o) { o.decode_steps = 0; }},
      {"decode_steps", [](ptts_options& o) { o.decode_steps = 1000000000; }},
      {"frames_after_eos", [](ptts_options& o) { o.frames_after_eos = -2; }},
      {"max_tokens", [](ptts_options& o) { o.max_tokens = 0; }},
      {"rng", [](ptts_options& o) { o.rng = 7; }},
      {"discard_draws", [](ptts_options& o) { o.discard_draws = 4000000000; }},
  };
  for (const auto& row : rows) {
    options_ = good;
    row.spoil(options_);
    EXPECT_EQ(speak(model_, voice_, "Hello.", options_).status, PTTS_ERROR_ARGUMENT) << row.name;
    expect_message({row.name, "expected"});
  }
  EXPECT_EQ(speak(model_, voice_, "Hello.", good).status, PTTS_OK) << ptts_message();
}

TEST_F(SpeakTest, WithoutNoiseThereIsNothingToClamp) {
  open("drifting");
  options_.temperature = 0;
  const Speech free = speak(model_, voice_, "Hello.", options_);
  options_.noise_clamp = 1;
  EXPECT_EQ(speak(model_, voice_, "Hello.", options_).pcm, free.pcm) << ptts_message();
}

TEST_F(SpeakTest, TextsThatCannotBeSpoken) {
  open("drifting");
  for (const char* text : {"", " ", "\n\t \r\n", "\u00a0\u2003"}) {
    EXPECT_EQ(speak(model_, voice_, text, options_).status, PTTS_ERROR_TEXT_EMPTY) << text;
  }
  for (const char* text : {"abc\xff", "\xc3", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_EQ(speak(model_, voice_, text, options_).status, PTTS_ERROR_TEXT_ENCODING) << text;
  }
  const std::string huge(5 << 20, 'a');
  EXPECT_EQ(speak(model_, voice_, huge, options_).status, PTTS_ERROR_TEXT_TOO_LONG);
  for (const char* text : {"\U0001F600\U0001F601", "...", "-", ",", "!?"}) {
    EXPECT_EQ(speak(model_, voice_, text, options_).status, PTTS_OK) << text << ": " << ptts_message();
  }
}

// A megabyte is planned at once and spoken chunk by chunk: opening it must not need memory for all of it.
TEST_F(SpeakTest, AMegabyteOfTextOpens) {
  open("drifting");
  std::string text;
  while (text.size() < 1000000) text += "The cold wind came down from the hills again. ";
  ptts_handle session = 0;
  ASSERT_EQ(ptts_session_open(model_, voice_, text.data(), text.size(), &options_, &session), PTTS_OK)
      << ptts_message();
  uint32_t count = 0, begin = 0;
  ASSERT_EQ(ptts_session_chunk_count(session, &count), PTTS_OK);
  EXPECT_GT(count, 10000u);
  for (uint32_t i = 0; i < count; ++i) {
    ptts_chunk chunk;
    ASSERT_EQ(ptts_session_chunk(session, i, &chunk), PTTS_OK);
    ASSERT_LE(begin, chunk.text_begin);
    ASSERT_LT(chunk.text_begin, chunk.text_end);
    begin = chunk.text_end;
  }
  EXPECT_LE(begin, text.size());
  EXPECT_LT(ptts_allocated_bytes(), 32u << 20);
  EXPECT_EQ(ptts_close(session), PTTS_OK);
}

TEST_F(SpeakTest, VoicesRoundTrip) {
  for (const uint32_t precision : {PTTS_PRECISION_F32, PTTS_PRECISION_Q8}) {
    open("lsd6", precision);
    void* data = nullptr;
    size_t size = 0;
    ASSERT_EQ(ptts_voice_export(voice_, &data, &size), PTTS_OK);
    ptts_handle again = 0;
    ASSERT_EQ(ptts_voice_load(model_, data, size, &again), PTTS_OK) << ptts_message();
    EXPECT_EQ(speak(model_, again, "Thank you.", options_).pcm,
              speak(model_, voice_, "Thank you.", options_).pcm);
    ptts_free(data);
    EXPECT_EQ(ptts_close(again), PTTS_OK);
    close();
  }
}

// Streams read a voice's keys and values as they are kept.
TEST_F(SpeakTest, VoicesOfOtherNumbersAreRefused) {
  for (const uint32_t precision : {PTTS_PRECISION_F32, PTTS_PRECISION_Q8}) {
    open("lsd6", precision);
    Parts parts = read_parts("lsd6");
    parts.precision = precision == PTTS_PRECISION_F32 ? PTTS_PRECISION_Q8 : PTTS_PRECISION_F32;
    ptts_handle other = 0, session = 0;
    ASSERT_EQ(load(parts, &other), PTTS_OK) << ptts_message();
    EXPECT_EQ(ptts_session_open(other, voice_, "Hello.", 6, &options_, &session), PTTS_ERROR_VOICE);
    expect_message({"f32", "integers"});
    EXPECT_EQ(ptts_close(other), PTTS_OK);
    close();
  }
}

TEST_F(SpeakTest, TheOldestVoiceFilesLoad) {
  open(
      "lsd6");  // generation a: rows after the speaker projection, here the reference's own of the same prompt
  const auto golden = golden::read_tensors("fixtures/lsd6/golden.safetensors");
  const golden::Tensor& rows = golden.at("voice.cond");
  const std::string header = "{\"audio_prompt\":{\"dtype\":\"F32\",\"shape\":[1," +
                             std::to_string(rows.shape[0]) + "," + std::to_string(rows.shape[1]) +
                             "],\"data_offsets\":[0," + std::to_string(rows.values.size() * 4) + "]}}";
  Container container{header, Bytes(rows.values.size() * 4)};
  std::memcpy(container.data.data(), rows.values.data(), container.data.size());
  const Bytes file = close_container(container);
  ptts_handle voice = 0;
  ASSERT_EQ(ptts_voice_load(model_, file.data(), file.size(), &voice), PTTS_OK) << ptts_message();
  const Speech a = speak(model_, voice, "Thank you.", options_),
               d = speak(model_, voice_, "Thank you.", options_);
  ASSERT_EQ(a.latents.size(), d.latents.size());
  for (size_t i = 0; i < 4 * 32; ++i) EXPECT_NEAR(a.latents[i], d.latents[i], 5e-4);
  EXPECT_EQ(ptts_close(voice), PTTS_OK);
}

TEST_F(SpeakTest, VoicesOfOtherModelsAreRefused) {
  open("lsd6");
  for (const char* other : {"drifting", "pointwise2m", "deep", "lsd_2026_01", "german"}) {
    const Bytes file = read_voice(other);
    ptts_handle voice = 0;
    EXPECT_EQ(ptts_voice_load(model_, file.data(), file.size(), &voice), PTTS_ERROR_VOICE) << other;
    expect_message({"voice", "layers"});
  }
}

TEST_F(SpeakTest, BrokenVoicesAreRefused) {
  open("lsd6");
  const Bytes whole = read_voice("lsd6");
  ptts_handle voice = 0;
  for (size_t keep = 0; keep < whole.size(); keep += 1 + whole.size() / 50) {
    EXPECT_EQ(ptts_voice_load(model_, whole.data(), keep, &voice), PTTS_ERROR_VOICE) << keep;
  }
  const struct {
    const char *from, *to, *word;
  } rows[] = {
      {"layers.0.self_attn/cache", "layers.9.self_attn/cache", "missing"},
      {"layers.0.self_attn/offset", "layers.0.self_attn/offsex", "offset"},
      {"\"I64\"", "\"U64\"", "I64"},
      {"[2,1,17,4,16]", "[2,1,17,16,4]", "expected floats"},
  };
  for (const auto& row : rows) {
    Container container = open_container(whole);
    ASSERT_TRUE(replace_first(&container.header, row.from, row.to)) << container.header.substr(0, 300);
    const Bytes file = close_container(container);
    EXPECT_EQ(ptts_voice_load(model_, file.data(), file.size(), &voice), PTTS_ERROR_VOICE) << row.from;
    expect_message({row.word});
  }
  const uint32_t nan = 0x7fc00000;
  Bytes file = whole;
  std::memcpy(file.data() + file.size() - 6000, &nan, 4);
  EXPECT_EQ(ptts_voice_load(model_, file.data(), file.size(), &voice), PTTS_ERROR_VOICE);
  expect_message({"finite"});
}

TEST_F(SpeakTest, AudioThatIsNoVoice) {
  open("lsd6");
  ptts_handle voice = 0;
  std::vector<float> samples(24000, 0.1f);
  EXPECT_EQ(ptts_voice_from_pcm(model_, samples.data(), 0, 24000, &voice), PTTS_ERROR_AUDIO);
  EXPECT_EQ(ptts_voice_from_pcm(model_, samples.data(), samples.size(), 0, &voice), PTTS_ERROR_AUDIO);
  samples[500] = NAN;
  EXPECT_EQ(ptts_voice_from_pcm(model_, samples.data(), samples.size(), 24000, &voice), PTTS_ERROR_AUDIO);
  expect_message({"500"});
  samples.assign(24000 * 20 * 60, 0.0f);
  EXPECT_EQ(ptts_voice_from_pcm(model_, samples.data(), samples.size(), 24000, &voice), PTTS_ERROR_AUDIO);
  expect_message({"120 seconds", "1200"});
  EXPECT_EQ(ptts_voice_from_wav(model_, "RIFF", 4, 0, &voice), PTTS_ERROR_AUDIO);
  EXPECT_EQ(ptts_voice_from_wav(model_, "RIFF", 4, NAN, &voice), PTTS_ERROR_ARGUMENT);
  // One sample is a voice of one frame.
  ASSERT_EQ(ptts_voice_from_pcm(model_, samples.data(), 1, 24000, &voice), PTTS_OK) << ptts_message();
  EXPECT_EQ(speak(model_, voice, "Hello.", options_).status, PTTS_OK) << ptts_message();
  EXPECT_EQ(ptts_close(voice), PTTS_OK);
}

TEST_F(SpeakTest, AnEncoderOfZerosCannotClone) {
  Parts parts = read_parts("drifting");
  Container container = open_container(parts.weights);
  for (size_t at = container.header.find("\"mimi.encoder.model."); at != std::string::npos;
       at = container.header.find("\"mimi.encoder.model.", at + 1)) {
    const size_t range = container.header.find("\"data_offsets\":[", at) + 16;
    const size_t begin = std::stoul(container.header.substr(range));
    const size_t end = std::stoul(container.header.substr(container.header.find(',', range) + 1));
    std::fill(container.data.begin() + static_cast<std::ptrdiff_t>(begin),
              container.data.begin() + static_cast<std::ptrdiff_t>(end), uint8_t{0});
  }
  parts.weights = close_container(container);
  ASSERT_EQ(load(parts, &model_), PTTS_OK) << ptts_message();
  ptts_model_info info;
  ASSERT_EQ(ptts_model_get_info(model_, &info), PTTS_OK);
  EXPECT_EQ(info.can_clone, 0u);
  const std::vector<float> samples(24000, 0.1f);
  EXPECT_EQ(ptts_voice_from_pcm(model_, samples.data(), samples.size(), 24000, &voice_), PTTS_ERROR_CLONING);
  voice_ = 0;
}

TEST_F(SpeakTest, HandlesAreRecognised) {
  open("drifting");
  ptts_handle codec = 0, session = 0;
  ASSERT_EQ(ptts_codec_open(model_, &codec), PTTS_OK);
  ASSERT_EQ(ptts_session_open(model_, voice_, "Hello.", 6, nullptr, &session), PTTS_OK);
  float latent[32];
  std::vector<float> pcm(1920);
  ptts_event event;
  EXPECT_EQ(ptts_session_step(codec, latent, &event), PTTS_ERROR_HANDLE);
  expect_message({"expected a session, found a codec"});
  EXPECT_EQ(ptts_session_step(0, latent, &event), PTTS_ERROR_HANDLE);
  EXPECT_EQ(ptts_session_step(0xffffffffu, latent, &event), PTTS_ERROR_HANDLE);
  EXPECT_EQ(ptts_session_step(session, nullptr, &event), PTTS_ERROR_ARGUMENT);
  // The model and the voice may go first.
  const ptts_handle model = model_;
  close();
  EXPECT_EQ(ptts_model_get_info(model, nullptr), PTTS_ERROR_ARGUMENT);
  ptts_model_info info;
  EXPECT_EQ(ptts_model_get_info(model, &info), PTTS_ERROR_HANDLE);
  EXPECT_EQ(ptts_session_step(session, latent, &event), PTTS_OK) << ptts_message();
  EXPECT_EQ(ptts_codec_decode(codec, latent, 1, pcm.data()), PTTS_OK) << ptts_message();
  latent[3] = NAN;
  EXPECT_EQ(ptts_codec_decode(codec, latent, 1, pcm.data()), PTTS_ERROR_NUMERIC);
  EXPECT_EQ(ptts_close(session), PTTS_OK);
  EXPECT_EQ(ptts_close(session), PTTS_ERROR_HANDLE);
  EXPECT_EQ(ptts_close(codec), PTTS_OK);
}

}  // namespace
}  // namespace ptts::testing_files
