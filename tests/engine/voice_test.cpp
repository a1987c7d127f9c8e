// How a voice is kept.
#include "voice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "rng.h"

namespace ptts {
namespace {

constexpr size_t kPositions = 40, kHeads = 3, kDim = 16;

// What is read of rows that were written as keys and, backwards, as values.
std::vector<float> kept(const std::vector<float>& rows, bool exact) {
  constexpr size_t kWidth = kHeads * kDim;
  TransformerConfig config;
  config.heads = config.kv_heads = kHeads;
  config.d_model = config.attn_dim = kWidth;
  KvCache voice;
  EXPECT_EQ(voice.allocate(config, kPositions, !exact), PTTS_OK);
  const std::vector<float> backwards(rows.rbegin(), rows.rend());
  std::vector<float> keys(rows.size()), values(rows.size());
  for (size_t p = 0; p < kPositions; p += 9) {
    voice.put_steady(p, std::min<size_t>(9, kPositions - p), rows.data() + p * kWidth,
                     backwards.data() + p * kWidth, kWidth);
  }
  for (size_t p = 0; p < kPositions; p += 7) {
    voice.get(p, std::min<size_t>(7, kPositions - p), keys.data() + p * kWidth, values.data() + p * kWidth);
  }
  EXPECT_TRUE(std::equal(values.rbegin(), values.rend(), keys.begin()));
  return keys;
}

TEST(SteadyCache, RoundsOnceAndToAFewParts) {
  std::vector<float> rows(kPositions * kHeads * kDim);
  Generator generator(5);
  generator.normal(rows.data(), rows.size(), 1.0);
  // Heads of every size, and the largest values that do and do not fit into 13 bits and a sign.
  for (size_t h = 0; h < kPositions * kHeads; ++h) {
    float* head = rows.data() + h * kDim;
    const float size = std::ldexp(1.0f, static_cast<int>(h) * 2 - 120);
    for (size_t i = 0; i < kDim; ++i) head[i] *= size;
    if (h % 5 == 0) head[0] = size * (h % 2 == 0 ? 8191.0f : 8191.6f);
    if (h % 7 == 0) std::fill_n(head, kDim, 0.0f);
  }
  EXPECT_EQ(kept(rows, true), rows);
  const std::vector<float> once = kept(rows, false);
  EXPECT_EQ(kept(once, false), once);
  EXPECT_NE(once, rows);
  for (size_t h = 0; h < kPositions * kHeads; ++h) {
    const auto head = rows.begin() + static_cast<long>(h * kDim);
    float largest = 0x1p-86f;  // below, there is nothing to hear
    for (size_t i = 0; i < kDim; ++i) largest = std::max(largest, std::fabs(head[static_cast<long>(i)]));
    for (size_t i = 0; i < kDim; ++i) {
      EXPECT_LE(std::fabs(once[h * kDim + i] - rows[h * kDim + i]), largest * 0x1p-13f) << "head " << h;
    }
  }
}

TEST(SteadyCache, StaysFinite) {
  const std::vector<float> rows(kPositions * kHeads * kDim, 3.4028235e38f);
  for (const float value : kept(rows, false)) EXPECT_NEAR(value / 3.4028235e38f, 1, 0x1p-12f);
}

// A stream that shares positions with a voice sees what one that has them of its own sees.
TEST(SharedCache, IsSeenAsOne) {
  constexpr size_t kWidth = kHeads * kDim, kShared = 8, kAll = 21;
  TransformerConfig config;
  config.heads = config.kv_heads = kHeads;
  config.d_model = config.attn_dim = kWidth;
  std::vector<float> rows(kAll * kWidth), queries(2 * kWidth);
  Generator generator(6);
  generator.normal(rows.data(), rows.size(), 1.0);
  generator.normal(queries.data(), queries.size(), 1.0);
  const std::vector<float> values(rows.rbegin(), rows.rend());
  for (const bool integer : {false, true}) {
    KvCache whole, voice, stream;
    ASSERT_EQ(whole.allocate(config, 24, integer), PTTS_OK);
    ASSERT_EQ(voice.allocate(config, kShared, integer), PTTS_OK);
    ASSERT_EQ(stream.allocate(config, 4, integer), PTTS_OK);
    stream.share(voice, kShared);
    whole.put_steady(0, 11, rows.data(), values.data(), kWidth);
    voice.put_steady(0, kShared, rows.data(), values.data(), kWidth);
    stream.put_steady(kShared, 3, rows.data() + kShared * kWidth, values.data() + kShared * kWidth, kWidth);
    ASSERT_EQ(stream.grow(16, 11), PTTS_OK);
    for (KvCache* cache : {&whole, &stream}) {
      cache->put(11, kAll - 11, rows.data() + 11 * kWidth, values.data() + 11 * kWidth, kWidth);
    }
    std::vector<float> k(rows.size()), v(rows.size()), own_k(rows.size()), own_v(rows.size());
    whole.get(0, kAll, k.data(), v.data());
    stream.get(0, kAll, own_k.data(), own_v.data());
    EXPECT_EQ(own_k, k);
    EXPECT_EQ(own_v, v);
    Scratch scratch;
    ASSERT_EQ(whole.reserve(2, kAll, scratch), PTTS_OK);
    std::vector<float> expected(queries.size()), seen(queries.size());
    for (size_t end = kShared + 1; end < kAll; ++end) {
      for (size_t h = 0; h < kHeads; ++h) {
        whole.attend(h, queries.data() + h * kDim, kWidth, 2, end, 0, 0.25f, scratch,
                     expected.data() + h * kDim, kWidth);
        stream.attend(h, queries.data() + h * kDim, kWidth, 2, end, 0, 0.25f, scratch, seen.data() + h * kDim,
                      kWidth);
      }
      EXPECT_EQ(seen, expected) << end;
    }
  }
}

}  // namespace
}  // namespace ptts
