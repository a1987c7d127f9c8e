// Every vector kernel against its scalar specification: the same bits, on random shapes.
#include "kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace ptts::kernels {
namespace {

class KernelTest : public testing::Test {
 protected:
  std::mt19937 random_{7};

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
    const size_t m = size(1, 9), n = size(1, 70), k = round % 5 == 0 ? size(200, 1200) : size(1, 90),
                 lda = k + size(0, 5), ldy = n + size(0, 3);
    const std::vector<float> a = floats(m * lda), w = floats(n * k);
    std::vector<float> panels(panel_floats(n, k));
    for (size_t j = 0; j < n; ++j) {
      for (size_t p = 0; p < k; ++p) panels[panel_offset(n, k, j, p)] = w[j * k + p];
    }
    std::vector<float> y(m * ldy, -1), expected(m * ldy, -1);
    scalar::gemm_f32(a.data(), lda, m, panels.data(), n, k, expected.data(), ldy);
    simd128::gemm_f32(a.data(), lda, m, panels.data(), n, k, y.data(), ldy);
    expect_same_bits(y, expected, "gemm_f32");
    double reference = 0;
    for (size_t p = 0; p < k; ++p) reference += static_cast<double>(a[p]) * static_cast<double>(w[p]);
    EXPECT_NEAR(expected[0], reference, 1e-4);
  }
}

TEST_F(KernelTest, OverlappingRowsAreAConvolution) {
  const size_t channels = 5, kernel = 3, steps = 20, n = 7;
  const std::vector<float> a = floats((steps + kernel - 1) * channels),
                           w = floats(panel_floats(n, kernel * channels));
  std::vector<float> y(steps * n), expected(steps * n);
  scalar::gemm_f32(a.data(), channels, steps, w.data(), n, kernel * channels, expected.data(), n);
  simd128::gemm_f32(a.data(), channels, steps, w.data(), n, kernel * channels, y.data(), n);
  expect_same_bits(y, expected, "convolution");
}

TEST_F(KernelTest, QuantizedProduct) {
  for (int round = 0; round < 60; ++round) {
    const size_t m = size(1, 5), n = size(1, 30), k = size(1, 200), k8 = (k + 7) / 8 * 8;
    std::vector<float> a = floats(m * k, 3);
    if (round == 0) std::fill(a.begin(), a.end(), 0.0f);
    const int32_t limit = round % 2 == 0 ? 32767 : 16500;
    std::vector<int16_t> q(m * k8, 1), q_expected(m * k8, 2);
    std::vector<float> scales(m), scales_expected(m);
    scalar::quantize_rows_i16(a.data(), k, m, k, k8, limit, q_expected.data(), scales_expected.data());
    simd128::quantize_rows_i16(a.data(), k, m, k, k8, limit, q.data(), scales.data());
    ASSERT_EQ(q, q_expected);
    expect_same_bits(scales, scales_expected, "scales");
    for (size_t i = 0; i < m * k8; ++i) ASSERT_LE(std::abs(q[i]), limit);

    std::vector<int8_t> panels((n + 3) / 4 * 4 * k8);
    for (int8_t& v : panels) v = static_cast<int8_t>(static_cast<int>(random_() % 255) - 127);
    const std::vector<float> w_scales = floats(n);
    std::vector<float> y(m * n), expected(m * n);
    scalar::gemm_q8(q.data(), m, k8, scales.data(), panels.data(), w_scales.data(), n, expected.data(), n);
    simd128::gemm_q8(q.data(), m, k8, scales.data(), panels.data(), w_scales.data(), n, y.data(), n);
    expect_same_bits(y, expected, "gemm_q8");
  }
}

// The worst case that the input limit allows must not leave 32 bits.
TEST_F(KernelTest, QuantizedProductAtItsBound) {
  const size_t k = 4096;
  const auto limit = static_cast<int16_t>(INT32_MAX / (127 * (static_cast<int64_t>(k) / 8 * 2)));
  const std::vector<int16_t> a(k, limit);
  const std::vector<int8_t> panels(4 * k, 127);
  const std::vector<float> ones(4, 1.0f);
  std::vector<float> y(4);
  gemm_q8(a.data(), 1, k, ones.data(), panels.data(), ones.data(), 4, y.data(), 4);
  EXPECT_NEAR(y[0], 127.0 * limit * static_cast<double>(k), 1e3);
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
    scalar::add_bias(s.data(), m, n, expected.data());
    simd128::add_bias(s.data(), m, n, y.data());
    expect_same_bits(y, expected, "add_bias");
  }
}

TEST_F(KernelTest, Attend) {
  for (int round = 0; round < 60; ++round) {
    const size_t d = 2 * size(1, 40), count = size(1, 300), stride = d * size(1, 3);
    const std::vector<float> q = floats(d), k = floats(count * stride), v = floats(count * stride);
    std::vector<float> scores(count), out(d), expected(d);
    scalar::attend(q.data(), k.data(), v.data(), stride, count, d, 0.2f, scores.data(), expected.data());
    simd128::attend(q.data(), k.data(), v.data(), stride, count, d, 0.2f, scores.data(), out.data());
    expect_same_bits(out, expected, "attend");
  }
}

}  // namespace
}  // namespace ptts::kernels
