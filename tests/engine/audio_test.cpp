// WAV reading, resampling and the end on a pause against recordings of the reference, and against hostile files.
#include "audio.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "golden.h"

namespace ptts {
namespace {

const std::map<std::string, golden::Tensor>& goldens() {
  static const auto tensors = golden::read_tensors("audio/audio_golden.safetensors");
  return tensors;
}

// ---- building files -------------------------------------------------------------------------------------------------

void put(std::vector<uint8_t>* bytes, uint64_t value, int size) {
  for (int i = 0; i < size; ++i) bytes->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void put_text(std::vector<uint8_t>* bytes, const char* text) {
  bytes->insert(bytes->end(), text, text + std::strlen(text));
}

struct WavSpec {
  uint32_t tag = 1;
  uint32_t channels = 1;
  uint32_t rate = 24000;
  uint32_t bits = 16;
  uint32_t block = 0;  // 0: the right one
  uint32_t fmt_size = 16;
  uint32_t valid_bits = 0;           // extensible: 0 = bits
  uint32_t sub_tag = 1;              // extensible
  uint32_t data_size = 0xFFFF'FFFE;  // that value: the right one
  std::vector<uint8_t> before_data = {};
};

std::vector<uint8_t> wav(const WavSpec& spec, const std::vector<uint8_t>& data) {
  std::vector<uint8_t> bytes;
  put_text(&bytes, "RIFF");
  put(&bytes, 36 + data.size(), 4);
  put_text(&bytes, "WAVEfmt ");
  put(&bytes, spec.fmt_size, 4);
  const size_t start = bytes.size();
  const uint32_t block = spec.block != 0 ? spec.block : spec.channels * spec.bits / 8;
  put(&bytes, spec.tag, 2);
  put(&bytes, spec.channels, 2);
  put(&bytes, spec.rate, 4);
  put(&bytes, spec.rate * block, 4);
  put(&bytes, block, 2);
  put(&bytes, spec.bits, 2);
  if (spec.fmt_size >= 40) {
    put(&bytes, 22, 2);
    put(&bytes, spec.valid_bits != 0 ? spec.valid_bits : spec.bits, 2);
    put(&bytes, 0, 4);
    put(&bytes, spec.sub_tag, 2);
    const uint8_t tail[] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71};
    bytes.insert(bytes.end(), tail, tail + sizeof tail);
  }
  bytes.resize(start + std::min<uint32_t>(spec.fmt_size, 64));
  bytes.insert(bytes.end(), spec.before_data.begin(), spec.before_data.end());
  put_text(&bytes, "data");
  put(&bytes, spec.data_size == 0xFFFF'FFFE ? data.size() : spec.data_size, 4);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

template <typename T>
std::vector<uint8_t> raw(const std::vector<T>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// What a file reads as, or the message of its refusal.
struct Outcome {
  ptts_status status = PTTS_OK;
  std::vector<float> samples;
  uint32_t rate = 0;
  std::string message;
};

Outcome read(const std::vector<uint8_t>& bytes, double max_seconds = 0.0) {
  Outcome outcome;
  Buffer<float> samples;
  // A block of its own size, so that a sanitizer sees every byte read beyond the end.
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  outcome.status = wav_read(exact.data(), exact.size(), max_seconds, &samples, &outcome.rate);
  if (outcome.status == PTTS_OK) {
    outcome.samples.assign(samples.data(), samples.data() + samples.size());
  } else {
    outcome.message = last_message();
  }
  return outcome;
}

void expect_refused(const std::vector<uint8_t>& bytes, const char* part) {
  const Outcome outcome = read(bytes);
  EXPECT_EQ(outcome.status, PTTS_ERROR_AUDIO) << part;
  EXPECT_NE(outcome.message.find(part), std::string::npos) << outcome.message;
}

// ---- reading --------------------------------------------------------------------------------------------------------

TEST(WavRead, MatchesTheReference) {
  for (const char* name : {"mono8000", "mono11025", "mono16000", "mono22050", "mono24000", "mono48000",
                           "stereo44100", "pcm24", "pcm8"}) {
    const std::string file = std::string(name) + ".wav";
    const Outcome outcome = read(golden::read_file("audio/" + file));
    ASSERT_EQ(outcome.status, PTTS_OK) << outcome.message;
    EXPECT_EQ(outcome.samples, goldens().at(file + ".read").values) << name;
  }
}

// The reference refuses float WAV files; this engine reads them.
TEST(WavRead, ReadsFloatFiles) {
  const Outcome outcome = read(golden::read_file("audio/float32.wav"));
  ASSERT_EQ(outcome.status, PTTS_OK) << outcome.message;
  const std::vector<float>& rounded = goldens().at("pcm24.wav.read").values;
  EXPECT_LT(golden::largest_difference(outcome.samples.data(), outcome.samples.size(), rounded), 2e-7);
  const Outcome doubles = read(wav({.tag = 3, .bits = 64}, raw<double>({0.5, -0.25, 1e-300})));
  EXPECT_EQ(doubles.samples, (std::vector<float>{0.5f, -0.25f, 0.0f}));
}

TEST(WavRead, ReadsAllWidthsAtTheirLimits) {
  EXPECT_EQ(read(wav({.bits = 8}, {0, 128, 255})).samples,
            (std::vector<float>{-1.0f, 0.0f, 127.0f / 128.0f}));
  EXPECT_EQ(read(wav({.bits = 16}, raw<int16_t>({-32768, 0, 32767}))).samples,
            (std::vector<float>{-1.0f, 0.0f, 32767.0f / 32768.0f}));
  EXPECT_EQ(read(wav({.bits = 24}, {0, 0, 0x80, 0xFF, 0xFF, 0x7F})).samples,
            (std::vector<float>{-1.0f, 8388607.0f / 8388608.0f}));
  EXPECT_EQ(read(wav({.bits = 32}, raw<int32_t>({-2147483647 - 1, 1 << 30}))).samples,
            (std::vector<float>{-1.0f, 0.5f}));
}

TEST(WavRead, AveragesAnyNumberOfChannels) {
  EXPECT_EQ(read(wav({.channels = 2}, raw<int16_t>({16384, 0, 16384, -16384}))).samples,
            (std::vector<float>{0.25f, 0.0f}));
  const std::vector<uint8_t> silence(3 * 6000, 0);
  const Outcome many = read(wav({.channels = 6000, .bits = 24}, silence));
  EXPECT_EQ(many.samples, std::vector<float>{0.0f});
}

TEST(WavRead, ReadsExtensibleFiles) {
  WavSpec spec{.tag = 0xFFFE, .bits = 24, .fmt_size = 40, .valid_bits = 20};
  EXPECT_EQ(read(wav(spec, {0, 0, 0x40})).samples, std::vector<float>{0.5f});
  spec = {.tag = 0xFFFE, .bits = 32, .fmt_size = 40, .sub_tag = 3};
  EXPECT_EQ(read(wav(spec, raw<float>({0.5f}))).samples, std::vector<float>{0.5f});
  spec.sub_tag = 7;
  expect_refused(wav(spec, raw<float>({0.5f})), "found 7");
  spec.sub_tag = 1;
  spec.valid_bits = 33;
  expect_refused(wav(spec, raw<float>({0.5f})), "valid bits");
  spec.valid_bits = 32;
  std::vector<uint8_t> other_guid = wav(spec, raw<float>({0.5f}));
  other_guid[20 + 30] ^= 1;
  expect_refused(other_guid, "GUID");
}

TEST(WavRead, PassesOverOtherChunksAndTheirPadding) {
  WavSpec spec;
  put_text(&spec.before_data, "LIST");
  put(&spec.before_data, 3, 4);
  put_text(&spec.before_data, "abc");
  spec.before_data.push_back(0);  // the pad byte
  EXPECT_EQ(read(wav(spec, raw<int16_t>({16384}))).samples, std::vector<float>{0.5f});
  std::vector<uint8_t> trailing = wav({}, raw<int16_t>({16384}));
  put_text(&trailing, "LISTxxxxx");  // nobody looks behind the data
  EXPECT_EQ(read(trailing).samples, std::vector<float>{0.5f});
}

TEST(WavRead, ReadsStreamsToTheirEnd) {
  for (const uint32_t size : {0xFFFF'FFFFu, 2'000'000'000u, 0x7FFF'F000u}) {
    const std::vector<uint8_t> odd_tail = {0, 0x40, 0, 0x20, 9};
    EXPECT_EQ(read(wav({.data_size = size}, odd_tail)).samples, (std::vector<float>{0.5f, 0.25f}));
  }
}

TEST(WavRead, RefusesLies) {
  const std::vector<uint8_t> data = raw<int16_t>({1, 2, 3, 4});
  expect_refused({}, "found 0");
  expect_refused(std::vector<uint8_t>(11, 'R'), "found 11");
  expect_refused(std::vector<uint8_t>(100, 'x'), "something else");
  std::vector<uint8_t> flac(100, 0);
  std::memcpy(flac.data(), "fLaC", 4);
  expect_refused(flac, "FLAC");
  expect_refused(wav({.tag = 2}, data), "found 2");
  expect_refused(wav({.channels = 0, .block = 2}, data), "channels");
  expect_refused(wav({.rate = 999}, data), "999");
  expect_refused(wav({.rate = 4'000'000'000u}, data), "4000000000");
  expect_refused(wav({.bits = 12, .block = 2}, data), "found 12");
  expect_refused(wav({.tag = 3, .bits = 16}, data), "found 16");
  expect_refused(wav({.block = 3}, data), "block size");
  expect_refused(wav({.fmt_size = 14}, data), "at least 16");
  expect_refused(wav({.fmt_size = 0xFFFF'FFF0u}, data), "expected 4294967280 bytes");
  expect_refused(wav({.tag = 0xFFFE, .fmt_size = 18}, data), "extensible");
  expect_refused(wav({.data_size = 1'999'999'999}, data), "file has 8");
  expect_refused(wav({.data_size = 7}, data), "whole frames");
  expect_refused(wav({}, {}), "found 0");
  expect_refused(wav({.data_size = 0xFFFF'FFFF}, {1}), "found 0");
  std::vector<uint8_t> no_data = wav({}, data);
  no_data.resize(36);
  expect_refused(no_data, "data chunk, found none");
  std::vector<uint8_t> no_fmt = no_data;
  no_fmt.resize(12);
  put_text(&no_fmt, "data");
  put(&no_fmt, 0, 4);
  expect_refused(no_fmt, "fmt chunk before");
  std::vector<uint8_t> twice = no_data;
  twice.insert(twice.end(), no_data.begin() + 12, no_data.end());
  expect_refused(twice, "second");
}

TEST(WavRead, NamesTheSampleThatIsNotANumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  expect_refused(wav({.tag = 3, .bits = 32}, raw<float>({0, 0, nan})),
                 "sample 2: expected a finite number, found NaN");
  expect_refused(wav({.tag = 3, .bits = 32}, raw<float>({0, -inf})), "sample 1");
  expect_refused(wav({.tag = 3, .bits = 64}, raw<double>({1e300})), "found infinity");
}

TEST(WavRead, LimitsTheLength) {
  const std::vector<uint8_t> half_hour(static_cast<size_t>(1000) * 60 * 30 + 1, 128);
  expect_refused(wav({.rate = 1000, .bits = 8}, half_hour), "at most 30 minutes");
  const Outcome beginning = read(wav({.rate = 1000, .bits = 8}, half_hour), 2.5);
  EXPECT_EQ(beginning.samples.size(), 2500u);
  EXPECT_EQ(read(wav({.rate = 1000, .bits = 8}, {128}), 1e-9).status, PTTS_ERROR_AUDIO);
  EXPECT_EQ(read(wav({.rate = 1000, .bits = 8}, {128, 128}), 1e300).samples.size(), 2u);
}

// Every prefix and every flipped bit of a header gives samples or a typed error, never a crash.
TEST(WavRead, SurvivesTruncationAndBitFlips) {
  WavSpec spec{.tag = 0xFFFE, .channels = 2, .bits = 24, .fmt_size = 40};
  put_text(&spec.before_data, "fact");
  put(&spec.before_data, 4, 4);
  put(&spec.before_data, 2, 4);
  const std::vector<uint8_t> good = wav(spec, std::vector<uint8_t>(12, 1));
  ASSERT_EQ(read(good).status, PTTS_OK);
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_EQ(read({good.begin(), good.begin() + static_cast<ptrdiff_t>(n)}).status, PTTS_ERROR_AUDIO) << n;
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<uint8_t> flipped = good;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const ptts_status status = read(flipped).status;
    EXPECT_TRUE(status == PTTS_OK || status == PTTS_ERROR_AUDIO) << bit;
  }
}

// ---- resampling -----------------------------------------------------------------------------------------------------

TEST(Resample, MatchesTheReference) {
  for (const char* name : {"mono8000", "mono11025", "mono16000", "mono22050", "mono24000", "mono48000",
                           "stereo44100", "pcm24", "pcm8"}) {
    const std::string file = std::string(name) + ".wav";
    const Outcome input = read(golden::read_file("audio/" + file));
    Buffer<float> out;
    ASSERT_EQ(resample(input.samples.data(), input.samples.size(), input.rate, 24000, &out), PTTS_OK);
    EXPECT_LE(golden::largest_difference(out.data(), out.size(), goldens().at(file + ".24k").values), 1e-6)
        << name;
  }
}

// An impulse shows the filter: every 147th tap, and another set of them for each place of the impulse.
TEST(Resample, HasTheTapsOfTheReference) {
  const std::vector<float>& taps = goldens().at("taps.80_147").values;  // 2941, centre at 1470
  ASSERT_EQ(taps.size(), 2941u);
  for (int place = 100; place < 247; ++place) {
    std::vector<float> impulse(400, 0.0f);
    impulse[static_cast<size_t>(place)] = 1.0f;
    Buffer<float> out;
    ASSERT_EQ(resample(impulse.data(), impulse.size(), 44100, 24000, &out), PTTS_OK);
    for (int m = 0; m < static_cast<int>(out.size()); ++m) {
      const int tap = 1470 + m * 147 - place * 80;
      const float expected = tap >= 0 && tap < 2941 ? taps[static_cast<size_t>(tap)] : 0.0f;
      ASSERT_NEAR(out[static_cast<size_t>(m)], expected, 1e-7) << place << " " << m;
    }
  }
}

TEST(Resample, GivesTheSizeOfTheReference) {
  const std::vector<float> ones(1001, 1.0f);
  for (const uint32_t rate : {1000u, 8000u, 23999u, 24000u, 44100u, 48000u, 96000u, 768000u}) {
    Buffer<float> out;
    ASSERT_EQ(resample(ones.data(), ones.size(), rate, 24000, &out), PTTS_OK) << rate;
    EXPECT_EQ(out.size(), (1001 * uint64_t{24000} + rate - 1) / rate) << rate;
  }
}

// A slow sine survives rates that have no common divisor with 24000, where the filter has half a million taps.
TEST(Resample, KeepsASineAtCoprimeRates) {
  for (const uint32_t rate : {7919u, 23999u, 24001u, 44101u}) {
    std::vector<float> sine(rate / 4);
    for (size_t i = 0; i < sine.size(); ++i) {
      sine[i] = static_cast<float>(std::sin(2.0 * 3.14159265358979 * 440.0 * static_cast<double>(i) / rate));
    }
    Buffer<float> out;
    ASSERT_EQ(resample(sine.data(), sine.size(), rate, 24000, &out), PTTS_OK);
    double worst = 0.0;
    for (size_t m = 200; m + 200 < out.size(); ++m) {
      const double expected = std::sin(2.0 * 3.14159265358979 * 440.0 * static_cast<double>(m) / 24000.0);
      worst = std::max(worst, std::fabs(static_cast<double>(out[m]) - expected));
    }
    EXPECT_LT(worst, 1e-2) << rate;
  }
}

TEST(Resample, TakesTheWorstRateAndOneSample) {
  const float one = 1.0f;
  Buffer<float> out;
  ASSERT_EQ(resample(&one, 1, 767999, 24000, &out), PTTS_OK);
  EXPECT_EQ(out.size(), 1u);
  ASSERT_EQ(resample(&one, 1, 1000, 767999, &out), PTTS_OK);
  EXPECT_EQ(out.size(), 768u);
}

TEST(Resample, RefusesBadInput) {
  std::vector<float> samples(100, 0.0f);
  Buffer<float> out;
  EXPECT_EQ(resample(samples.data(), 0, 48000, 24000, &out), PTTS_ERROR_AUDIO);
  EXPECT_EQ(resample(samples.data(), 100, 0, 24000, &out), PTTS_ERROR_AUDIO);
  EXPECT_EQ(resample(samples.data(), 100, 999, 24000, &out), PTTS_ERROR_AUDIO);
  EXPECT_EQ(resample(samples.data(), 100, 24000, 768001, &out), PTTS_ERROR_AUDIO);
  samples[42] = std::nanf("");
  EXPECT_EQ(resample(samples.data(), 100, 48000, 24000, &out), PTTS_ERROR_AUDIO);
  EXPECT_NE(std::string(last_message()).find("sample 42"), std::string::npos);
  // Sizes are refused before a sample is read.
  EXPECT_EQ(resample(samples.data(), 10'000'000, 1000, 24000, &out), PTTS_ERROR_AUDIO);
  EXPECT_EQ(resample(samples.data(), std::numeric_limits<size_t>::max() / 8, 48000, 24000, &out),
            PTTS_ERROR_AUDIO);
}

// ---- the end on a pause ---------------------------------------------------------------------------------------------

TEST(EndOnPause, MatchesTheReference) {
  for (const char* name : {"loud_end", "silent_tail", "tail_near_floor", "zeros", "ragged",
                           "shorter_than_20ms", "one_frame", "loud_then_nothing"}) {
    const std::vector<float>& in = goldens().at("pause." + std::string(name) + ".in").values;
    Buffer<float> out;
    ASSERT_EQ(end_on_pause(in.data(), in.size(), &out), PTTS_OK);
    const auto& expected = goldens().at("pause." + std::string(name) + ".out").values;
    EXPECT_LE(golden::largest_difference(out.data(), out.size(), expected), 1e-7) << name;
  }
}

TEST(EndOnPause, RefusesWhatIsNotANumber) {
  std::vector<float> samples(960, 0.1f);
  samples[700] = std::numeric_limits<float>::infinity();
  Buffer<float> out;
  EXPECT_EQ(end_on_pause(samples.data(), samples.size(), &out), PTTS_ERROR_AUDIO);
  EXPECT_NE(std::string(last_message()).find("sample 700"), std::string::npos);
}

TEST(Linspace, CountsFromTheNearerEnd) {
  EXPECT_EQ(linspace_at(0.0f, 1.0f, 120, 0), 0.0f);
  EXPECT_EQ(linspace_at(0.0f, 1.0f, 120, 119), 1.0f);
  EXPECT_EQ(linspace_at(1.0f, 0.0f, 480, 0), 1.0f);
  EXPECT_EQ(linspace_at(1.0f, 0.0f, 480, 479), 0.0f);
  EXPECT_EQ(linspace_at(3.0f, 4.0f, 1, 0), 3.0f);
}

}  // namespace
}  // namespace ptts
