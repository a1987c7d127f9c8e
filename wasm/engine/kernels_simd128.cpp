// The kernels on 128-bit vectors: WebAssembly simd128, or SSE4.1 in native builds (the same bits).
// Written with the compiler's vector types, so that one text serves both; only the int16 dot product has two forms.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__SSE4_1__)
#include <smmintrin.h>
#else
#error "the engine needs simd128 or SSE4.1"
#endif

namespace ptts::kernels::simd128 {

namespace {

typedef float F32x4 __attribute__((vector_size(16)));
typedef int32_t I32x4 __attribute__((vector_size(16)));
typedef uint32_t U32x4 __attribute__((vector_size(16)));
typedef int16_t I16x8 __attribute__((vector_size(16)));
typedef int8_t I8x8 __attribute__((vector_size(8)));

template <typename V, typename T>
inline V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}
template <typename V, typename T>
inline void store(T* p, V v) {
  std::memcpy(p, &v, sizeof(V));
}
inline F32x4 splat(float x) { return F32x4{x, x, x, x}; }
inline float lanes_total(F32x4 v) { return (v[0] + v[1]) + (v[2] + v[3]); }

inline I32x4 dot_i16(I16x8 a, I16x8 b) {
#if defined(__wasm_simd128__)
  return (I32x4)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#else
  return (I32x4)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
}

inline F32x4 exp_f32(F32x4 x) {
  x = x < splat(kExpMin) ? splat(kExpMin) : x;
  x = x > splat(kExpMax) ? splat(kExpMax) : x;
  const F32x4 shifted = x * splat(kLog2E) + splat(kRound);
  const F32x4 i = shifted - splat(kRound);
  F32x4 f = x - i * splat(kLn2Hi);
  f = f - i * splat(kLn2Lo);
  F32x4 p = splat(kExpP[0]);
  for (int c = 1; c < 6; ++c) p = p * f + splat(kExpP[c]);
  const F32x4 r = (p * (f * f) + f) + splat(1.0f);
  const U32x4 exponent = ((U32x4)shifted + 127u) << 23;
  return r * (F32x4)exponent;
}

// Runs `op` over n values, the last few through a padded copy.
template <typename Op>
inline void map(const float* x, size_t n, float* y, Op op) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) store(y + i, op(load<F32x4>(x + i)));
  if (i < n) {
    float tail[4] = {0, 0, 0, 0};
    std::memcpy(tail, x + i, (n - i) * sizeof(float));
    store(tail, op(load<F32x4>(tail)));
    std::memcpy(y + i, tail, (n - i) * sizeof(float));
  }
}

// The panel of `V` vectors for R rows at once; the panel's last columns may lie beyond n (`columns` are stored).
template <size_t R, size_t V>
inline void gemm_tile(const float* a, size_t lda, const float* panel, size_t k, size_t columns, float* y,
                      size_t ldy) {
  F32x4 total[R][V] = {};
  for (size_t begin = 0; begin < k; begin += kSumBlock) {
    const size_t end = k - begin < kSumBlock ? k : begin + kSumBlock;
    F32x4 sum[R][V] = {};
    for (size_t p = begin; p < end; ++p) {
      F32x4 w[V];
      for (size_t v = 0; v < V; ++v) w[v] = load<F32x4>(panel + p * (V * 4) + v * 4);
      for (size_t r = 0; r < R; ++r) {
        const F32x4 x = splat(a[r * lda + p]);
        for (size_t v = 0; v < V; ++v) sum[r][v] = sum[r][v] + x * w[v];
      }
    }
    for (size_t r = 0; r < R; ++r) {
      for (size_t v = 0; v < V; ++v) total[r][v] = begin == 0 ? sum[r][v] : total[r][v] + sum[r][v];
    }
  }
  for (size_t r = 0; r < R; ++r) {
    if (columns == V * 4) {
      for (size_t v = 0; v < V; ++v) store(y + r * ldy + v * 4, total[r][v]);
    } else {
      std::memcpy(y + r * ldy, total[r], columns * sizeof(float));
    }
  }
}

template <size_t V>
inline void gemm_panel(const float* a, size_t lda, size_t m, const float* panel, size_t k, size_t columns,
                       float* y, size_t ldy) {
  size_t i = 0;
  for (; i + 2 <= m; i += 2) gemm_tile<2, V>(a + i * lda, lda, panel, k, columns, y + i * ldy, ldy);
  if (i < m) gemm_tile<1, V>(a + i * lda, lda, panel, k, columns, y + i * ldy, ldy);
}

}  // namespace

void gemm_f32(const float* a, size_t lda, size_t m, const float* panels, size_t n, size_t k, float* y,
              size_t ldy) {
  for (size_t j = 0; j < n; j += kPanel) {
    const size_t columns = n - j < kPanel ? n - j : kPanel;
    switch (panel_width(n, j)) {
      case 16: gemm_panel<4>(a, lda, m, panels, k, columns, y + j, ldy); break;
      case 12: gemm_panel<3>(a, lda, m, panels, k, columns, y + j, ldy); break;
      case 8: gemm_panel<2>(a, lda, m, panels, k, columns, y + j, ldy); break;
      default: gemm_panel<1>(a, lda, m, panels, k, columns, y + j, ldy); break;
    }
    panels += kPanel * k;
  }
}

void quantize_rows_i16(const float* a, size_t lda, size_t m, size_t k, size_t k8, int32_t limit, int16_t* q,
                       float* scales) {
  for (size_t i = 0; i < m; ++i, a += lda, q += k8) {
    F32x4 lanes = splat(0);
    size_t p = 0;
    for (; p + 4 <= k; p += 4) {
      const F32x4 x = load<F32x4>(a + p);
      const F32x4 magnitude = (F32x4)((U32x4)x & 0x7fffffffu);
      lanes = magnitude > lanes ? magnitude : lanes;
    }
    float largest = 0;
    for (int lane = 0; lane < 4; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
    for (; p < k; ++p) {
      const float magnitude = std::fabs(a[p]);
      largest = magnitude > largest ? magnitude : largest;
    }
    scales[i] = largest / static_cast<float>(limit);
    const float inverse = largest > 0 ? static_cast<float>(limit) / largest : 0;
    for (p = 0; p + 4 <= k; p += 4) {
      const F32x4 rounded = load<F32x4>(a + p) * splat(inverse) + splat(kRound);
      const U32x4 bits = (U32x4)rounded - std::bit_cast<uint32_t>(kRound);
      for (size_t lane = 0; lane < 4; ++lane) q[p + lane] = static_cast<int16_t>(bits[lane]);
    }
    for (; p < k8; ++p) {
      const float rounded = (p < k ? a[p] * inverse : 0) + kRound;
      q[p] = static_cast<int16_t>(std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(kRound));
    }
  }
}

void gemm_q8(const int16_t* a, size_t m, size_t k8, const float* a_scales, const int8_t* panels,
             const float* w_scales, size_t n, float* y, size_t ldy) {
  for (size_t j = 0; j < n; j += 4) {
    const int8_t* panel = panels + j * k8;
    const size_t columns = n - j < 4 ? n - j : 4;
    for (size_t i = 0; i < m; ++i) {
      I32x4 sum[4] = {};
      const int16_t* row = a + i * k8;
      for (size_t p = 0; p < k8; p += 8) {
        const I16x8 x = load<I16x8>(row + p);
        for (int c = 0; c < 4; ++c) {
          const I16x8 w = __builtin_convertvector(load<I8x8>(panel + p * 4 + c * 8), I16x8);
          sum[c] = sum[c] + dot_i16(x, w);
        }
      }
      for (size_t c = 0; c < columns; ++c) {
        const F32x4 l = __builtin_convertvector(sum[c], F32x4);
        y[i * ldy + j + c] = ((l[0] + l[2]) + (l[1] + l[3])) * (a_scales[i] * w_scales[j + c]);
      }
    }
  }
}

void layer_norm(const float* x, size_t m, size_t n, const float* weight, const float* bias, float eps,
                float* y) {
  const size_t whole = n / 4 * 4;
  for (size_t i = 0; i < m; ++i, x += n, y += n) {
    F32x4 sum = splat(0);
    for (size_t j = 0; j < whole; j += 4) sum = sum + load<F32x4>(x + j);
    for (size_t j = whole; j < n; ++j) sum[j & 3] += x[j];
    const float mean = lanes_total(sum) / static_cast<float>(n);
    F32x4 squares = splat(0);
    for (size_t j = 0; j < whole; j += 4) {
      const F32x4 centred = load<F32x4>(x + j) - splat(mean);
      squares = squares + centred * centred;
    }
    for (size_t j = whole; j < n; ++j) squares[j & 3] += (x[j] - mean) * (x[j] - mean);
    const float deviation = std::sqrt(lanes_total(squares) / static_cast<float>(n) + eps);
    for (size_t j = 0; j < whole; j += 4) {
      F32x4 normal = (load<F32x4>(x + j) - splat(mean)) / splat(deviation);
      if (weight != nullptr) normal = normal * load<F32x4>(weight + j) + load<F32x4>(bias + j);
      store(y + j, normal);
    }
    for (size_t j = whole; j < n; ++j) {
      const float normal = (x[j] - mean) / deviation;
      y[j] = weight == nullptr ? normal : normal * weight[j] + bias[j];
    }
  }
}

void elu(const float* x, size_t n, float* y) {
  map(x, n, y, [](F32x4 v) { return v > splat(0) ? v : exp_f32(v) - splat(1.0f); });
}

void gelu_tanh(const float* x, size_t n, float* y) {
  map(x, n, y, [](F32x4 v) {
    const F32x4 argument = v * (splat(kGeluB) * (v * v) + splat(kGeluA));
    return v / (splat(1.0f) + exp_f32(argument));
  });
}

void silu(const float* x, size_t n, float* y) {
  map(x, n, y, [](F32x4 v) { return v / (splat(1.0f) + exp_f32(-v)); });
}

void add(const float* x, size_t n, float* y) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) store(y + i, load<F32x4>(y + i) + load<F32x4>(x + i));
  for (; i < n; ++i) y[i] = y[i] + x[i];
}

void add_scaled(const float* x, const float* scale, size_t m, size_t n, float* y) {
  for (size_t i = 0; i < m; ++i, x += n, y += n) {
    size_t j = 0;
    for (; j + 4 <= n; j += 4) {
      store(y + j, load<F32x4>(y + j) + load<F32x4>(x + j) * load<F32x4>(scale + j));
    }
    for (; j < n; ++j) y[j] = y[j] + x[j] * scale[j];
  }
}

void add_bias(const float* bias, size_t m, size_t n, float* y) {
  for (size_t i = 0; i < m; ++i) add(bias, n, y + i * n);
}

void attend(const float* q, const float* k, const float* v, size_t stride, size_t count, size_t d,
            float scale, float* scores, float* out) {
  const size_t whole = d / 4 * 4;
  float largest = -INFINITY;
  for (size_t j = 0; j < count; ++j) {
    const float* key = k + j * stride;
    F32x4 dot = splat(0);
    for (size_t i = 0; i < whole; i += 4) dot = dot + load<F32x4>(q + i) * load<F32x4>(key + i);
    for (size_t i = whole; i < d; ++i) dot[i & 3] += q[i] * key[i];
    scores[j] = lanes_total(dot) * scale;
    largest = scores[j] > largest ? scores[j] : largest;
  }
  F32x4 weights = splat(0);
  size_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const F32x4 weight = exp_f32(load<F32x4>(scores + j) - splat(largest));
    store(scores + j, weight);
    weights = weights + weight;
  }
  if (j < count) {
    float tail[4] = {0, 0, 0, 0};
    for (size_t t = j; t < count; ++t) tail[t - j] = scores[t] - largest;
    const F32x4 weight = exp_f32(load<F32x4>(tail));
    for (size_t t = j; t < count; ++t) {
      scores[t] = weight[t - j];
      weights[t & 3] += scores[t];
    }
  }
  const float total = lanes_total(weights);
  size_t i = 0;
  for (; i + 16 <= d; i += 16) {  // four vectors at a time stay in registers
    F32x4 sum[4] = {};
    for (j = 0; j < count; ++j) {
      const F32x4 weight = splat(scores[j]);
      for (int c = 0; c < 4; ++c) sum[c] = sum[c] + weight * load<F32x4>(v + j * stride + i + c * 4);
    }
    for (int c = 0; c < 4; ++c) store(out + i + c * 4, sum[c] / splat(total));
  }
  for (; i < d; ++i) {
    float sum = 0;
    for (j = 0; j < count; ++j) sum = sum + scores[j] * v[j * stride + i];
    out[i] = sum / total;
  }
}

}  // namespace ptts::kernels::simd128
