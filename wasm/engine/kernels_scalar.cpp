// The specification of every kernel: plain loops in the one order that all builds reproduce.
#include <bit>
#include <cmath>

#include "kernels.h"

namespace ptts::kernels::scalar {

namespace {

float exp_f32(float x) {
  x = x < kExpMin ? kExpMin : x;
  x = x > kExpMax ? kExpMax : x;
  const float shifted = x * kLog2E + kRound;
  const float i = shifted - kRound;
  float f = x - i * kLn2Hi;
  f = f - i * kLn2Lo;
  float p = kExpP[0];
  for (int c = 1; c < 6; ++c) p = p * f + kExpP[c];
  const float r = (p * (f * f) + f) + 1.0f;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  return r * std::bit_cast<float>(exponent);
}

// Four lanes, lane i mod 4, added in pairs.
struct LaneSum {
  float lane[4] = {0, 0, 0, 0};
  void add(size_t i, float value) { lane[i & 3] += value; }
  float total() const { return (lane[0] + lane[1]) + (lane[2] + lane[3]); }
};

}  // namespace

void gemm_f32(const float* a, size_t lda, size_t m, const float* panels, size_t n, size_t k, float* y,
              size_t ldy) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      float total = 0;
      for (size_t begin = 0; begin < k; begin += kSumBlock) {
        float sum = 0;
        for (size_t p = begin; p < k && p < begin + kSumBlock; ++p) {
          sum = sum + a[i * lda + p] * panels[panel_offset(n, k, j, p)];
        }
        total = begin == 0 ? sum : total + sum;
      }
      y[i * ldy + j] = total;
    }
  }
}

void quantize_rows_i16(const float* a, size_t lda, size_t m, size_t k, size_t k8, int32_t limit, int16_t* q,
                       float* scales) {
  for (size_t i = 0; i < m; ++i) {
    float largest = 0;
    for (size_t p = 0; p < k; ++p) {
      const float magnitude = std::fabs(a[i * lda + p]);
      largest = magnitude > largest ? magnitude : largest;
    }
    const float scale = largest / static_cast<float>(limit);
    const float inverse = largest > 0 ? static_cast<float>(limit) / largest : 0;
    scales[i] = scale;
    for (size_t p = 0; p < k8; ++p) {
      const float value = p < k ? a[i * lda + p] * inverse : 0;
      const float rounded = value + kRound;
      q[i * k8 + p] =
          static_cast<int16_t>(std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(kRound));
    }
  }
}

void gemm_q8(const int16_t* a, size_t m, size_t k8, const float* a_scales, const int8_t* panels,
             const float* w_scales, size_t n, float* y, size_t ldy) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      int32_t lane[4] = {0, 0, 0, 0};
      for (size_t p = 0; p < k8; ++p) {
        const int8_t weight = panels[j / 4 * 4 * k8 + p / 8 * 32 + j % 4 * 8 + p % 8];
        lane[p % 8 / 2] += static_cast<int32_t>(a[i * k8 + p]) * weight;
      }
      const float sum = (static_cast<float>(lane[0]) + static_cast<float>(lane[2])) +
                        (static_cast<float>(lane[1]) + static_cast<float>(lane[3]));
      y[i * ldy + j] = sum * (a_scales[i] * w_scales[j]);
    }
  }
}

void layer_norm(const float* x, size_t m, size_t n, const float* weight, const float* bias, float eps,
                float* y) {
  for (size_t i = 0; i < m; ++i, x += n, y += n) {
    LaneSum sum;
    for (size_t j = 0; j < n; ++j) sum.add(j, x[j]);
    const float mean = sum.total() / static_cast<float>(n);
    LaneSum squares;
    for (size_t j = 0; j < n; ++j) squares.add(j, (x[j] - mean) * (x[j] - mean));
    const float deviation = std::sqrt(squares.total() / static_cast<float>(n) + eps);
    for (size_t j = 0; j < n; ++j) {
      const float normal = (x[j] - mean) / deviation;
      y[j] = weight == nullptr ? normal : normal * weight[j] + bias[j];
    }
  }
}

void elu(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = x[i] > 0 ? x[i] : exp_f32(x[i]) - 1.0f;
}

void gelu_tanh(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) {
    const float argument = x[i] * (kGeluB * (x[i] * x[i]) + kGeluA);
    y[i] = x[i] / (1.0f + exp_f32(argument));
  }
}

void silu(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = x[i] / (1.0f + exp_f32(-x[i]));
}

void add(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = y[i] + x[i];
}

void add_scaled(const float* x, const float* scale, size_t m, size_t n, float* y) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) y[i * n + j] = y[i * n + j] + x[i * n + j] * scale[j];
  }
}

void add_bias(const float* bias, size_t m, size_t n, float* y) {
  for (size_t i = 0; i < m; ++i) add(bias, n, y + i * n);
}

void attend(const float* q, const float* k, const float* v, size_t stride, size_t count, size_t d,
            float scale, float* scores, float* out) {
  float largest = -INFINITY;
  for (size_t j = 0; j < count; ++j) {
    LaneSum dot;
    for (size_t i = 0; i < d; ++i) dot.add(i, q[i] * k[j * stride + i]);
    scores[j] = dot.total() * scale;
    largest = scores[j] > largest ? scores[j] : largest;
  }
  LaneSum weights;
  for (size_t j = 0; j < count; ++j) {
    scores[j] = exp_f32(scores[j] - largest);
    weights.add(j, scores[j]);
  }
  const float total = weights.total();
  for (size_t i = 0; i < d; ++i) {
    float sum = 0;
    for (size_t j = 0; j < count; ++j) sum = sum + scores[j] * v[j * stride + i];
    out[i] = sum / total;
  }
}

}  // namespace ptts::kernels::scalar
