// Every vector kernel against its scalar specification: the same bits, on random shapes.
#include "simd128.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace ptts::kernels {
namespace {

class KernelTest : public testing::Test {
 protected:
  std::mt19937 random_{7};

  // -limit .. limit
  int integer(int limit) { return static_cast<int>(random_() % static_cast<size_t>(2 * limit + 1)) - limit; }
  size_t size(size_t low, size_t high) { return low + random_() % (high - low + 1); }
  std::vector<float> floats(size_t n, float scale = 1.0f) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(n);
    for (float& v : values) v = normal(random_);
    return values;
  }
};

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    uint32_t x = 0, y = 0;
    std::memcpy(&x, &a[i], 4);
    std::memcpy(&y, &b[i], 4);
    ASSERT_EQ(x, y) << what << " differs at " << i << ": " << a[i] << " and " << b[i];
  }
}

TEST_F(KernelTest, GemmF32) {
  for (int round = 0; round < 60; ++round) {
    const size_t m = size(1, round % 6 == 0 ? 30 : 9),
                 n = round % 6 == 0   ? 1
                     : round % 5 == 0 ? size(100, 150)
                                      : size(1, 70),
                 k = round % 5 == 0 ? size(200, 1200) : size(1, 90), lda = k + size(0, 5),
                 ldy = n + size(0, 3);
    const std::vector<float> a = floats(m * lda), w = floats(n * k);
    std::vector<float> panels(panel_floats(n, k));
    for (size_t j = 0; j < n; ++j) {
      for (size_t p = 0; p < k; ++p) panels[panel_offset(n, k, j, p)] = w[j * k + p];
    }
    const std::vector<float> bias = floats(n);
    const Epilogue epilogue{round % 3 == 0 ? nullptr : bias.data(), round % 4 == 1};
    std::vector<float> y(m * ldy, -1), expected(m * ldy, -1);
    scalar::gemm_f32(a.data(), lda, m, panels.data(), n, k, epilogue, expected.data(), ldy);
    simd128::gemm_f32(a.data(), lda, m, panels.data(), n, k, epilogue, y.data(), ldy);
    expect_same_bits(y, expected, "gemm_f32");
    double reference =
        (epilogue.bias == nullptr ? 0.0 : static_cast<double>(bias[0])) - (epilogue.accumulate ? 1 : 0);
    for (size_t p = 0; p < k; ++p) reference += static_cast<double>(a[p]) * static_cast<double>(w[p]);
    EXPECT_NEAR(expected[0], reference, 1e-4);
  }
}

TEST_F(KernelTest, OverlappingRowsAreAConvolution) {
  const size_t channels = 5, kernel = 3, steps = 20, n = 7;
  const std::vector<float> a = floats((steps + kernel - 1) * channels),
                           w = floats(panel_floats(n, kernel * channels));
  std::vector<float> y(steps * n), expected(steps * n);
  scalar::gemm_f32(a.data(), channels, steps, w.data(), n, kernel * channels, {}, expected.data(), n);
  simd128::gemm_f32(a.data(), channels, steps, w.data(), n, kernel * channels, {}, y.data(), n);
  expect_same_bits(y, expected, "convolution");
}

TEST_F(KernelTest, QuantizedRows) {
  for (int round = 0; round < 80; ++round) {
    const size_t m = size(1, 5), k = size(1, 200), lda = k + size(0, 3), k8 = (k + 7) / 8 * 8;
    std::vector<float> a = floats(m * lda, 3);
    if (round < 4) std::fill(a.begin(), a.end(), 0.0f);
    const std::vector<float> before = a;
    const auto activation = static_cast<Activation>(round % 4);
    const int32_t limit = round % 3 == 0 ? 32767 : 16500;
    std::vector<int16_t> q(m * k8, 1), q_expected(m * k8, 2);
    std::vector<float> scales(m), scales_expected(m), row(k);
    scalar::quantize_rows_i16(activation, a.data(), lda, m, k, k8, limit, row.data(), q_expected.data(),
                              scales_expected.data());
    simd128::quantize_rows_i16(activation, a.data(), lda, m, k, k8, limit, row.data(), q.data(),
                               scales.data());
    ASSERT_EQ(q, q_expected);
    expect_same_bits(scales, scales_expected, "scales");
    expect_same_bits(a, before, "input");
    for (size_t i = 0; i < m * k8; ++i) {
      ASSERT_LE(std::abs(q[i]), limit);
      if (i % k8 >= k || activation != Activation::kNone) continue;
      ASSERT_NEAR(static_cast<float>(q[i]) * scales[i / k8], a[i / k8 * lda + i % k8],
                  scales[i / k8] * 0.51f);
    }
  }
}

TEST_F(KernelTest, Range) {
  for (int round = 0; round < 40; ++round) {
    std::vector<float> x = floats(size(0, 60));
    if (round % 4 == 0) {
      for (float& v : x) v = std::fabs(v) + 1;
    }
    float low = 1, high = -1, low_expected = 2, high_expected = -2;
    scalar::range(x.data(), x.size(), &low_expected, &high_expected);
    simd128::range(x.data(), x.size(), &low, &high);
    EXPECT_EQ(low, low_expected);
    EXPECT_EQ(high, high_expected);
    EXPECT_LE(low, 0);
    EXPECT_GE(high, 0);
  }
}

TEST_F(KernelTest, QuantizedBlocks) {
  for (int round = 0; round < 60; ++round) {
    const size_t m = size(0, 5), k = round % 2 == 0 ? 8 * size(1, 20) : size(1, 100), k8 = (k + 7) / 8 * 8;
    const std::vector<float> a = floats(m * k);
    const auto activation = round % 3 == 0 ? Activation::kNone : Activation::kElu;
    std::vector<int16_t> q(m * k8, 1), expected(m * k8, 2);
    scalar::quantize_i16(activation, a.data(), m, k, k8, 1000, expected.data());
    simd128::quantize_i16(activation, a.data(), m, k, k8, 1000, q.data());
    ASSERT_EQ(q, expected);
  }
}

TEST_F(KernelTest, EluOfIntegersIsExact) {
  for (const double most : {1e-4, 1e-2, 0.3, 2.0, 100.0}) {
    std::vector<float> x(20000);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(-most * static_cast<double>(i) / static_cast<double>(x.size() - 1));
    const double inverse = 32000 / -std::expm1(-most);
    std::vector<int16_t> q(x.size());
    simd128::quantize_i16(Activation::kElu, x.data(), 1, x.size(), x.size(), static_cast<float>(inverse),
                          q.data());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(q[i] / inverse, std::expm1(static_cast<double>(x[i])), 1.3e-7 + 0.505 / inverse) << x[i];
    }
  }
  const float far[8] = {-1e30f, -std::numeric_limits<float>::infinity(), -87, -40, 1, 30, 0, -0.0f};
  int16_t q[8];
  simd128::quantize_i16(Activation::kElu, far, 1, 8, 8, 1000, q);
  const int16_t expected[8] = {-1000, -1000, -1000, -1000, 1000, 30000, 0, 0};
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(q[i], expected[i]) << far[i];
}

// Plain products and convolutions (rows that overlap, in segments that may lie apart), in both layouts of the input.
class IntegerProductTest : public KernelTest {
 protected:
  template <typename W>
  void fill(W& weight, int32_t most) {
    weight = static_cast<W>(integer(most));
  }
  void fill(Group12& group, int32_t most) {
    for (size_t i = 0; i < 32; ++i) group.set(i / 8, i % 8, integer(most));
  }

  template <typename W, typename Scalar>
  void check(int32_t weight_max, Scalar scalar_gemm) {
    for (int round = 0; round < 200; ++round) {
      const bool large = round % 20 == 0;  // windows that are fetched ahead
      const size_t m = round % 3 == 0 ? 1 : size(2, 40), n = large ? size(400, 600) : size(1, 30),
                   unit = round % 4 < 2 ? 32 : 8, segment = unit * size(1, 9),
                   k = round % 2 == 0 ? segment : unit * size(1, 60), segments = (k + segment - 1) / segment,
                   step = round % 2 == 0 ? k : 8 * size(1, 9),
                   apart = segment + (round % 5 == 0 ? 8 * size(1, 5) : 0),
                   scale_step = round % 7 == 0 ? 0 : 1, ldy = n + size(0, 3);
      std::vector<int16_t> a((m - 1) * step + (segments - 1) * apart + segment);
      const int32_t limit = input_limit(segment, weight_max);
      for (int16_t& v : a) v = static_cast<int16_t>(integer(limit));
      std::vector<W> panels(panel_start<W>((n + 3) / 4 * 4, k));
      for (W& v : panels) fill(v, weight_max);
      const std::vector<float> scales = floats(m), w_scales = floats(n), bias = floats(n),
                               y0 = floats(m * ldy);
      const IntegerRows input{a.data(), scales.data(), k, step, segment, apart, scale_step};
      const Epilogue epilogue{round % 5 == 0 ? nullptr : bias.data(), round % 7 == 1};
      std::vector<float> expected = y0, y = y0, packed = y0;
      scalar_gemm(input, m, panels.data(), w_scales.data(), n, epilogue, expected.data(), ldy);
      simd128::gemm_integer<false>(input, m, panels.data(), w_scales.data(), n, epilogue, y.data(), ldy);
      simd128::gemm_integer<true>(input, m, panels.data(), w_scales.data(), n, epilogue, packed.data(), ldy);
      expect_same_bits(y, expected, "product");
      expect_same_bits(packed, expected, "product of interleaved rows");
    }
  }
};
TEST_F(IntegerProductTest, EightBitWeights) { check<int8_t>(kWeightMax8, scalar::gemm_i8); }
TEST_F(IntegerProductTest, TwelveBitWeights) { check<Group12>(kWeightMax12, scalar::gemm_i12); }
TEST_F(IntegerProductTest, TwelveBitWeightsIn16) { check<int16_t>(kWeightMax12, scalar::gemm_i16); }

TEST_F(IntegerProductTest, TapsOverGroupsOfRows) {
  for (int round = 0; round < 240; ++round) {
    const size_t taps = round % 2 == 0 ? 2 : 3, most = taps == 2 ? 16 : 10;
    const size_t m = round % 10 < 2 ? size(100, 400) : size(1, 40), n = 4 * size(1, round % 9 == 0 ? 60 : 8),
                 k8 = round % 4 < 2 ? 32 * size(1, most) : 8 * size(1, 40), ldy = n + size(0, 3);
    const int32_t limit = std::min(input_limit(taps * k8, kWeightMax12), group_max(taps));
    std::vector<int16_t> a((m + taps - 1) * k8), room(m * k8);
    std::vector<int16_t> panels(panel_start<int16_t>(n, taps * k8));
    // The largest values: all of one sign, of random signs, or those that every difference adds up.
    for (size_t i = 0; i < a.size(); ++i) {
      const int sign = round < 2 ? 1 : round < 4 ? (random_() % 2 == 0 ? 1 : -1) : (i / k8 % 2 == 0 ? 1 : -1);
      a[i] = static_cast<int16_t>(round < 6 ? limit * sign : integer(limit));
    }
    for (int16_t& v : panels) v = static_cast<int16_t>(round < 6 ? kWeightMax12 : integer(kWeightMax12));
    const std::vector<float> w_scales = floats(n), bias = floats(n), y0 = floats(m * ldy);
    const Epilogue epilogue{round % 5 == 0 ? nullptr : bias.data(), round % 7 == 1};
    std::vector<float> expected = y0, y = y0, packed = y0;
    scalar::gemm_i16_taps(a.data(), 0.01f, k8, taps, m, panels.data(), w_scales.data(), n, epilogue, nullptr,
                          expected.data(), ldy);
    const auto as_they_lie = taps == 2 ? simd128::gemm_groups<false, 2> : simd128::gemm_groups<false, 3>;
    const auto interleaved = taps == 2 ? simd128::gemm_groups<true, 2> : simd128::gemm_groups<true, 3>;
    as_they_lie(a.data(), 0.01f, k8, m, panels.data(), w_scales.data(), n, epilogue, room.data(), y.data(),
                ldy);
    interleaved(a.data(), 0.01f, k8, m, panels.data(), w_scales.data(), n, epilogue, room.data(),
                packed.data(), ldy);
    expect_same_bits(y, expected, "taps");
    expect_same_bits(packed, expected, "taps, interleaved");
  }
}

TEST_F(IntegerProductTest, FourBitWeights) {
  for (int round = 0; round < 100; ++round) {
    const size_t m = size(1, 7), n = round % 10 == 0 ? size(600, 700) : size(1, 23), blocks = size(1, 9),
                 k8 = blocks * kBlock4, ldy = n + size(0, 3);
    std::vector<int16_t> a(m * k8);
    for (int16_t& v : a) v = static_cast<int16_t>(round == 0 ? kInputMax4 : integer(kInputMax4));
    std::vector<uint8_t> panels((n + 3) / 4 * 4 * blocks * 16);
    for (uint8_t& v : panels) v = round == 0 ? 0x88 : static_cast<uint8_t>(random_());
    const std::vector<float> scales = floats((n + 3) / 4 * 4 * blocks), a_scales = floats(m),
                             bias = floats(n), y0 = floats(m * ldy);
    const IntegerRows input{a.data(), a_scales.data(), k8, k8, k8, k8, 1};
    const Epilogue epilogue{round % 3 == 0 ? nullptr : bias.data(), round % 4 == 1};
    std::vector<float> expected = y0, y = y0;
    scalar::gemm_i4(input, m, panels.data(), scales.data(), n, epilogue, expected.data(), ldy);
    simd128::gemm_i4(input, m, panels.data(), scales.data(), n, epilogue, y.data(), ldy);
    expect_same_bits(y, expected, "gemm_i4");
  }
}

// Rows longer than what tiles have room for.
TEST_F(IntegerProductTest, LongRows) {
  const size_t m = 5, n = 6, k = 16 * 1024 + 1024, segment = kSegment12;
  std::vector<int16_t> a(m * k);
  for (int16_t& v : a) v = static_cast<int16_t>(integer(1000));
  std::vector<Group12> panels(panel_start<Group12>(8, k));
  for (Group12& group : panels) fill(group, kWeightMax12);
  const std::vector<float> scales = floats(m), w_scales = floats(n);
  const IntegerRows input{a.data(), scales.data(), k, k, segment, segment, 1};
  std::vector<float> expected(m * n), y(m * n), packed(m * n);
  scalar::gemm_i12(input, m, panels.data(), w_scales.data(), n, {}, expected.data(), n);
  simd128::gemm_integer<false>(input, m, panels.data(), w_scales.data(), n, {}, y.data(), n);
  simd128::gemm_integer<true>(input, m, panels.data(), w_scales.data(), n, {}, packed.data(), n);
  expect_same_bits(y, expected, "product");
  expect_same_bits(packed, expected, "product for hosts that check bounds");
}

// More rows than a block holds, with weights that stay resident and with weights that do not.
TEST_F(IntegerProductTest, BlocksOfRows) {
  for (const size_t n : {size_t{12}, size_t{400}}) {
    const size_t m = 2100, k8 = 192;
    std::vector<int16_t> a((m + 2) * k8);
    for (int16_t& v : a) v = static_cast<int16_t>(integer(1000));
    std::vector<int8_t> panels(n * 3 * k8);
    for (int8_t& v : panels) v = static_cast<int8_t>(integer(127));
    const std::vector<float> scales = floats(m + 2), w_scales = floats(n);
    const IntegerRows input{a.data(), scales.data(), 3 * k8, k8, 2 * k8, 2 * k8, 1};
    std::vector<float> y(m * n), packed(m * n);
    simd128::gemm_integer<false>(input, m, panels.data(), w_scales.data(), n, {}, y.data(), n);
    simd128::gemm_integer<true>(input, m, panels.data(), w_scales.data(), n, {}, packed.data(), n);
    expect_same_bits(y, packed, "both layouts");
    for (const size_t i : {size_t{0}, size_t{83}, size_t{84}, m - 1}) {
      std::vector<float> expected(n);
      IntegerRows one = input;
      one.values += i * k8;
      one.scales += i;
      scalar::gemm_i8(one, 1, panels.data(), w_scales.data(), n, {}, expected.data(), n);
      expect_same_bits({y.begin() + static_cast<long>(i * n), y.begin() + static_cast<long>((i + 1) * n)},
                       expected, "a row");
    }
  }
}

TEST_F(IntegerProductTest, GroupsHoldEveryWeight) {
  for (int32_t weight = -kWeightMax12; weight <= kWeightMax12; ++weight) {
    Group12 group{};
    for (size_t i = 0; i < 32; ++i) group.set(i / 8, i % 8, static_cast<int32_t>(i) - 16);
    const auto at = static_cast<size_t>(weight + kWeightMax12) % 32;
    group.set(at / 8, at % 8, weight);
    for (size_t i = 0; i < 32; ++i) {
      ASSERT_EQ(group.get(i / 8, i % 8), i == at ? weight : static_cast<int32_t>(i) - 16);
    }
  }
}

// The worst case that the input limit allows must not leave 32 bits.
TEST_F(IntegerProductTest, AtItsBound) {
  const auto check_bound = [](auto weight, int32_t weight_max, size_t k) {
    const auto limit = static_cast<int16_t>(input_limit(k, weight_max));
    const std::vector<int16_t> a(k, limit);
    const std::vector<decltype(weight)> panels(panel_start<decltype(weight)>(4, k), weight);
    const std::vector<float> ones(4, 1.0f);
    std::vector<float> y(4);
    const IntegerRows input{a.data(), ones.data(), k, k, k, k, 1};
    simd128::gemm_integer<false>(input, 1, panels.data(), ones.data(), 4, {}, y.data(), 4);
    const double truth = static_cast<double>(weight_max) * limit * static_cast<double>(k);
    EXPECT_NEAR(y[0], truth, truth * 1e-6);
  };
  Group12 largest{};
  for (size_t i = 0; i < 32; ++i) largest.set(i / 8, i % 8, kWeightMax12);
  check_bound(int8_t{kWeightMax8}, kWeightMax8, 1024);
  check_bound(int8_t{kWeightMax8}, kWeightMax8, 4096);
  check_bound(largest, kWeightMax12, 512);
  check_bound(largest, kWeightMax12, 4096);
}

// Under the address sanitizer: no line beyond the weights.
TEST_F(KernelTest, WhatIsReadAheadLiesWithin) {
  for (int round = 0; round < 60; ++round) {
    const size_t bytes = size(0, 5 * Ahead::kWindow), skipped = std::min(bytes, size(0, 5000));
    const std::vector<uint8_t> weights(bytes);
    Ahead ahead(weights.data() + skipped, bytes - skipped);
    size_t fetched = 0;
    for (size_t left = bytes - skipped; left > 0;) {
      const size_t panel = std::min(left, size(1, 20000)), steps = size(1, 9);
      ahead.enter(panel);
      const size_t times = ahead.in(steps)*steps;
      fetched += ahead.in(1);
      for (size_t i = 0; i < times + 3; ++i) ahead.fetch();
      EXPECT_EQ(ahead.in(1), 0u);
      left -= panel;
    }
    // All but the first window, and what is less than a page or a window.
    EXPECT_LE(fetched * Ahead::kTurn + Ahead::kWindow, std::max(bytes - skipped, Ahead::kWindow));
    EXPECT_GE((fetched + 1) * Ahead::kTurn + 2 * Ahead::kWindow + 4096, bytes - skipped);
  }
}

TEST_F(KernelTest, LayerNorm) {
  for (int round = 0; round < 40; ++round) {
    const size_t m = size(1, 4), n = size(2, 130);
    const std::vector<float> x = floats(m * n, 2), w = floats(n), b = floats(n);
    std::vector<float> y(m * n), expected(m * n);
    const bool affine = round % 2 == 0;
    scalar::layer_norm(x.data(), m, n, affine ? w.data() : nullptr, b.data(), 1e-5f, expected.data());
    simd128::layer_norm(x.data(), m, n, affine ? w.data() : nullptr, b.data(), 1e-5f, y.data());
    expect_same_bits(y, expected, "layer_norm");
  }
}

TEST_F(KernelTest, Activations) {
  std::vector<float> x = floats(100003, 6);
  const float edges[] = {0.0f,  -0.0f,  1e-30f, -1e-30f, 88.5f,   -88.5f,
                         1e30f, -1e30f, -87.3f, 3.4e38f, -3.4e38f};
  std::copy(std::begin(edges), std::end(edges), x.begin());
  const struct {
    void (*scalar)(const float*, size_t, float*);
    void (*simd)(const float*, size_t, float*);
    double (*truth)(double);
    const char* name;
  } rows[] = {
      {scalar::elu, simd128::elu, [](double v) { return v > 0 ? v : std::expm1(v); }, "elu"},
      {scalar::elu_exp2, simd128::elu_exp2, [](double v) { return v > 0 ? v : std::expm1(v); }, "elu_exp2"},
      {scalar::gelu_tanh, simd128::gelu_tanh,
       [](double v) { return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))); },
       "gelu"},
      {scalar::silu, simd128::silu, [](double v) { return v / (1 + std::exp(-v)); }, "silu"},
  };
  for (const auto& row : rows) {
    std::vector<float> y(x.size()), expected(x.size());
    row.scalar(x.data(), x.size(), expected.data());
    row.simd(x.data(), x.size(), y.data());
    expect_same_bits(y, expected, row.name);
    for (size_t i = 11; i < x.size(); ++i) {
      const double truth = row.truth(static_cast<double>(x[i]));
      ASSERT_NEAR(static_cast<double>(y[i]), truth, 2.5e-7 * std::max(1.0, std::fabs(truth)))
          << row.name << "(" << x[i] << ")";
    }
  }
}

TEST_F(KernelTest, Sums) {
  for (int round = 0; round < 20; ++round) {
    const size_t m = size(1, 4), n = size(1, 40);
    const std::vector<float> x = floats(m * n), s = floats(n), y0 = floats(m * n);
    std::vector<float> y = y0, expected = y0;
    scalar::add_scaled(x.data(), s.data(), m, n, expected.data());
    simd128::add_scaled(x.data(), s.data(), m, n, y.data());
    expect_same_bits(y, expected, "add_scaled");
    scalar::add(x.data(), m * n, expected.data());
    simd128::add(x.data(), m * n, y.data());
    expect_same_bits(y, expected, "add");
  }
}

template <typename T>
std::vector<T> before(const std::vector<T>& values, size_t count) {
  return {values.begin(), values.begin() + static_cast<ptrdiff_t>(count)};
}
template <typename T>
std::vector<T> behind(const std::vector<T>& values, size_t count) {
  return {values.begin() + static_cast<ptrdiff_t>(count), values.end()};
}

TEST_F(KernelTest, Attend) {
  for (int round = 0; round < 120; ++round) {
    const size_t d = 2 * size(1, 40), rows = round % 3 == 0 ? 1 : size(1, 9), first_end = size(1, 60),
                 context = round % 2 == 0 ? 0 : size(1, 70), ldq = rows * d, positions = first_end + rows;
    const std::vector<float> q = floats(rows * ldq), k = floats(positions * d), v = floats(positions * d);
    std::vector<float> scores(2 * positions), out(rows * ldq), expected(rows * ldq);
    const Parts<FloatPart> whole{{}, {k.data(), v.data()}, 0};
    scalar::attend(q.data(), ldq, rows, whole, first_end, context, d, 0.2f, scores.data(), expected.data(),
                   ldq);
    simd128::attend(q.data(), ldq, rows, whole, first_end, context, d, 0.2f, scores.data(), out.data(), ldq);
    expect_same_bits(out, expected, "attend");
    if (context > 0) continue;
    const size_t split = size(0, (first_end - 1) / 4) * 4;
    const std::vector<float> k0 = before(k, split * d), v0 = before(v, split * d), k1 = behind(k, split * d),
                             v1 = behind(v, split * d);
    const Parts<FloatPart> parts{{k0.data(), v0.data()}, {k1.data(), v1.data()}, split};
    scalar::attend(q.data(), ldq, rows, parts, first_end, 0, d, 0.2f, scores.data(), out.data(), ldq);
    expect_same_bits(out, expected, "attend to two parts, scalar");
    simd128::attend(q.data(), ldq, rows, parts, first_end, 0, d, 0.2f, scores.data(), out.data(), ldq);
    expect_same_bits(out, expected, "attend to two parts");
  }
}

TEST_F(KernelTest, AttendInIntegers) {
  for (int round = 0; round < 150; ++round) {
    const size_t d = 2 * size(1, 40), width = (d + 7) / 8 * 8, rows = round % 3 == 0 ? 1 : size(1, 9),
                 first_end = size(1, 60), context = round % 2 == 0 ? 0 : size(1, 70), ldo = d + 3,
                 positions = (first_end + rows + 3) / 4 * 4;
    std::vector<int16_t> q(rows * width), k(positions * width), v(positions * width);
    for (auto* integers : {&q, &k, &v}) {
      for (int16_t& x : *integers) x = static_cast<int16_t>(integer(round < 5 ? 8191 : 2000));
    }
    std::vector<float> q_scales = floats(rows, 1e-3f), k_scales = floats(positions, 1e-3f),
                       v_scales(positions);
    for (float& x : v_scales) x = round == 7 ? 0 : static_cast<float>(size(1, 1000)) / 1e6f;
    IntegerHead head{
        q.data(), q_scales.data(), {{}, {k.data(), k_scales.data(), v.data(), v_scales.data()}, 0}, width};
    std::vector<float> scores(2 * (first_end + rows + 8)), out(rows * ldo, 1), expected(rows * ldo, 1);
    std::vector<int16_t> weights(scores.size());
    scalar::attend_i16(head, rows, first_end, context, d, 0.2f, scores.data(), weights.data(),
                       expected.data(), ldo);
    simd128::attend_i16(head, rows, first_end, context, d, 0.2f, scores.data(), weights.data(), out.data(),
                        ldo);
    expect_same_bits(out, expected, "attend_i16");
    if (context > 0) continue;
    const size_t split = size(0, (first_end - 1) / 4) * 4;
    const std::vector<int16_t> k0 = before(k, split * width), v0 = before(v, split * width),
                               k1 = behind(k, split * width), v1 = behind(v, split * width);
    const std::vector<float> ks0 = before(k_scales, split), vs0 = before(v_scales, split),
                             ks1 = behind(k_scales, split), vs1 = behind(v_scales, split);
    head.parts = {{k0.data(), ks0.data(), v0.data(), vs0.data()},
                  {k1.data(), ks1.data(), v1.data(), vs1.data()},
                  split};
    scalar::attend_i16(head, rows, first_end, 0, d, 0.2f, scores.data(), weights.data(), out.data(), ldo);
    expect_same_bits(out, expected, "attend_i16 to two parts, scalar");
    simd128::attend_i16(head, rows, first_end, 0, d, 0.2f, scores.data(), weights.data(), out.data(), ldo);
    expect_same_bits(out, expected, "attend_i16 to two parts");
  }
}

// Quantised, attention says what it says in f32, to within the 13 bits and the resolution of the weights.
TEST_F(KernelTest, AttendInIntegersIsAttention) {
  for (const size_t positions : {size_t{1}, size_t{7}, size_t{300}, size_t{3000}}) {
    const size_t d = 64, room = (positions + 3) / 4 * 4;
    const std::vector<float> q = floats(d), k = floats(positions * d), v = floats(positions * d);
    std::vector<float> scores(2 * (room + 16)), out(d), expected(d), q_scale(1), k_scales(room),
        v_scales(room);
    std::vector<int16_t> q16(d), k16(room * d), rows(room * d), v16(room * d), weights(scores.size());
    scalar::quantize_rows_i16(Activation::kNone, q.data(), d, 1, d, d, attention_limit(d), nullptr,
                              q16.data(), q_scale.data());
    scalar::quantize_rows_i16(Activation::kNone, k.data(), d, positions, d, d, attention_limit(d), nullptr,
                              k16.data(), k_scales.data());
    scalar::quantize_rows_i16(Activation::kNone, v.data(), d, positions, d, d, kValueMax, nullptr,
                              rows.data(), v_scales.data());
    for (size_t j = 0; j < positions; ++j) {
      for (size_t i = 0; i < d; ++i) v16[j / 2 * 2 * d + 2 * i + j % 2] = rows[j * d + i];
    }
    simd128::attend(q.data(), d, 1, {{}, {k.data(), v.data()}, 0}, positions, 0, d, 0.125f, scores.data(),
                    expected.data(), d);
    const IntegerHead head{
        q16.data(), q_scale.data(), {{}, {k16.data(), k_scales.data(), v16.data(), v_scales.data()}, 0}, d};
    simd128::attend_i16(head, 1, positions, 0, d, 0.125f, scores.data(), weights.data(), out.data(), d);
    double error = 0, power = 0;
    for (size_t i = 0; i < d; ++i) {
      error += std::pow(static_cast<double>(out[i] - expected[i]), 2);
      power += std::pow(static_cast<double>(expected[i]), 2);
    }
    EXPECT_LT(std::sqrt(error / power), 5e-3) << positions;
    RecordProperty("relative error in millionths", static_cast<int>(1e6 * std::sqrt(error / power)));
  }
}

// The largest queries, keys and values that the limits allow stay within 32 bits.
TEST_F(KernelTest, AttendInIntegersAtItsBounds) {
  for (const size_t d : {size_t{8}, size_t{64}, size_t{128}, size_t{256}}) {
    const auto limit = static_cast<int16_t>(attention_limit(d));
    const size_t positions = 32;
    const std::vector<int16_t> q(d, limit), k(positions * d, limit), v(positions * d, kValueMax);
    const std::vector<float> q_scale(1, 1.0f), scales(positions, 1.0f);
    std::vector<float> scores(2 * (positions + 16)), out(d);
    std::vector<int16_t> weights(scores.size());
    const IntegerHead head{
        q.data(), q_scale.data(), {{}, {k.data(), scales.data(), v.data(), scales.data()}, 0}, d};
    simd128::attend_i16(head, 1, positions, 0, d, 1e-9f, scores.data(), weights.data(), out.data(), d);
    for (const float x : out) EXPECT_NEAR(x, kValueMax, 1);
    EXPECT_GT(scores[0], 0.9f);
  }
}

}  // namespace
}  // namespace ptts::kernels
