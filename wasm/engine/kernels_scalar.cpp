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

float exp2_f32(float x) {
  x = x < kExp2Min ? kExp2Min : x;
  const float shifted = x + kRound;
  const float f = x - (shifted - kRound);
  float p = kExp2P[0];
  for (int c = 1; c < 6; ++c) p = p * f + kExp2P[c];
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(shifted) << 23));
}

float elu_by_exp2(float x) {
  const float below = x * kLog2E;
  return (0 < x ? x : 0) + (exp2_f32(0 < below ? 0 : below) - 1.0f);
}

// Four lanes, lane i mod 4, added in pairs.
struct LaneSum {
  float lane[4] = {0, 0, 0, 0};
  void add(size_t i, float value) { lane[i & 3] += value; }
  float total() const { return (lane[0] + lane[1]) + (lane[2] + lane[3]); }
};

void finish(float sum, size_t j, Epilogue epilogue, float* y) {
  if (epilogue.bias != nullptr) sum = sum + epilogue.bias[j];
  *y = epilogue.accumulate ? *y + sum : sum;
}

// Row p of column j.
template <typename W>
int32_t weight_at(const W* panels, size_t k, size_t j, size_t p) {
  return panels[panel_start<W>(j, k) + p / 8 * 32 + j % 4 * 8 + p % 8];
}
int32_t weight_at(const Group12* panels, size_t k, size_t j, size_t p) {
  return panels[panel_start<Group12>(j, k) + p / 8].get(j % 4, p % 8);
}

template <typename W>
void gemm_integer(const IntegerRows& a, size_t m, const W* panels, const float* w_scales, size_t n,
                  Epilogue epilogue, float* y, size_t ldy) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      float total[4];
      for (size_t begin = 0; begin < a.k; begin += a.segment) {
        const int16_t* values = a.values + i * a.step + begin / a.segment * a.segment_step;
        int32_t lane[4] = {0, 0, 0, 0};
        for (size_t p = begin; p < a.k && p < begin + a.segment; ++p) {
          lane[p % 8 / 2] += static_cast<int32_t>(values[p - begin]) * weight_at(panels, a.k, j, p);
        }
        for (int l = 0; l < 4; ++l) {
          const float sum = static_cast<float>(lane[l]);
          total[l] = begin == 0 ? sum : total[l] + sum;
        }
      }
      const float sum = (total[0] + total[2]) + (total[1] + total[3]);
      finish(sum * (w_scales[j] * a.scales[i * a.scale_step]), j, epilogue, y + i * ldy + j);
    }
  }
}

}  // namespace

void gemm_f32(const float* a, size_t lda, size_t m, const float* panels, size_t n, size_t k,
              Epilogue epilogue, float* y, size_t ldy) {
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
      finish(total, j, epilogue, y + i * ldy + j);
    }
  }
}

void quantize_rows_i16(Activation activation, const float* a, size_t lda, size_t m, size_t k, size_t k8,
                       int32_t limit, float* row, int16_t* q, float* scales) {
  for (size_t i = 0; i < m; ++i) {
    const float* x = a + i * lda;
    switch (activation) {
      case Activation::kNone: break;
      case Activation::kElu: elu(x, k, row); break;
      case Activation::kGelu: gelu_tanh(x, k, row); break;
      case Activation::kSilu: silu(x, k, row); break;
    }
    if (activation != Activation::kNone) x = row;
    float largest = 0;
    for (size_t p = 0; p < k; ++p) {
      const float magnitude = std::fabs(x[p]);
      largest = magnitude > largest ? magnitude : largest;
    }
    const float scale = largest / static_cast<float>(limit);
    const float inverse = largest > 0 ? static_cast<float>(limit) / largest : 0;
    scales[i] = scale;
    for (size_t p = 0; p < k8; ++p) {
      const float value = p < k ? x[p] * inverse : 0;
      const float rounded = value + kRound;
      q[i * k8 + p] =
          static_cast<int16_t>(std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(kRound));
    }
  }
}

void range(const float* x, size_t n, float* low, float* high) {
  *low = *high = 0;
  for (size_t i = 0; i < n; ++i) {
    *low = x[i] < *low ? x[i] : *low;
    *high = x[i] > *high ? x[i] : *high;
  }
}

void quantize_i16(Activation activation, const float* a, size_t m, size_t k, size_t k8, float inverse,
                  int16_t* q) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t p = 0; p < k8; ++p) {
      float value = p < k ? a[i * k + p] : 0;
      if (activation == Activation::kElu) value = elu_by_exp2(value);
      const float rounded = value * inverse + kRound;
      q[i * k8 + p] =
          static_cast<int16_t>(std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(kRound));
    }
  }
}

void gemm_i8(const IntegerRows& a, size_t m, const int8_t* panels, const float* w_scales, size_t n,
             Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer(a, m, panels, w_scales, n, epilogue, y, ldy);
}
void gemm_i12(const IntegerRows& a, size_t m, const Group12* panels, const float* w_scales, size_t n,
              Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer(a, m, panels, w_scales, n, epilogue, y, ldy);
}

void gemm_i16(const IntegerRows& a, size_t m, const int16_t* panels, const float* w_scales, size_t n,
              Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer(a, m, panels, w_scales, n, epilogue, y, ldy);
}

void gemm_i16_taps(const int16_t* values, float scale, size_t k8, size_t taps, size_t m,
                   const int16_t* panels, const float* w_scales, size_t n, Epilogue epilogue, int16_t*,
                   float* y, size_t ldy) {
  const size_t k = taps * k8;
  gemm_integer(IntegerRows{values, &scale, k, k8, k, k, 0}, m, panels, w_scales, n, epilogue, y, ldy);
}

void gemm_i4(const IntegerRows& a, size_t m, const uint8_t* panels, const float* scales, size_t n,
             Epilogue epilogue, float* y, size_t ldy) {
  const size_t blocks = a.k / kBlock4;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      float total[4];
      for (size_t b = 0; b < blocks; ++b) {
        const size_t block = (j / 4 * blocks + b) * 4 + j % 4;
        int32_t lane[4] = {0, 0, 0, 0};
        for (size_t p = 0; p < kBlock4; ++p) {
          const uint8_t byte = panels[block * 16 + p % 8 * 2 + p / 16];
          const int32_t nibble = p / 8 % 2 == 0 ? byte & 15 : byte >> 4,
                        weight = nibble < 8 ? nibble : nibble - 16;
          lane[p % 8 / 2] += static_cast<int32_t>(a.values[i * a.k + b * kBlock4 + p]) * weight;
        }
        for (int l = 0; l < 4; ++l) {
          const float scaled = static_cast<float>(lane[l]) * scales[block];
          total[l] = b == 0 ? scaled : total[l] + scaled;
        }
      }
      const float sum = (total[0] + total[2]) + (total[1] + total[3]);
      finish(sum * a.scales[i], j, epilogue, y + i * ldy + j);
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

void elu_exp2(const float* x, size_t n, float* y) {
  for (size_t i = 0; i < n; ++i) y[i] = elu_by_exp2(x[i]);
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

void attend(const float* q, size_t ldq, size_t rows, const Parts<FloatPart>& head, size_t first_end,
            size_t context, size_t d, float scale, float* scores, float* out, size_t ldo) {
  for (size_t r = 0; r < rows; ++r) {
    const size_t end = first_end + r, begin = window_begin(end, context), count = end - begin;
    float largest = -INFINITY;
    for (size_t j = 0; j < count; ++j) {
      const float* key = head.of(begin + j).k + head.place(begin + j) * d;
      LaneSum dot;
      for (size_t i = 0; i < d; ++i) dot.add(i, q[r * ldq + i] * key[i]);
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
      for (size_t j = 0; j < count; ++j) {
        sum = sum + scores[j] * head.of(begin + j).v[head.place(begin + j) * d + i];
      }
      out[r * ldo + i] = sum / total;
    }
  }
}

void attend_i16(const IntegerHead& head, size_t rows, size_t first_end, size_t context, size_t d, float scale,
                float* scores, int16_t* weights, float* out, size_t ldo) {
  for (size_t r = 0; r < rows; ++r) {
    const size_t end = first_end + r, begin = window_begin(end, context);
    float largest = -INFINITY;
    for (size_t j = begin; j < end; ++j) {
      const IntegerPart& part = head.parts.of(j);
      const size_t at = head.parts.place(j);
      int32_t lane[4] = {0, 0, 0, 0};
      for (size_t i = 0; i < head.width; ++i) {
        lane[i % 8 / 2] += static_cast<int32_t>(head.q[r * head.width + i]) * part.k[at * head.width + i];
      }
      const float dot = (static_cast<float>(lane[0]) + static_cast<float>(lane[2])) +
                        (static_cast<float>(lane[1]) + static_cast<float>(lane[3]));
      scores[j - begin] = dot * (head.q_scales[r] * (scale * kLog2E) * part.k_scales[at]);
      largest = scores[j - begin] > largest ? scores[j - begin] : largest;
    }
    LaneSum total, scaled;
    float heaviest = 0;
    for (size_t j = begin; j < end; ++j) {
      const float weight = exp2_f32(scores[j - begin] - largest),
                  with_scale = weight * head.parts.of(j).v_scales[head.parts.place(j)];
      total.add(j, weight);
      scaled.add(j, with_scale);
      heaviest = with_scale > heaviest ? with_scale : heaviest;
      scores[j - begin] = with_scale;
    }
    const float factor = weight_factor(heaviest, scaled.total());
    for (size_t j = begin; j < end; ++j) {
      const float rounded = scores[j - begin] * factor + kRound;
      weights[j - begin] =
          static_cast<int16_t>(std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(kRound));
    }
    const float inverse = factor > 0 ? 1 / (factor * total.total()) : 0;
    for (size_t i = 0; i < d; ++i) {
      int32_t sum = 0;
      for (size_t j = begin; j < end; ++j) {
        const size_t at = head.parts.place(j);
        sum += static_cast<int32_t>(weights[j - begin]) *
               head.parts.of(j).v[at / 2 * 2 * head.width + 2 * i + at % 2];
      }
      out[r * ldo + i] = static_cast<float>(sum) * inverse;
    }
  }
}

}  // namespace ptts::kernels::scalar
