// Speech at another speed: length, pitch, quiet joins, the same bits however it is called and wherever it runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "pocket_tts.h"

namespace {

constexpr uint32_t kRate = 24000;
const float kSpeeds[] = {0.25F, 0.4F, 0.5F, 0.77F, 1.0F, 1.25F, 1.5F, 2.0F, 3.0F, 4.0F};

std::vector<float> tone(double hertz, size_t count) {
  std::vector<float> samples(count);
  for (size_t i = 0; i < count; ++i) {
    samples[i] =
        static_cast<float>(0.5 * std::sin(2 * 3.14159265358979 * hertz * static_cast<double>(i) / kRate));
  }
  return samples;
}

// A sawtooth under noise, of whole numbers only: the same samples on every host.
std::vector<float> rough(size_t count) {
  std::vector<float> samples(count);
  uint32_t state = 1;
  for (size_t i = 0; i < count; ++i) {
    state = state * 1664525U + 1013904223U;
    const int saw = static_cast<int>(i % 163) - 81, noise = static_cast<int>(state >> 24) - 128;
    samples[i] = static_cast<float>(saw * 128 + noise * 8) / 32768.0F;
  }
  return samples;
}

// All of it, `in` samples handed over and `out` asked for at a time.
std::vector<float> stretched(const std::vector<float>& samples, float speed, size_t in = 1920,
                             size_t out = 1000) {
  ptts_handle stretch = 0;
  EXPECT_EQ(ptts_stretch_open(kRate, speed, &stretch), PTTS_OK) << ptts_message();
  std::vector<float> all, piece(out);
  const auto drain = [&] {
    for (size_t written = 1; written > 0;) {
      EXPECT_EQ(ptts_stretch_read(stretch, piece.data(), piece.size(), &written), PTTS_OK);
      all.insert(all.end(), piece.begin(), piece.begin() + static_cast<ptrdiff_t>(written));
    }
  };
  for (size_t at = 0; at < samples.size(); at += in) {
    const size_t count = std::min(in, samples.size() - at);
    EXPECT_EQ(ptts_stretch_write(stretch, samples.data() + at, count), PTTS_OK) << ptts_message();
    drain();
  }
  EXPECT_EQ(ptts_stretch_end(stretch), PTTS_OK);
  drain();
  EXPECT_EQ(ptts_close(stretch), PTTS_OK);
  return all;
}

// Of the middle half, by its zero crossings.
double frequency(const std::vector<float>& samples) {
  const size_t begin = samples.size() / 4, end = 3 * samples.size() / 4;
  double first = 0, last = 0;
  int crossings = 0;
  for (size_t i = begin + 1; i < end; ++i) {
    if (!(samples[i - 1] < 0 && samples[i] >= 0)) continue;
    const double part =
        static_cast<double>(samples[i - 1]) / static_cast<double>(samples[i - 1] - samples[i]);
    last = static_cast<double>(i - 1) + part;
    if (crossings++ == 0) first = last;
  }
  return static_cast<double>(kRate) * (crossings - 1) / (last - first);
}

std::string fnv(const std::vector<float>& samples) {
  uint64_t hash = 14695981039346656037ULL;
  for (const float sample : samples) {
    uint32_t bits = 0;
    std::memcpy(&bits, &sample, sizeof bits);
    for (int i = 0; i < 4; ++i) hash = (hash ^ (bits >> (8 * i) & 255)) * 1099511628211ULL;
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

TEST(Stretch, LengthIsThatOfTheInputDividedBySpeed) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{100}, size_t{4000}, size_t{24001}}) {
    for (const float speed : kSpeeds) {
      const double expected = std::floor(static_cast<double>(count) / static_cast<double>(speed) + 0.5);
      EXPECT_EQ(stretched(rough(count), speed).size(), static_cast<size_t>(expected))
          << count << " at " << speed;
    }
  }
}

// Below half speed the library scatters phases: a pure tone wavers there (measured: 1.3 % and 15 %; above, 0.5 % and 10 %).
TEST(Stretch, ToneKeepsItsPitchAndItsLoudness) {
  for (const double hertz : {110.0, 220.0, 1000.0}) {
    const std::vector<float> samples = tone(hertz, 2 * kRate);
    for (const float speed : kSpeeds) {
      const std::vector<float> out = stretched(samples, speed);
      EXPECT_NEAR(frequency(out) / hertz, 1.0, speed < 0.5F ? 0.02 : 0.005) << hertz << " Hz at " << speed;
      double energy = 0;
      for (size_t i = out.size() / 4; i < 3 * out.size() / 4; ++i) {
        energy += static_cast<double>(out[i]) * static_cast<double>(out[i]);
      }
      EXPECT_NEAR(std::sqrt(2 * energy / (static_cast<double>(out.size()) / 2)), 0.5,
                  speed < 0.5F ? 0.1 : 0.05)
          << hertz << " Hz at " << speed;
    }
  }
}

// The loudest moment of a burst stays where it was: the result is not late.
TEST(Stretch, IsAligned) {
  for (const float speed : kSpeeds) {
    std::vector<float> samples(2 * kRate);
    const std::vector<float> burst = tone(400, 2400);
    std::copy(burst.begin(), burst.end(), samples.begin() + kRate);
    const std::vector<float> out = stretched(samples, speed);
    double weight = 0, sum = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      const double energy = static_cast<double>(out[i]) * static_cast<double>(out[i]);
      weight += energy;
      sum += energy * static_cast<double>(i);
    }
    const double seconds = sum / weight * static_cast<double>(speed) / kRate;
    EXPECT_NEAR(seconds, 1.05, 0.03 + 0.02 * static_cast<double>(speed)) << speed;
  }
}

TEST(Stretch, SpeedOneChangesNothing) {
  const std::vector<float> samples = rough(10000);
  EXPECT_EQ(stretched(samples, 1.0F), samples);
}

TEST(Stretch, GroupingChangesNoBit) {
  const std::vector<float> samples = rough(20000);
  for (const float speed : {0.4F, 1.25F, 3.0F}) {
    const std::vector<float> whole = stretched(samples, speed, samples.size(), 200000);
    EXPECT_EQ(stretched(samples, speed, 1, 200000), whole) << speed;
    EXPECT_EQ(stretched(samples, speed, 1920, 7), whole) << speed;
  }
}

// The same digests are expected of the module in Node (tests/node/stretch.test.mjs) and in wazero.
TEST(Stretch, SameBitsOnEveryHost) {
  EXPECT_EQ(fnv(stretched(rough(24000), 0.3F)), "c5615abbe1bc79f5");
  EXPECT_EQ(fnv(stretched(rough(24000), 0.75F)), "c06f604774ab079f");
  EXPECT_EQ(fnv(stretched(rough(24000), 2.5F)), "b7d058c394e22055");
}

TEST(Stretch, StaysFinite) {
  for (const float loudness : {0.0F, 1e-30F, 1e-6F, 1.0F, 100.0F}) {
    std::vector<float> samples(12000, loudness);
    for (size_t i = 0; i < samples.size(); i += 97) samples[i] = -loudness;
    for (const float speed : kSpeeds) {
      for (const float sample : stretched(samples, speed)) {
        ASSERT_TRUE(std::isfinite(sample) && std::abs(sample) <= 10 * loudness + 1e-6F)
            << loudness << " " << speed;
      }
    }
  }
}

TEST(Stretch, RefusesWhatItCannotDo) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  ptts_handle stretch = 0;
  for (const float speed : {0.0F, -1.0F, 0.2499F, 4.001F, nan, infinity}) {
    EXPECT_EQ(ptts_stretch_open(kRate, speed, &stretch), PTTS_ERROR_ARGUMENT) << speed;
  }
  for (const uint32_t rate : {0U, 7999U, 192001U, 0xFFFFFFFFU}) {
    EXPECT_EQ(ptts_stretch_open(rate, 2, &stretch), PTTS_ERROR_ARGUMENT) << rate;
  }
  EXPECT_EQ(ptts_stretch_open(kRate, 2, nullptr), PTTS_ERROR_ARGUMENT);
  ASSERT_EQ(ptts_stretch_open(kRate, 2, &stretch), PTTS_OK);
  size_t written = 1;
  float sample = 0;
  EXPECT_EQ(ptts_stretch_read(stretch, &sample, 1, &written), PTTS_OK);
  EXPECT_EQ(written, 0U);
  EXPECT_EQ(ptts_stretch_read(stretch, nullptr, 1, &written), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_stretch_read(stretch, &sample, 1, nullptr), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_stretch_write(stretch, nullptr, 1), PTTS_ERROR_ARGUMENT);
  for (const float bad : {nan, infinity, -infinity, 101.0F}) {
    EXPECT_EQ(ptts_stretch_write(stretch, &bad, 1), PTTS_ERROR_AUDIO) << bad;
  }
  EXPECT_EQ(ptts_stretch_end(stretch), PTTS_OK);
  EXPECT_EQ(ptts_stretch_write(stretch, &sample, 1), PTTS_ERROR_STATE);
  EXPECT_EQ(ptts_close(stretch), PTTS_OK);
  EXPECT_EQ(ptts_stretch_end(stretch), PTTS_ERROR_HANDLE);
  EXPECT_EQ(ptts_stretch_write(stretch, &sample, 1), PTTS_ERROR_HANDLE);
}

TEST(Stretch, RefusesInputThatNobodyReads) {
  ptts_handle stretch = 0;
  ASSERT_EQ(ptts_stretch_open(kRate, 2, &stretch), PTTS_OK);
  const std::vector<float> minute(size_t{60} * kRate);
  ptts_status status = PTTS_OK;
  for (int i = 0; i < 16 && status == PTTS_OK; ++i)
    status = ptts_stretch_write(stretch, minute.data(), minute.size());
  EXPECT_EQ(status, PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_close(stretch), PTTS_OK);
}

}  // namespace
